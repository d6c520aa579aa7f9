//! What the service itself counted, as Prometheus recorded it: series by second, and the steady window.

use crate::clients::prometheus;
use crate::clock::now_s;
use crate::domain::promql::{self, Promql, Scope, ServiceQueries};
use crate::domain::run::Sample;
use crate::error::Result;
use crate::measured::Measured;
use crate::stack::Stack;
use nsys_contract::metrics;

type Put = fn(&mut Sample, f64);

/// Each series with the place its values go to.
fn series(scope: &Scope) -> Vec<(Promql, Put)> {
    // A rate over one scrape is not to be had, so each value covers some before it.
    let ask = ServiceQueries { scope, window: scope.shortest() };
    let time = ask.of_load(metrics::HTTP_REQUEST_DURATION_SECONDS);
    let p95_ms = |name: &str| ask.percentile_ms(0.95, &scope.metric(name));
    let mean_ms = |name: &str| ask.mean_ms(&scope.metric(name));
    vec![
        (ask.rate_of(&ask.of_load(metrics::HTTP_REQUESTS_TOTAL)), |one, value| one.rate_rps = Some(value)),
        (ask.percentile_ms(0.5, &time), |one, value| one.p50_ms = Some(value)),
        (ask.percentile_ms(0.95, &time), |one, value| one.p95_ms = Some(value)),
        (ask.percentile_ms(0.99, &time), |one, value| one.p99_ms = Some(value)),
        (ask.rate_of(&ask.of_load(metrics::HTTP_REQUEST_ERRORS_TOTAL)), |one, value| {
            one.errors_per_s = Some(value);
        }),
        (ask.in_progress().now().sum(), |one, value| one.in_flight = Some(value)),
        (ask.waiting().now().sum(), |one, value| one.queue_depth = Some(value)),
        (ask.of_topic(metrics::KAFKA_MESSAGES_PUBLISHED_TOTAL), |one, value| {
            one.published_per_s = Some(value);
        }),
        (ask.of_topic(metrics::KAFKA_MESSAGES_CONSUMED_TOTAL), |one, value| {
            one.consumed_per_s = Some(value);
        }),
        (p95_ms(metrics::DB_QUERY_DURATION_SECONDS), |one, value| one.query_p95_ms = Some(value)),
        (scope.metric(metrics::DB_CONNECTIONS_ACTIVE).now().sum(), |one, value| {
            one.pool_active = Some(value);
        }),
        (scope.metric(metrics::DB_POOL_SIZE).now().sum(), |one, value| one.pool_size = Some(value)),
        (p95_ms(metrics::DB_POOL_WAIT_SECONDS), |one, value| one.pool_wait_p95_ms = Some(value)),
        (ask.hit_rate(), |one, value| one.hit_rate = Some(value)),
        (mean_ms(metrics::KAFKA_PUBLISH_DURATION_SECONDS), |one, value| one.publish_ms = Some(value)),
        (mean_ms(metrics::CACHE_OPERATION_DURATION_SECONDS), |one, value| one.cache_ms = Some(value)),
    ]
}

/// Fills in what the service itself counted: in each second, or as often as it is scraped, for a value
/// that is only repeated in between was not measured there. What could not be had is told.
pub async fn fill_series(stack: &Stack, samples: &mut [Sample]) -> Option<String> {
    let (first, last) = (samples.first()?, samples.last()?);
    let (base, start, end) = (stack.endpoints.prometheus_url(), first.at_s.floor(), last.at_s.ceil());
    let scope = stack.scope().await;
    let step_s = scope.interval().as_secs_f64().ceil().max(1.0);
    let asked = series(&scope)
        .into_iter()
        .map(async |(promql, put)| (prometheus::range(&base, &promql, start, end, step_s).await, put));
    let mut missing = None;
    for (found, put) in futures::future::join_all(asked).await {
        let series = match found {
            Ok(series) => series,
            Err(cause) => {
                missing =
                    Some(format!("what the service counted by second is not measured: {}", cause.message));
                continue;
            }
        };
        let points = series.into_iter().next().map(|one| one.points).unwrap_or_default();
        let mut points = points.into_iter().filter(|point| point.1.is_finite()).peekable();
        // Both are in order of time.
        for sample in &mut *samples {
            while points.next_if(|point| point.0 < sample.at_s - 0.5).is_some() {}
            if let Some((_, value)) = points.peek().filter(|point| point.0 <= sample.at_s + 0.5) {
                put(sample, *value);
            }
        }
    }
    missing
}

