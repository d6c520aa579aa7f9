//! Measured numbers by name, each with where it came from. A number that could not be had says why.

use crate::measured::{Measured, with_reason};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One measured number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// The number, or why there is none: it could not be had, or there cannot be one here, as of growth on
    /// the first level.
    #[serde(flatten, with = "with_reason")]
    pub value: Measured<f64>,
    /// Who told it: `Prometheus`, `PostgreSQL`, `Redis`, `Kafka`, `/proc`, `k6`, or `nsys` for what
    /// follows from others.
    pub source: String,
    /// The question that was asked, word for word: PromQL with its window, SQL, a file, a formula.
    pub query: String,
    /// What the number alone does not say: who holds what, what the server answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Numbers by name; the unit stands last in the name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Facts(BTreeMap<String, Fact>);

impl Facts {
    /// Notes a number, or why there is none. One that is not finite counts as not measured.
    pub fn put(
        &mut self,
        name: impl Into<String>,
        value: impl Into<Measured<f64>>,
        source: &str,
        query: impl Into<String>,
    ) {
        let value = value.into().filter(|value| value.is_finite(), format!("{source} gave no number"));
        self.0.insert(name.into(), Fact { value, source: source.into(), query: query.into(), detail: None });
    }

    /// Adds to a number that is noted what it alone does not say.
    pub fn explain(&mut self, name: &str, detail: Option<String>) {
        if let Some(fact) = self.0.get_mut(name) {
            fact.detail = detail;
        }
    }

    /// Notes that a number could not be had, and why.
    pub fn miss(&mut self, name: impl Into<String>, source: &str, query: impl Into<String>, reason: &str) {
        self.put(name, Measured::missing(reason.to_owned()), source, query);
    }

    /// Notes that there can be no such number here, and why.
    pub fn skip(&mut self, name: impl Into<String>, query: impl Into<String>, reason: &'static str) {
        self.put(name, Measured::not_applicable(reason), "nsys", query);
    }

    /// A number, when it was measured.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<f64> {
        self.0.get(name)?.value.value()
    }

    /// A number, or why there is none.
    #[must_use]
    pub fn measured(&self, name: &str) -> Measured<f64> {
        let fact = self.0.get(name);
        fact.map_or_else(|| Measured::missing(format!("{name} was not asked for")), |fact| fact.value.clone())
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
        facts.put("rate", f64::NAN, "Prometheus", "rate(x[1m])");
        assert_eq!(facts.value("rate"), None);
        assert_eq!(facts.measured("rate"), Measured::missing("Prometheus gave no number"));
        assert_eq!(facts.measured("mean"), Measured::missing("mean was not asked for"));
    }

    #[test]
    fn facts_of_an_older_run_are_read() {
        let old = r#"{"a_ms": {"value": 2.5, "source": "k6", "query": "q"},
            "b_ms": {"value": null, "source": "Redis", "query": "q", "reason": "Redis gave no number"},
            "c_ms": {"value": null, "source": "nsys", "query": "q", "reason": "one level", "skipped": true}}"#;
        let facts: Facts = serde_json::from_str(old).unwrap();
        assert_eq!(facts.measured("a_ms"), Measured::Value(2.5));
        assert_eq!(facts.measured("b_ms"), Measured::missing("Redis gave no number"));
        assert_eq!(facts.measured("c_ms"), Measured::not_applicable("one level"));
        let again: serde_json::Value = serde_json::to_value(&facts).unwrap();
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(old).unwrap());
    }
}
