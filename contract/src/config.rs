//! The service's configuration: the sections of `config.toml` that the service reads.
//!
//! Durations are written with their unit (`"5ms"`, `"30s"`, `"5m"`). Every key has a default, so an
//! empty file is a valid configuration. Addresses are filled in by whoever starts the service.

use jiff::fmt::serde::unsigned_duration::friendly::compact::required as span;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Everything the service needs to run in any role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceConfig {
    /// HTTP side.
    pub service: Service,
    /// Tokens and passwords.
    pub auth: Auth,
    /// PostgreSQL.
    pub db: Db,
    /// Kafka.
    pub kafka: Kafka,
    /// Redis and the in-process level before it.
    pub cache: Cache,
    /// The worker role.
    pub worker: Worker,
    /// Delivery channels.
    pub channels: Channels,
    /// Rate limits and load shedding.
    pub limits: Limits,
    /// How long rows are kept.
    pub retention: Retention,
    /// Logs and traces.
    pub telemetry: Telemetry,
}

/// `[service]`: the HTTP side of the service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Service {
    /// Async threads per process; 0 means one per core.
    pub threads: usize,
    /// Largest request body, in bytes.
    pub max_body_bytes: usize,
    /// Longest time one request may take.
    #[serde(with = "span")]
    pub request_timeout: Duration,
    /// Longest time a graceful stop may take before the process ends anyway.
    #[serde(with = "span")]
    pub shutdown_timeout: Duration,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            threads: 0,
            max_body_bytes: 1 << 20,
            request_timeout: Duration::from_secs(10),
            shutdown_timeout: Duration::from_secs(20),
        }
    }
}

/// `[auth]`: tokens and passwords.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// `iss` of the tokens issued and accepted.
    pub issuer: String,
    /// `aud` of the tokens issued and accepted.
    pub audience: String,
    /// How long a token lives.
    #[serde(with = "span")]
    pub token_ttl: Duration,
    /// File with the Ed25519 signing key (PKCS#8 PEM). Empty: a key for this process alone.
    pub signing_key_file: String,
    /// Most verified tokens remembered, so that the signature check stays off the hot path.
    pub verified_token_cache: u64,
    /// Whether anybody may create an account with `POST /auth/register`.
    pub open_registration: bool,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            issuer: "notification-service".into(),
            audience: "notification-api".into(),
            token_ttl: Duration::from_secs(12 * 3600),
            signing_key_file: String::new(),
            verified_token_cache: 10_000,
            open_registration: true,
        }
    }
}

/// `[db]`: PostgreSQL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Db {
    /// Address of the primary. Empty: the one the local stack runs. Secret when it holds a password.
    pub url: String,
    /// Address of a read replica. Empty: that of the local stack while one runs. `none`: reads go to the
    /// primary. Secret when it holds a password.
    pub read_url: String,
    /// A replica that lags further behind than this is not read from.
    #[serde(with = "span")]
    pub read_max_lag: Duration,
    /// Most connections each process opens.
    pub pool_size: u32,
    /// Longest wait for a free connection.
    #[serde(with = "span")]
    pub pool_timeout: Duration,
    /// Longest time one statement may run.
    #[serde(with = "span")]
    pub statement_timeout: Duration,
}

impl Default for Db {
    fn default() -> Self {
        Self {
            url: String::new(),
            read_url: String::new(),
            read_max_lag: Duration::from_secs(5),
            pool_size: 10,
            pool_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
        }
    }
}

/// `[kafka]`: the message log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kafka {
    /// `host:port` list. Empty: the broker of the local stack.
    pub brokers: String,
    /// Partitions of the `notifications` topic when nsys creates it.
    pub partitions: u32,
    /// Copies of each partition when nsys creates a topic.
    pub replication: u32,
    /// How long the topics keep messages when nsys creates them; there is no limit in bytes.
    #[serde(with = "span")]
    pub retention: Duration,
    /// Codec of produced batches.
    pub compression: Compression,
    /// How long the producer waits to fill a batch; every accept waits that long too.
    #[serde(with = "span")]
    pub linger: Duration,
    /// Largest produced batch, in bytes.
    pub batch_size: u32,
    /// Longest wait for a delivery report; then the request is answered 503.
    #[serde(with = "span")]
    pub message_timeout: Duration,
    /// Most messages that wait in the producer; above it requests are shed.
    pub queue_messages: u32,
    /// `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`.
    pub security_protocol: String,
    /// SASL mechanism, for example `SCRAM-SHA-512`.
    pub sasl_mechanism: String,
    /// SASL user.
    pub sasl_username: String,
    /// SASL password. Secret.
    pub sasl_password: String,
    /// File with the broker's certificate authority (PEM).
    pub ssl_ca_file: String,
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            brokers: String::new(),
            partitions: 3,
            replication: 1,
            retention: Duration::from_secs(7 * 86_400),
            compression: Compression::None,
            linger: Duration::ZERO,
            batch_size: 1_000_000,
            message_timeout: Duration::from_secs(5),
            queue_messages: 100_000,
            security_protocol: "plaintext".into(),
            sasl_mechanism: String::new(),
            sasl_username: String::new(),
            sasl_password: String::new(),
            ssl_ca_file: String::new(),
        }
    }
}

