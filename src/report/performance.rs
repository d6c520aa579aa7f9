//! PERFORMANCE_REPORT.md: the guide's report, filled by measurement. What was not measured says so.

mod bottlenecks;
mod conclusion;
mod levels;
mod optimisations;

pub(super) use bottlenecks::severity;
pub(super) use levels::{checks_table, heading, metric_name, status, unit};
pub(super) use optimisations::comparison_table;

use super::context::ReportContext;
use super::summary::{broken_off, not_measured, reconciliation, resume_points};
use crate::domain::diagnosis::Diagnosis;
use crate::domain::run::{LevelResult, Run};
use crate::domain::verdict::Verdict;
use crate::render::{format, table::Table};
use bottlenecks::bottlenecks;
use conclusion::{achievement, conclusion, recommendations};
use levels::results;
use optimisations::{before_and_after, optimisations};

/// The whole report.
#[must_use]
pub fn performance(run: &Run, found: &Diagnosis, context: &ReportContext) -> String {
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
    let finished = run.finished_at.as_deref().map_or_else(|| "not finished".into(), format::instant);
    let seconds: u64 = run.levels.iter().map(|level| level.duration_s).sum();
    let note = run.note.as_ref().map_or_else(String::new, |note| format!("\n**Note**: {note}  "));
    let resume_points = resume_points(run)
        .iter()
        .map(|resume_point| format!("\n**Seam**: {resume_point}  "))
        .collect::<String>();
    let resume_points =
        resume_points + &broken_off(run).map_or_else(String::new, |why| format!("\n**Broken Off**: {why}  "));
    format!(
        "**Date**: {} to {finished}  \n**Run**: {} ({:?} model)  \n**System Version**: {}  \n\
         **Test Duration**: {} of load  \n**Test Engineer**: {}  {note}{resume_points}",
        format::instant(&run.started_at),
        run.id,
        run.model,
        system_version(run),
        format::duration(std::time::Duration::from_secs(seconds)),
        run.engineer.as_deref().unwrap_or("not named: `--engineer NAME`"),
    )
}

fn system_version(run: &Run) -> String {
    run.environment.versions.get("service").cloned().unwrap_or_else(|| "not measured".into())
}

fn executive(run: &Run, found: &Diagnosis, context: &ReportContext) -> String {
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
    let version = |part: &str| here.versions.get(part).cloned().unwrap_or_else(|| "not measured".into());
    let rows = here.rows.map_or_else(
        || "not measured".to_owned(),
        |rows| format!("{} (estimate of PostgreSQL)", format::count(u64::try_from(rows).unwrap_or(0))),
    );
    list(
        &[
            format!("**Application Instances**: {}", instances(run, here.app)),
            format!("**Worker Instances**: {}", instances(run, here.worker)),
            format!("**Database**: {}", version("postgres")),
            format!("**Cache**: {}", version("redis")),
            format!("**Message Queue**: {}", version("kafka")),
            format!("**Load Generator**: {}; {}", here.k6, here.generator_place()),
            format!("**Runtime**: {}", here.runtime.as_deref().unwrap_or("local")),
            format!("**Operating System**: {}", here.os),
            format!(
                "**Hardware**:\n  - CPU: {} cores\n  - Memory: {:.1} GiB\n  - Disk: {}",
                here.cpus,
                here.memory_mb as f64 / 1_024.0,
                here.disk.as_deref().unwrap_or("not measured")
            ),
            match &run.profile {
                Some(profile) => {
                    format!("**Profile**: {}; requests: {}", profile.name, profile.requests.join(", "))
                }
                None => format!("**Stored Notifications at the Start**: {rows}"),
            },
        ],
        "",
    ) + &gaps(run)
}

/// How many replicas run; of another service nobody said.
fn instances(run: &Run, count: usize) -> String {
    if run.profile.is_some() { "not measured".to_owned() } else { count.to_string() }
}

/// What the profile of the stack leaves unknown.
fn gaps(run: &Run) -> String {
    let gaps = not_measured(run);
    if gaps.is_empty() { String::new() } else { format!("\n{}", list(&gaps, "")) }
}

