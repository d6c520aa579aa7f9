//! The named PromQL queries, in the words an operator looks for.
//!
//! A counter without a series is not measured: nothing stands in for it, least of all 0. Our own service
//! creates what can be a numerator together with its denominator; another one may count requests and
//! no errors, and would look healthy.

use nsys_contract::metrics as m;

/// One named query.
#[derive(Clone, Debug)]
pub struct Query {
    /// Its name.
    pub name: &'static str,
    /// What it tells.
    pub about: &'static str,
    /// The expression.
    pub promql: String,
}

/// Every named query. Rates are over a minute, as dashboards show them.
#[must_use]
pub fn all() -> Vec<Query> {
    let rate = |metric: &str| format!("sum(rate({metric}[1m]))");
    let quantile =
        |q: &str, metric: &str| format!("histogram_quantile({q}, sum by (le) (rate({metric}_bucket[1m])))");
    let (requests, errors) = (rate(m::HTTP_REQUESTS_TOTAL), rate(m::HTTP_REQUEST_ERRORS_TOTAL));
    let (hits, misses) = (rate(m::CACHE_HITS_TOTAL), rate(m::CACHE_MISSES_TOTAL));
    let (done, failed) = (rate(m::NOTIFICATIONS_TOTAL), rate(m::NOTIFICATIONS_FAILED_TOTAL));
    let query = |name, about, promql| Query { name, about, promql };
    vec![
        query("throughput", "requests per second", requests.clone()),
        query(
            "p95",
            "95th percentile of the answer time, s",
            quantile("0.95", m::HTTP_REQUEST_DURATION_SECONDS),
        ),
        query(
            "p99",
            "99th percentile of the answer time, s",
            quantile("0.99", m::HTTP_REQUEST_DURATION_SECONDS),
        ),
        query("error-rate", "share of requests answered with an error", format!("{errors} / {requests}")),
        query("success-rate", "share of notifications that did not fail", format!("1 - {failed} / {done}")),
        query("published", "messages published per second", rate(m::KAFKA_MESSAGES_PUBLISHED_TOTAL)),
        query("consumed", "messages consumed per second", rate(m::KAFKA_MESSAGES_CONSUMED_TOTAL)),
        query("lag", "messages that wait, by topic", format!("sum by (topic) ({})", m::KAFKA_CONSUMER_LAG)),
        query("publish-errors", "failed sends per second", rate(m::KAFKA_PUBLISH_ERRORS_TOTAL)),
        query(
            "query-p95",
            "95th percentile of query time, s",
            quantile("0.95", m::DB_QUERY_DURATION_SECONDS),
        ),
        query("db-connections", "connections in use", format!("sum({})", m::DB_CONNECTIONS_ACTIVE)),
        query("query-errors", "failed queries per second", rate(m::DB_QUERY_ERRORS_TOTAL)),
        query("cache-hit-rate", "share of cache reads that hit", format!("{hits} / ({hits} + {misses})")),
        query(
            "cache-p95",
            "95th percentile of cache calls, s",
            quantile("0.95", m::CACHE_OPERATION_DURATION_SECONDS),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = all().into_iter().map(|query| query.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
