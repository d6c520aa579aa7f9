//! What Prometheus is asked for a diagnosis, as PromQL.

use super::promql::{Promql, RangeWindow, Scope, ServiceQueries};
use nsys_contract::metrics as m;

/// One question.
#[derive(Clone, Debug)]
pub struct FactQuery {
    /// Name of the fact that it gives.
    pub name: &'static str,
    /// The expression.
    pub promql: Promql,
    /// For a mean the rate of what it is a mean of: where that is there and 0, there is no mean and nothing
    /// to judge. A series that is not there is never 0.
    pub of: Option<Promql>,
}

/// Every question about a window.
#[must_use]
pub fn questions(scope: &Scope, window: RangeWindow) -> Vec<FactQuery> {
    let ask = ServiceQueries { scope, window };
    let question = |name, promql| FactQuery { name, promql, of: None };
    let mut all = requests(&ask);
    all.extend(database(&ask));
    all.extend(messages(&ask));
    all.extend([
        question("hit_rate", ask.hit_rate()),
        mean(&ask, "cache_mean_ms", m::CACHE_OPERATION_DURATION_SECONDS),
        question("misses_per_s", ask.rate(m::CACHE_MISSES_TOTAL)),
        question("marks_per_s", ask.rate_of(&scope.metric(m::CACHE_EVENTS_TOTAL).is("event", "changed"))),
        question("shed_per_s", ask.rate(m::SHED_TOTAL)),
        question("scraped_share", scope.scraped_share(window)),
    ]);
    all
}

/// Requests of callers: what the stack asks itself is nobody's load.
fn requests(ask: &ServiceQueries<'_>) -> Vec<FactQuery> {
    let question = |name, promql| FactQuery { name, promql, of: None };
    let time = ask.of_callers(m::HTTP_REQUEST_DURATION_SECONDS);
    let rate = ask.rate_of(&ask.of_callers(m::HTTP_REQUESTS_TOTAL));
    let errors = ask.rate_of(&ask.of_callers(m::HTTP_REQUEST_ERRORS_TOTAL));
    // Where the api spends its time, beside which it computes.
    let parts = [
        m::DB_QUERY_DURATION_SECONDS,
        m::DB_POOL_WAIT_SECONDS,
        m::CACHE_OPERATION_DURATION_SECONDS,
        m::KAFKA_PUBLISH_DURATION_SECONDS,
    ];
    let of_api = |name| ask.rate_of(&ask.scope.metric(name).part("_sum").is("role", "app"));
    let [query, wait, cache, publish] = parts.map(of_api);
    let whole = ask.rate_of(&time.clone().part("_sum").is("role", "app"));
    vec![
        question("request_rate", rate.clone()),
        question("request_mean_ms", ask.mean_ms(&time)),
        question("request_p50_ms", ask.percentile_ms(0.5, &time)),
        question("p95_ms", ask.percentile_ms(0.95, &time)),
        question("error_rate", errors / rate),
        question("in_flight", ask.in_progress().mean_over(ask.window).sum()),
        question("elsewhere_share", Promql::number(1.0) - (query + wait + cache + publish) / whole),
    ]
}

fn database(ask: &ServiceQueries<'_>) -> Vec<FactQuery> {
    let question = |name, promql| FactQuery { name, promql, of: None };
    let query = ask.scope.metric(m::DB_QUERY_DURATION_SECONDS);
    let wait = ask.scope.metric(m::DB_POOL_WAIT_SECONDS);
    let (queried, waited) = (ask.seconds(m::DB_QUERY_DURATION_SECONDS), ask.seconds(m::DB_POOL_WAIT_SECONDS));
    let active = ask.scope.metric(m::DB_CONNECTIONS_ACTIVE).max_over(ask.window);
    let size = ask.scope.metric(m::DB_POOL_SIZE).max_over(ask.window);
    vec![
        question("query_p95_ms", ask.percentile_ms(0.95, &query)),
        question("query_rate", ask.observations(m::DB_QUERY_DURATION_SECONDS)),
        question("query_mean_ms", ask.mean_ms(&query)),
        question("query_seconds_per_s", queried.clone()),
        question("pool_wait_mean_ms", ask.mean_ms(&wait)),
        question("pool_wait_share", waited.clone() / (waited + queried)),
        question("pool_used_share", active.per_instance(&size).max()),
    ]
}

