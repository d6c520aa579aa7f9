//! `[kafka]`: the message log.

use jiff::fmt::serde::unsigned_duration::friendly::compact::required as span;
use serde::{Deserialize, Serialize};
use std::time::Duration;

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
    /// Compression codec of the producer.
    pub compression: Compression,
    /// Producer linger; every accept waits that long too.
    #[serde(with = "span")]
    pub linger: Duration,
    /// Maximum producer batch size, in bytes.
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

/// Compression codec of the producer.
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

    /// The one with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::None, Self::Gzip, Self::Lz4, Self::Zstd].into_iter().find(|one| one.as_str() == name)
    }
}
