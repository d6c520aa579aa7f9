//! The only place that names rdkafka: topics, groups and lag. Calls block, so they run on the blocking pool.

mod admin;
mod members;
mod monitor;
mod offsets;
mod read;
mod retention;
mod settle;
mod wire;

pub use admin::{Partition, create_partitions, describe, group, groups, topic_settings};
pub use monitor::Monitor;
pub use offsets::{LagProbe, group_offsets, lag, settled_lag};
pub use read::{FirstRecord, FoundRecord, find, first_records, recent_keys};
pub use retention::{keep_by_time, retention, retentions};

use crate::error::{Error, Result};
use crate::permit::ChangePermit;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use std::time::Duration;

/// Where the brokers are and how to be let in.
#[derive(Clone, PartialEq, Eq)]
pub struct Brokers {
    list: String,
    access: Vec<(&'static str, String)>,
}

impl Brokers {
    /// Brokers that anybody may talk to: a `host:port` list.
    #[must_use]
    pub fn open(list: impl Into<String>) -> Self {
        Self { list: list.into(), access: Vec::new() }
    }

    /// Brokers as the configuration describes them, with TLS and SASL.
    #[must_use]
    pub fn configured(kafka: &nsys_contract::config::Kafka) -> Self {
        let access = [
            ("security.protocol", &kafka.security_protocol),
            ("sasl.mechanism", &kafka.sasl_mechanism),
            ("sasl.username", &kafka.sasl_username),
            ("sasl.password", &kafka.sasl_password),
            ("ssl.ca.location", &kafka.ssl_ca_file),
        ];
        let access = access.into_iter().filter(|(_, value)| !value.is_empty());
        Self {
            list: kafka.brokers.clone(),
            access: access.map(|(key, value)| (key, value.clone())).collect(),
        }
    }
}

impl std::fmt::Display for Brokers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.list)
    }
}

// By hand: the password stays out of logs.
impl std::fmt::Debug for Brokers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Brokers").field("list", &self.list).finish_non_exhaustive()
    }
}

fn config(brokers: &Brokers) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &brokers.list).set_log_level(RDKafkaLogLevel::Emerg);
    for (key, value) in &brokers.access {
        config.set(*key, value);
    }
    config
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::result::Result<T, KafkaError> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|cause| Error::failed(format!("the Kafka client ended abnormally: {cause}")))?
        .map_err(|cause| Error::unreachable(format!("kafka: {}", reason(&cause))))
}

/// Why the client failed, in words that do not need its source.
fn reason(cause: &KafkaError) -> String {
    if let KafkaError::ClientConfig(_, why, key, _) = cause {
        return if why.contains("at build time") {
            "this build has no TLS for Kafka: build it with --features kafka-tls".to_owned()
        } else {
            // Not its value, which may be a password.
            format!("{key}: {why}")
        };
    }
    match cause.rdkafka_error_code() {
        Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown) => {
            "no broker answers".to_owned()
        }
        Some(RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::RequestTimedOut) => {
            "no answer in time".to_owned()
        }
        Some(RDKafkaErrorCode::Authentication) => "the broker does not accept the credentials".to_owned(),
        _ => cause.to_string(),
    }
}

/// Topics with their number of partitions. An answer without a broker is not an answer.
///
/// # Errors
/// When no broker answers in time.
pub async fn topics(brokers: &Brokers, timeout: Duration) -> Result<Vec<(String, usize)>> {
    let config = config(brokers);
    let topics = blocking(move || {
        let consumer: BaseConsumer = config.create()?;
        let metadata = consumer.fetch_metadata(None, timeout)?;
        let named = !metadata.brokers().is_empty();
        let topics = metadata
            .topics()
            .iter()
            .map(|topic| (topic.name().to_owned(), topic.partitions().len()))
            .collect();
        Ok(named.then_some(topics))
    })
    .await?;
    topics.ok_or_else(|| Error::unreachable("kafka: the controller has not let the broker in yet"))
}

/// Creates the topics that are missing, kept for `retention` and by no other bound, and waits until they can be
/// used.
///
/// # Errors
/// When the broker refuses, or the topics cannot be used in time.
pub async fn ensure_topics(
    _permit: &ChangePermit,
    brokers: &Brokers,
    wanted: &[(&str, i32)],
    replication: i32,
    retention: Duration,
    timeout: Duration,
) -> Result<()> {
    let there = topics(brokers, timeout).await?;
    let missing: Vec<_> =
        wanted.iter().filter(|(name, _)| !there.iter().any(|(known, _)| known == name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let admin: AdminClient<DefaultClientContext> =
        config(brokers).create().map_err(|cause| Error::failed(format!("kafka: {}", reason(&cause))))?;
    let settings = nsys_contract::topics::settings(retention);
    let new = missing.iter().map(|(name, partitions)| {
        let topic = NewTopic::new(name, *partitions, TopicReplication::Fixed(replication));
        settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
    });
    let new: Vec<_> = new.collect();
    let options = AdminOptions::new().operation_timeout(Some(timeout)).request_timeout(Some(timeout));
    let results = admin
        .create_topics(&new, &options)
        .await
        .map_err(|cause| Error::unreachable(format!("kafka: cannot create topics: {}", reason(&cause))))?;
    for result in results {
        if let Err((topic, code)) = result
            // Somebody else may have made it since the topics were listed.
            && code != RDKafkaErrorCode::TopicAlreadyExists
        {
            return Err(Error::failed(format!("kafka: cannot create topic {topic}: {code}")));
        }
    }
    // A topic is created before its partitions have leaders; a question to each of them shows when they do.
    let deadline = tokio::time::Instant::now() + timeout;
    loop {
        let names: Vec<String> = missing.iter().map(|(name, _)| (*name).to_owned()).collect();
        match lag(brokers, "nsys-readiness", &names, Duration::from_secs(2)).await {
            Ok(_) => return Ok(()),
            Err(cause) if tokio::time::Instant::now() > deadline => return Err(cause),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
