//! What gave way first: rules over the levels of a run, or over a moment of a running stack, each
//! with its evidence. Pure.
//!
//! A rule whose input is missing is unknown, never a pass. When the generator was the limit, the
//! service is not blamed for it. A finding that another one explains is its symptom.

mod judge;
mod of_run;
mod rules;
mod sentence;

pub use of_run::{derive, observation_of};
pub use rules::RULES;

use super::facts::Facts;
use super::remedy::{CurrentSettings, Remedy};
use super::run::Run;
use super::usl;
use serde::Serialize;
use std::collections::BTreeMap;

/// Outcome of one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleStatus {
    /// Beyond its bound somewhere.
    Fail,
    /// Near its bound somewhere.
    Warn,
    /// An input could not be had, and what was had is within its bound.
    Unknown,
    /// Within its bound everywhere.
    Pass,
    /// It does not apply, for example to a single level.
    Skipped,
}

/// What a finding of a rule means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingRole {
    /// The measurement itself is in doubt.
    Measurement,
    /// It explains others.
    Cause,
    /// It is what a cause looks like from outside.
    Symptom,
}

/// A further condition of a rule: it counts only where this input is beyond its bound as well.
#[derive(Clone, Copy, Debug)]
pub struct Guard {
    /// Name of a fact.
    pub input: &'static str,
    /// Name of a bound.
    pub bound: &'static str,
    /// Whether beyond means below.
    pub at_least: bool,
}

/// A rule: what is looked at, and what it means.
#[derive(Debug)]
pub struct Rule {
    /// Its id.
    pub id: &'static str,
    /// What kind of finding it makes.
    pub role: FindingRole,
    /// How much a crossing weighs as a cause, 0 to 1.
    pub weight: f64,
    /// What it means when it fails.
    pub cause: &'static str,
    /// Why that is so, for `--explain`.
    pub explanation: &'static str,
    /// What helps against it, by what is set: changes first to last as they are worth it.
    pub remedies: fn(&CurrentSettings) -> Vec<Remedy>,
    /// Name of the fact that is looked at.
    pub input: &'static str,
    /// Name of its bound: a key of `[diagnose]` or `[targets]`.
    pub bound: &'static str,
    /// Whether the value must not fall below the bound, instead of not exceed it.
    pub at_least: bool,
    /// Whether the input is a time in ms that waits for a processor alone can make long. Then the
    /// bound is no lower than what such waits cost.
    pub timed: bool,
    /// Conditions that must hold too.
    pub guards: &'static [Guard],
    /// The series by second in which the onset is looked for.
    pub series: Option<&'static str>,
    /// Rules whose findings this one explains.
    pub explains: &'static [&'static str],
}

/// The bounds by name, apart from where they are configured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiagnosisBounds {
    values: BTreeMap<String, f64>,
    /// Share of a bound from which on a value is near it.
    pub warn_share: f64,
}

impl DiagnosisBounds {
    /// Bounds by name.
    #[must_use]
    pub const fn new(values: BTreeMap<String, f64>, warn_share: f64) -> Self {
        Self { values, warn_share }
    }

    /// All of them.
    #[must_use]
    pub const fn values(&self) -> &BTreeMap<String, f64> {
        &self.values
    }

    /// One bound; nothing lies beyond a bound that is not there.
    #[must_use]
    pub fn of(&self, name: &str) -> f64 {
        self.values.get(name).copied().unwrap_or(f64::NAN)
    }
}

/// One level of a run, or one moment.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// Counted from 1.
    pub level: usize,
    /// What was measured over it.
    pub facts: Facts,
    /// What was measured each second of it, oldest first.
    pub series: BTreeMap<&'static str, Vec<f64>>,
}

/// A value with its bound.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evidence {
    /// The level, counted from 1.
    pub level: usize,
    /// The name with the unit last.
    pub metric: &'static str,
    /// What was measured.
    pub value: f64,
    /// The bound it crossed.
    pub bound: f64,
    /// Who told it.
    pub source: String,
    /// The question that was asked.
    pub query: String,
}

/// When a bound was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Onset {
    /// The first level, counted from 1.
    pub level: usize,
    /// Second of that level, where a series shows it.
    pub second: Option<usize>,
}

/// One rule's answer.
#[derive(Clone, Debug, Serialize)]
pub struct RuleFinding {
    /// The rule.
    pub rule: &'static str,
    /// What kind of finding it is.
    pub role: FindingRole,
    /// What it means when it fails.
    pub cause: &'static str,
    /// What helps against it, from what was set when it was measured.
    pub remedies: Vec<Remedy>,
    /// The outcome.
    pub status: RuleStatus,
    /// When the bound was first crossed.
    pub onset: Option<Onset>,
    /// How sure it is that this is a cause, 0 to 1: how much it explains, how soon, how far and how
    /// lastingly the bound was crossed.
    pub confidence: f64,
    /// The finding that explains this one.
    pub explained_by: Option<&'static str>,
    /// The crossings, and what the rule's conditions were.
    pub evidence: Vec<Evidence>,
    /// Inputs that could not be had.
    pub missing: Vec<&'static str>,
}

/// What a run comes to.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    /// The run, or `live`.
    pub run: String,
    /// In one sentence.
    pub summary: String,
    /// The Universal Scalability Law of its levels, or why there is none.
    pub scalability: usl::FitOutcome,
    /// Causes first, most likely on top; then what is near its bound, unknown, and what held.
    pub findings: Vec<RuleFinding>,
}

impl Diagnosis {
    /// The findings that crossed their bound and that nothing else explains, most likely first.
    pub fn causes(&self) -> impl Iterator<Item = &RuleFinding> {
        self.findings.iter().filter(|one| one.status == RuleStatus::Fail && one.explained_by.is_none())
    }

    /// What a finding explains.
    pub fn symptoms_of<'a>(&'a self, cause: &'a RuleFinding) -> impl Iterator<Item = &'a RuleFinding> {
        self.findings.iter().filter(|one| one.explained_by == Some(cause.rule))
    }
}

/// Judges a run.
#[must_use]
pub fn diagnose(run: &Run, bounds: &DiagnosisBounds) -> Diagnosis {
    let observations = of_run::observations(run);
    let findings = judge::findings(&observations, bounds, &CurrentSettings::of_run(run));
    Diagnosis {
        run: run.id.clone(),
        summary: sentence::of_run(run, &observations, &findings),
        scalability: of_run::scalability(run),
        findings,
    }
}

/// Judges one look at a running stack; `now` is what is set there.
#[must_use]
pub fn diagnose_live(observation: Observation, bounds: &DiagnosisBounds, now: &CurrentSettings) -> Diagnosis {
    let observations = [observation];
    let findings = judge::findings(&observations, bounds, now);
    Diagnosis {
        run: "live".into(),
        summary: sentence::of_moment(&findings),
        scalability: usl::FitOutcome::Missing { reason: "one moment has no levels".into() },
        findings,
    }
}

#[cfg(test)]
mod tests;
