//! The named PromQL queries, in the words an operator looks for.
//!
//! A counter without a series is not measured: nothing stands in for it, least of all 0. Our own service
//! creates what can be a numerator together with its denominator; another one may count requests and
//! no errors, and would look healthy.

use super::promql::{Promql, Scope, Selector, ServiceQueries};
use nsys_contract::metrics as m;
use std::time::Duration;

/// One named query.
#[derive(Clone, Debug)]
pub struct Query {
    /// Its name.
    pub name: &'static str,
    /// What it tells.
    pub about: &'static str,
    /// The expression.
    pub promql: Promql,
}

/// Seconds that a rate is about, as on dashboards.
const MINUTE: u64 = 60;

/// Every named query. Rates are over a minute, or longer where scrapes are too far apart for that.
#[must_use]
pub fn all(scope: &Scope) -> Vec<Query> {
    let ask = ServiceQueries { scope, window: scope.at_least(MINUTE) };
    let query = |name, about, promql| Query { name, about, promql };
    let quantile = |q: f64, name: &str| ask.percentile_s(q, &scope.metric(name));
    let (requests, errors) = (ask.rate(m::HTTP_REQUESTS_TOTAL), ask.rate(m::HTTP_REQUEST_ERRORS_TOTAL));
    let (done, failed) = (ask.rate(m::NOTIFICATIONS_TOTAL), ask.rate(m::NOTIFICATIONS_FAILED_TOTAL));
    vec![
        query("throughput", "requests per second", requests.clone()),
        query(
            "p95",
            "95th percentile of the answer time, s",
            quantile(0.95, m::HTTP_REQUEST_DURATION_SECONDS),
        ),
        query(
            "p99",
            "99th percentile of the answer time, s",
            quantile(0.99, m::HTTP_REQUEST_DURATION_SECONDS),
        ),
        query("error-rate", "share of requests answered with an error", errors / requests),
        query(
            "success-rate",
            "share of notifications that did not fail",
            Promql::number(1.0) - failed / done,
        ),
        query("published", "messages published per second", ask.rate(m::KAFKA_MESSAGES_PUBLISHED_TOTAL)),
        query("consumed", "messages consumed per second", ask.rate(m::KAFKA_MESSAGES_CONSUMED_TOTAL)),
        query(
            "lag",
            "messages that wait, by topic",
            scope.metric(m::KAFKA_CONSUMER_LAG).now().sum_by("topic"),
        ),
        query("publish-errors", "failed sends per second", ask.rate(m::KAFKA_PUBLISH_ERRORS_TOTAL)),
        query("query-p95", "95th percentile of query time, s", quantile(0.95, m::DB_QUERY_DURATION_SECONDS)),
        query("db-connections", "connections in use", scope.metric(m::DB_CONNECTIONS_ACTIVE).now().sum()),
        query("query-errors", "failed queries per second", ask.rate(m::DB_QUERY_ERRORS_TOTAL)),
        query("cache-hit-rate", "share of cache reads that hit", ask.hit_rate()),
        query(
            "cache-p95",
            "95th percentile of cache calls, s",
            quantile(0.95, m::CACHE_OPERATION_DURATION_SECONDS),
        ),
    ]
}

/// The names, whatever the stack.
#[must_use]
pub fn names() -> Vec<&'static str> {
    let scope = Scope::new(Selector::default(), Duration::from_secs(1));
    all(&scope).into_iter().map(|one| one.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names = names();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
