//! TTLs in the configuration: a time with its unit, or the name of a class.

use jiff::fmt::serde::unsigned_duration::friendly::compact::required as span;
use serde::de::IntoDeserializer;
use serde::de::value::StrDeserializer;
use serde::{Deserialize, Deserializer, Serializer};
use std::time::Duration;

/// The classes, from what changes all the time to what hardly ever does.
pub const CLASSES: [(&str, Duration); 5] = [
    ("SHORT", Duration::from_secs(60)),
    ("MEDIUM", Duration::from_secs(300)),
    ("LONG", Duration::from_secs(3_600)),
    ("DAY", Duration::from_secs(86_400)),
    ("WEEK", Duration::from_secs(604_800)),
];

/// Writes the time, not the class.
pub(crate) fn serialize<S: Serializer>(ttl: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    span::serialize(ttl, serializer)
}

/// Reads a class or a time.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    match CLASSES.iter().find(|(name, _)| *name == text) {
        Some((_, ttl)) => Ok(*ttl),
        None => {
            let text: StrDeserializer<'_, D::Error> = text.as_str().into_deserializer();
            span::deserialize(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::ServiceConfig;
    use std::time::Duration;

    #[test]
    fn a_ttl_is_a_class_or_a_time() {
        let text = "[cache]\nttl_user = \"LONG\"\nttl_notification = \"90s\"";
        let cache = toml::from_str::<ServiceConfig>(text).unwrap().cache;
        assert_eq!(
            (cache.ttl_user, cache.ttl_notification),
            (Duration::from_secs(3_600), Duration::from_secs(90))
        );
        assert!(toml::from_str::<ServiceConfig>("[cache]\nttl_user = \"FOREVER\"").is_err());
    }
}
