//! The service, as Prometheus counts it: one query for all values.

use super::{TIMEOUT, UpdateSender, ticks};
use crate::clients::prometheus;
use crate::error::Result;
use crate::stack::Stack;
use crate::tui::update::{ServiceSample, Update};
use nsys_contract::{metrics, topics};
use std::sync::Arc;
use std::time::Duration;

/// Routes that the stack asks itself.
const PROBES: &str = "/metrics|/health.*";
/// Before the name of a replica that is asked whether it answers.
const ANSWERS: &str = "answers:";

pub(super) async fn run(stack: Arc<Stack>, sender: UpdateSender) {
    let base = stack.endpoints.prometheus_url();
    let scrape = stack.loaded.config.stack.scrape_interval;
    let promql = query(scrape);
    let command = format!("curl -sG {base}/api/v1/query --data-urlencode 'query={promql}'");
    let mut ticks = ticks();
    loop {
        ticks.tick().await;
        let answer = sender.ask(&command, fetch(&base, &promql, window_s(scrape))).await;
        if !sender.send(Update::Service(answer)).await {
            return;
        }
    }
}

/// All values as one expression; a label tells which is which.
fn query(scrape: Duration) -> String {
    let window = window_s(scrape);
    let rate = |metric: &str| format!("sum(rate({metric}[{window}s]))");
    let quantile = |q: f64, metric: &str| {
        format!("1000 * histogram_quantile({q}, sum by (le) (rate({metric}[{window}s])))")
    };
    // The stack's own probes and scrapes are no requests of anybody.
    let asked = |metric: &str| format!("{metric}{{route!~\"{PROBES}\"}}");
    let topic =
        |metric: &str| format!("sum(rate({metric}{{topic=\"{}\"}}[{window}s]))", topics::NOTIFICATIONS);
    let http_time = asked(&format!("{}_bucket", metrics::HTTP_REQUEST_DURATION_SECONDS));
    let bucket = |metric: &str| format!("{metric}_bucket");
    let (hits, misses) = (rate(metrics::CACHE_HITS_TOTAL), rate(metrics::CACHE_MISSES_TOTAL));
    let named = [
        ("rate", rate(&asked(metrics::HTTP_REQUESTS_TOTAL))),
        ("p50_ms", quantile(0.5, &http_time)),
        ("p95_ms", quantile(0.95, &http_time)),
        ("p99_ms", quantile(0.99, &http_time)),
        ("errors", rate(&asked(metrics::HTTP_REQUEST_ERRORS_TOTAL))),
        ("published", topic(metrics::KAFKA_MESSAGES_PUBLISHED_TOTAL)),
        ("consumed", topic(metrics::KAFKA_MESSAGES_CONSUMED_TOTAL)),
        ("query_p95_ms", quantile(0.95, &bucket(metrics::DB_QUERY_DURATION_SECONDS))),
        ("pool_active", format!("sum({})", metrics::DB_CONNECTIONS_ACTIVE)),
        ("pool_size", format!("sum({})", metrics::DB_POOL_SIZE)),
        ("pool_wait_ms", quantile(0.95, &bucket(metrics::DB_POOL_WAIT_SECONDS))),
        ("hit_rate", format!("{hits} / ({hits} + {misses})")),
    ];
    let labelled =
        named.map(|(name, promql)| format!("label_replace({promql}, \"is\", \"{name}\", \"\", \"\")"));
    // A replica that hangs does not answer its scrape.
    let answers = format!("label_replace(up, \"is\", \"{ANSWERS}$1\", \"replica\", \"(.+)\")");
    labelled.into_iter().chain([answers]).collect::<Vec<_>>().join(" or ")
}

/// Seconds that a rate is about: two scrapes are needed at least; four ride out one that is late.
fn window_s(scrape: Duration) -> u64 {
    (scrape.as_secs() * 4).max(5)
}

async fn fetch(base: &str, promql: &str, window_s: u64) -> Result<ServiceSample> {
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

    #[test]
    fn a_rate_spans_several_scrapes() {
        assert!(query(Duration::from_secs(1)).contains("[5s]"));
        assert!(query(Duration::from_secs(15)).contains("[60s]"));
    }

    #[test]
    fn what_the_stack_asks_itself_is_in_no_rate_and_no_percentile() {
        let query = query(Duration::from_secs(1));
        for metric in
            ["http_requests_total", "http_request_errors_total", "http_request_duration_seconds_bucket"]
        {
            let all = query.matches(metric).count();
            assert!(
                all > 0
                    && all == query.matches(&format!("{metric}{{route!~\"/metrics|/health.*\"}}")).count(),
                "{query}"
            );
        }
    }
}
