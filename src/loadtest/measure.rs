//! Looks at everything but the answers while a level runs: processes, connections, lag, Prometheus.

use crate::clients::postgres::Postgres;
use crate::clients::{http, kafka, process};
use crate::domain::run::Sample;
use crate::domain::usage;
use crate::error::Result;
use crate::stack::Stack;
use crate::stack::spec::Record;
use nsys_contract::{metrics, topics};
use std::time::Duration;

/// Takes one sample at a time; rates are differences to the sample before.
#[derive(Debug)]
pub struct Sampler {
    stack: Stack,
    generator: i32,
    service: Vec<Record>,
    database: Option<Postgres>,
    before: Option<(f64, Option<f64>, Option<usage::Usage>)>,
    cpus: f64,
}

/// Seconds since the epoch.
#[must_use]
pub fn now_s() -> f64 {
    jiff::Timestamp::now().as_millisecond() as f64 / 1_000.0
}

impl Sampler {
    /// A sampler of the running service and this generator.
    ///
    /// # Errors
    /// When the supervisor does not answer.
    pub async fn new(stack: &Stack, generator: i32) -> Result<Self> {
        let service = replicas(stack).await?;
        let database = connect(stack).await.ok();
        let cpus = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        Ok(Self { stack: stack.clone(), generator, service, database, before: None, cpus })
    }

    /// One sample; what could not be had is absent.
    pub async fn sample(&mut self) -> Sample {
        let at_s = now_s();
        let generator = process::usage(self.generator);
        let mut service = self.service_usage().await;
        if service.is_none() {
            // A replica was restarted. Its CPU time begins anew, so this second has no rate.
            self.service = replicas(&self.stack).await.unwrap_or_default();
            service = self.service_usage().await;
            self.before = None;
        }
        let generator_cpu = generator.map(|one| one.0);
        let generator_cpu_pct = self
            .before
            .and_then(|(since, before, _)| Some((generator_cpu? - before?) / (at_s - since) * 100.0));
        let service_cpu_pct = self
            .before
            .and_then(|(_, _, before)| Some(usage::cpu_pct(&before?, service.as_ref()?)? / self.cpus));
        self.before = Some((at_s, generator_cpu, service));
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let db_connections = match &mut self.database {
            Some(database) => database.connections().await.ok(),
            None => None,
        };
        if db_connections.is_none() {
            self.database = connect(&self.stack).await.ok();
        }
        Sample {
            at_s,
            generator_cpu_pct,
            generator_rss_mb: generator.map(|one| mib(one.1)),
            service_cpu_pct,
            service_rss_mb: service.map(|one| mib(one.memory_bytes)),
            db_connections,
            lag: total_lag(&self.stack).await.ok(),
            // Prometheus tells these when the level is over.
            ..Sample::default()
        }
    }

    /// What all replicas use together; absent when one of them could not be looked at.
    async fn service_usage(&self) -> Option<usage::Usage> {
        let looks: Option<Vec<_>> = self.stack.usage(&self.service).await.into_iter().collect();
        usage::total(&looks?)
    }
}

async fn replicas(stack: &Stack) -> Result<Vec<Record>> {
    Ok(stack.records().await?.into_iter().filter(|record| record.role().is_some()).collect())
}

/// A connection to the service's database.
///
/// # Errors
/// When it does not take one.
pub async fn connect(stack: &Stack) -> Result<Postgres> {
    let url = stack.database_url()?;
    Postgres::connect(&url, Duration::from_secs(3)).await
}

/// Messages that wait for the workers.
///
/// # Errors
/// When the broker does not answer.
pub async fn total_lag(stack: &Stack) -> Result<i64> {
    let wanted = [topics::NOTIFICATIONS.to_owned(), topics::RETRY.to_owned()];
    let lag =
        kafka::lag(&stack.endpoints.brokers(), topics::WORKER_GROUP, &wanted, Duration::from_secs(3)).await?;
    Ok(lag.iter().map(|one| one.lag).sum())
}

/// The service's last five seconds, as the service itself counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Live {
    /// Requests per second.
    pub rate: Option<f64>,
    /// 95th percentile, ms.
    pub p95_ms: Option<f64>,
    /// Requests answered with an error, per second.
    pub errors: Option<f64>,
}