/// Codec of produced batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// As it is.
    #[default]
    None,
    /// zlib.
    Gzip,
    /// The fastest.
    Lz4,
    /// The smallest.
    Zstd,
}

impl Compression {
    /// The name librdkafka and the configuration use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// `[cache]`: Redis, and the in-process level before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// Address of Redis. Empty: the one of the local stack. Secret when it holds a password.
    pub url: String,
    /// How long a cached user lives: a time, or SHORT (1m), MEDIUM (5m), LONG (1h), DAY or WEEK.
    #[serde(with = "crate::ttl")]
    pub ttl_user: Duration,
    /// How long a cached notification lives: a time or a class, as for users.
    #[serde(with = "crate::ttl")]
    pub ttl_notification: Duration,
    /// How long "there is no such notification" is remembered; never longer than ingestion takes.
    #[serde(with = "span")]
    pub ttl_negative: Duration,
    /// How long an idempotency record lives.
    #[serde(with = "span")]
    pub ttl_idempotency: Duration,
    /// TTLs are spread by up to this share, so that entries made together do not expire together.
    pub ttl_jitter: f64,
    /// Most entries of the in-process level; 0 turns it off.
    pub local_entries: u64,
    /// Longest time an in-process entry may be stale.
    #[serde(with = "span")]
    pub local_ttl: Duration,
    /// Longest wait for Redis; then the request goes on without it.
    #[serde(with = "span")]
    pub timeout: Duration,
    /// How many of the most active users are preloaded each hour; 0 turns warming off.
    pub warm_users: u32,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            url: String::new(),
            ttl_user: Duration::from_secs(300),
            ttl_notification: Duration::from_secs(300),
            ttl_negative: Duration::from_secs(2),
            ttl_idempotency: Duration::from_secs(24 * 3600),
            ttl_jitter: 0.1,
            local_entries: 10_000,
            local_ttl: Duration::from_secs(1),
            timeout: Duration::from_millis(250),
            warm_users: 100,
        }
    }
}

/// A wait, written with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Wait(#[serde(with = "span")] pub Duration);

/// `[worker]`: the consuming side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Worker {
    /// Most messages of one batch.
    pub batch_size: usize,
    /// Wait for a batch to fill; up to four times as long while more comes.
    #[serde(with = "span")]
    pub batch_wait: Duration,
    /// Most deliveries of one channel at once, per process.
    pub channel_concurrency: usize,
    /// Attempts before a notification fails for good.
    pub max_attempts: u32,
    /// Wait before the second attempt; doubles each time.
    #[serde(with = "span")]
    pub retry_base: Duration,
    /// Longest wait between two attempts.
    #[serde(with = "span")]
    pub retry_max: Duration,
    /// How often due and retrying rows are looked for.
    #[serde(with = "span")]
    pub scheduler_interval: Duration,
    /// How long one worker may hold a row before another may take it.
    #[serde(with = "span")]
    pub lease: Duration,
    /// Consecutive failures of one destination that open its circuit breaker.
    pub breaker_failures: u32,
    /// How long an open breaker waits before it lets one attempt through.
    #[serde(with = "span")]
    pub breaker_cooldown: Duration,
    /// How much a process that only works yields to others on processors that they share, from 0 (as much
    /// as they do) to 19.
    pub nice: u8,
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            batch_size: 1_000,
            batch_wait: Duration::from_millis(20),
            channel_concurrency: 256,
            max_attempts: 5,
            retry_base: Duration::from_secs(1),
            retry_max: Duration::from_secs(300),
            scheduler_interval: Duration::from_millis(500),
            lease: Duration::from_secs(60),
            breaker_failures: 5,
            breaker_cooldown: Duration::from_secs(30),
            nice: 19,
        }
    }
}

/// `[channels]`: where notifications go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Channels {
    /// `simulated`, `smtp` or `log`.
    pub email: String,
    /// `simulated`, `http` or `log`.
    pub sms: String,
    /// `simulated`, `http` or `log`.
    pub push: String,
    /// `simulated`, `http` or `log`.
    pub webhook: String,
    /// `stored`, `simulated` or `log`.
    pub in_app: String,
    /// Address of the mail server, `smtp://user:password@host:port`. Secret.
    pub smtp_url: String,
    /// Sender of mail that names none.
    pub smtp_from: String,
    /// Where the SMS gateway takes a POST.
    pub sms_url: String,
    /// Bearer token for the SMS gateway; empty: none is sent. Secret.
    pub sms_token: String,
    /// Where the push gateway takes a POST.
    pub push_url: String,
    /// Bearer token for the push gateway; empty: none is sent. Secret.
    pub push_token: String,
    /// Key that signs webhooks (Standard Webhooks, `whsec_…`). Empty: generated. Secret.
    pub webhook_secret: String,
    /// Private addresses or host names a webhook may reach all the same, for development.
    pub webhook_allow: Vec<String>,
    /// Waits between the attempts by e-mail, such as ["5s", "5m"]; empty: worker.retry_base, doubling.
    pub email_retries: Vec<Wait>,
    /// Waits between the attempts by text message.
    pub sms_retries: Vec<Wait>,
    /// Waits between the attempts by push.
    pub push_retries: Vec<Wait>,
    /// Waits between the attempts of a webhook.
    pub webhook_retries: Vec<Wait>,
    /// Longest time one delivery may take.
    #[serde(with = "span")]
    pub timeout: Duration,
    /// Mean latency of the simulated provider.
    #[serde(with = "span")]
    pub simulated_latency: Duration,
    /// Spread of that latency, as a share of it.
    pub simulated_jitter: f64,
    /// Share of simulated deliveries that fail and are retried, 0 to 1; at 1 the provider is down, and
    /// breakers open.
    pub simulated_failure_rate: f64,
}

