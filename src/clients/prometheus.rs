//! The only place that names prometheus-http-query: PromQL at an instant and over a range.

use super::{access, http};
use crate::error::{Error, Result};
use prometheus_http_query as driver;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// How long an answer may take.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// One series: its labels and its points (seconds since the epoch, value).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LabelledSeries {
    /// Labels as JSON text, in the order of their names.
    pub labels: String,
    /// Points; one when an instant was asked for.
    pub points: Vec<(f64, f64)>,
}

impl LabelledSeries {
    fn new<'a>(
        metric: &HashMap<String, String>,
        points: impl Iterator<Item = &'a driver::response::Sample>,
    ) -> Self {
        let labels: BTreeMap<_, _> = metric.iter().collect();
        let labels = serde_json::to_string(&labels).unwrap_or_default();
        Self { labels, points: points.map(|point| (point.timestamp(), point.value())).collect() }
    }

    /// The value of a label.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<String> {
        serde_json::from_str::<BTreeMap<String, String>>(&self.labels).ok()?.remove(name)
    }

    /// The first value, when it is a number.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        self.points.first().map(|point| point.1).filter(|value| value.is_finite())
    }
}

/// Evaluates a PromQL expression at an instant (seconds since the epoch), or now.
///
/// # Errors
/// When Prometheus does not answer in time, or refuses the expression.
pub async fn instant(
    base: &str,
    promql: &str,
    at: Option<f64>,
    timeout: Duration,
) -> Result<Vec<LabelledSeries>> {
    let mut query = connect(base)?.query(promql);
    if let Some(at) = at {
        query = query.query("time", at);
    }
    if let Some((name, value)) = authorization(base) {
        query = query.header(name, value);
    }
    let (data, _) = answer(base, promql, timeout, query.get()).await?.into_inner();
    Ok(match data {
        driver::response::Data::Vector(vector) => vector
            .iter()
            .map(|one| LabelledSeries::new(one.metric(), std::iter::once(one.sample())))
            .collect(),
        driver::response::Data::Scalar(sample) => {
            vec![LabelledSeries::new(&HashMap::new(), std::iter::once(&sample))]
        }
        driver::response::Data::Matrix(_) => {
            return Err(Error::usage(format!("{promql:?} is a range; ask for a value, as with rate()")));
        }
    })
}

/// Evaluates a PromQL expression over a range: at `start`, and every `step_s` until `end` (seconds since
/// the epoch). The driver asks from a whole second on.
///
/// # Errors
/// When Prometheus does not answer in time, or refuses the expression.
pub async fn range(
    base: &str,
    promql: &str,
    start: f64,
    end: f64,
    step_s: f64,
) -> Result<Vec<LabelledSeries>> {
    // Whole seconds since the epoch fit.
    #[allow(clippy::cast_possible_truncation)]
    let mut query = connect(base)?.query_range(promql, start.floor() as i64, end.ceil() as i64, step_s);
    if let Some((name, value)) = authorization(base) {
        query = query.header(name, value);
    }
    let (data, _) = answer(base, promql, TIMEOUT, query.get()).await?.into_inner();
    let within = |sample: &&driver::response::Sample| (start..=end).contains(&sample.timestamp());
    let series = data.as_matrix().map(Vec::as_slice).unwrap_or_default();
    Ok(series
        .iter()
        .map(|one| LabelledSeries::new(one.metric(), one.samples().iter().filter(within)))
        .collect())
}

/// Evaluates a PromQL expression at one instant; the first value, when it is a number.
///
/// # Errors
/// When Prometheus does not answer in time, or refuses the expression.
pub async fn value(base: &str, promql: &str, at: f64) -> Result<Option<f64>> {
    Ok(instant(base, promql, Some(at), TIMEOUT).await?.first().and_then(LabelledSeries::value))
}

fn connect(base: &str) -> Result<driver::Client> {
    if base.is_empty() {
        return Err(Error::unreachable("there is no Prometheus").hint("set external.prometheus_url"));
    }
    driver::Client::from(http::client()?.clone(), base)
        .map_err(|cause| Error::usage(format!("{base} is no address of a Prometheus: {cause}")))
}

fn authorization(base: &str) -> Option<(&'static str, http::HeaderValue)> {
    Some(("authorization", http::bearer(access::token(base)?)?))
}

async fn answer<T>(
    base: &str,
    promql: &str,
    timeout: Duration,
    question: impl Future<Output = Result<T, driver::Error>>,
) -> Result<T> {
    let away = |why: &str| Error::unreachable(format!("{base}: {why}"));
    match tokio::time::timeout(timeout, question).await {
        Err(_) => Err(away("no answer in time")),
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(driver::Error::Prometheus(refusal))) => {
            Err(Error::failed(format!("Prometheus refused {promql:?}: {}", refusal.message())))
        }
        Ok(Err(cause)) => Err(away(&http::reason(&cause))),
    }
}
