//! The service, as Prometheus counts it: one query for all values.

use super::{TIMEOUT, UpdateSender, ticks};
use crate::clients::prometheus;
use crate::domain::promql::{Promql, Scope, ServiceQueries};
use crate::error::Result;
use crate::stack::Stack;
use crate::tui::update::{ServiceSample, Update};
use nsys_contract::metrics;
use std::sync::Arc;

/// Before the name of a replica that is asked whether it answers.
const ANSWERS: &str = "answers:";
/// Shortest time that a rate is about, in seconds.
const SHORTEST_S: u64 = 5;

pub(super) async fn run(stack: Arc<Stack>, sender: UpdateSender) {
    let base = stack.endpoints.prometheus_url();
    let mut ticks = ticks();
    loop {
        ticks.tick().await;
        // Of a stack that runs elsewhere it is asked, once Prometheus answers.
        let scope = stack.scope().await;
        let promql = query(&scope);
        let command = format!("curl -sG {base}/api/v1/query --data-urlencode 'query={promql}'");
        let window_s = scope.at_least(SHORTEST_S).seconds();
        let answer = sender.ask(&command, fetch(&base, &promql, window_s)).await;
        if !sender.send(Update::Service(answer)).await {
            return;
        }
    }
}

/// All values as one expression; a label tells which is which.
fn query(scope: &Scope) -> Promql {
    let ask = ServiceQueries { scope, window: scope.at_least(SHORTEST_S) };
    let http_time = ask.of_callers(metrics::HTTP_REQUEST_DURATION_SECONDS);
    let p95_ms = |name: &str| ask.percentile_ms(0.95, &scope.metric(name));
    let named = [
        ("rate", ask.rate_of(&ask.of_callers(metrics::HTTP_REQUESTS_TOTAL))),
        ("p50_ms", ask.percentile_ms(0.5, &http_time)),
        ("p95_ms", ask.percentile_ms(0.95, &http_time)),
        ("p99_ms", ask.percentile_ms(0.99, &http_time)),
        ("errors", ask.rate_of(&ask.of_callers(metrics::HTTP_REQUEST_ERRORS_TOTAL))),
        ("published", ask.of_topic(metrics::KAFKA_MESSAGES_PUBLISHED_TOTAL)),
        ("consumed", ask.of_topic(metrics::KAFKA_MESSAGES_CONSUMED_TOTAL)),
        ("query_p95_ms", p95_ms(metrics::DB_QUERY_DURATION_SECONDS)),
        ("pool_active", scope.metric(metrics::DB_CONNECTIONS_ACTIVE).now().sum()),
        ("pool_size", scope.metric(metrics::DB_POOL_SIZE).now().sum()),
        ("pool_wait_ms", p95_ms(metrics::DB_POOL_WAIT_SECONDS)),
        ("hit_rate", ask.hit_rate()),
    ];
    // A replica that hangs does not answer its scrape.
    let answers = scope.metric("up").now().labelled("is", &format!("{ANSWERS}$1"), "replica");
    let labelled = named.map(|(name, promql)| promql.labelled("is", name, ""));
    labelled.into_iter().rev().fold(answers, |rest, one| one.or(&rest))
}

async fn fetch(base: &str, promql: &Promql, window_s: u64) -> Result<ServiceSample> {
    let series = prometheus::instant(base, promql, None, TIMEOUT).await?;
    let values: Vec<_> = series.iter().filter_map(|one| Some((one.label("is")?, one.value()?))).collect();
    let value = |name: &str| values.iter().find(|(is, _)| is == name).map(|(_, value)| *value);
    let answers =
        values.iter().filter_map(|(is, value)| Some((is.strip_prefix(ANSWERS)?.to_owned(), *value > 0.0)));
    Ok(ServiceSample {
        window_s: Some(window_s as f64),
        answers: answers.collect(),
        rate: value("rate"),
        p50_ms: value("p50_ms"),
        p95_ms: value("p95_ms"),
        p99_ms: value("p99_ms"),
        errors: value("errors"),
        published: value("published"),
        consumed: value("consumed"),
        query_p95_ms: value("query_p95_ms"),
        pool_active: value("pool_active"),
        pool_size: value("pool_size"),
        pool_wait_ms: value("pool_wait_ms"),
        hit_rate: value("hit_rate"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::promql::Selector;
    use std::time::Duration;

    fn asked(interval_s: u64) -> String {
        let selector = Selector::parse("stack=\"a\"").unwrap();
        query(&Scope::new(selector, Duration::from_secs(interval_s))).to_string()
    }

    #[test]
    fn a_rate_spans_several_scrapes() {
        assert!(asked(1).contains("[5s]"));
        assert!(asked(15).contains("[60s]"));
    }

    #[test]
    fn what_the_stack_asks_itself_is_in_no_rate_and_no_percentile() {
        let query = asked(1);
        for metric in
            ["http_requests_total", "http_request_errors_total", "http_request_duration_seconds_bucket"]
        {
            let all = query.matches(metric).count();
            let callers = format!("{metric}{{stack=\"a\",route!~\"/metrics|/health.*\"}}");
            assert!(all > 0 && all == query.matches(&callers).count(), "{query}");
        }
    }
}
