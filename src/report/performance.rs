//! PERFORMANCE_REPORT.md: the guide's report, filled by measurement. What was not measured says so.

use super::{levels_table, reconciliation, verdict_sentence};
use crate::domain::diagnosis::{Diagnosis, Status};
use crate::domain::run::{LevelResult, Run};
use crate::domain::verdict::{CheckStatus, Verdict};
use crate::render::{format, table::Table};

/// The whole report. `changes` are the journal's changes made before the run began.
#[must_use]
pub fn performance(run: &Run, found: &Diagnosis, changes: &[String]) -> String {
    [
        format!("# Performance test report: {}", run.id),
        facts(run),
        format!("## Executive summary\n\n{}", executive(run, found, changes)),
        format!("## Test environment\n\n{}", environment(run)),
        format!("## Test results\n\n{}", results(run)),
        format!("## Bottlenecks identified\n\n{}", bottlenecks(found)),
        format!("## Optimisations applied before this run\n\n{}", list(changes, "None is in the journal.")),
        format!("## Target achievement\n\n{}", verdict_sentence(run)),
        format!("## Recommendations\n\n{}", recommendations(found)),
        format!("## Conclusion\n\n{}", found.summary),
        "**Test conducted by**:\n\n**Reviewed by**:\n\n**Approved by**:\n".to_owned(),
    ]
    .join("\n\n")
}

fn facts(run: &Run) -> String {
    let finished = run.finished_at.as_deref().unwrap_or("not finished");
    let note = run.note.as_ref().map_or_else(String::new, |note| format!("\n- Note: {note}"));
    format!(
        "- Started: {}\n- Finished: {finished}\n- Scenario: {} ({:?} model)\n- nsys: {}{note}",
        run.started_at, run.kind, run.model, run.environment.nsys
    )
}

fn executive(run: &Run, found: &Diagnosis, changes: &[String]) -> String {
    let most = |of: fn(&LevelResult) -> Option<f64>| run.levels.iter().filter_map(of).reduce(f64::max);
    let rate = |value: Option<f64>| value.map_or_else(|| "not measured".to_owned(), format::rate);
    let issues = found.findings.iter().filter(|one| one.status == Status::Fail).count();
    let counted = reconciliation(run).map_or_else(
        || "not measured".to_owned(),
        |(said, kept)| format!("{} acknowledged, {} stored", format::count(said), format::count(kept)),
    );
    list(
        &[
            format!("Target throughput: {}", rate(most(|level| level.target_rps.map(f64::from)))),
            format!("Achieved throughput: {}", rate(most(|level| Some(level.throughput_rps)))),
            format!("Target met: {} ({})", yes(run.verdict == Verdict::Passed), run.verdict.as_str()),
            format!("Notifications: {counted}"),
            format!("Causes found: {issues}"),
            format!("Changes applied before: {}", changes.len()),
        ],
        "",
    )
}

const fn yes(met: bool) -> &'static str {
    if met { "yes" } else { "no" }
}

fn environment(run: &Run) -> String {
    let here = &run.environment;
    let shared = if here.shared_machine { "the same machine as the stack" } else { "another machine" };
    list(
        &[
            format!("Application instances: {}", here.app),
            format!("Worker instances: {}", here.worker),
            format!("Operating system: {}", here.os),
            format!("CPU: {} cores", here.cpus),
            format!("Memory: {} MiB", here.memory_mb),
            "Disk: not measured (a run does not record it)".to_owned(),
            format!("Load generator: {}, on {shared}", here.k6),
            here.rows.map_or_else(
                || "Stored notifications at the start: not measured".to_owned(),
                |rows| format!("Stored notifications at the start: {rows} (estimate of PostgreSQL)"),
            ),
        ],
        "",
    )
}

