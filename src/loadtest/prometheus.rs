//! What the service itself counted, as Prometheus recorded it: series by second, and the steady window.

use crate::clients::prometheus;
use crate::domain::run::Sample;
use crate::error::Result;
use crate::measured::Measured;
use crate::stack::Stack;
use nsys_contract::{metrics, topics};

/// A rate over one scrape interval is not to be had, so each second's value covers this many before it.
const SPAN_S: u64 = 3;

fn quantile(q: f64, metric: &str, span_s: u64) -> String {
    format!("histogram_quantile({q}, sum by (le) (rate({metric}_bucket[{span_s}s]))) * 1000")
}

fn rate(metric: &str, span_s: u64) -> String {
    format!("sum(rate({metric}[{span_s}s]))")
}

/// Requests of the load; health checks and scrapes are left out.
fn of_load(metric: &str) -> String {
    format!("{metric}{{route=~\"/notifications.*\"}}")
}

/// Percentile of the answer time to requests of the load, in ms.
fn answer_time(q: f64, span_s: u64) -> String {
    let buckets = of_load(&format!("{}_bucket", metrics::HTTP_REQUEST_DURATION_SECONDS));
    format!("histogram_quantile({q}, sum by (le) (rate({buckets}[{span_s}s]))) * 1000")
}

fn of_topic(metric: &str) -> String {
    format!("{metric}{{topic=\"{}\"}}", topics::NOTIFICATIONS)
}

fn hit_rate(span_s: u64) -> String {
    let (hits, misses) = (rate(metrics::CACHE_HITS_TOTAL, span_s), rate(metrics::CACHE_MISSES_TOTAL, span_s));
    format!("{hits} / ({hits} + {misses})")
}

type Put = fn(&mut Sample, f64);

/// Requests in progress (`=`), or everything else that waits (`!=`).
fn requests_in_progress(relation: &str) -> String {
    format!("sum({}{{queue_name{relation}\"{}\"}})", metrics::QUEUE_DEPTH, metrics::REQUESTS_IN_PROGRESS)
}

/// Each series with the place its values go to.
fn series() -> Vec<(String, Put)> {
    vec![
        (rate(&of_load(metrics::HTTP_REQUESTS_TOTAL), SPAN_S), |one, value| one.rate_rps = Some(value)),
        (answer_time(0.5, SPAN_S), |one, value| one.p50_ms = Some(value)),
        (answer_time(0.95, SPAN_S), |one, value| one.p95_ms = Some(value)),
        (answer_time(0.99, SPAN_S), |one, value| one.p99_ms = Some(value)),
        (rate(&of_load(metrics::HTTP_REQUEST_ERRORS_TOTAL), SPAN_S), |one, value| {
            one.errors_per_s = Some(value);
        }),
        (requests_in_progress("="), |one, value| one.in_flight = Some(value)),
        (requests_in_progress("!="), |one, value| one.queue_depth = Some(value)),
        (rate(&of_topic(metrics::KAFKA_MESSAGES_PUBLISHED_TOTAL), SPAN_S), |one, value| {
            one.published_per_s = Some(value);
        }),
        (rate(&of_topic(metrics::KAFKA_MESSAGES_CONSUMED_TOTAL), SPAN_S), |one, value| {
            one.consumed_per_s = Some(value);
        }),
        (quantile(0.95, metrics::DB_QUERY_DURATION_SECONDS, SPAN_S), |one, value| {
            one.query_p95_ms = Some(value);
        }),
        (format!("sum({})", metrics::DB_CONNECTIONS_ACTIVE), |one, value| one.pool_active = Some(value)),
        (format!("sum({})", metrics::DB_POOL_SIZE), |one, value| one.pool_size = Some(value)),
        (quantile(0.95, metrics::DB_POOL_WAIT_SECONDS, SPAN_S), |one, value| {
            one.pool_wait_p95_ms = Some(value);
        }),
        (hit_rate(SPAN_S), |one, value| one.hit_rate = Some(value)),
    ]
}

/// Fills in what the service itself counted in each second.
pub async fn fill_series(stack: &Stack, samples: &mut [Sample]) {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return };
    let (base, start, end) = (stack.endpoints.prometheus_url(), first.at_s.floor(), last.at_s.ceil());
    let ask = async |(promql, put): (String, Put)| {
        let series = prometheus::range(&base, &promql, start, end, 1.0).await.unwrap_or_default();
        (series.into_iter().next().map(|one| one.points).unwrap_or_default(), put)
    };
    for (points, put) in futures::future::join_all(series().into_iter().map(ask)).await {
        for sample in &mut *samples {
            let near = points.iter().find(|point| (point.0 - sample.at_s).abs() <= 0.5);
            if let Some((_, value)) = near.filter(|point| point.1.is_finite()) {
                put(sample, *value);
            }
        }
    }
}

