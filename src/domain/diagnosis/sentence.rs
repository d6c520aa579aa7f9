//! What a diagnosis comes to, in one sentence.

use super::{FindingRole, Observation, RuleFinding, RuleStatus};
use crate::domain::run::Run;
use crate::domain::verdict::Verdict;

/// Where every rule that applies was measured and kept its bound …
const TOO_SMALL: &str = "nothing saturated: the load was too small to find a limit";
/// … and where it is not known of some whether they did.
const NOTHING_CROSSED: &str = "no bound was crossed in what was measured";

/// Of a run.
pub(super) fn of_run(run: &Run, observations: &[Observation], findings: &[RuleFinding]) -> String {
    if observations.is_empty() {
        return "no level was measured completely".into();
    }
    let limited: Vec<_> = run
        .levels
        .iter()
        .filter(|level| level.verdict == Verdict::GeneratorLimited)
        .map(|level| level.level.to_string())
        .collect();
    let missed = run.verdict == Verdict::Failed;
    let cause = match &run.profile {
        Some(profile) => described(findings, missed, &profile.name),
        None => cause(findings, missed, TOO_SMALL),
    };
    let doubt = findings.iter().find(|one| {
        one.status == RuleStatus::Fail && one.role == FindingRole::Measurement && one.explained_by.is_none()
    });
    match (limited.is_empty(), doubt) {
        (false, _) => {
            let levels = limited.join(", ");
            format!("the load generator was the limit on level {levels}; apart from that: {cause}")
        }
        // It leads the list of findings as well.
        (true, Some(doubt)) => format!("{}; apart from that: {cause}", doubt.cause_in_full()),
        (true, None) => cause,
    }
}

/// Of a stack that a profile describes: what that does not name is no bound that was kept.
fn described(findings: &[RuleFinding], missed: bool, profile: &str) -> String {
    let skipped = findings.iter().filter(|one| one.status == RuleStatus::Skipped).count();
    let said = cause(findings, missed, NOTHING_CROSSED);
    if skipped == 0 {
        return said;
    }
    format!(
        "{said}; {skipped} of {} rules were not measured, because the profile {profile} names nothing that tells them",
        findings.len()
    )
}

/// Of a moment.
pub(super) fn of_moment(findings: &[RuleFinding]) -> String {
    let (said, gaps) = (cause(findings, false, TOO_SMALL), gaps(findings));
    if said.ends_with(&gaps) { said } else { said + &gaps }
}

/// The cause; `kept` where every rule was judged and none found anything.
fn cause(findings: &[RuleFinding], missed: bool, kept: &str) -> String {
    let failed = |role: &[FindingRole]| {
        findings.iter().find(|one| {
            one.status == RuleStatus::Fail && one.explained_by.is_none() && role.contains(&one.role)
        })
    };
    if let Some(first) = failed(&[FindingRole::Cause]) {
        return format!("{}{}", first.cause_in_full(), from(first));
    }
    if let Some(symptom) = failed(&[FindingRole::Symptom]) {
        return format!(
            "{}{}, and no single cause was found{}",
            symptom.cause,
            from(symptom),
            gaps(findings)
        );
    }
    if missed {
        return format!("objectives were missed, and no rule explains why{}", gaps(findings));
    }
    let gaps = gaps(findings);
    if gaps.is_empty() { kept.to_owned() } else { format!("{NOTHING_CROSSED}{gaps}") }
}

/// How many of the rules that apply could not be judged.
fn gaps(findings: &[RuleFinding]) -> String {
    let applying = findings.iter().filter(|one| one.status != RuleStatus::Skipped).count();
    match findings.iter().filter(|one| one.status == RuleStatus::Unknown).count() {
        0 => String::new(),
        unknown => format!("; {unknown} of {applying} rules were not measured"),
    }
}

fn from(finding: &RuleFinding) -> String {
    match finding.onset {
        Some(onset) => format!(" (from {})", onset.sentence()),
        None => String::new(),
    }
}
