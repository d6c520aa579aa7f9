//! What Prometheus is asked for a diagnosis, as PromQL.

use nsys_contract::{metrics as m, topics};

/// Name of a fact, its expression, and for a mean the rate of what it is a mean of: where that is there
/// and 0, there is no mean and nothing to judge. A series that is not there is never 0.
pub type FactQuery = (&'static str, String, Option<String>);

/// Every question about a window of so many seconds.
#[must_use]
pub fn questions(seconds: u64) -> Vec<FactQuery> {
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
    let (cache, publish) = (m::CACHE_OPERATION_DURATION_SECONDS, m::KAFKA_PUBLISH_DURATION_SECONDS);
    let delivery = m::DELIVERY_DURATION_SECONDS;
    let parts = [query, wait, cache, publish];
    let parts: Vec<_> = parts.iter().map(|metric| rate(&of_api(metric))).collect();
    let count = |metric: &str| Some(rate(&format!("{metric}_count")));
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
            format!("{} / {}", rate(m::HTTP_REQUEST_ERRORS_TOTAL), rate(m::HTTP_REQUESTS_TOTAL)),
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
            consumed_share(
                &rate(&format!("{}{topic}", m::KAFKA_MESSAGES_CONSUMED_TOTAL)),
                &rate(&format!("{}{topic}", m::KAFKA_MESSAGES_PUBLISHED_TOTAL)),
            ),
            None,
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
        ("cache_mean_ms", mean(cache), count(cache)),
        ("publish_mean_ms", mean(publish), count(publish)),
        ("broker_throttle_ms", format!("max(max_over_time({}{window}))", m::KAFKA_BROKER_THROTTLE_MS), None),
        ("delivery_mean_ms", mean(delivery), count(delivery)),
        ("deliveries_in_flight", sum(delivery), None),
        ("misses_per_s", rate(m::CACHE_MISSES_TOTAL), None),
        ("marks_per_s", rate(&format!("{}{{event=\"changed\"}}", m::CACHE_EVENTS_TOTAL)), None),
        ("published_per_s", rate(&format!("{}{topic}", m::KAFKA_MESSAGES_PUBLISHED_TOTAL)), None),
        ("shed_per_s", rate(m::SHED_TOTAL), None),
        ("scraped_share", format!("min(avg_over_time(up{window}))"), None),
        ("elsewhere_share", format!("1 - ({}) / {}", parts.join(" + "), rate(&of_api(request))), None),
    ]
}

/// Of what was published, how much was consumed. Where it is known that nothing was published, nothing
/// was left over.
fn consumed_share(consumed: &str, published: &str) -> String {
    format!("{consumed} / ({published} > 0) or 1 + ({published} == 0)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_stands_in_for_a_series_that_is_not_there() {
        let mut found: Vec<_> = questions(30).into_iter().map(|(name, promql, _)| (name, promql)).collect();
        found.extend(crate::domain::catalogue::all().into_iter().map(|one| (one.name, one.promql)));
        for (name, promql) in found {
            assert!(!promql.contains("vector("), "{name}: {promql}");
        }
    }

    #[test]
    fn every_question_names_its_window_once_it_has_one() {
        for (name, promql, _) in questions(30) {
            assert!(promql.contains("[30s]"), "{name}: {promql}");
        }
    }
}
