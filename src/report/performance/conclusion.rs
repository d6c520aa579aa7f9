//! What follows from it: objectives, recommendations, conclusion.

use super::bottlenecks::severity;
use super::list;
use crate::domain::compare::MetricChange;
use crate::domain::diagnosis::{Diagnosis, RuleFinding, RuleStatus};
use crate::domain::remedy;
use crate::domain::run::Run;
use crate::domain::usl;
use crate::domain::verdict::Verdict;
use crate::render::format::{self, capital};
use crate::report::context::ReportContext;
use crate::report::summary::verdict_sentence;

pub(super) fn achievement(run: &Run) -> String {
    let target = run.levels.iter().filter_map(|level| level.target_rps).max();
    let passed = run.levels.iter().filter(|level| level.verdict == Verdict::Passed);
    let best = passed.map(|level| level.throughput_rps).reduce(f64::max);
    let mark =
        if run.verdict == Verdict::Passed { "✅ **Target Met**" } else { "❌ **Objectives Not Met**" };
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

fn helps(finding: &RuleFinding) -> String {
    remedy::line(&finding.remedies, |command| format!("`{command}`"))
}

pub(super) fn recommendations(run: &Run, found: &Diagnosis) -> String {
    let item = |one: &RuleFinding| format!("{}: {}", capital(one.cause), helps(one));
    let causes: Vec<_> = found.causes().filter(|one| severity(run, one) != "Low").map(item).collect();
    let mut soon: Vec<_> = found.causes().filter(|one| severity(run, one) == "Low").map(item).collect();
    let near = found.findings.iter().filter(|one| one.status == RuleStatus::Warn);
    soon.extend(near.map(|one| format!("Near its bound: {}: {}", one.cause, helps(one))));
    if found.findings.iter().any(|one| one.status == RuleStatus::Unknown) {
        soon.push("Fix what could not be measured: `nsys doctor`".into());
    }
    let mut later = Vec::new();
    if run.environment.shared_machine {
        later.push("Run the load generator on a machine of its own: here it took CPU from the stack".into());
    }
    match &found.scalability {
        usl::FitOutcome::Fitted(fit) => later.extend(fit.ceiling_rps.map(|ceiling| {
            format!(
                "Beyond {} this design does not scale; more throughput needs less contention",
                format::rate(ceiling)
            )
        })),
        usl::FitOutcome::Missing { .. } => {
            later.push(
                "Measure five levels or more to estimate the ceiling: `nsys loadtest incremental`".into(),
            );
        }
    }
    let causes_or = if run.verdict == Verdict::Passed {
        "Offer more load: this run asks for no change."
    } else {
        "None: no rule found a cause."
    };
    format!(
        "### Immediate\n\n{}\n\n### Short-term\n\n{}\n\n### Long-term\n\n{}",
        list(&causes, causes_or),
        list(&soon, "Nothing is near its bound."),
        list(&later, "None.")
    )
}

pub(super) fn conclusion(run: &Run, found: &Diagnosis, context: &ReportContext) -> String {
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
                        format::measured(&level.error_rate, |share| format::percent(1.0 - share))
                    ),
                    format!(
                        "**Resources**: {} CPU, {} memory",
                        format::measured(&level.service.cpu_pct, |pct| format!("{pct:.0} %")),
                        format::measured(&level.service.rss_mb, |mib| format!("{mib:.0} MiB"))
                    ),
                ],
                "",
            )
        },
    );
    let changed = context.overall.as_ref().map_or_else(String::new, |overall| {
        let count = |wanted: MetricChange| {
            overall.levels.iter().flat_map(|level| &level.metrics).filter(|one| one.verdict == wanted).count()
        };
        format!(
            " Against {} {} metrics improved and {} regressed.",
            overall.before,
            count(MetricChange::Improved),
            count(MetricChange::Regressed)
        )
    });
    format!("{}.{changed}\n\n{figures}", capital(&found.summary))
}
