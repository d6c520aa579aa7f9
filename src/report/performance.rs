//! PERFORMANCE_REPORT.md: the guide's report, filled by measurement. What was not measured says so.

use super::context::{Context, Improvement};
use super::summary::{levels_table, reconciliation, verdict_sentence};
use crate::domain::compare::{Change, Comparison, Metric};
use crate::domain::diagnosis::{Diagnosis, Finding, Role, Status};
use crate::domain::run::{LevelResult, Run};
use crate::domain::usl;
use crate::domain::verdict::{Check, CheckStatus, Verdict};
use crate::render::{format, table::Table};

/// Values this near to their objective are met, but only just.
const NEAR: f64 = 0.9;

/// The whole report.
#[must_use]
pub fn performance(run: &Run, found: &Diagnosis, context: &Context) -> String {
    [
        "# Performance Test Report".to_owned(),
        facts(run),
        format!("## Executive Summary\n\n{}", executive(run, found, context)),
        format!("## Test Environment\n\n{}", environment(run)),
        format!("## Test Results\n\n{}", results(run)),
        format!("## Bottlenecks Identified\n\n{}", bottlenecks(run, found)),
        format!("## Optimisations Applied\n\n{}", optimisations(context)),
        format!("## Post-Optimisation Results\n\n{}", before_and_after(context)),
        format!("### Target Achievement\n\n{}", achievement(run)),
        format!("## Recommendations\n\n{}", recommendations(run, found)),
        format!("## Conclusion\n\n{}", conclusion(run, found, context)),
        "**Test Conducted By**: \n**Reviewed By**: \n**Approved By**: ".to_owned(),
        format!("## Where the Numbers Come From\n\n{}", sources(run)),
    ]
    .join("\n\n")
        + "\n"
}

fn facts(run: &Run) -> String {
    let finished = run.finished_at.as_deref().unwrap_or("not finished");
    let seconds: u64 = run.levels.iter().map(|level| level.duration_s).sum();
    let note = run.note.as_ref().map_or_else(String::new, |note| format!("\n**Note**: {note}  "));
    format!(
        "**Date**: {} to {finished}  \n**Run**: {} ({:?} model)  \n**System Version**: {}  \n\
         **Test Duration**: {} of load  \n**Test Engineer**: not named  {note}",
        run.started_at,
        run.id,
        run.model,
        system_version(run),
        format::duration(std::time::Duration::from_secs(seconds)),
    )
}

fn system_version(run: &Run) -> String {
    run.environment.versions.get("service").cloned().unwrap_or_else(|| "not measured".into())
}

fn executive(run: &Run, found: &Diagnosis, context: &Context) -> String {
    let most = |of: fn(&LevelResult) -> Option<f64>| run.levels.iter().filter_map(of).reduce(f64::max);
    let rate = |value: Option<f64>| value.map_or_else(|| "not measured".to_owned(), format::rate);
    let critical = found.causes().filter(|one| severity(run, one) == "High").count();
    let counted = reconciliation(run).map_or_else(
        || "not measured".to_owned(),
        |(said, kept)| format!("{} acknowledged, {} stored", format::count(said), format::count(kept)),
    );
    let met = match run.verdict {
        Verdict::Passed => "✅ Yes".to_owned(),
        Verdict::Failed => "❌ No".to_owned(),
        other => format!("⚠️ Cannot be said: {}", other.as_str()),
    };
    list(
        &[
            format!("**Target Throughput**: {}", rate(most(|level| level.target_rps.map(f64::from)))),
            format!("**Achieved Throughput**: {}", rate(most(|level| Some(level.throughput_rps)))),
            format!("**Target Met**: {met}"),
            format!("**Critical Issues Found**: {critical}"),
            format!("**Optimisations Applied**: {}", context.changes.len()),
            format!("**Notifications**: {counted}"),
            format!("**What gave way first**: {}", found.summary),
        ],
        "",
    )
}

