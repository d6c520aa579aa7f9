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
pub use rules::rules;

use super::facts::Facts;
use super::remedy::{CurrentSettings, Remedy};
use super::run::Run;
use super::usl;
use serde::Serialize;
use std::collections::BTreeMap;

/// Outcome of one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
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
    /// Name of its bound: a key of `[diagnose]` or `[objectives]`.
    pub bound: &'static str,
    /// Whether the value must not fall below the bound, instead of not exceed it.
    pub at_least: bool,
    /// Whether the input is a time in ms that waits for a processor alone can make long. Then the
    /// bound is no lower than what such waits cost.
    pub timed: bool,
    /// Conditions that must hold too.
    pub guards: &'static [Guard],
    /// The series by second in which the onset is looked for.
    pub series: Option<RuleSeries>,
    /// Rules whose findings this one explains.
    pub explains: &'static [&'static str],
}

/// What a rule looks at second by second, with the bound in the unit of that series.
#[derive(Clone, Copy, Debug)]
pub struct RuleSeries {
    /// Its name.
    pub name: &'static str,
    /// Name of its bound.
    pub bound: &'static str,
}

/// The bounds by name, apart from where they are configured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiagnosisBounds {
    values: BTreeMap<String, f64>,
    /// Share of a bound above which a value is near it.
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
    /// What was measured second by second, oldest first: seconds since the level began, and the value.
    pub series: BTreeMap<&'static str, Vec<(f64, f64)>>,
}

/// A value with its bound.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
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
    /// What the number alone does not say: who holds what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// When a bound was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
pub struct Onset {
    /// The first level, counted from 1.
    pub level: usize,
    /// Seconds from the beginning of that level, where a series shows it; 0 when it was so from the
    /// beginning of what was measured.
    pub second: Option<usize>,
}

impl Onset {
    /// In words: `level 2, second 34`.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self.second {
            Some(second) if second > 0 => format!("level {}, second {second}", self.level),
            _ => format!("level {}", self.level),
        }
    }
}

/// How much stands behind a finding, by what was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Strength {
    /// Less than a quarter beyond its bound, on fewer than half of the levels since it began, or one step
    /// lower because the measurement is in doubt.
    #[default]
    Weak,
    /// In between.
    Moderate,
    /// Twice its bound or more on every level since it began.
    Strong,
}

impl Strength {
    /// The word used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Weak => "weak",
            Self::Moderate => "moderate",
            Self::Strong => "strong",
        }
    }
}

/// One rule's answer.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
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
    /// How much stands behind it: how far and how lastingly the bound was crossed.
    pub strength: Strength,
    /// Its place among those of one level: weight, how far, how soon, how lastingly. No probability.
    #[serde(skip)]
    pub score: f64,
    /// The finding that explains this one.
    pub explained_by: Option<&'static str>,
    /// The crossings, and what the rule's conditions were.
    pub evidence: Vec<Evidence>,
    /// Inputs that could not be had.
    pub missing: Vec<&'static str>,
}

/// What a run comes to.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
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

impl RuleFinding {
    /// What it means, with what its numbers alone do not say.
    #[must_use]
    pub fn cause_in_full(&self) -> String {
        let mut details = self.evidence.iter().filter_map(|one| one.detail.as_deref());
        details
            .next_back()
            .map_or_else(|| self.cause.to_owned(), |detail| format!("{}: {detail}", self.cause))
    }
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