fn results(run: &Run) -> String {
    if run.levels.is_empty() {
        return "No level was finished.".into();
    }
    let mut text = levels_table(run).markdown();
    for level in &run.levels {
        let load = level.target_rps.map_or_else(|| format!("{} VUs", level.vus), |rate| format!("{rate}/s"));
        let mut table = Table::new(["metric", "value", "target", "status", "source"]).right(&[1, 2]);
        for check in &level.checks {
            let relation = if check.at_least { "≥" } else { "≤" };
            table.row([
                check.metric.clone(),
                check.value.map_or_else(|| "not measured".into(), number),
                format!("{relation} {}", number(check.target)),
                status(check.status).into(),
                check.source.clone(),
            ]);
        }
        text += &format!(
            "\n\n### Level {}: {load} for {} s, {}\n\n{}",
            level.level,
            level.steady_s,
            level.verdict.as_str(),
            table.markdown()
        );
        for reason in &level.generator.reasons {
            text += &format!("\n\nThe load generator was the limit: {reason}.");
        }
    }
    text
}

/// Shares need more digits than rates.
fn number(value: f64) -> String {
    if value.abs() < 10.0 { format!("{value:.3}") } else { format!("{value:.1}") }
}

/// The word for an outcome.
pub(super) const fn status(status: CheckStatus) -> &'static str {
    match status {
        CheckStatus::Pass => "pass",
        CheckStatus::Fail => "fail",
        CheckStatus::Unknown => "unknown",
    }
}

fn bottlenecks(found: &Diagnosis) -> String {
    let failed: Vec<_> = found.findings.iter().filter(|one| one.status == Status::Fail).collect();
    let mut parts = vec![format!("{}.", found.summary)];
    for (rank, one) in failed.iter().enumerate() {
        let evidence = one.evidence.iter().map(|seen| {
            let (value, bound) = (number(seen.value), number(seen.bound));
            format!("level {}: {} is {value}, bound {bound} ({})", seen.level, seen.metric, seen.source)
        });
        parts.push(format!(
            "### {}. {}\n\n- Rule: {}\n- Confidence: {:.0} %\n- Observed first at: level {}\n- Symptom: {}",
            rank + 1,
            one.cause,
            one.rule,
            one.confidence * 100.0,
            one.first_level.unwrap_or_default(),
            evidence.collect::<Vec<_>>().join("; ")
        ));
    }
    let unknown: Vec<_> =
        found.findings.iter().filter(|one| one.status == Status::Unknown).map(|one| one.rule).collect();
    if !unknown.is_empty() {
        parts.push(format!("Not measured: {}.", unknown.join(", ")));
    }
    parts.join("\n\n")
}

fn recommendations(found: &Diagnosis) -> String {
    let failed = found.findings.iter().filter(|one| one.status == Status::Fail);
    let all: Vec<_> = failed.map(|one| format!("{}: `{}`", one.cause, one.mend)).collect();
    list(&all, "Offer more load: this run asks for no change.")
}

fn list(items: &[String], nothing: &str) -> String {
    if items.is_empty() {
        return nothing.to_owned();
    }
    items.iter().map(|item| format!("- {item}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::diagnosis::Finding;
    use crate::domain::run::test_run;
    use crate::domain::verdict::Check;

    fn found(findings: Vec<Finding>) -> Diagnosis {
        Diagnosis { run: "r".into(), summary: "workers fall behind".into(), findings }
    }

    #[test]
    fn what_was_not_measured_says_so() {
        let mut run = test_run(&[20.0]);
        run.levels[0].checks = vec![Check::new("cache_hit_rate", None, 0.7, true, "Prometheus")];
        let text = performance(&run, &found(Vec::new()), &[]);
        let row = text.lines().find(|line| line.contains("cache_hit_rate")).unwrap();
        assert!(row.contains("not measured") && row.contains("unknown"), "{row}");
        assert!(!row.contains("pass"), "{row}");
    }

    #[test]
    fn every_cause_stands_with_its_command_and_every_change_is_listed() {
        let cause = Finding {
            rule: "kafka-lag",
            cause: "workers fall behind",
            mend: "nsys scale worker=2",
            status: Status::Fail,
            first_level: Some(1),
            confidence: 0.8,
            evidence: Vec::new(),
        };
        let changes = ["7 pool size 10 -> 20".to_owned()];
        let text = performance(&test_run(&[20.0]), &found(vec![cause]), &changes);
        assert!(text.contains("### 1. workers fall behind"));
        assert!(text.contains("`nsys scale worker=2`"));
        assert!(text.contains("- 7 pool size 10 -> 20"));
        assert!(text.contains("Causes found: 1") && text.contains("Changes applied before: 1"));
    }
}
