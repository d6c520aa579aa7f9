//! Reads the configuration: defaults, then the file, then the environment.

use anyhow::{Context, bail, ensure};
use nsys_contract::config::{Limits, ServiceConfig};
use std::path::Path;
use toml::{Table, Value};

/// The effective configuration.
///
/// # Errors
/// When the file cannot be read, or a key or a value is wrong; the message names it.
pub fn load(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> anyhow::Result<ServiceConfig> {
    let mut table = match file {
        Some(path) => std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?
            .parse::<Table>()
            .with_context(|| format!("{} is not valid TOML", path.display()))?,
        None => Table::new(),
    };
    let defaults = Table::try_from(ServiceConfig::default()).context("the defaults are not TOML")?;
    for (name, text) in environment {
        let Some((section, key)) = name.strip_prefix("NSYS_").and_then(|rest| rest.split_once("__")) else {
            continue;
        };
        let (section, key) = (section.to_lowercase(), key.to_lowercase());
        // Sections of nsys itself may be in the environment too; they are not ours to judge.
        let Some(known) = defaults.get(&section).and_then(Value::as_table) else { continue };
        let Some(default) = known.get(&key) else { bail!("{name}: there is no key {section}.{key}") };
        let value = typed(&text, default).with_context(|| format!("{name}={text:?}"))?;
        let entry = table.entry(section.clone()).or_insert_with(|| Value::Table(Table::new()));
        let Some(entry) = entry.as_table_mut() else { bail!("{section} is not a section") };
        entry.insert(key, value);
    }
    let config: ServiceConfig = table.try_into().context("the configuration is wrong")?;
    let (payload, most) = (config.limits.max_payload_bytes, Limits::MOST_PAYLOAD_BYTES);
    ensure!(
        (1..=most).contains(&payload),
        "limits.max_payload_bytes = {payload} is not between 1 and {most}: a message of the log holds no more"
    );
    Ok(config)
}

/// The variables of this process that may set something. Others that are not UTF-8 concern nobody here.
///
/// # Errors
/// When one that begins with `NSYS_` is not UTF-8.
#[expect(clippy::disallowed_methods, reason = "the one place that reads variables")]
pub fn environment() -> anyhow::Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => found.push((name, value)),
            Err(_) => ensure!(!name.starts_with("NSYS_"), "the variable {name} is not valid UTF-8"),
        }
    }
    Ok(found)
}

/// Reads a text as the type its default has, so that "5" stays text where text is expected.
fn typed(text: &str, default: &Value) -> anyhow::Result<Value> {
    Ok(match default {
        Value::Integer(_) => Value::Integer(text.parse().context("a whole number is expected")?),
        Value::Float(_) => Value::Float(text.parse().context("a number is expected")?),
        Value::Boolean(_) => Value::Boolean(text.parse().context("true or false is expected")?),
        Value::Array(_) => {
            Value::Array(text.split(',').filter(|item| !item.is_empty()).map(Value::from).collect())
        }
        _ => Value::from(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_environment(pairs: &[(&str, &str)]) -> anyhow::Result<ServiceConfig> {
        load(None, pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn the_environment_overrides_by_type() {
        let config =
            from_environment(&[("NSYS_DB__POOL_SIZE", "20"), ("NSYS_AUTH__ISSUER", "5"), ("PATH", "x")])
                .unwrap();
        assert_eq!(config.db.pool_size, 20);
        assert_eq!(config.auth.issuer, "5");
    }

    #[test]
    fn what_is_left_to_the_place_is_off_unless_it_is_set() {
        assert!(!from_environment(&[]).unwrap().auth.open_registration.is_on());
        assert!(
            from_environment(&[("NSYS_AUTH__OPEN_REGISTRATION", "true")])
                .unwrap()
                .auth
                .open_registration
                .is_on()
        );
        assert!(from_environment(&[("NSYS_AUTH__OPEN_REGISTRATION", "perhaps")]).is_err());
    }

    #[test]
    fn a_payload_that_no_message_holds_is_refused() {
        for bytes in ["0", "900001"] {
            let error = from_environment(&[("NSYS_LIMITS__MAX_PAYLOAD_BYTES", bytes)]).unwrap_err();
            assert!(error.to_string().contains("limits.max_payload_bytes"), "{error}");
        }
        assert!(from_environment(&[("NSYS_LIMITS__MAX_PAYLOAD_BYTES", "900000")]).is_ok());
    }

    #[test]
    fn a_wrong_key_is_named() {
        let error = from_environment(&[("NSYS_DB__POOLSIZE", "20")]).unwrap_err();
        assert!(error.to_string().contains("db.poolsize"));
    }
}