fn messages(ask: &ServiceQueries<'_>) -> Vec<FactQuery> {
    let question = |name, promql| FactQuery { name, promql, of: None };
    let published = ask.of_topic(m::KAFKA_MESSAGES_PUBLISHED_TOTAL);
    let consumed = ask.of_topic(m::KAFKA_MESSAGES_CONSUMED_TOTAL);
    vec![
        question("consumed_share", consumed_share(consumed, &published)),
        question("published_per_s", published),
        mean(ask, "publish_mean_ms", m::KAFKA_PUBLISH_DURATION_SECONDS),
        question(
            "broker_throttle_ms",
            ask.scope.metric(m::KAFKA_BROKER_THROTTLE_MS).max_over(ask.window).max(),
        ),
        mean(ask, "delivery_mean_ms", m::DELIVERY_DURATION_SECONDS),
        question("deliveries_in_flight", ask.seconds(m::DELIVERY_DURATION_SECONDS)),
    ]
}

fn mean(ask: &ServiceQueries<'_>, name: &'static str, histogram: &str) -> FactQuery {
    let promql = ask.mean_ms(&ask.scope.metric(histogram));
    FactQuery { name, promql, of: Some(ask.observations(histogram)) }
}

/// Of what was published, how much was consumed. Where it is known that nothing was published, nothing
/// was left over.
fn consumed_share(consumed: Promql, published: &Promql) -> Promql {
    let nothing = Promql::number(1.0) + published.clone().zero();
    (consumed / published.clone().positive()).or(&nothing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::promql::Selector;
    use std::time::Duration;

    fn all() -> Vec<(&'static str, String)> {
        let scope = Scope::new(Selector::parse("stack=\"a\"").unwrap(), Duration::from_secs(1));
        let asked = questions(&scope, scope.at_least(30));
        let mut found: Vec<_> = asked.into_iter().map(|one| (one.name, one.promql.to_string())).collect();
        found.extend(
            crate::domain::catalogue::all(&scope).into_iter().map(|one| (one.name, one.promql.to_string())),
        );
        found
    }

    #[test]
    fn nothing_stands_in_for_a_series_that_is_not_there() {
        for (name, promql) in all() {
            assert!(!promql.contains("vector("), "{name}: {promql}");
        }
    }

    #[test]
    fn every_question_names_its_window_once_it_has_one() {
        for (name, promql) in all() {
            assert!(["[30s]", "[60s]", "[4s]"].iter().any(|one| promql.contains(one)), "{name}: {promql}");
        }
    }

    #[test]
    fn every_series_that_is_asked_for_carries_the_selector() {
        let names = regex::Regex::new(r"\b(up|[a-z]+_[a-z_]+)\b(\{stack=.a.)?").unwrap();
        // What PromQL itself names so, and the labels.
        let words =
            regex::Regex::new("^(.*_over_time|histogram_quantile|clamp_max|label_replace|queue_name)$")
                .unwrap();
        let (mut seen, values) = (0, regex::Regex::new("\"[^\"]*\"").unwrap());
        for (name, promql) in all() {
            // Values of labels name no series.
            let bare = values.replace_all(&promql, "\"a\"");
            for found in names.captures_iter(&bare).filter(|found| !words.is_match(&found[1])) {
                assert!(found.get(2).is_some(), "{name}: {} in {promql}", &found[1]);
                seen += 1;
            }
        }
        assert!(seen > 60, "{seen}");
    }
}
