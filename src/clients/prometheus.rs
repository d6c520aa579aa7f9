//! The only place that names prometheus-http-query: PromQL at an instant and over a range.

use super::{access, http};
use crate::domain::promql::Promql;
use crate::error::{Error, Result};
use prometheus_http_query as driver;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// How long an answer may take.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Points of one series that are asked for at once; Prometheus refuses more than 11,000.
const MOST_POINTS: f64 = 10_000.0;
/// Longer expressions go into the body of a request: some proxies take no longer address than 8 KiB.
const LONGEST_ADDRESS: usize = 2_000;

/// One series: its labels and its points (seconds since the epoch, value).
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
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

/// Evaluates an expression at an instant (seconds since the epoch), or now.
///
/// # Errors
/// When Prometheus does not answer in time, or refuses the expression.
pub async fn instant(
    base: &str,
    promql: &Promql,
    at: Option<f64>,
    timeout: Duration,
) -> Result<Vec<LabelledSeries>> {
    Ok(match evaluate(base, promql, at, timeout).await? {
        driver::response::Data::Vector(vector) => vector
            .iter()
            .map(|one| LabelledSeries::new(one.metric(), std::iter::once(one.sample())))
            .collect(),
        driver::response::Data::Scalar(sample) => {
            vec![LabelledSeries::new(&HashMap::new(), std::iter::once(&sample))]
        }
        driver::response::Data::Matrix(_) => {
            let text = promql.as_str();
            return Err(Error::usage(format!("{text:?} is a range; ask for a value, as with rate()")));
        }
    })
}

/// Samples as they were scraped, of an expression that is a range of some seconds until now.
///
/// # Errors
/// When Prometheus does not answer in time, or refuses the expression.
pub async fn samples(base: &str, range: &Promql) -> Result<Vec<LabelledSeries>> {
    let data = evaluate(base, range, None, TIMEOUT).await?;
    let series = data.as_matrix().map(Vec::as_slice).unwrap_or_default();
    Ok(series.iter().map(|one| LabelledSeries::new(one.metric(), one.samples().iter())).collect())
}

/// Evaluates an expression over a range: at `start`, and every `step_s` until `end` (seconds since
/// the epoch). The driver asks from a whole second on. As many points as there are: a range that has more
/// than Prometheus gives at once is asked for in pieces.
///
/// # Errors
/// When Prometheus does not answer in time, or refuses the expression.
pub async fn range(
    base: &str,
    promql: &Promql,
    start: f64,
    end: f64,
    step_s: f64,
) -> Result<Vec<LabelledSeries>> {
    let mut whole: BTreeMap<String, LabelledSeries> = BTreeMap::new();
    for (from, to) in pieces(start, end, step_s) {
        for series in piece(base, promql, from, to, step_s).await? {
            match whole.get_mut(&series.labels) {
                Some(known) => known.points.extend(series.points),
                None => drop(whole.insert(series.labels.clone(), series)),
            }
        }
    }
    Ok(whole.into_values().collect())
}

/// A range cut where Prometheus has to be asked anew. No point lies in two pieces, none between them.
#[must_use]
pub fn pieces(start: f64, end: f64, step_s: f64) -> Vec<(f64, f64)> {
    // The driver begins at whole seconds, so each piece has to be of whole seconds: ten thousand steps of
    // whole milliseconds are.
    let length = (MOST_POINTS * step_s).round().max(1.0);
    let mut found = Vec::new();
    let mut from = start;
    while from <= end {
        let next = from.floor() + length;
        found.push((from, end.min(next - step_s / 2.0)));
        from = next;
    }
    found
}

async fn piece(
    base: &str,
    promql: &Promql,
    start: f64,
    end: f64,
    step_s: f64,
) -> Result<Vec<LabelledSeries>> {
    // Whole seconds since the epoch fit.
    #[allow(clippy::cast_possible_truncation)]
    let mut query =
        connect(base)?.query_range(promql.as_str(), start.floor() as i64, end.ceil() as i64, step_s);
    if let Some((name, value)) = authorization(base) {
        query = query.header(name, value);
    }
    let question = async {
        if promql.as_str().len() > LONGEST_ADDRESS { query.post().await } else { query.get().await }
    };
    let (data, _) = answer(base, promql, TIMEOUT, question).await?.into_inner();
    let within = |sample: &&driver::response::Sample| (start..=end).contains(&sample.timestamp());
    let series = data.as_matrix().map(Vec::as_slice).unwrap_or_default();
    Ok(series
        .iter()
        .map(|one| LabelledSeries::new(one.metric(), one.samples().iter().filter(within)))
        .collect())
}

/// Evaluates an expression at one instant; the first value, when it is a number.
///
/// # Errors
/// When Prometheus does not answer in time, or refuses the expression.
pub async fn value(base: &str, promql: &Promql, at: f64) -> Result<Option<f64>> {
    Ok(instant(base, promql, Some(at), TIMEOUT).await?.first().and_then(LabelledSeries::value))
}

async fn evaluate(
    base: &str,
    promql: &Promql,
    at: Option<f64>,
    timeout: Duration,
) -> Result<driver::response::Data> {
    let mut query = connect(base)?.query(promql.as_str());
    if let Some(at) = at {
        query = query.query("time", at);
    }
    if let Some((name, value)) = authorization(base) {
        query = query.header(name, value);
    }
    let question = async {
        if promql.as_str().len() > LONGEST_ADDRESS { query.post().await } else { query.get().await }
    };
    Ok(answer(base, promql, timeout, question).await?.into_inner().0)
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
    promql: &Promql,
    timeout: Duration,
    question: impl Future<Output = Result<T, driver::Error>>,
) -> Result<T> {
    let away = |why: &str| Error::unreachable(format!("{base}: {why}"));
    match tokio::time::timeout(timeout, question).await {
        Err(_) => Err(away("no answer in time")),
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(driver::Error::Prometheus(refusal))) => {
            Err(Error::failed(format!("Prometheus refused {:?}: {}", promql.as_str(), refusal.message())))
        }
        Ok(Err(cause)) => Err(away(&http::reason(&cause))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_hold_every_point_once_on_one_grid() {
        for (start, end, step) in [
            (1_000.0, 1_000.0, 1.0),
            (1_000.0, 10_999.0, 1.0),
            (1_000.0, 11_000.0, 1.0),
            (1_000.0, 44_001.0, 1.0),
            (1_000.0, 200_000.0, 15.0),
            (1_000.0, 9_000.0, 0.25),
        ] {
            // As Prometheus does: from the whole second on, each step until the end.
            let grid = |from: f64, to: f64| {
                let count = ((to - from.floor()) / step + 1e-9).floor() as u64;
                (0..=count).map(|n| from.floor() + n as f64 * step).filter(|at| *at <= to).collect::<Vec<_>>()
            };
            let cut = pieces(start, end, step);
            assert!(cut.iter().all(|(from, to)| grid(*from, *to).len() <= 11_000));
            let asked: Vec<f64> = cut.iter().flat_map(|(from, to)| grid(*from, *to)).collect();
            assert_eq!(asked, grid(start, end), "{start} to {end} by {step}");
        }
    }
}
