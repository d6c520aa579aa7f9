//! Prometheus' rules, checked by its own tool.

use crate::support::text;
use nsys::domain::promql::{Scope, Selector};
use nsys::domain::questions::questions;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

#[test]
fn the_rules_hold_on_series_made_for_them() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("compose/prometheus");
    let promtool = |args: &[&str]| {
        let output =
            Command::new("promtool").args(args).current_dir(&rules).output().expect("promtool starts");
        assert!(output.status.success(), "{}", text(&output));
    };
    promtool(&["check", "rules", "recording.rules.yml", "alerts.rules.yml"]);
    promtool(&["test", "rules", "rules_test.yml"]);
}

/// What Prometheus' own tool makes of an expression over these series.
fn holds(promql: &str, series: &[(&str, &str)], value: Option<&str>) {
    let dir = tempfile::tempdir().unwrap();
    let input: String = series
        .iter()
        .map(|(name, values)| format!("      - series: '{name}'\n        values: '{values}'\n"))
        .collect();
    let input = if input.is_empty() { String::new() } else { format!("    input_series:\n{input}") };
    let samples = value.map_or_else(|| "[]".to_owned(), |value| format!("[{{value: {value}}}]"));
    let text = format!(
        "evaluation_interval: 1s\ntests:\n  - interval: 1s\n{input}    promql_expr_test:\n      - expr: |\n          {promql}\n        eval_time: 60s\n        exp_samples: {samples}\n"
    );
    let file = dir.path().join("test.yml");
    std::fs::write(&file, text).unwrap();
    let output = Command::new("promtool").args(["test", "rules"]).arg(&file).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{promql}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_is_not_counted_is_not_measured_whatever_else_is() {
    let scope = Scope::new(Selector::default(), Duration::from_secs(1));
    let asked = questions(&scope, scope.at_least(30));
    let of = |name: &str| asked.iter().find(|one| one.name == name).unwrap().promql.to_string();
    let (published, consumed) = (
        r#"kafka_messages_published_total{topic="notifications"}"#,
        r#"kafka_messages_consumed_total{topic="notifications"}"#,
    );
    let share = of("consumed_share");
    holds(&share, &[], None);
    holds(&share, &[(published, "0+4x90")], None);
    holds(&share, &[(published, "0x90")], Some("1"));
    holds(&share, &[(published, "0+4x90"), (consumed, "0x90")], Some("0"));
    holds(&share, &[(published, "0+4x90"), (consumed, "0+2x90")], Some("0.5"));
    // Requests are counted, and errors are not: half of them may fail.
    let (requests, errors) = ("http_requests_total", "http_request_errors_total");
    let catalogue = nsys::domain::catalogue::all(&scope);
    let known = catalogue.iter().find(|one| one.name == "error-rate").unwrap();
    for promql in [of("error_rate"), known.promql.to_string()] {
        holds(&promql, &[(requests, "0+10x90")], None);
        holds(&promql, &[(requests, "0+10x90"), (errors, "0x90")], Some("0"));
        holds(&promql, &[(requests, "0+10x90"), (errors, "0+5x90")], Some("0.5"));
    }
    holds(&of("elsewhere_share"), &[(r#"http_request_duration_seconds_sum{role="app"}"#, "0+1x90")], None);
    holds(&of("shed_per_s"), &[(requests, "0+10x90")], None);
    for one in &catalogue {
        holds(one.promql.as_str(), &[], None);
    }
}
