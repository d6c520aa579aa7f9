//! A value that may not have been measured, with the reason why not.
//!
//! It has no default value and no way to stand in for one: who wants a number asks for [`Measured::value`]
//! and decides what it means that there is none. In JSON it is the value or null.

use crate::error::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;

/// Why there is no value, to follow "not measured: ".
pub type Reason = Cow<'static, str>;

/// What is said of a value that an older version left out.
const UNSAID: Reason = Cow::Borrowed("this result does not say why");

/// A value that may not have been measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measured<T> {
    /// It was measured.
    Value(T),
    /// It could not be had: unknown, and never green.
    Missing(Reason),
    /// There cannot be one here, as of growth on the first level: neither good nor bad.
    NotApplicable(Reason),
}

impl<T> Measured<T> {
    /// It could not be had.
    pub fn missing(why: impl Into<Reason>) -> Self {
        Self::Missing(why.into())
    }

    /// There cannot be one here.
    pub fn not_applicable(why: impl Into<Reason>) -> Self {
        Self::NotApplicable(why.into())
    }

    /// What was found, or why nothing was.
    pub fn or_missing(found: Option<T>, why: impl Into<Reason>) -> Self {
        found.map_or_else(|| Self::missing(why), Self::Value)
    }

    /// Why there is none; none where there is one.
    pub const fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Value(_) => None,
            Self::Missing(why) | Self::NotApplicable(why) => Some(why),
        }
    }

    /// Whether it is there.
    pub const fn is_measured(&self) -> bool {
        matches!(self, Self::Value(_))
    }

    /// Whether there cannot be one.
    pub const fn is_not_applicable(&self) -> bool {
        matches!(self, Self::NotApplicable(_))
    }

    /// The same, borrowed.
    pub fn as_ref(&self) -> Measured<&T> {
        match self {
            Self::Value(value) => Measured::Value(value),
            Self::Missing(why) => Measured::Missing(why.clone()),
            Self::NotApplicable(why) => Measured::NotApplicable(why.clone()),
        }
    }

    /// What follows from it.
    pub fn map<U>(self, into: impl FnOnce(T) -> U) -> Measured<U> {
        self.and_then(|value| Measured::Value(into(value)))
    }

    /// What follows from it, which may not be there either.
    pub fn and_then<U>(self, into: impl FnOnce(T) -> Measured<U>) -> Measured<U> {
        match self {
            Self::Value(value) => into(value),
            Self::Missing(why) => Measured::Missing(why),
            Self::NotApplicable(why) => Measured::NotApplicable(why),
        }
    }

    /// Both; the first that lacks says why.
    pub fn zip<U>(self, other: Measured<U>) -> Measured<(T, U)> {
        self.and_then(|one| other.map(|two| (one, two)))
    }

    /// It, where the condition holds.
    pub fn filter(self, holds: impl FnOnce(&T) -> bool, otherwise: impl Into<Reason>) -> Self {
        self.and_then(|value| if holds(&value) { Self::Value(value) } else { Self::missing(otherwise) })
    }

    /// It, or what another place says.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if self.is_measured() || !other.is_measured() { self } else { other }
    }

    /// The value itself.
    pub fn into_value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Missing(_) | Self::NotApplicable(_) => None,
        }
    }
}

impl<T: Copy> Measured<T> {
    /// The value, for arithmetic.
    pub const fn value(&self) -> Option<T> {
        match self {
            Self::Value(value) => Some(*value),
            Self::Missing(_) | Self::NotApplicable(_) => None,
        }
    }
}

/// For who shows a dash where there is none.
impl<T: Copy> From<&Measured<T>> for Option<T> {
    fn from(measured: &Measured<T>) -> Self {
        measured.value()
    }
}

/// Until somebody asks.
impl<T> Default for Measured<T> {
    fn default() -> Self {
        Self::missing("nobody asked for it")
    }
}

impl<T> From<T> for Measured<T> {
    fn from(value: T) -> Self {
        Self::Value(value)
    }
}

