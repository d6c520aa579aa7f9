//! The queries that operators know, on a real Prometheus after real failures.

use super::client::Api;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Each query, and whether it has to show something above zero.
const LINES: [(&str, bool); 16] = [
    ("rate(http_requests_total[5m])", true),
    ("histogram_quantile(0.95, rate(http_request_duration_seconds_bucket[5m]))", true),
    ("histogram_quantile(0.99, rate(http_request_duration_seconds_bucket[5m]))", true),
    ("rate(http_request_errors_total[5m]) / rate(http_requests_total[5m])", true),
    ("rate(notifications_total[5m]) - rate(notifications_failed_total[5m])", true),
    ("rate(kafka_messages_published_total[5m])", true),
    ("rate(kafka_messages_consumed_total[5m])", true),
    ("kafka_consumer_lag", false),
    ("rate(kafka_publish_errors_total[5m])", false),
    ("histogram_quantile(0.95, rate(db_query_duration_seconds_bucket[5m]))", true),
    ("db_connections_active", false),
    ("rate(db_query_errors_total[5m])", false),
    ("rate(cache_hits_total[5m]) / (rate(cache_hits_total[5m]) + rate(cache_misses_total[5m]))", true),
    ("histogram_quantile(0.95, rate(cache_operation_duration_seconds_bucket[5m]))", true),
    ("rate(notifications_failed_total[5m])", true),
    ("active_connections", false),
];

async fn series(api: &Api, query: &str) -> Vec<(Value, f64)> {
    let url = format!("{}/api/v1/query", api.prometheus);
    let answer = api.http.get(url).query(&[("query", query)]).send().await.expect("Prometheus answers");
    let body: Value = answer.json().await.expect("JSON");
    assert_eq!(body["status"], "success", "{query}: {body}");
    let result = body["data"]["result"].as_array().expect("a vector").clone();
    let value = |one: &Value| one["value"][1].as_str().and_then(|text| text.parse().ok()).expect("a number");
    result.iter().map(|one| (one["metric"].clone(), value(one))).collect()
}

pub(super) async fn every_line_of_the_guide_gives_a_sane_value(api: &Api) {
    // Fresh failures: on a slow machine the earlier ones may lie outside of the window.
    let text = json!({"userId": "promql", "tenantId": "promql", "channel": "SMS", "type": "ALERT", "payload": {"to": "1", "body": "b"}});
    api.post("/notifications/batch", &json!({ "notifications": vec![text; 60] })).await.expect(200);
    let deadline = Instant::now() + Duration::from_secs(120);
    for (query, moves) in LINES {
        let found = loop {
            let found = series(api, query).await;
            // A quantile of nothing is not a number; the series that moved has one.
            let sane: Vec<_> = found.into_iter().filter(|(_, value)| value.is_finite()).collect();
            if sane.iter().any(|(_, value)| *value > 0.0) || (!moves && !sane.is_empty()) {
                break sane;
            }
            assert!(Instant::now() < deadline, "{query} shows nothing");
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        assert!(found.iter().all(|(_, value)| *value >= 0.0), "{query} shows less than nothing: {found:?}");
    }
    // Both sides of a ratio have the same labels: the share is of each series, and within it.
    let errors = series(api, LINES[3].0).await;
    let of = |status: &str| {
        errors.iter().filter(|(labels, _)| labels["status_code"] == status).collect::<Vec<_>>()
    };
    assert!(of("422").iter().all(|(_, share)| *share == 1.0 || share.is_nan()) && !of("422").is_empty());
    assert!(of("201").iter().all(|(_, share)| *share == 0.0 || share.is_nan()) && !of("201").is_empty());
    // What failed is no success, series by series, in the process that counts both.
    let succeeded = series(api, LINES[4].0).await;
    let failed = succeeded.iter().filter(|(labels, _)| labels["status"] == "FAILED").collect::<Vec<_>>();
    assert!(!failed.is_empty() && failed.iter().all(|(_, rate)| rate.abs() < 1e-9), "{failed:?}");
    assert!(
        succeeded.iter().any(|(labels, rate)| labels["status"] == "SENT" && *rate > 0.0),
        "{succeeded:?}"
    );
    let share = series(api, LINES[12].0).await;
    assert!(share.iter().all(|(_, share)| share.is_nan() || (0.0..=1.0).contains(share)), "{share:?}");
}
