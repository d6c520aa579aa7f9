//! What gave way: severity, where it was observed, symptom, cause, impact.

use super::levels::{metric_name, unit};
use crate::domain::diagnosis::{Diagnosis, FindingRole, RuleFinding, RuleStatus, Strength};
use crate::domain::run::Run;
use crate::domain::usl;
use crate::domain::verdict::{CheckStatus, Verdict};
use crate::render::format::capital;

/// High when objectives were missed from its onset on, low when nothing was.
pub(in crate::report) fn severity(run: &Run, finding: &RuleFinding) -> &'static str {
    let from = finding.onset.map_or(1, |onset| onset.level);
    let missed = run.levels.iter().any(|level| level.level >= from && level.verdict == Verdict::Failed);
    match (missed, finding.strength) {
        (true, Strength::Strong | Strength::Moderate) => "High",
        (true, Strength::Weak) | (false, Strength::Strong | Strength::Moderate) => "Medium",
        (false, Strength::Weak) => "Low",
    }
}

pub(super) fn bottlenecks(run: &Run, found: &Diagnosis) -> String {
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
             (rule `{}`, evidence {})\n- **Evidence**: {}\n- **Impact**: {}",
            rank + 1,
            capital(one.cause),
            severity(run, one),
            observed(run, one),
            one.cause_in_full(),
            one.rule,
            one.strength.as_str(),
            evidence.collect::<Vec<_>>().join("; "),
            impact(run, one)
        ));
    }
    let unknown: Vec<_> =
        found.findings.iter().filter(|one| one.status == RuleStatus::Unknown).map(|one| one.rule).collect();
    if !unknown.is_empty() {
        parts.push(format!("Not measured, and so neither blamed nor cleared: {}.", unknown.join(", ")));
    }
    parts.push(match &found.scalability {
        usl::FitOutcome::Fitted(fit) => {
            format!("Scalability (Universal Scalability Law): {}.", fit.sentence())
        }
        usl::FitOutcome::Missing { reason } => format!("Scalability law: not fitted, {reason}."),
    });
    parts.join("\n\n")
}

fn observed(run: &Run, finding: &RuleFinding) -> String {
    let Some(onset) = finding.onset else { return "not measured".into() };
    let level = run.levels.iter().find(|level| level.level == onset.level);
    let load = level.map_or_else(String::new, |level| {
        let rate = level.target_rps.map_or_else(String::new, |rate| format!(", {rate}/s"));
        format!(" ({} VUs{rate})", level.vus)
    });
    let second = onset.second.filter(|second| *second > 0);
    let second = second.map_or_else(String::new, |second| format!(", from second {second}"));
    format!("level {}{load}{second}", onset.level)
}

/// What the level on which it began, or the worst after it, came to.
fn impact(run: &Run, finding: &RuleFinding) -> String {
    if finding.role == FindingRole::Measurement {
        return "later measurements say nothing certain about the service".into();
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
            Some(format!("{} {}", metric_name(&check.metric), unit(&check.metric, check.value.value()?)))
        })
        .collect();
    if missed.is_empty() {
        format!("no objective was missed on level {}", level.level)
    } else {
        format!("on level {}: {}", level.level, missed.join(", "))
    }
}
