//! A switch that may be left to where the stack runs.

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

const AUTO: &str = "auto";

/// On, off, or as it suits the place where the stack runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Toggle {
    /// Whoever starts the service decides; off where nobody does. Written `"auto"`.
    #[default]
    Auto,
    /// Written `true`.
    On,
    /// Written `false`.
    Off,
}

impl Toggle {
    /// Whether it is on.
    #[must_use]
    pub const fn is_on(self) -> bool {
        matches!(self, Self::On)
    }

    /// The same, decided where it was left open.
    #[must_use]
    pub const fn or(self, on: bool) -> Self {
        match self {
            Self::Auto if on => Self::On,
            Self::Auto => Self::Off,
            set => set,
        }
    }
}

impl Serialize for Toggle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str(AUTO),
            set => serializer.serialize_bool(set.is_on()),
        }
    }
}

impl<'de> Deserialize<'de> for Toggle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ToggleVisitor)
    }
}

struct ToggleVisitor;

impl Visitor<'_> for ToggleVisitor {
    type Value = Toggle;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false or \"auto\"")
    }

    fn visit_bool<E: Error>(self, on: bool) -> Result<Toggle, E> {
        Ok(Toggle::Auto.or(on))
    }

    // Variables of the environment are texts.
    fn visit_str<E: Error>(self, text: &str) -> Result<Toggle, E> {
        match text {
            AUTO => Ok(Toggle::Auto),
            "true" => Ok(Toggle::On),
            "false" => Ok(Toggle::Off),
            other => Err(E::invalid_value(Unexpected::Str(other), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_a_word_and_as_a_bool() {
        let read =
            |text: &str| toml::from_str::<toml::Table>(text).unwrap()["a"].clone().try_into::<Toggle>();
        assert_eq!(read("a = true"), Ok(Toggle::On));
        assert_eq!(read("a = \"false\""), Ok(Toggle::Off));
        assert_eq!(read("a = \"auto\""), Ok(Toggle::Auto));
        assert!(read("a = \"maybe\"").unwrap_err().to_string().contains("true, false or \"auto\""));
        assert!(read("a = 1").is_err());
    }

    #[test]
    fn what_is_set_stays_and_what_is_open_is_decided() {
        assert!(Toggle::Auto.or(true).is_on() && !Toggle::Auto.or(false).is_on());
        assert!(!Toggle::Off.or(true).is_on() && Toggle::On.or(false).is_on());
        assert!(!Toggle::Auto.is_on(), "nobody decided");
    }
}
