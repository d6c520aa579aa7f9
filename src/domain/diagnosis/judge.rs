//! Applies the rules, finds what explains what, and ranks.

use super::{
    DiagnosisBounds, Evidence, FindingRole, Observation, Onset, Rule, RuleFinding, RuleStatus, Strength,
    rules,
};
use crate::domain::facts::Facts;
use crate::domain::remedy::CurrentSettings;
use crate::domain::statistics;
use crate::measured::Measured;

/// What an explained finding keeps of its score.
const EXPLAINED: f64 = 0.4;
/// What a finding keeps of its score while the measurement is in doubt.
const DOUBTED: f64 = 0.8;
/// A crossing by less than this share of the bound is a slight one …
const SLIGHTLY: f64 = 0.25;
/// … and one on fewer than this share of the levels since the first of them does not last.
const HALF: f64 = 0.5;

/// Every rule's answer, ranked.
pub(super) fn findings(
    observations: &[Observation],
    bounds: &DiagnosisBounds,
    now: &CurrentSettings,
) -> Vec<RuleFinding> {
    let mut findings: Vec<_> = rules().map(|rule| apply(rule, observations, bounds, now)).collect();
    weigh(&mut findings, observations.len(), bounds);
    explain(&mut findings);
    doubt(&mut findings);
    order(&mut findings);
    findings
}

/// By outcome; then what puts the measurement in doubt, then what began on an earlier level, then what weighs
/// more. Within one level those whose second is known stand in the order of their seconds.
fn order(findings: &mut [RuleFinding]) {
    let rank = |one: &RuleFinding| {
        let doubt = one.role == FindingRole::Measurement && one.explained_by.is_none();
        (one.status, one.explained_by.is_some(), !doubt, one.onset.map(|onset| onset.level))
    };
    findings.sort_by(|one, two| rank(one).cmp(&rank(two)).then(two.score.total_cmp(&one.score)));
    let mut from = 0;
    while from < findings.len() {
        let same = rank(&findings[from]);
        let alike = findings[from..].iter().take_while(|one| rank(one) == same).count();
        by_second(&mut findings[from..from + alike]);
        from += alike;
    }
}

/// Those without a second keep their places: nobody knows whether they came before.
fn by_second(findings: &mut [RuleFinding]) {
    let second = |one: &RuleFinding| one.onset.and_then(|onset| onset.second);
    let places: Vec<_> = (0..findings.len()).filter(|place| second(&findings[*place]).is_some()).collect();
    let mut timed: Vec<_> = places.iter().map(|place| findings[*place].clone()).collect();
    timed.sort_by_key(second);
    for (place, one) in places.into_iter().zip(timed) {
        findings[place] = one;
    }
}

fn rule_of(finding: &RuleFinding) -> Option<&'static Rule> {
    rules().find(|rule| rule.id == finding.rule)
}

fn beyond(value: f64, bound: f64, at_least: bool) -> bool {
    if at_least { value < bound } else { value > bound }
}

