//! What each level came to, and the words and units that reports use.

use crate::domain::run::{LevelResult, Run};
use crate::domain::verdict::{CheckStatus, ObjectiveCheck};
use crate::render::format::{self, capital};
use crate::render::table::Table;
use crate::report::sections::{details_table, findings};
use crate::report::summary::{levels_table, search_sentence};

/// Values this near to their objective are met, but only just.
const NEAR: f64 = 0.9;

pub(super) fn results(run: &Run) -> String {
    if run.levels.is_empty() {
        return "No level was finished.".into();
    }
    let mut text = levels_table(run).markdown();
    if let Some(search) = &run.search {
        text += &format!("\n\n{}.", capital(&search_sentence(search)));
    }
    for level in &run.levels {
        text += &format!("\n\n### {}\n\n{}", heading(level), checks_table(level).markdown());
        for reason in &level.generator.reasons {
            text += &format!("\n\nThe load generator was the limit: {reason}.");
        }
        for finding in findings(level) {
            text += &format!("\n\n{}.", capital(&finding));
        }
        text += &format!(
            "\n\n#### Everything measured on level {}\n\n{}",
            level.level,
            details_table(level).markdown()
        );
    }
    text
}

/// What a level is called.
pub(in crate::report) fn heading(level: &LevelResult) -> String {
    let load = level.target_rps.map_or_else(String::new, |rate| format!(", {rate}/s"));
    format!(
        "Level {}: {} VUs{load} for {} s: {}",
        level.level,
        level.vus,
        level.steady_s,
        level.verdict.as_str()
    )
}

/// One row for each check.
pub(in crate::report) fn checks_table(level: &LevelResult) -> Table {
    let mut table = Table::new(["Metric", "Value", "Target", "Status", "Source"]).right(&[1, 2]);
    for check in &level.checks {
        let relation = if check.at_least { "≥" } else { "≤" };
        table.row([
            metric_name(&check.metric).to_owned(),
            format::measured_in_words(&check.value, |value| unit(&check.metric, value)),
            format!("{relation} {}", unit(&check.metric, check.objective)),
            mark(check).to_owned(),
            check.source.clone(),
        ]);
    }
    table
}

/// The names people use.
pub(in crate::report) fn metric_name(metric: &str) -> &str {
    match metric {
        "throughput_rps" => "Throughput",
        "p50_ms" => "P50 Latency",
        "p95_ms" => "P95 Latency",
        "p99_ms" => "P99 Latency",
        "error_rate" => "Error Rate",
        "service_p50_ms" => "P50 by the Service's Histogram",
        "service_p95_ms" => "P95 by the Service's Histogram",
        "service_p99_ms" => "P99 by the Service's Histogram",
        "service_cpu_pct" => "CPU Usage",
        "service_memory_mb" => "Memory Usage",
        "db_connections" => "DB Connections",
        "lag_end" | "lag" => "Kafka Lag",
        "cache_hit_rate" | "hit_rate" => "Cache Hit Rate",
        "acknowledged_not_stored" => "Acknowledged, Not Stored",
        other => other,
    }
}

/// A value with its unit, which the name's last word tells.
pub(in crate::report) fn unit(metric: &str, value: f64) -> String {
    match metric {
        _ if metric.ends_with("_ms") => format::millis(value),
        _ if metric.ends_with("_rps") || metric.ends_with("_per_s") => format::rate(value),
        _ if metric.ends_with("_rate") || metric.ends_with("_share") || metric.ends_with("_spread") => {
            format::percent(value)
        }
        _ if metric.ends_with("_pct") => format!("{value:.0} %"),
        _ if metric.ends_with("_mb") => format!("{value:.0} MiB"),
        _ if value.fract() == 0.0 && value >= 0.0 => format::count(value as u64),
        _ => format!("{value:.2}"),
    }
}

/// Met, only just met, missed, not measured.
const fn mark(check: &ObjectiveCheck) -> &'static str {
    match check.status {
        CheckStatus::Pass if near(check) => "⚠️ near",
        CheckStatus::Pass => "✅ met",
        CheckStatus::Fail => "❌ missed",
        CheckStatus::Unknown => "❔ unknown",
        CheckStatus::Skipped => "– not measured",
    }
}

const fn near(check: &ObjectiveCheck) -> bool {
    let Some(value) = check.value.value() else { return false };
    !check.at_least && check.objective > 0.0 && value > check.objective * NEAR
}

/// The word for an outcome.
pub(in crate::report) const fn status(status: CheckStatus) -> &'static str {
    match status {
        CheckStatus::Pass => "pass",
        CheckStatus::Fail => "fail",
        CheckStatus::Unknown => "unknown",
        CheckStatus::Skipped => "skipped",
    }
}
