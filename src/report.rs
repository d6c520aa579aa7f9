//! What people read of a run, made from results.json, its diagnosis and the journal.

mod chart;
mod export;
mod performance;

pub use export::{csv, junit};
pub use performance::performance;

use crate::domain::diagnosis::Diagnosis;
use crate::domain::run::{LevelResult, Run};
use crate::domain::verdict::{CheckStatus, Verdict};
use crate::error::{Context, Result};
use crate::loadtest::store;
use crate::render::{format, table::Table};
use askama::Template;
use chart::{Line, line_chart};
use std::path::Path;

/// Writes every report into the run's directory. `changes` are those of the journal before the run.
///
/// # Errors
/// When a file cannot be written.
pub fn write(dir: &Path, run: &Run, found: &Diagnosis, changes: &[String]) -> Result<()> {
    store::write(&dir.join("SUMMARY.md"), &summary(run, true))?;
    store::write(&dir.join("PERFORMANCE_REPORT.md"), &performance(run, found, changes))?;
    store::write(&dir.join("junit.xml"), &junit(run))?;
    store::write(&dir.join("checks.csv"), &csv(run))?;
    store::write(&dir.join("report.html"), &html(run)?)
}

fn levels_table(run: &Run) -> Table {
    let header = [
        "level",
        "target",
        "achieved",
        "p50",
        "p95",
        "p99",
        "errors",
        "lag max",
        "drain",
        "k6 CPU",
        "service CPU",
        "verdict",
    ];
    let mut table = Table::new(header).right(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    let pct = |value: Option<f64>| format::or_missing(value, |value| format!("{value:.0} %"));
    for level in &run.levels {
        let latency = &level.latency_ms;
        table.row([
            level.level.to_string(),
            level.target_rps.map_or_else(|| format!("{} VUs", level.vus), |rate| format!("{rate}/s")),
            format::rate(level.throughput_rps),
            format::or_missing(latency.p50, format::millis),
            format::or_missing(latency.p95, format::millis),
            format::or_missing(latency.p99, format::millis),
            format::or_missing(level.error_rate, format::percent),
            format::or_missing(level.kafka.lag_max, |lag| lag.to_string()),
            format::or_missing(level.kafka.drain_s, |seconds| format!("{seconds:.1} s")),
            pct(level.generator.cpu_pct),
            pct(level.service.cpu_pct),
            level.verdict.as_str().to_owned(),
        ]);
    }
    table
}

/// What is to be said about a level beside its numbers.
fn remarks(level: &LevelResult) -> Vec<String> {
    let mut remarks: Vec<_> = level
        .generator
        .reasons
        .iter()
        .map(|reason| format!("level {}: generator-limited: {reason}", level.level))
        .collect();
    for check in level.checks.iter().filter(|check| check.status != CheckStatus::Pass) {
        let relation = if check.at_least { "at least" } else { "at most" };
        let value =
            check.value.map_or_else(|| "could not be measured".to_owned(), |value| format!("is {value:.2}"));
        remarks.push(format!(
            "level {}: {} {value}, {relation} {} is wanted ({})",
            level.level, check.metric, check.target, check.source
        ));
    }
    remarks
}

fn reconciliation(run: &Run) -> Option<(u64, u64)> {
    let sum = |of: fn(&LevelResult) -> Option<u64>| run.levels.iter().map(of).sum::<Option<u64>>();
    Some((sum(|level| level.reconciliation.acknowledged)?, sum(|level| level.reconciliation.stored)?))
}

fn verdict_sentence(run: &Run) -> String {
    let highest = run.levels.iter().rev().find(|level| level.verdict == Verdict::Passed);
    let reached = highest.map_or_else(
        || "no level met every objective".to_owned(),
        |level| {
            format!(
                "the highest level that met every objective is {} at {}",
                level.level,
                format::rate(level.throughput_rps)
            )
        },
    );
    let missed: Vec<_> = run
        .levels
        .iter()
        .filter(|level| level.verdict == Verdict::Failed)
        .map(|level| level.level.to_string())
        .collect();
    let missed = if missed.is_empty() {
        String::new()
    } else {
        format!("level {} missed objectives; ", missed.join(", "))
    };
    let reached = missed + &reached;
    format!("{}: {reached}", run.verdict.as_str())
}

/// The summary, as Markdown or for the terminal.
#[must_use]
pub fn summary(run: &Run, markdown: bool) -> String {
    let table = levels_table(run);
    let body = if run.levels.is_empty() {
        "No level was finished.".to_owned()
    } else if markdown {
        table.markdown()
    } else {
        table.text()
    };
    let environment = &run.environment;
    let heading = if markdown { format!("# {}\n\n", run.id) } else { format!("{}\n\n", run.id) };
    let mut text = format!("{heading}{}\n\n{body}\n", verdict_sentence(run));
    if let Some((said, kept)) = reconciliation(run) {
        text +=
            &format!("\nAcknowledged with 201: {}; stored: {}.\n", format::count(said), format::count(kept));
    }
    for remark in run.levels.iter().flat_map(remarks) {
        text += &format!("{} {remark}\n", if markdown { "-" } else { " " });
    }
    text + &format!(
        "\n{}, {} CPUs, {} MiB; {} app, {} worker; {}; generator and stack shared the machine.\nPercentiles are k6's, over the steady window of each level (warm-up left out).",
        environment.os,
        environment.cpus,
        environment.memory_mb,
        environment.app,
        environment.worker,
        environment.k6
    )
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    run: &'a Run,
    sentence: String,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    charts: Vec<String>,
    remarks: Vec<String>,
    reconciliation: String,
}

/// The page: one file that needs no network.
///
/// # Errors
/// When the template cannot be filled.
pub fn html(run: &Run) -> Result<String> {
    let table = levels_table(run);
    let (header, rows) = table.cells();
    let by_level = |of: fn(&LevelResult) -> Option<f64>| -> Vec<(f64, f64)> {
        run.levels
            .iter()
            .filter_map(|level| Some((level.target_rps.map_or(f64::from(level.vus), f64::from), of(level)?)))
            .collect()
    };
    let start = run.levels.first().and_then(|level| level.samples.first()).map_or(0.0, |sample| sample.at_s);
    let over_time = |of: fn(&crate::domain::run::Sample) -> Option<f64>| -> Vec<(f64, f64)> {
        let samples = run.levels.iter().flat_map(|level| &level.samples);
        samples.filter_map(|sample| Some((sample.at_s - start, of(sample)?))).collect()
    };
    let line = |name, colour, points| Line { name, colour, points };
    let charts = vec![
        line_chart(
            "Throughput by level (requests/s)",
            "target",
            &[
                line("target", "#94a3b8", by_level(|level| level.target_rps.map(f64::from))),
                line("achieved", "#2563eb", by_level(|level| Some(level.throughput_rps))),
            ],
        ),
        line_chart(
            "Answer time by level (ms)",
            "target",
            &[
                line("p50", "#0d9488", by_level(|level| level.latency_ms.p50)),
                line("p95", "#d97706", by_level(|level| level.latency_ms.p95)),
                line("p99", "#dc2626", by_level(|level| level.latency_ms.p99)),
            ],
        ),
        line_chart(
            "CPU (service: % of all cores, k6: % of one core)",
            "seconds",
            &[
                line("service", "#2563eb", over_time(|sample| sample.service_cpu_pct)),
                line("k6", "#94a3b8", over_time(|sample| sample.generator_cpu_pct)),
            ],
        ),
        line_chart(
            "Consumer lag (messages)",
            "seconds",
            &[line("lag", "#dc2626", over_time(|sample| sample.lag.map(|lag| lag as f64)))],
        ),
        line_chart(
            "Memory of the service (MiB)",
            "seconds",
            &[line("resident", "#7c3aed", over_time(|sample| sample.service_rss_mb))],
        ),
        line_chart(
            "Connections to PostgreSQL",
            "seconds",
            &[line("open", "#0d9488", over_time(|sample| sample.db_connections.map(|n| n as f64)))],
        ),
    ];
    let reconciliation = reconciliation(run).map_or_else(
        || "Acknowledged and stored could not be compared.".to_owned(),
        |(said, kept)| {
            format!("Acknowledged with 201: {}; stored: {}.", format::count(said), format::count(kept))
        },
    );
    let remarks = run.levels.iter().flat_map(remarks).collect();
    Page { run, sentence: verdict_sentence(run), header, rows, charts, remarks, reconciliation }
        .render()
        .context("cannot write the report")
}