/// Every measured number with the question that was asked for it, level by level.
fn sources(run: &Run) -> String {
    let mut table = Table::new(["Level", "Number", "Value", "Source", "Question"]).right(&[2]);
    for level in &run.levels {
        for (name, fact) in level.facts.iter() {
            let value = format::measured_in_words(&fact.value, |value| format!("{value:.3}"));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::diagnosis::diagnose;
    use crate::domain::run::test_run;
    use crate::domain::verdict::ObjectiveCheck;
    use crate::measured::Measured;
    use crate::report::context::{Improvement, JournalChange};

    fn found(run: &Run) -> Diagnosis {
        let config: crate::config::Config = toml::from_str(crate::config::DEFAULTS).unwrap();
        diagnose(run, &config.bounds())
    }

    #[test]
    fn every_section_of_the_template_is_there() {
        let run = test_run(&[20.0]);
        let text = performance(&run, &found(&run), &ReportContext::default());
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
    fn who_tested_is_named_when_it_is_known() {
        let mut run = test_run(&[20.0]);
        assert!(
            performance(&run, &found(&run), &ReportContext::default())
                .contains("not named: `--engineer NAME`")
        );
        run.engineer = Some("N. N.".into());
        assert!(
            performance(&run, &found(&run), &ReportContext::default()).contains("**Test Engineer**: N. N.")
        );
    }

    #[test]
    fn what_was_not_measured_says_so() {
        let mut run = test_run(&[20.0]);
        run.levels[0].checks = vec![ObjectiveCheck::new(
            "cache_hit_rate",
            Measured::missing("Prometheus is away"),
            0.7,
            true,
            "Prometheus",
        )];
        let text = performance(&run, &found(&run), &ReportContext::default());
        let row = text.lines().find(|line| line.contains("Cache Hit Rate")).unwrap();
        assert!(row.contains("not measured: Prometheus is away") && row.contains("unknown"), "{row}");
        assert!(!row.contains('✅'), "{row}");
    }

    #[test]
    fn a_cause_stands_with_severity_evidence_impact_and_command() {
        let mut run = test_run(&[20.0, 300.0]);
        run.levels[1].facts.put("lock_waiters", 4.0, "PostgreSQL", "pg_blocking_pids");
        run.levels[1].verdict = Verdict::Failed;
        run.levels[1].checks = vec![ObjectiveCheck::new("p95_ms", 300.0.into(), 100.0, false, "k6")];
        let text = performance(&run, &found(&run), &ReportContext::default());
        for wanted in [
            "### 1. Sessions wait for locks",
            "**Severity**: High",
            "**Observed At**: level 2 (50 VUs, 500/s)",
            "**Impact**: on level 2: P95 Latency 300 ms",
            "pg_blocking_pids",
            "`nsys db locks`; terminate the holder",
        ] {
            assert!(text.contains(wanted), "{wanted} is missing in {text}");
        }
    }

    #[test]
    fn a_change_stands_with_its_measured_result_or_with_the_lack_of_one() {
        let (slow, fast) = (test_run(&[40.0]), test_run(&[20.0]));
        let change = |id: &str| JournalChange {
            id: id.into(),
            at: "2026-01-01T00:00:00Z".into(),
            title: "pool size 10 -> 20".into(),
            command: "tune db --pool-size 20".into(),
        };
        let comparison = crate::domain::compare::compare(&slow, &fast, &Default::default(), Vec::new());
        let context = ReportContext {
            changes: vec![change("c1"), change("c2")],
            improvements: vec![Improvement { changes: vec![change("c1")], comparison: comparison.clone() }],
            overall: Some(comparison),
            ..ReportContext::default()
        };
        let text = performance(&fast, &found(&fast), &context);
        assert!(text.contains("P95 Latency improved: 40.0 ms → 20.0 ms (-50.0 %)"), "{text}");
        assert!(text.contains("effect was not measured:\n\n- c2"), "{text}");
        assert!(text.contains("| ✅ improved"), "{text}");
    }
}
