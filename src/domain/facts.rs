//! Measured numbers by name, each with where it came from. A number that could not be had says why.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One measured number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// The number; absent when it could not be had.
    pub value: Option<f64>,
    /// Who told it: `Prometheus`, `PostgreSQL`, `Redis`, `Kafka`, `/proc`, `k6`, or `nsys` for what
    /// follows from others.
    pub source: String,
    /// The question that was asked, word for word: PromQL with its window, SQL, a file, a formula.
    pub query: String,
    /// Why there is no number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether there cannot be one here, as of growth on the first level.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
}

/// Numbers by name; the unit stands last in the name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Facts(BTreeMap<String, Fact>);

impl Facts {
    /// Notes a number. One that is not finite counts as not measured.
    pub fn put(
        &mut self,
        name: impl Into<String>,
        value: Option<f64>,
        source: &str,
        query: impl Into<String>,
    ) {
        let value = value.filter(|value| value.is_finite());
        let reason = value.is_none().then(|| format!("{source} gave no number"));
        self.0.insert(
            name.into(),
            Fact { value, source: source.into(), query: query.into(), reason, skipped: false },
        );
    }

    /// Notes that a number could not be had, and why.
    pub fn miss(&mut self, name: impl Into<String>, source: &str, query: impl Into<String>, reason: &str) {
        let fact = Fact {
            value: None,
            source: source.into(),
            query: query.into(),
            reason: Some(reason.into()),
            skipped: false,
        };
        self.0.insert(name.into(), fact);
    }

    /// Notes that there can be no such number here, and why.
    pub fn skip(&mut self, name: impl Into<String>, query: impl Into<String>, reason: &str) {
        let fact = Fact {
            value: None,
            source: "nsys".into(),
            query: query.into(),
            reason: Some(reason.into()),
            skipped: true,
        };
        self.0.insert(name.into(), fact);
    }

    /// A number, when it was measured.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<f64> {
        self.0.get(name)?.value
    }

    /// A number with its origin.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Fact> {
        self.0.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Fact)> {
        self.0.iter()
    }

    /// Adds those of another set; what both have is taken from the other one.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_number_was_not_measured() {
        let mut facts = Facts::default();
        facts.put("rate", Some(f64::NAN), "Prometheus", "rate(x[1m])");
        assert_eq!(facts.value("rate"), None);
        assert_eq!(facts.get("rate").unwrap().reason.as_deref(), Some("Prometheus gave no number"));
    }
}