fn environment(run: &Run) -> String {
    let here = &run.environment;
    let shared = if here.shared_machine { "the same machine as the stack" } else { "another machine" };
    let version = |part: &str| here.versions.get(part).cloned().unwrap_or_else(|| "not measured".into());
    let rows = here.rows.map_or_else(
        || "not measured".to_owned(),
        |rows| format!("{} (estimate of PostgreSQL)", format::count(u64::try_from(rows).unwrap_or(0))),
    );
    list(
        &[
            format!("**Application Instances**: {}", here.app),
            format!("**Worker Instances**: {}", here.worker),
            format!("**Database**: {}", version("postgres")),
            format!("**Cache**: {}", version("redis")),
            format!("**Message Queue**: {}", version("kafka")),
            format!("**Load Generator**: {}, on {shared}", here.k6),
            format!("**Runtime**: {}", here.runtime.as_deref().unwrap_or("local")),
            format!("**Operating System**: {}", here.os),
            format!(
                "**Hardware**:\n  - CPU: {} cores\n  - Memory: {:.1} GiB\n  - Disk: {}",
                here.cpus,
                here.memory_mb as f64 / 1_024.0,
                here.disk.as_deref().unwrap_or("not measured")
            ),
            format!("**Stored Notifications at the Start**: {rows}"),
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
        text += &format!("\n\n### {}\n\n{}", heading(level), checks_table(level).markdown());
        for reason in &level.generator.reasons {
            text += &format!("\n\nThe load generator was the limit: {reason}.");
        }
    }
    text
}

/// What a level is called.
pub(super) fn heading(level: &LevelResult) -> String {
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
pub(super) fn checks_table(level: &LevelResult) -> Table {
    let mut table = Table::new(["Metric", "Value", "Target", "Status", "Source"]).right(&[1, 2]);
    for check in &level.checks {
        let relation = if check.at_least { "≥" } else { "≤" };
        table.row([
            metric_name(&check.metric).to_owned(),
            check.value.map_or_else(|| "not measured".into(), |value| unit(&check.metric, value)),
            format!("{relation} {}", unit(&check.metric, check.target)),
            mark(check).to_owned(),
            check.source.clone(),
        ]);
    }
    table
}

/// The names people use.
pub(super) fn metric_name(metric: &str) -> &str {
    match metric {
        "throughput_rps" => "Throughput",
        "p50_ms" => "P50 Latency",
        "p95_ms" => "P95 Latency",
        "p99_ms" => "P99 Latency",
        "error_rate" => "Error Rate",
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
pub(super) fn unit(metric: &str, value: f64) -> String {
    match metric {
        _ if metric.ends_with("_ms") => format::millis(value),
        _ if metric.ends_with("_rps") || metric.ends_with("_per_s") => format::rate(value),
        _ if metric.ends_with("_rate") || metric.ends_with("_share") => format::percent(value),
        _ if metric.ends_with("_pct") => format!("{value:.0} %"),
        _ if metric.ends_with("_mb") => format!("{value:.0} MiB"),
        _ if value.fract() == 0.0 && value >= 0.0 => format::count(value as u64),
        _ => format!("{value:.2}"),
    }
}

/// Met, only just met, missed, not measured.
const fn mark(check: &Check) -> &'static str {
    match check.status {
        CheckStatus::Pass if near(check) => "⚠️ near",
        CheckStatus::Pass => "✅ met",
        CheckStatus::Fail => "❌ missed",
        CheckStatus::Unknown => "❔ unknown",
    }
}

const fn near(check: &Check) -> bool {
    let Some(value) = check.value else { return false };
    !check.at_least && check.target > 0.0 && value > check.target * NEAR
}

/// The word for an outcome.
pub(super) const fn status(status: CheckStatus) -> &'static str {
    match status {
        CheckStatus::Pass => "pass",
        CheckStatus::Fail => "fail",
        CheckStatus::Unknown => "unknown",
    }
}

/// High when objectives were missed from its onset on, low when nothing was.
pub(super) fn severity(run: &Run, finding: &Finding) -> &'static str {
    let from = finding.onset.map_or(1, |onset| onset.level);
    let missed = run.levels.iter().any(|level| level.level >= from && level.verdict == Verdict::Failed);
    match (missed, finding.confidence) {
        (true, sure) if sure >= 0.5 => "High",
        (true, _) => "Medium",
        (false, sure) if sure >= 0.5 => "Medium",
        (false, _) => "Low",
    }
}

fn bottlenecks(run: &Run, found: &Diagnosis) -> String {
    let mut parts = vec![format!("{}.", capital(&found.summary))];
    for (rank, one) in found.causes().enumerate() {
        let evidence = one.evidence.iter().map(|seen| {
            format!(
                "level {}: {} {} (bound {}; {}: {})",
                seen.level,
                seen.metric,
                unit(seen.metric, seen.value),
                unit(seen.metric, seen.bound),
                seen.source,
                seen.query
            )
        });
        let symptoms: Vec<_> = found.symptoms_of(one).map(|two| two.cause).collect();
        let symptom = if symptoms.is_empty() { one.cause.to_owned() } else { symptoms.join("; ") };
        parts.push(format!(
            "### {}. {}\n\n- **Severity**: {}\n- **Observed At**: {}\n- **Symptom**: {symptom}\n- **Root Cause**: {} \
             (rule `{}`, confidence {:.0} %)\n- **Evidence**: {}\n- **Impact**: {}",
            rank + 1,
            capital(one.cause),
            severity(run, one),
            observed(run, one),
            one.cause,
            one.rule,
            one.confidence * 100.0,
            evidence.collect::<Vec<_>>().join("; "),
            impact(run, one)
        ));
    }
    let unknown: Vec<_> =
        found.findings.iter().filter(|one| one.status == Status::Unknown).map(|one| one.rule).collect();
    if !unknown.is_empty() {
        parts.push(format!("Not measured, and so neither blamed nor cleared: {}.", unknown.join(", ")));
    }
    parts.push(match &found.scalability {
        usl::Outcome::Fitted(fit) => format!("Scalability (Universal Scalability Law): {}.", fit.sentence()),
        usl::Outcome::Missing { reason } => format!("Scalability law: not fitted, {reason}."),
    });
    parts.join("\n\n")
}

fn observed(run: &Run, finding: &Finding) -> String {
    let Some(onset) = finding.onset else { return "not measured".into() };
    let level = run.levels.iter().find(|level| level.level == onset.level);
    let load = level.map_or_else(String::new, |level| {
        let rate = level.target_rps.map_or_else(String::new, |rate| format!(", {rate}/s"));
        format!(" ({} VUs{rate})", level.vus)
    });
    let second = onset.second.map_or_else(String::new, |second| format!(", from second {second}"));
    format!("level {}{load}{second}", onset.level)
}

/// What the level on which it began, or the worst after it, came to.
fn impact(run: &Run, finding: &Finding) -> String {
    if finding.role == Role::Measurement {
        return "what was measured from there on says nothing certain about the service".into();
    }
    let from = finding.onset.map_or(1, |onset| onset.level);
    let failed = run.levels.iter().filter(|level| level.level >= from);
    let worst = failed
        .max_by(|one, two| one.latency_ms.p95.unwrap_or(0.0).total_cmp(&two.latency_ms.p95.unwrap_or(0.0)));
    let Some(level) = worst else { return "not measured".into() };
    let missed: Vec<_> = level
        .checks
        .iter()
        .filter(|check| check.status == CheckStatus::Fail)
        .filter_map(|check| {
            Some(format!("{} {}", metric_name(&check.metric), unit(&check.metric, check.value?)))
        })
        .collect();
    if missed.is_empty() {
        format!("no objective was missed on level {}", level.level)
    } else {
        format!("on level {}: {}", level.level, missed.join(", "))
    }
}

fn optimisations(context: &Context) -> String {
    if context.changes.is_empty() {
        return "None is in the journal.".into();
    }
    let mut parts = Vec::new();
    let mut told = Vec::new();
    for (rank, step) in context.improvements.iter().enumerate() {
        told.extend(step.changes.iter().map(|change| &change.id));
        let changes: Vec<_> = step.changes.iter().map(super::context::Change::line).collect();
        parts.push(format!(
            "### {}. {}\n\n**Changes**:\n\n{}\n\n**Results** ({} against {}):\n\n{}",
            rank + 1,
            step.changes.iter().map(|one| one.title.as_str()).collect::<Vec<_>>().join(", "),
            list(&changes, ""),
            step.comparison.after,
            step.comparison.before,
            list(&effects(step), "no metric changed beyond chance and noise")
        ));
    }
    let other: Vec<_> = context
        .changes
        .iter()
        .filter(|one| !told.contains(&&one.id))
        .map(super::context::Change::line)
        .collect();
    if !other.is_empty() {
        parts.push(format!(
            "Without a run of the same load before and after, so that their effect was not measured:\n\n{}",
            list(&other, "")
        ));
    }
    parts.join("\n\n")
}

/// What a step changed, in words; what it did not change is not listed.
fn effects(step: &Improvement) -> Vec<String> {
    let mut told = Vec::new();
    for level in &step.comparison.levels {
        for one in &level.metrics {
            if let (Change::Improved | Change::Regressed, Some(before), Some(after), Some(change)) =
                (one.verdict, one.before, one.after, one.change)
            {
                told.push(format!(
                    "level {}: {} {}: {} → {} ({:+.1} %)",
                    level.level,
                    metric_name(&one.name),
                    one.verdict.as_str(),
                    unit(&one.name, before),
                    unit(&one.name, after),
                    change * 100.0
                ));
            }
        }
    }
    told
}

fn before_and_after(context: &Context) -> String {
    let Some(overall) = &context.overall else {
        return "There is no earlier run of the same load with changes since; nothing is compared.".into();
    };
    let changed = overall.changes.len();
    format!(
        "{} against {}, {changed} change{} between.\n\n{}",
        overall.after,
        overall.before,
        if changed == 1 { "" } else { "s" },
        comparison_table(overall).markdown()
    )
}

/// Before, after, improvement and verdict, one row for each metric of each level.
pub(super) fn comparison_table(found: &Comparison) -> Table {
    let mut table = Table::new(["Level", "Metric", "Before", "After", "Change", "Status"]).right(&[2, 3, 4]);
    for level in &found.levels {
        for one in &level.metrics {
            let value = |value: Option<f64>| {
                value.map_or_else(|| "not measured".into(), |value| unit(&one.name, value))
            };
            table.row([
                level.level.to_string(),
                metric_name(&one.name).to_owned(),
                value(one.before),
                value(one.after),
                one.change.map_or_else(|| "not measured".into(), |share| format!("{:+.1} %", share * 100.0)),
                verdict_mark(one),
            ]);
        }
    }
    table
}

fn verdict_mark(one: &Metric) -> String {
    let mark = match one.verdict {
        Change::Improved => "✅",
        Change::Regressed => "❌",
        Change::Unchanged => "➖",
        Change::Inconclusive => "❔",
    };
    format!("{mark} {}", one.verdict.as_str())
}

fn achievement(run: &Run) -> String {
    let target = run.levels.iter().filter_map(|level| level.target_rps).max();
    let passed = run.levels.iter().filter(|level| level.verdict == Verdict::Passed);
    let best = passed.map(|level| level.throughput_rps).reduce(f64::max);
    let mark = if run.verdict == Verdict::Passed { "✅ **Target Met**" } else { "❌ **Target Not Met**" };
    let mark = match run.verdict {
        Verdict::Passed | Verdict::Failed => mark,
        _ => "⚠️ **Not Decided**",
    };
    let share = match (best, target) {
        (Some(best), Some(target)) if target > 0 => format!(
            " The highest rate that met every objective is {}, {:.0} % of the target of {}.",
            format::rate(best),
            best / f64::from(target) * 100.0,
            format::rate(f64::from(target))
        ),
        _ => String::new(),
    };
    format!("{mark}: {}.{share}", verdict_sentence(run))
}

fn recommendations(run: &Run, found: &Diagnosis) -> String {
    let item = |one: &Finding| format!("{}: `{}`", capital(one.cause), one.mend);
    let causes: Vec<_> = found.causes().filter(|one| severity(run, one) != "Low").map(item).collect();
    let mut soon: Vec<_> = found.causes().filter(|one| severity(run, one) == "Low").map(item).collect();
    let near = found.findings.iter().filter(|one| one.status == Status::Warn);
    soon.extend(near.map(|one| format!("Near its bound: {}: `{}`", one.cause, one.mend)));
    if found.findings.iter().any(|one| one.status == Status::Unknown) {
        soon.push("Make what could not be measured measurable: `nsys doctor`".into());
    }
    let mut later = Vec::new();
    if run.environment.shared_machine {
        later.push("Run the load generator on a machine of its own: here it took CPU from the stack".into());
    }
    match &found.scalability {
        usl::Outcome::Fitted(fit) => later.extend(fit.ceiling_rps.map(|ceiling| {
            format!(
                "Beyond {} this design does not scale; more needs less contention, not more load",
                format::rate(ceiling)
            )
        })),
        usl::Outcome::Missing { .. } => {
            later.push(
                "Measure five levels or more, so that the ceiling can be told: `nsys loadtest incremental`"
                    .into(),
            );
        }
    }
    let causes_or = if run.verdict == Verdict::Passed {
        "Offer more load: this run asks for no change."
    } else {
        "None: no rule names a cause."
    };
    format!(
        "### Immediate\n\n{}\n\n### Short-term\n\n{}\n\n### Long-term\n\n{}",
        list(&causes, causes_or),
        list(&soon, "Nothing is near its bound."),
        list(&later, "None.")
    )
}

fn conclusion(run: &Run, found: &Diagnosis, context: &Context) -> String {
    let best = run.levels.iter().rfind(|level| level.verdict == Verdict::Passed);
    let figures = best.map_or_else(
        || "No level met every objective.".to_owned(),
        |level| {
            list(
                &[
                    format!(
                        "**Throughput**: {} with every objective met",
                        format::rate(level.throughput_rps)
                    ),
                    format!(
                        "**Latency**: p95 {}, p99 {}",
                        format::or_missing(level.latency_ms.p95, format::millis),
                        format::or_missing(level.latency_ms.p99, format::millis)
                    ),
                    format!(
                        "**Reliability**: {} of requests succeeded",
                        format::or_missing(level.error_rate, |share| format::percent(1.0 - share))
                    ),
                    format!(
                        "**Resources**: {} CPU, {} memory",
                        format::or_missing(level.service.cpu_pct, |pct| format!("{pct:.0} %")),
                        format::or_missing(level.service.rss_mb, |mib| format!("{mib:.0} MiB"))
                    ),
                ],
                "",
            )
        },
    );
    let changed = context.overall.as_ref().map_or_else(String::new, |overall| {
        let count = |wanted: Change| {
            overall.levels.iter().flat_map(|level| &level.metrics).filter(|one| one.verdict == wanted).count()
        };
        format!(
            " Against {} {} metrics improved and {} regressed.",
            overall.before,
            count(Change::Improved),
            count(Change::Regressed)
        )
    });
    format!("{}.{changed}\n\n{figures}", capital(&found.summary))
}

/// Every measured number with the question that was asked for it, level by level.
fn sources(run: &Run) -> String {
    let mut table = Table::new(["Level", "Number", "Value", "Source", "Question"]).right(&[2]);
    for level in &run.levels {
        for (name, fact) in level.facts.iter() {
            let value = match (fact.value, &fact.reason) {
                (Some(value), _) => format!("{value:.3}"),
                (None, Some(reason)) => reason.clone(),
                (None, None) => "not measured".into(),
            };
            table.row([
                level.level.to_string(),
                name.clone(),
                value,
                fact.source.clone(),
                format!("`{}`", fact.query.replace('`', "'")),
            ]);
        }
    }
    let checks = "The tables above name the source of each of their values. `nsys report --verify` computes every \
        number again from the raw data beside this report.";
    if table.is_empty() {
        return checks.to_owned();
    }
    format!("{checks}\n\n{}", table.markdown())
}

fn list(items: &[String], nothing: &str) -> String {
    if items.is_empty() {
        return nothing.to_owned();
    }
    items.iter().map(|item| format!("- {item}")).collect::<Vec<_>>().join("\n")
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::diagnosis::diagnose;
    use crate::domain::run::test_run;

    fn found(run: &Run) -> Diagnosis {
        let config: crate::config::Config = toml::from_str(crate::config::DEFAULTS).unwrap();
        diagnose(run, &config.bounds())
    }

    #[test]
    fn every_section_of_the_template_is_there() {
        let run = test_run(&[20.0]);
        let text = performance(&run, &found(&run), &Context::default());
        for section in [
            "# Performance Test Report",
            "**Date**",
            "**System Version**",
            "**Test Duration**",
            "**Test Engineer**",
            "## Executive Summary",
            "**Target Throughput**",
            "**Achieved Throughput**",
            "**Target Met**",
            "**Critical Issues Found**",
            "**Optimisations Applied**",
            "## Test Environment",
            "**Application Instances**",
            "**Database**",
            "**Cache**",
            "**Message Queue**",
            "CPU: 2 cores",
            "Memory: 4.0 GiB",
            "Disk:",
            "## Test Results",
            "## Bottlenecks Identified",
            "## Optimisations Applied",
            "## Post-Optimisation Results",
            "### Target Achievement",
            "## Recommendations",
            "### Immediate",
            "### Short-term",
            "### Long-term",
            "## Conclusion",
            "**Test Conducted By**",
            "**Reviewed By**",
            "**Approved By**",
        ] {
            assert!(text.contains(section), "{section} is missing");
        }
    }

    #[test]
    fn what_was_not_measured_says_so() {
        let mut run = test_run(&[20.0]);
        run.levels[0].checks = vec![Check::new("cache_hit_rate", None, 0.7, true, "Prometheus")];
        let text = performance(&run, &found(&run), &Context::default());
        let row = text.lines().find(|line| line.contains("Cache Hit Rate")).unwrap();
        assert!(row.contains("not measured") && row.contains("unknown"), "{row}");
        assert!(!row.contains('✅'), "{row}");
    }

    #[test]
    fn a_cause_stands_with_severity_evidence_impact_and_command() {
        let mut run = test_run(&[20.0, 300.0]);
        run.levels[1].facts.put("lock_waiters", Some(4.0), "PostgreSQL", "pg_blocking_pids");
        run.levels[1].verdict = Verdict::Failed;
        run.levels[1].checks = vec![Check::new("p95_ms", Some(300.0), 100.0, false, "k6")];
        let text = performance(&run, &found(&run), &Context::default());
        for wanted in [
            "### 1. Sessions wait for locks",
            "**Severity**: High",
            "**Observed At**: level 2 (50 VUs, 500/s)",
            "**Impact**: on level 2: P95 Latency 300 ms",
            "pg_blocking_pids",
            "`nsys db locks names the holder",
        ] {
            assert!(text.contains(wanted), "{wanted} is missing in {text}");
        }
    }

    #[test]
    fn a_change_stands_with_its_measured_result_or_with_the_lack_of_one() {
        let (slow, fast) = (test_run(&[40.0]), test_run(&[20.0]));
        let change = |id: &str| super::super::context::Change {
            id: id.into(),
            at: "2026-01-01T00:00:00Z".into(),
            title: "pool size 10 -> 20".into(),
            command: "tune db --pool-size 20".into(),
        };
        let comparison = crate::domain::compare::compare(&slow, &fast, &Default::default(), Vec::new());
        let context = Context {
            changes: vec![change("c1"), change("c2")],
            improvements: vec![Improvement { changes: vec![change("c1")], comparison: comparison.clone() }],
            overall: Some(comparison),
            ..Context::default()
        };
        let text = performance(&fast, &found(&fast), &context);
        assert!(text.contains("P95 Latency improved: 40.0 ms → 20.0 ms (-50.0 %)"), "{text}");
        assert!(text.contains("effect was not measured:\n\n- c2"), "{text}");
        assert!(text.contains("| ✅ improved"), "{text}");
    }
}