impl Default for Channels {
    fn default() -> Self {
        Self {
            email: "simulated".into(),
            sms: "simulated".into(),
            push: "simulated".into(),
            webhook: "simulated".into(),
            in_app: "stored".into(),
            smtp_url: String::new(),
            smtp_from: "notifications@example.com".into(),
            sms_url: String::new(),
            sms_token: String::new(),
            push_url: String::new(),
            push_token: String::new(),
            webhook_secret: String::new(),
            webhook_allow: Vec::new(),
            email_retries: Vec::new(),
            sms_retries: Vec::new(),
            push_retries: Vec::new(),
            webhook_retries: Vec::new(),
            timeout: Duration::from_secs(10),
            simulated_latency: Duration::ZERO,
            simulated_jitter: 0.2,
            simulated_failure_rate: 0.0,
        }
    }
}

/// `[limits]`: rate limits and load shedding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests per second and caller in each replica, a batch counting as its notifications; 0: no limit.
    pub rate_per_second: u32,
    /// Requests a caller may make at once above its rate.
    pub burst: u32,
    /// Administrators with these e-mail addresses are not limited. Nobody can register one of them.
    pub exempt: Vec<String>,
    /// Most requests in progress per process, of those that write to the log and of all others each.
    pub max_in_flight: usize,
    /// Most requests that wait for a place of either kind; above it requests are shed with 503.
    pub max_waiting: usize,
    /// Longest wait for a place; after it a request is shed with 503.
    #[serde(with = "span")]
    pub max_wait: Duration,
    /// Most streams (ingest line by line, exports, followed events) open per process.
    pub max_streams: usize,
    /// Accepting stops when this many messages wait for the workers.
    pub max_backlog: u64,
    /// Accepting stops when the messages that wait take this many bytes on the log.
    pub max_backlog_bytes: u64,
    /// Largest payload of a notification or a template, in bytes, with its numbers written out in full.
    pub max_payload_bytes: usize,
    /// Password hashes computed at once per process; 0 means one for two cores. 32 times as many wait, for
    /// `max_wait` at most; more are refused with 503.
    pub password_hashers: usize,
}

impl Limits {
    /// Most that `max_payload_bytes` may be: a message on the log holds it with all that stands beside it.
    pub const MOST_PAYLOAD_BYTES: usize = 900_000;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rate_per_second: 1_000,
            burst: 2_000,
            exempt: vec!["loadtest@example.com".into()],
            max_in_flight: 10_000,
            max_waiting: 10_000,
            max_wait: Duration::from_secs(1),
            max_streams: 10_000,
            max_backlog: 10_000_000,
            max_backlog_bytes: 10 << 30,
            max_payload_bytes: 64 << 10,
            password_hashers: 0,
        }
    }
}

/// `[retention]`: how long rows are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Final notifications older than this are deleted; `0s` keeps them.
    #[serde(with = "span")]
    pub notifications: Duration,
    /// Events older than this are deleted; `0s` keeps them.
    #[serde(with = "span")]
    pub events: Duration,
    /// Rows deleted in one statement.
    pub batch: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            notifications: Duration::from_secs(90 * 86_400),
            events: Duration::from_secs(30 * 86_400),
            batch: 1_000,
        }
    }
}

/// `[telemetry]`: logs and traces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// Filter of log lines, for example `info` or `notification_service=debug,info`.
    pub log: String,
    /// Lines as JSON objects.
    pub log_json: bool,
    /// OTLP/HTTP address traces go to; empty: none are made.
    pub otlp_url: String,
    /// Share of requests traced, 0 to 1.
    pub trace_sample: f64,
    /// Name of the service in traces.
    pub service_name: String,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            log: "info".into(),
            log_json: true,
            otlp_url: String::new(),
            trace_sample: 0.01,
            service_name: "notification-system".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(toml::from_str::<ServiceConfig>("").unwrap(), ServiceConfig::default());
    }

    #[test]
    fn the_default_survives_a_round_trip() {
        let text = toml::to_string(&ServiceConfig::default()).unwrap();
        assert_eq!(toml::from_str::<ServiceConfig>(&text).unwrap(), ServiceConfig::default());
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(toml::from_str::<ServiceConfig>("[kafka]\nlingr = \"1ms\"").is_err());
    }
}
