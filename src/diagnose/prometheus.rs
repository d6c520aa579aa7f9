//! What Prometheus kept of a window: means, shares and rates that no single look can show.

use crate::clients::prometheus;
use crate::domain::facts::Facts;
use crate::stack::Stack;
use nsys_contract::{metrics as m, topics};

/// Name of a fact, its expression, and what stands for "nothing happened" where that is no gap: of
/// nothing there is no mean time, and a counter of what never happened is not there.
type Question = (&'static str, String, Option<f64>);

/// Asks everything about the `seconds` before `end_s`.
pub(super) async fn facts(stack: &Stack, end_s: f64, seconds: u64) -> Facts {
    let base = stack.endpoints.prometheus_url();
    let questions = questions(seconds.max(5));
    let answers = futures::future::join_all(
        questions.iter().map(|(_, promql, _)| prometheus::value(&base, promql, end_s)),
    );
    let mut facts = Facts::default();
    for ((name, promql, silent), answer) in questions.iter().zip(answers.await) {
        match answer {
            Ok(value) => facts.put(*name, value.or(*silent), "Prometheus", promql),
            Err(cause) => facts.miss(*name, "Prometheus", promql, &cause.message),
        }
    }
    facts
}

fn questions(seconds: u64) -> Vec<Question> {
    let window = format!("[{seconds}s]");
    let rate = |metric: &str| format!("sum(rate({metric}{window}))");
    // Milliseconds for each observation of a histogram.
    let mean = |metric: &str| {
        format!("1000 * {} / {}", rate(&format!("{metric}_sum")), rate(&format!("{metric}_count")))
    };
    let request = m::HTTP_REQUEST_DURATION_SECONDS;
    let (query, wait) = (m::DB_QUERY_DURATION_SECONDS, m::DB_POOL_WAIT_SECONDS);
    let sum = |metric: &str| rate(&format!("{metric}_sum"));
    let of_api = |metric: &str| format!("{metric}_sum{{role=\"app\"}}");
    let parts = [query, wait, m::CACHE_OPERATION_DURATION_SECONDS, m::KAFKA_PUBLISH_DURATION_SECONDS];
    let parts: Vec<_> =
        parts.iter().map(|metric| format!("({} or vector(0))", rate(&of_api(metric)))).collect();
    let hits = rate(m::CACHE_HITS_TOTAL);
    let topic = format!("{{topic=\"{}\"}}", topics::NOTIFICATIONS);
    vec![
        ("request_rate", rate(m::HTTP_REQUESTS_TOTAL), None),
        ("request_mean_ms", mean(request), None),
        (
            "request_p50_ms",
            format!("1000 * histogram_quantile(0.5, sum by (le) (rate({request}_bucket{window})))"),
            None,
        ),
        (
            "in_flight",
            format!(
                "sum(avg_over_time({}{{queue_name=\"{}\"}}{window}))",
                m::QUEUE_DEPTH,
                m::REQUESTS_IN_PROGRESS
            ),
            None,
        ),
        (
            "p95_ms",
            format!("1000 * histogram_quantile(0.95, sum by (le) (rate({request}_bucket{window})))"),
            None,
        ),
        (
            "error_rate",
            format!(
                "({} or vector(0)) / {}",
                rate(m::HTTP_REQUEST_ERRORS_TOTAL),
                rate(m::HTTP_REQUESTS_TOTAL)
            ),
            None,
        ),
        (
            "query_p95_ms",
            format!("1000 * histogram_quantile(0.95, sum by (le) (rate({query}_bucket{window})))"),
            None,
        ),
        ("hit_rate", format!("{hits} / ({hits} + {})", rate(m::CACHE_MISSES_TOTAL)), None),
        (
            "consumed_share",
            format!(
                "{} / {}",
                rate(&format!("{}{topic}", m::KAFKA_MESSAGES_CONSUMED_TOTAL)),
                rate(&format!("{}{topic}", m::KAFKA_MESSAGES_PUBLISHED_TOTAL))
            ),
            Some(1.0),
        ),
        ("query_rate", rate(&format!("{query}_count")), None),
        ("query_mean_ms", mean(query), None),
        ("query_seconds_per_s", sum(query), None),
        ("pool_wait_mean_ms", mean(wait), None),
        ("pool_wait_share", format!("{} / ({} + {})", sum(wait), sum(wait), sum(query)), None),
        (
            "pool_used_share",
            format!(
                "max(max_over_time({}{window}) / on (instance) {})",
                m::DB_CONNECTIONS_ACTIVE,
                m::DB_POOL_SIZE
            ),
            None,
        ),
        ("cache_mean_ms", mean(m::CACHE_OPERATION_DURATION_SECONDS), Some(0.0)),
        ("publish_mean_ms", mean(m::KAFKA_PUBLISH_DURATION_SECONDS), Some(0.0)),
        ("broker_throttle_ms", format!("max(max_over_time({}{window}))", m::KAFKA_BROKER_THROTTLE_MS), None),
        ("delivery_mean_ms", mean(m::DELIVERY_DURATION_SECONDS), Some(0.0)),
        ("deliveries_in_flight", sum(m::DELIVERY_DURATION_SECONDS), None),
        ("misses_per_s", rate(m::CACHE_MISSES_TOTAL), None),
        ("marks_per_s", rate(&format!("{}{{event=\"changed\"}}", m::CACHE_EVENTS_TOTAL)), Some(0.0)),
        ("published_per_s", rate(&format!("{}{topic}", m::KAFKA_MESSAGES_PUBLISHED_TOTAL)), None),
        ("shed_per_s", rate(m::SHED_TOTAL), Some(0.0)),
        ("scraped_share", format!("min(avg_over_time(up{window}))"), None),
        ("elsewhere_share", format!("1 - ({}) / {}", parts.join(" + "), rate(&of_api(request))), None),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_names_its_window_once_it_has_one() {
        for (name, promql, _) in questions(30) {
            assert!(promql.contains("[30s]"), "{name}: {promql}");
        }
    }
}