/// Asks Prometheus about the last five seconds.
pub async fn live(stack: &Stack) -> Live {
    let (base, now) = (stack.endpoints.prometheus_url(), now_s());
    let ask = async |promql: String| http::query_value(&base, &promql, now).await.ok().flatten();
    let duration = metrics::HTTP_REQUEST_DURATION_SECONDS;
    let (rate, p95_ms, errors) = tokio::join!(
        ask(format!("sum(rate({}[5s]))", metrics::HTTP_REQUESTS_TOTAL)),
        ask(format!("histogram_quantile(0.95, sum by (le) (rate({duration}_bucket[5s]))) * 1000")),
        ask(format!("sum(rate({}[5s]))", metrics::HTTP_REQUEST_ERRORS_TOTAL)),
    );
    Live { rate, p95_ms, errors }
}

/// Fills in what the service itself counted in each second. A rate over one scrape interval is not
/// to be had, so each value covers the three seconds before it.
pub async fn fill_series(stack: &Stack, samples: &mut [Sample]) {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return };
    let (base, start, end) = (stack.endpoints.prometheus_url(), first.at_s.floor(), last.at_s.ceil());
    let ask = async |promql: String| {
        let series = http::query_range(&base, &promql, start, end, 1.0).await.unwrap_or_default();
        series.into_iter().next().map(|one| one.points).unwrap_or_default()
    };
    let quantile = |q: f64| {
        let metric = metrics::HTTP_REQUEST_DURATION_SECONDS;
        format!("histogram_quantile({q}, sum by (le) (rate({metric}_bucket[3s]))) * 1000")
    };
    let (rate, p50, p95, p99) = tokio::join!(
        ask(format!("sum(rate({}[3s]))", metrics::HTTP_REQUESTS_TOTAL)),
        ask(quantile(0.5)),
        ask(quantile(0.95)),
        ask(quantile(0.99)),
    );
    for sample in samples {
        let at = |points: &[(f64, f64)]| {
            let near = points.iter().find(|point| (point.0 - sample.at_s).abs() <= 0.5)?;
            near.1.is_finite().then_some(near.1)
        };
        sample.rate_rps = at(&rate);
        sample.p50_ms = at(&p50);
        sample.p95_ms = at(&p95);
        sample.p99_ms = at(&p99);
    }
}

/// What Prometheus says about a window.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    /// 95th percentile of requests as the service saw them, ms.
    pub p95_ms: Option<f64>,
    /// 99th percentile.
    pub p99_ms: Option<f64>,
    /// 95th percentile of queries, ms.
    pub query_p95_ms: Option<f64>,
    /// Published per second.
    pub published_per_s: Option<f64>,
    /// Consumed per second.
    pub consumed_per_s: Option<f64>,
    /// Share of cache reads that hit.
    pub hit_rate: Option<f64>,
}

/// Asks Prometheus about the `seconds` before `end_s`.
pub async fn window(stack: &Stack, end_s: f64, seconds: u64) -> Window {
    let base = stack.endpoints.prometheus_url();
    let ask = async |promql: String| http::query_value(&base, &promql, end_s).await.ok().flatten();
    let quantile = |q: f64, metric: &str| {
        format!("histogram_quantile({q}, sum by (le) (rate({metric}_bucket[{seconds}s]))) * 1000")
    };
    let rate = |metric: &str| format!("sum(rate({metric}[{seconds}s]))");
    let topic = |metric: &str| format!("{metric}{{topic=\"{}\"}}", topics::NOTIFICATIONS);
    let (hits, misses) = (rate(metrics::CACHE_HITS_TOTAL), rate(metrics::CACHE_MISSES_TOTAL));
    Window {
        p95_ms: ask(quantile(0.95, metrics::HTTP_REQUEST_DURATION_SECONDS)).await,
        p99_ms: ask(quantile(0.99, metrics::HTTP_REQUEST_DURATION_SECONDS)).await,
        query_p95_ms: ask(quantile(0.95, metrics::DB_QUERY_DURATION_SECONDS)).await,
        published_per_s: ask(rate(&topic(metrics::KAFKA_MESSAGES_PUBLISHED_TOTAL))).await,
        consumed_per_s: ask(rate(&topic(metrics::KAFKA_MESSAGES_CONSUMED_TOTAL))).await,
        hit_rate: ask(format!("{hits} / ({hits} + {misses})")).await,
    }
}