/// What one level says about a rule.
enum RuleObservation {
    Beyond(Vec<Evidence>),
    Near,
    Within,
    Missing(&'static str),
    Skipped,
}

fn apply(
    rule: &'static Rule,
    observations: &[Observation],
    bounds: &DiagnosisBounds,
    now: &CurrentSettings,
) -> RuleFinding {
    let (mut evidence, mut missing, mut near, mut within) = (Vec::new(), Vec::new(), false, false);
    let mut onset = None;
    for observation in observations {
        match see(rule, observation, bounds) {
            RuleObservation::Beyond(found) => {
                evidence.extend(found);
                onset = onset.or_else(|| {
                    Some(Onset { level: observation.level, second: second(rule, observation, bounds) })
                });
            }
            RuleObservation::Near => near = true,
            RuleObservation::Within => within = true,
            RuleObservation::Missing(input) => missing.push(input),
            RuleObservation::Skipped => {}
        }
    }
    missing.dedup();
    let status = if onset.is_some() {
        RuleStatus::Fail
    } else if near {
        RuleStatus::Warn
    } else if !missing.is_empty() || observations.is_empty() {
        RuleStatus::Unknown
    } else if within {
        RuleStatus::Pass
    } else {
        RuleStatus::Skipped
    };
    let Rule { id, role, cause, remedies, .. } = *rule;
    RuleFinding {
        rule: id,
        role,
        cause,
        remedies: remedies(now),
        status,
        onset,
        strength: Strength::Weak,
        score: 0.0,
        explained_by: None,
        evidence,
        missing,
    }
}

/// When within a level its series left the bound for good.
fn second(rule: &Rule, observation: &Observation, bounds: &DiagnosisBounds) -> Option<usize> {
    let of = rule.series?;
    let points = observation.series.get(of.name)?;
    let bound = raised(bounds.of(of.bound), of.name.ends_with("_ms"), observation, bounds);
    let values: Vec<_> = points.iter().map(|(_, value)| *value).collect();
    let first = statistics::onset(&values, bound, rule.at_least)?;
    // It was so when the measured time began: nobody knows since when.
    if first == 0 { Some(0) } else { Some(points[first].0.round().max(0.0) as usize) }
}

fn see(rule: &Rule, observation: &Observation, bounds: &DiagnosisBounds) -> RuleObservation {
    let bound = raised(bounds.of(rule.bound), rule.timed, observation, bounds);
    let value = match input(&observation.facts, rule.input) {
        Ok(value) => value,
        Err(seen) => return seen,
    };
    let warn = near(bound, rule.at_least, bounds.warn_share);
    if !beyond(value, warn, rule.at_least) {
        return RuleObservation::Within;
    }
    let mut evidence = vec![evidence_of(rule.input, value, bound, observation)];
    for guard in rule.guards {
        let limit = raised(bounds.of(guard.bound), guard.input.ends_with("_ms"), observation, bounds);
        match input(&observation.facts, guard.input) {
            Ok(value) if beyond(value, limit, guard.at_least) => {
                evidence.push(evidence_of(guard.input, value, limit, observation));
            }
            Ok(_) => return RuleObservation::Within,
            Err(seen) => return seen,
        }
    }
    if beyond(value, bound, rule.at_least) {
        RuleObservation::Beyond(evidence)
    } else {
        RuleObservation::Near
    }
}

/// A bound on one level. A call takes several turns of a processor on its way; where each turn is
/// waited for, that is what the call takes, and nobody but the machine is to blame.
fn raised(bound: f64, timed: bool, observation: &Observation, bounds: &DiagnosisBounds) -> f64 {
    match observation.facts.value("cpu_wait_ms") {
        Some(wait) if timed => bound.max(wait * bounds.of("scheduling_turns")),
        _ => bound,
    }
}

/// Where a value begins to be near its bound. A bound near one that must be kept is that of a share, which
/// cannot exceed one.
fn near(bound: f64, at_least: bool, share: f64) -> f64 {
    if at_least { (bound / share).min(1.0 - (1.0 - bound) * share) } else { bound * share }
}

fn input(facts: &Facts, name: &'static str) -> Result<f64, RuleObservation> {
    match facts.measured(name) {
        Measured::Value(value) => Ok(value),
        Measured::NotApplicable(_) => Err(RuleObservation::Skipped),
        Measured::Missing(_) => Err(RuleObservation::Missing(name)),
    }
}

fn evidence_of(metric: &'static str, value: f64, bound: f64, observation: &Observation) -> Evidence {
    let fact = observation.facts.get(metric);
    Evidence {
        level: observation.level,
        metric,
        value,
        bound,
        source: fact.map(|one| one.source.clone()).unwrap_or_default(),
        query: fact.map(|one| one.query.clone()).unwrap_or_default(),
        detail: fact.and_then(|one| one.detail.clone()),
    }
}

/// Gives every crossing its strength, and its score: weight, then how far, how soon among the crossings, and
/// on how many of the levels from its first on.
fn weigh(findings: &mut [RuleFinding], levels: usize, bounds: &DiagnosisBounds) {
    let mut onsets: Vec<_> = findings.iter().filter_map(|one| one.onset.map(|onset| onset.level)).collect();
    onsets.sort_unstable();
    onsets.dedup();
    for finding in findings {
        let (Some(rule), Some(onset)) = (rule_of(finding), finding.onset) else { continue };
        let own = || finding.evidence.iter().filter(|one| one.metric == rule.input);
        let bound = bounds.of(rule.bound);
        let far = own().map(|one| {
            let (more, less) = if rule.at_least { (bound, one.value) } else { (one.value, bound) };
            // Twice the bound is as far as it gets.
            (more / less.max(1e-9) - 1.0).clamp(0.0, 1.0)
        });
        let far = far.fold(0.0, f64::max);
        let before = onsets.iter().position(|level| *level == onset.level).unwrap_or(0);
        let early = 1.0 - before as f64 / onsets.len().max(1) as f64;
        let lasting = own().count() as f64 / (levels + 1 - onset.level.min(levels)).max(1) as f64;
        finding.score = rule.weight * (0.3 + 0.25 * far + 0.25 * early + 0.2 * lasting.min(1.0));
        finding.strength = if far >= 1.0 && lasting >= 1.0 {
            Strength::Strong
        } else if far < SLIGHTLY || lasting < HALF {
            Strength::Weak
        } else {
            Strength::Moderate
        };
    }
}

/// A finding that another one explains, not later than it, is its symptom.
fn explain(findings: &mut [RuleFinding]) {
    let failed: Vec<_> = findings
        .iter()
        .filter(|one| one.status == RuleStatus::Fail)
        .filter_map(|one| Some((rule_of(one)?, one.onset?.level, one.score)))
        .collect();
    for finding in findings.iter_mut() {
        let Some(onset) = finding.onset else { continue };
        let explains = |rule: &Rule| rule.explains.contains(&finding.rule);
        let causes = failed.iter().filter(|(rule, level, _)| explains(rule) && *level <= onset.level);
        // Two that explain each other would leave no cause at all: the surer one is it.
        let (own, score) = (rule_of(finding), finding.score);
        let surer = causes.filter(|(rule, _, sure)| {
            let mutual = own.is_some_and(|own| own.explains.contains(&rule.id));
            !mutual || *sure > score
        });
        let best = surer.max_by(|one, two| one.2.total_cmp(&two.2));
        if let Some((rule, _, _)) = best {
            finding.explained_by = Some(rule.id);
            finding.score *= EXPLAINED;
        }
    }
}

/// While the measurement is in doubt, what it shows is less sure.
fn doubt(findings: &mut [RuleFinding]) {
    let doubted = findings.iter().any(|one| {
        one.role == FindingRole::Measurement && one.status == RuleStatus::Fail && one.explained_by.is_none()
    });
    if doubted {
        for finding in findings.iter_mut().filter(|one| one.role != FindingRole::Measurement) {
            finding.score *= DOUBTED;
            finding.strength = match finding.strength {
                Strength::Strong => Strength::Moderate,
                Strength::Moderate | Strength::Weak => Strength::Weak,
            };
        }
    }
}