/// What Prometheus says about a window.
#[derive(Clone, Debug, Default)]
pub struct PrometheusWindow {
    /// Why nothing can be told of it, where that is so.
    pub problem: Option<String>,
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

/// Asks Prometheus about the `seconds` before `end_s`; where it cannot tell of them, every value says why.
pub async fn window(stack: &Stack, end_s: f64, seconds: u64) -> PrometheusWindow {
    let (base, scope) = (stack.endpoints.prometheus_url(), stack.scope().await);
    let window = match seen_whole(&base, &scope, end_s, seconds).await {
        Ok(window) => window,
        Err(why) => return PrometheusWindow::missing(&why),
    };
    let ask = ServiceQueries { scope: &scope, window };
    let time = ask.of_load(metrics::HTTP_REQUEST_DURATION_SECONDS);
    let p95_ms = |name: &str| ask.percentile_ms(0.95, &scope.metric(name));
    let questions = [
        ask.percentile_ms(0.5, &time),
        ask.percentile_ms(0.95, &time),
        ask.percentile_ms(0.99, &time),
        p95_ms(metrics::NOTIFICATION_PROCESSING_DURATION_SECONDS),
        ask.rate(metrics::NOTIFICATIONS_FAILED_TOTAL),
        ask.rate(metrics::SHED_TOTAL),
        p95_ms(metrics::DB_QUERY_DURATION_SECONDS),
        p95_ms(metrics::DB_POOL_WAIT_SECONDS),
        ask.of_topic(metrics::KAFKA_MESSAGES_PUBLISHED_TOTAL),
        ask.of_topic(metrics::KAFKA_MESSAGES_CONSUMED_TOTAL),
        ask.hit_rate(),
    ];
    let asked = questions.each_ref().map(|promql| prometheus::value(&base, promql, end_s));
    let answers = futures::future::join_all(asked).await.into_iter();
    let mut answers = answers.map(|answer| {
        Measured::from(answer).and_then(|value| Measured::or_missing(value, "Prometheus has no series of it"))
    });
    PrometheusWindow::of(None, || answers.next().unwrap_or_default())
}

impl PrometheusWindow {
    /// Nothing can be told of it.
    fn missing(why: &str) -> Self {
        let problem = format!("what the service counted is not measured: {why}");
        Self::of(Some(problem), || Measured::missing(why.to_owned()))
    }

    /// Its figures in the order of the questions.
    fn of(problem: Option<String>, mut next: impl FnMut() -> Measured<f64>) -> Self {
        Self {
            problem,
            p50_ms: next(),
            p95_ms: next(),
            p99_ms: next(),
            delivery_p95_ms: next(),
            failed_per_s: next(),
            shed_per_s: next(),
            query_p95_ms: next(),
            pool_wait_p95_ms: next(),
            published_per_s: next(),
            consumed_per_s: next(),
            hit_rate: next(),
        }
    }
}

/// The window, once it is known that Prometheus has seen it as a whole.
async fn seen_whole(
    base: &str,
    scope: &Scope,
    end_s: f64,
    seconds: u64,
) -> Result<promql::RangeWindow, String> {
    let window = scope.exactly(seconds)?;
    match prometheus::value(base, &scope.seen_at_both_ends(window), end_s).await {
        Err(cause) => Err(cause.message),
        Ok(None) => {
            Err("Prometheus did not scrape at the beginning or at the end of the measured time".into())
        }
        Ok(Some(_)) => Ok(window),
    }
}

/// Requests to the notification routes that the service answered without an error, since it started.
/// Absent while there is no series of them: before the first one, or where they are not counted.
///
/// # Errors
/// When Prometheus does not answer.
pub async fn served(stack: &Stack) -> Result<Option<f64>> {
    let scope = stack.scope().await;
    let ask = ServiceQueries { scope: &scope, window: scope.shortest() };
    let sum = |name: &str| ask.of_load(name).now().sum();
    let count = sum(metrics::HTTP_REQUESTS_TOTAL) - sum(metrics::HTTP_REQUEST_ERRORS_TOTAL);
    prometheus::value(&stack.endpoints.prometheus_url(), &count, now_s()).await
}

/// Whether a replica has begun to count anew in the `seconds` until now, as Prometheus saw it.
pub async fn counted_anew(stack: &Stack, seconds: u64) -> bool {
    let scope = stack.scope().await;
    let ask = ServiceQueries { scope: &scope, window: scope.at_least(seconds) };
    let resets = ask.of_load(metrics::HTTP_REQUESTS_TOTAL).resets(ask.window).sum().positive();
    let found = prometheus::value(&stack.endpoints.prometheus_url(), &resets, now_s()).await;
    found.is_ok_and(|resets| resets.is_some())
}

/// Requests in progress in the service.
pub async fn in_flight(stack: &Stack) -> Measured<f64> {
    let scope = stack.scope().await;
    let now = ServiceQueries { scope: &scope, window: scope.shortest() }.in_progress().now().sum();
    let asked = prometheus::value(&stack.endpoints.prometheus_url(), &now, now_s()).await;
    Measured::from(asked).and_then(|value| Measured::or_missing(value, "Prometheus has no series of it"))
}