/// What Prometheus says about a window.
#[derive(Clone, Debug, Default)]
pub struct PrometheusWindow {
    /// Median of requests as the service saw them, ms.
    pub p50_ms: Measured<f64>,
    /// 95th percentile of requests as the service saw them, ms.
    pub p95_ms: Measured<f64>,
    /// 99th percentile.
    pub p99_ms: Measured<f64>,
    /// 95th percentile of the time from acceptance to a final state, ms.
    pub delivery_p95_ms: Measured<f64>,
    /// Notifications that failed, per second.
    pub failed_per_s: Measured<f64>,
    /// Requests refused, per second.
    pub shed_per_s: Measured<f64>,
    /// 95th percentile of queries, ms.
    pub query_p95_ms: Measured<f64>,
    /// 95th percentile of the wait for a connection, ms.
    pub pool_wait_p95_ms: Measured<f64>,
    /// Published per second.
    pub published_per_s: Measured<f64>,
    /// Consumed per second.
    pub consumed_per_s: Measured<f64>,
    /// Share of cache reads that hit.
    pub hit_rate: Measured<f64>,
}

/// Asks Prometheus about the `seconds` before `end_s`.
pub async fn window(stack: &Stack, end_s: f64, seconds: u64) -> PrometheusWindow {
    let base = stack.endpoints.prometheus_url();
    let ask = async |promql: String| {
        let answer = Measured::from(prometheus::value(&base, &promql, end_s).await);
        answer.and_then(|value| Measured::or_missing(value, "Prometheus has no series of it"))
    };
    let (latency, delivery, database, flow) = tokio::join!(
        async {
            [
                ask(answer_time(0.5, seconds)).await,
                ask(answer_time(0.95, seconds)).await,
                ask(answer_time(0.99, seconds)).await,
            ]
        },
        async {
            [
                ask(quantile(0.95, metrics::NOTIFICATION_PROCESSING_DURATION_SECONDS, seconds)).await,
                ask(rate(metrics::NOTIFICATIONS_FAILED_TOTAL, seconds)).await,
                ask(rate(metrics::SHED_TOTAL, seconds)).await,
            ]
        },
        async {
            [
                ask(quantile(0.95, metrics::DB_QUERY_DURATION_SECONDS, seconds)).await,
                ask(quantile(0.95, metrics::DB_POOL_WAIT_SECONDS, seconds)).await,
            ]
        },
        async {
            [
                ask(rate(&of_topic(metrics::KAFKA_MESSAGES_PUBLISHED_TOTAL), seconds)).await,
                ask(rate(&of_topic(metrics::KAFKA_MESSAGES_CONSUMED_TOTAL), seconds)).await,
                ask(hit_rate(seconds)).await,
            ]
        },
    );
    let [p50_ms, p95_ms, p99_ms] = latency;
    let [delivery_p95_ms, failed_per_s, shed_per_s] = delivery;
    let [query_p95_ms, pool_wait_p95_ms] = database;
    let [published_per_s, consumed_per_s, hit_rate] = flow;
    PrometheusWindow {
        p50_ms,
        p95_ms,
        p99_ms,
        delivery_p95_ms,
        failed_per_s,
        shed_per_s,
        query_p95_ms,
        pool_wait_p95_ms,
        published_per_s,
        consumed_per_s,
        hit_rate,
    }
}

/// Requests to the notification routes that the service answered without an error, since it started.
/// Absent while there is no series of them: before the first one, or where they are not counted.
///
/// # Errors
/// When Prometheus does not answer.
pub async fn served(stack: &Stack) -> Result<Option<f64>> {
    let count = format!(
        "sum({}) - sum({})",
        of_load(metrics::HTTP_REQUESTS_TOTAL),
        of_load(metrics::HTTP_REQUEST_ERRORS_TOTAL)
    );
    prometheus::value(&stack.endpoints.prometheus_url(), &count, crate::clock::now_s()).await
}

/// Requests in progress in the service.
pub async fn in_flight(stack: &Stack) -> Measured<f64> {
    let now = requests_in_progress("=");
    let asked = prometheus::value(&stack.endpoints.prometheus_url(), &now, crate::clock::now_s()).await;
    Measured::from(asked).and_then(|value| Measured::or_missing(value, "Prometheus has no series of it"))
}
