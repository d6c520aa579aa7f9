//! Values that no stack can work with, each refused with the place that it came from.

use super::layers::{Origin, Setting};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;
use toml::Value;

/// Whole numbers that must be at least this.
const LEAST: [(&str, i64); 19] = [
    ("db.pool_size", 1),
    ("kafka.partitions", 1),
    ("kafka.replication", 1),
    ("kafka.batch_size", 1),
    ("kafka.queue_messages", 1),
    ("limits.max_in_flight", 1),
    ("limits.max_streams", 1),
    ("loadtest.cluster_runners", 1),
    ("loadtest.find_first", 1),
    ("loadtest.seed_users", 1),
    ("loadtest.seed_notifications", 1),
    ("retention.batch", 1),
    ("service.max_body_bytes", 1),
    ("stack.kafka_heap_mb", 64),
    ("stack.redis_max_memory_mb", 1),
    ("worker.batch_size", 1),
    ("worker.breaker_failures", 1),
    ("worker.channel_concurrency", 1),
    ("worker.max_attempts", 1),
];
/// Shares, 0 to 1.
const SHARES: [&str; 7] = [
    "cache.ttl_jitter",
    "channels.simulated_failure_rate",
    "channels.simulated_jitter",
    "loadtest.min_offered_share",
    "objectives.cache_hit_rate",
    "objectives.error_rate",
    "telemetry.trace_sample",
];
/// Times in which nothing could be done if they were nothing.
const SOME_TIME: [&str; 17] = [
    "auth.token_ttl",
    "cache.timeout",
    "channels.timeout",
    "db.pool_timeout",
    "kafka.message_timeout",
    "kafka.retention",
    "limits.max_wait",
    "loadtest.find_confirm",
    "loadtest.find_probe",
    "service.request_timeout",
    "stack.scrape_interval",
    "tune.build_timeout",
    "tune.lock_timeout",
    "worker.lease",
    "worker.retry_base",
    "worker.retry_max",
    "worker.scheduler_interval",
];
/// Addresses, and how they may begin.
const ADDRESSES: [(&str, &[&str]); 11] = [
    ("db.url", &["postgres://", "postgresql://"]),
    ("db.read_url", &["postgres://", "postgresql://"]),
    ("cache.url", &["redis://", "rediss://"]),
    ("channels.push_url", &["http://", "https://"]),
    ("channels.sms_url", &["http://", "https://"]),
    ("channels.smtp_url", &["smtp://", "smtps://"]),
    ("external.api_url", &["http://", "https://"]),
    ("external.jaeger_url", &["http://", "https://"]),
    ("external.prometheus_url", &["http://", "https://"]),
    ("loadtest.target_url", &["http://", "https://"]),
    ("telemetry.otlp_url", &["http://", "https://"]),
];
/// Words of which one is expected.
const WORDS: [(&str, &[&str]); 7] = [
    ("kafka.security_protocol", &["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]),
    ("channels.email", &["simulated", "smtp", "log"]),
    ("channels.sms", &["simulated", "http", "log"]),
    ("channels.push", &["simulated", "http", "log"]),
    ("channels.webhook", &["simulated", "http", "log"]),
    ("channels.in_app", &["stored", "simulated", "log"]),
    ("watch.theme", &["auto", "dark", "light", "safe", "terminal", "plain"]),
];
/// Files that are read.
const FILES: [&str; 3] = ["auth.signing_key_file", "external.ca_file", "kafka.ssl_ca_file"];

/// Refuses the first value that cannot work; files are looked for from `base`.
///
/// # Errors
/// When there is one; the message names the key, its line or variable, and what is expected.
pub(super) fn values(settings: &BTreeMap<String, Setting>, base: &Path) -> Result<()> {
    let runtime =
        settings.get("stack.runtime").and_then(|one| one.value.reveal().as_str().map(str::to_owned));
    // Elsewhere the service reads files of its own machine.
    let is_here = runtime.is_none_or(|word| matches!(word.as_str(), "auto" | "local"));
    for (key, setting) in settings.iter().filter(|(_, setting)| setting.origin != Origin::Default) {
        let value = setting.value.reveal();
        let expected = wrong(key, value).or_else(|| {
            let read_by_nsys = key == "external.ca_file";
            let file = value.as_str().filter(|path| FILES.contains(&key.as_str()) && !path.is_empty())?;
            if is_here || read_by_nsys { unreadable(&base.join(file)) } else { None }
        });
        if let Some(expected) = expected {
            let (origin, value) = (&setting.origin, &setting.value);
            return Err(Error::usage(format!("{origin}: {key} = {value}: {expected} is expected")));
        }
    }
    Ok(())
}

/// Puts the place that a value came from before an error that begins with its key.
pub(super) fn with_origin(settings: &BTreeMap<String, Setting>, mut error: Error) -> Error {
    let key = error.message.split([' ', ':']).next().unwrap_or_default();
    if let Some(setting) = settings.get(key).filter(|one| one.origin != Origin::Default) {
        error.message = format!("{}: {}", setting.origin, error.message);
    }
    error
}

/// What is expected instead of a value that cannot work.
fn wrong(key: &str, value: &Value) -> Option<String> {
    let of = |text: &str| one_of(key, text);
    match value {
        Value::Integer(number) => {
            let (_, least) = LEAST.iter().find(|(known, _)| *known == key)?;
            (number < least).then(|| format!("at least {least}"))
        }
        Value::Float(number) if SHARES.contains(&key) => {
            (!(0.0..=1.0).contains(number)).then(|| "a share from 0 to 1".to_owned())
        }
        Value::Float(number) => (!number.is_finite() || *number < 0.0).then(|| "a number from 0".to_owned()),
        Value::String(text) if SOME_TIME.contains(&key) => {
            let span: Option<jiff::SignedDuration> = text.parse().ok();
            span.is_some_and(|span| span.is_zero()).then(|| "a duration greater than zero".to_owned())
        }
        Value::String(text) if key == "kafka.brokers" && !text.is_empty() => {
            let fits = text.split(',').all(|one| is_authority(one.trim(), true));
            (!fits).then(|| "a list of host:port".to_owned())
        }
        Value::String(text) if !text.is_empty() => of(text),
        _ => None,
    }
}

fn one_of(key: &str, text: &str) -> Option<String> {
    if let Some((_, words)) = WORDS.iter().find(|(known, _)| *known == key) {
        return (!words.contains(&text)).then(|| format!("one of {}", words.join(", ")));
    }
    let (_, schemes) = ADDRESSES.iter().find(|(known, _)| *known == key)?;
    if key == "db.read_url" && text == "none" {
        return None;
    }
    let Some(rest) = schemes.iter().find_map(|scheme| text.strip_prefix(scheme)) else {
        return Some(format!("an address that begins with {}", schemes.join(" or ")));
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // PostgreSQL takes its host from the parameters too, and may have several.
    let is_postgres = key.starts_with("db.");
    let mut hosts = authority.rsplit('@').next().unwrap_or_default().split(',');
    let fits = hosts.all(|host| is_postgres && host.is_empty() || is_authority(host, false));
    (!fits).then(|| {
        format!("an address with a host and a port from 1 to 65535, such as {}", example(schemes[0]))
    })
}

fn example(scheme: &str) -> String {
    let port = match scheme {
        "postgres://" => ":5432/name",
        "redis://" => ":6379",
        "smtp://" => ":25",
        _ => "",
    };
    format!("{scheme}host.example{port}")
}

/// Whether this is a host, with a port where one is given or needed.
fn is_authority(text: &str, needs_port: bool) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        // The colons of an address of IPv6 stand in brackets.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port_fits = port.map_or(!needs_port, |port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let host_fits = !host.is_empty() && !host.contains(|one: char| one.is_whitespace() || one.is_control());
    port_fits && host_fits
}

/// What is expected of a file that cannot be read.
fn unreadable(path: &Path) -> Option<String> {
    if path.is_dir() {
        return Some("a file, not a directory,".to_owned());
    }
    match std::fs::File::open(path) {
        Ok(_) => None,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Some("a file that is there".to_owned()),
        Err(_) => Some("a file that may be read".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::layers;
    use super::*;

    fn refused(name: &str, value: &str) -> Option<String> {
        let mut settings = layers::defaults().unwrap();
        let pair = (name.to_owned(), value.to_owned());
        layers::add_environment(&mut settings, std::iter::once(pair)).unwrap();
        values(&settings, Path::new("/")).err().map(|error| error.message)
    }

    #[test]
    fn a_value_that_cannot_work_is_named_with_its_variable() {
        for (name, value) in [
            ("NSYS_DB__POOL_SIZE", "0"),
            ("NSYS_OBJECTIVES__P95_MS", "nan"),
            ("NSYS_OBJECTIVES__P95_MS", "inf"),
            ("NSYS_OBJECTIVES__P99_MS", "-1"),
            ("NSYS_OBJECTIVES__ERROR_RATE", "50"),
            ("NSYS_STACK__KAFKA_HEAP_MB", "1"),
            ("NSYS_DB__URL", "hello"),
            ("NSYS_DB__URL", "postgres://u@host:99999/d"),
            ("NSYS_CACHE__URL", "redis://"),
            ("NSYS_TELEMETRY__OTLP_URL", "localhost:4318"),
            ("NSYS_KAFKA__BROKERS", "one,two"),
            ("NSYS_KAFKA__SECURITY_PROTOCOL", "tls"),
            ("NSYS_CHANNELS__EMAIL", "post"),
            ("NSYS_DB__POOL_TIMEOUT", "0s"),
            ("NSYS_AUTH__SIGNING_KEY_FILE", "/nope"),
            ("NSYS_KAFKA__SSL_CA_FILE", "/tmp"),
        ] {
            let message = refused(name, value).unwrap_or_else(|| panic!("{name}={value} passes"));
            assert!(message.starts_with(&format!("env {name}: ")), "{message}");
            assert!(message.ends_with("is expected"), "{message}");
        }
    }

    #[test]
    fn a_value_that_may_work_passes() {
        for (name, value) in [
            ("NSYS_DB__URL", "postgres://u:p@h:5432,other/d?x=1"),
            ("NSYS_DB__URL", "postgres:///d?host=/run/postgresql"),
            ("NSYS_DB__READ_URL", "none"),
            ("NSYS_CACHE__URL", "rediss://:secret@[::1]:6379/0"),
            ("NSYS_KAFKA__BROKERS", "one:9092, [::1]:9093"),
            ("NSYS_EXTERNAL__API_URL", "https://notify.example.com/base"),
            ("NSYS_RETENTION__EVENTS", "0s"),
            ("NSYS_KAFKA__LINGER", "0s"),
        ] {
            assert_eq!(refused(name, value), None, "{name}={value}");
        }
    }

    #[test]
    fn a_contradiction_names_the_place_too() {
        let mut settings = layers::defaults().unwrap();
        let pair = ("NSYS_STACK__PORT_OFFSET".to_owned(), "50".to_owned());
        layers::add_environment(&mut settings, std::iter::once(pair)).unwrap();
        let error = layers::build(&settings).unwrap().check().unwrap_err();
        let error = with_origin(&settings, error);
        assert!(error.message.starts_with("env NSYS_STACK__PORT_OFFSET: stack.port_offset = 50"), "{error}");
    }
}
