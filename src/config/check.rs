//! Values that no stack can work with, each refused with the place that it came from.

use super::layers::{Origin, Setting};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use toml::Value;

/// Whole numbers that must be at least this.
const LEAST: [(&str, i64); 12] = [
    ("db.pool_size", 1),
    ("kafka.partitions", 1),
    ("kafka.replication", 1),
    ("kafka.batch_size", 1),
    ("worker.batch_size", 1),
    ("worker.channel_concurrency", 1),
    ("worker.max_attempts", 1),
    ("worker.breaker_failures", 1),
    ("retention.batch", 1),
    ("loadtest.seed_users", 1),
    ("stack.redis_max_memory_mb", 1),
    ("stack.kafka_heap_mb", 64),
];
/// Shares, 0 to 1.
const SHARES: [&str; 5] = [
    "targets.error_rate",
    "targets.cache_hit_rate",
    "telemetry.trace_sample",
    "channels.simulated_failure_rate",
    "loadtest.min_offered_share",
];
/// Addresses, and how they may begin.
const ADDRESSES: [(&str, &[&str]); 6] = [
    ("db.url", &["postgres://", "postgresql://"]),
    ("db.read_url", &["postgres://", "postgresql://"]),
    ("cache.url", &["redis://", "rediss://"]),
    ("external.api_url", &["http://", "https://"]),
    ("external.prometheus_url", &["http://", "https://"]),
    ("external.jaeger_url", &["http://", "https://"]),
];

/// Refuses the first value that cannot work.
///
/// # Errors
/// When there is one; the message names the key, its line or variable, and what is expected.
pub(super) fn values(settings: &BTreeMap<String, Setting>) -> Result<()> {
    for (key, setting) in settings.iter().filter(|(_, setting)| setting.origin != Origin::Default) {
        if let Some(expected) = wrong(key, setting.value.reveal()) {
            let (origin, value) = (&setting.origin, &setting.value);
            return Err(Error::usage(format!("{origin}: {key} = {value}: {expected} is expected")));
        }
    }
    Ok(())
}

/// What is expected instead of a value that cannot work.
fn wrong(key: &str, value: &Value) -> Option<String> {
    match value {
        Value::Integer(number) => {
            let (_, least) = LEAST.iter().find(|(known, _)| *known == key)?;
            (number < least).then(|| format!("at least {least}"))
        }
        Value::Float(number) if SHARES.contains(&key) => {
            (!(0.0..=1.0).contains(number)).then(|| "a share from 0 to 1".to_owned())
        }
        Value::Float(number) => (number.is_nan() || *number < 0.0).then(|| "a number from 0".to_owned()),
        Value::String(text) if !text.is_empty() => {
            let (_, schemes) = ADDRESSES.iter().find(|(known, _)| *known == key)?;
            let fits = schemes.iter().any(|scheme| text.starts_with(scheme))
                || key == "db.read_url" && text == "none";
            (!fits).then(|| format!("an address that begins with {}", schemes.join(" or ")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::layers;
    use super::*;

    #[test]
    fn a_value_that_cannot_work_is_named_with_its_variable() {
        for (name, value) in [
            ("NSYS_DB__POOL_SIZE", "0"),
            ("NSYS_TARGETS__P95_MS", "nan"),
            ("NSYS_TARGETS__P99_MS", "-1"),
            ("NSYS_TARGETS__ERROR_RATE", "50"),
            ("NSYS_STACK__KAFKA_HEAP_MB", "1"),
            ("NSYS_DB__URL", "hello"),
        ] {
            let mut settings = layers::defaults().unwrap();
            let pair = (name.to_owned(), value.to_owned());
            layers::add_environment(&mut settings, std::iter::once(pair)).unwrap();
            let error = values(&settings).unwrap_err();
            assert!(error.message.starts_with(&format!("env {name}: ")), "{}", error.message);
        }
    }
}
