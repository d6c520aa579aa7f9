//! One value against its objective, and what a level comes to.

use crate::measured::{Measured, with_reason};
use serde::{Deserialize, Serialize};

/// What a level or a run comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every objective was met.
    Passed,
    /// Something that is needed to judge could not be measured.
    Unknown,
    /// The load could not be offered, so nothing is said about the service.
    GeneratorLimited,
    /// An objective was missed.
    Failed,
    /// It did not run to its end.
    Interrupted,
}

impl Verdict {
    /// The word used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Unknown => "unknown",
            Self::GeneratorLimited => "generator-limited",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Outcome of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// The objective was met.
    Pass,
    /// It was missed.
    Fail,
    /// The value could not be had.
    Unknown,
    /// There cannot be one: the profile of the stack names nothing that would tell it. Neither good nor bad.
    Skipped,
}

/// One value against its objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectiveCheck {
    /// Its name with the unit last.
    pub metric: String,
    /// What was measured, or why nothing was.
    #[serde(flatten, with = "with_reason")]
    pub value: Measured<f64>,
    /// The objective; `target` in runs of older versions.
    #[serde(alias = "target")]
    pub objective: f64,
    /// Whether the value must lie at or above the objective, not at or below.
    pub at_least: bool,
    /// The outcome.
    pub status: CheckStatus,
    /// Where the value comes from.
    pub source: String,
}

impl ObjectiveCheck {
    /// Compares.
    #[must_use]
    pub fn new(metric: &str, value: Measured<f64>, objective: f64, at_least: bool, source: &str) -> Self {
        let status = match value.value() {
            None if value.is_not_applicable() => CheckStatus::Skipped,
            None => CheckStatus::Unknown,
            Some(value) if (at_least && value >= objective) || (!at_least && value <= objective) => {
                CheckStatus::Pass
            }
            Some(_) => CheckStatus::Fail,
        };
        Self { metric: metric.into(), value, objective, at_least, status, source: source.into() }
    }

    /// How the value must lie to the objective, in words.
    #[must_use]
    pub const fn relation(&self) -> &'static str {
        if self.at_least { "at least" } else { "at most" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_of_an_older_version_is_read() {
        let before = r#"{"metric": "p95_ms", "value": 12.0, "target": 70.0, "at_least": false,
            "status": "pass", "source": "k6"}"#;
        let check: ObjectiveCheck = serde_json::from_str(before).unwrap();
        assert_eq!(check, ObjectiveCheck::new("p95_ms", 12.0.into(), 70.0, false, "k6"));
        assert!(serde_json::to_string(&check).unwrap().contains("\"objective\":70.0"));
    }
}