impl<T> From<Result<T, Error>> for Measured<T> {
    fn from(asked: Result<T, Error>) -> Self {
        asked.map_or_else(|error| Self::missing(error.message), Self::Value)
    }
}

impl<T: schemars::JsonSchema> schemars::JsonSchema for Measured<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Option::<T>::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Option::<T>::json_schema(generator)
    }
}

impl<T: Serialize> Serialize for Measured<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_ref().into_value().serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Measured<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::or_missing(Option::deserialize(deserializer)?, UNSAID))
    }
}

/// How a value stands beside others in JSON: it, why there is none, and whether there cannot be one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stored<T> {
    value: Option<T>,
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    skipped: bool,
}

impl<T> From<Measured<T>> for Stored<T> {
    fn from(measured: Measured<T>) -> Self {
        // What an older version did not say is not said here either.
        let reason = measured.reason().filter(|why| **why != UNSAID).cloned();
        let skipped = measured.is_not_applicable();
        Self { value: measured.into_value(), reason, skipped }
    }
}

impl<T> From<Stored<T>> for Measured<T> {
    fn from(stored: Stored<T>) -> Self {
        let why = stored.reason.unwrap_or(UNSAID);
        match stored.value {
            Some(value) => Self::Value(value),
            None if stored.skipped => Self::NotApplicable(why),
            None => Self::Missing(why),
        }
    }
}

/// With the reason beside the value: `#[serde(flatten, with = "measured::with_reason")]`.
pub(crate) mod with_reason {
    use super::{Measured, Stored};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<T: Serialize + Clone, S: Serializer>(
        measured: &Measured<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        Stored::from(measured.clone()).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Measured<T>, D::Error> {
        Stored::deserialize(deserializer).map(Measured::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Row {
        name: String,
        #[serde(flatten, with = "with_reason")]
        value: Measured<f64>,
    }

    #[test]
    fn a_value_is_itself_and_a_gap_is_null_with_its_reason() {
        let json = |value: Measured<f64>| {
            let row = Row { name: "lag".into(), value };
            let text = serde_json::to_string(&row).unwrap();
            assert_eq!(serde_json::from_str::<Row>(&text).unwrap(), row);
            text
        };
        assert_eq!(json(3.0.into()), r#"{"name":"lag","value":3.0}"#);
        assert_eq!(
            json(Measured::missing("no answer in 3 s")),
            r#"{"name":"lag","value":null,"reason":"no answer in 3 s"}"#
        );
        assert_eq!(
            json(Measured::not_applicable("one level")),
            r#"{"name":"lag","value":null,"reason":"one level","skipped":true}"#
        );
        let lone = serde_json::to_string(&[Measured::Value(1), Measured::missing("why")]).unwrap();
        assert_eq!(lone, "[1,null]");
    }

    #[test]
    fn what_an_older_version_wrote_is_read() {
        let row: Row = serde_json::from_str(r#"{"name":"lag","value":null}"#).unwrap();
        assert_eq!(row.value, Measured::Missing(UNSAID));
        assert_eq!(serde_json::from_str::<Measured<u64>>("7").unwrap(), Measured::Value(7));
        assert!(!serde_json::from_str::<Measured<u64>>("null").unwrap().is_measured());
    }

    #[test]
    fn the_first_gap_says_why() {
        let gone = Measured::<f64>::missing("PostgreSQL did not answer");
        let both = gone.clone().zip(Measured::Value(1.0)).map(|(one, two)| one + two);
        assert_eq!(both.reason().map(AsRef::as_ref), Some("PostgreSQL did not answer"));
        assert_eq!(gone.clone().or(Measured::Value(2.0)).value(), Some(2.0));
        assert_eq!(
            gone.or(Measured::missing("nor did Prometheus")).reason().unwrap(),
            "PostgreSQL did not answer"
        );
        let odd = Measured::Value(f64::NAN).filter(|value| value.is_finite(), "not a number");
        assert_eq!(odd.reason().unwrap(), "not a number");
    }
}
