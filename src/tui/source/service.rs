//! The service, as Prometheus counts it: one query for all values.

use super::{PATIENCE, Teller, ticks};
use crate::clients::prometheus;
use crate::error::Result;
use crate::stack::Stack;
use crate::tui::update::{Sample, Update};
use nsys_contract::{metrics, topics};
use std::sync::Arc;
use std::time::Duration;

pub(super) async fn run(stack: Arc<Stack>, teller: Teller) {
    let base = stack.endpoints.prometheus_url();
    let promql = query(stack.loaded.config.stack.scrape_interval);
    let command = format!("curl -sG {base}/api/v1/query --data-urlencode 'query={promql}'");
    let mut ticks = ticks();
    loop {
        ticks.tick().await;
        let answer = teller.ask(&command, fetch(&base, &promql)).await;
        if !teller.tell(Update::Service(answer)).await {
            return;
        }
    }
}

/// All values as one expression; a label tells which is which.
fn query(scrape: Duration) -> String {
    // A rate needs two scrapes at least; four ride out one that is late.
    let window = (scrape.as_secs() * 4).max(5);
    let rate = |metric: &str| format!("sum(rate({metric}[{window}s]))");
    let quantile = |q: f64, metric: &str| {
        format!("1000 * histogram_quantile({q}, sum by (le) (rate({metric}_bucket[{window}s])))")
    };
    let topic =
        |metric: &str| format!("sum(rate({metric}{{topic=\"{}\"}}[{window}s]))", topics::NOTIFICATIONS);
    let http_time = metrics::HTTP_REQUEST_DURATION_SECONDS;
    let (hits, misses) = (rate(metrics::CACHE_HITS_TOTAL), rate(metrics::CACHE_MISSES_TOTAL));
    let named = [
        ("rate", rate(metrics::HTTP_REQUESTS_TOTAL)),
        ("p50_ms", quantile(0.5, http_time)),
        ("p95_ms", quantile(0.95, http_time)),
        ("p99_ms", quantile(0.99, http_time)),
        ("errors", rate(metrics::HTTP_REQUEST_ERRORS_TOTAL)),
        ("published", topic(metrics::KAFKA_MESSAGES_PUBLISHED_TOTAL)),
        ("consumed", topic(metrics::KAFKA_MESSAGES_CONSUMED_TOTAL)),
        ("query_p95_ms", quantile(0.95, metrics::DB_QUERY_DURATION_SECONDS)),
        ("pool_active", format!("sum({})", metrics::DB_CONNECTIONS_ACTIVE)),
        ("pool_size", format!("sum({})", metrics::DB_POOL_SIZE)),
        ("pool_wait_ms", quantile(0.95, metrics::DB_POOL_WAIT_SECONDS)),
        ("hit_rate", format!("{hits} / ({hits} + {misses})")),
    ];
    let labelled =
        named.map(|(name, promql)| format!("label_replace({promql}, \"is\", \"{name}\", \"\", \"\")"));
    labelled.join(" or ")
}

async fn fetch(base: &str, promql: &str) -> Result<Sample> {
    let series = prometheus::instant(base, promql, None, PATIENCE).await?;
    let values: Vec<_> = series.iter().filter_map(|one| Some((one.label("is")?, one.value()?))).collect();
    let value = |name: &str| values.iter().find(|(is, _)| is == name).map(|(_, value)| *value);
    Ok(Sample {
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
}
