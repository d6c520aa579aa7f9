//! The message log. Only this file and those below it name rdkafka.

mod consumer;
mod feed;

pub(crate) use consumer::{Consumer, Lag};
pub(crate) use feed::{Feed, Message};

use crate::telemetry::Metrics;
use anyhow::Context;
use nsys_contract::config::Kafka;
use nsys_contract::event::{Envelope, SCHEMA_VERSION};
use nsys_contract::topics::{self, headers};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::{ClientConfig, ClientContext, Statistics};
use std::time::{Duration, Instant};

fn client_config(kafka: &Kafka) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &kafka.brokers).set("security.protocol", &kafka.security_protocol);
    let optional = [
        ("sasl.mechanism", &kafka.sasl_mechanism),
        ("sasl.username", &kafka.sasl_username),
        ("sasl.password", &kafka.sasl_password),
        ("ssl.ca.location", &kafka.ssl_ca_file),
    ];
    for (key, value) in optional.into_iter().filter(|(_, value)| !value.is_empty()) {
        config.set(key, value);
    }
    config
}

/// Why a message was not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// Too many messages wait already: refuse cheaply, try later.
    #[error("the producer's queue is full")]
    Full,
    /// No delivery report in time, or the broker refused. The message may still be stored.
    #[error("{0}")]
    Unknown(String),
}

/// How often the client library reports on its brokers.
const STATISTICS_MS: &str = "2000";

/// Listens to what the client library says of its brokers.
struct Watcher {
    metrics: Metrics,
}

impl ClientContext for Watcher {
    fn stats(&self, statistics: Statistics) {
        let throttles = statistics.brokers.values().filter_map(|broker| broker.throttle.as_ref());
        self.metrics.broker_throttle(throttles.map(|window| window.max).max().unwrap_or(0));
    }
}

/// Sends with acks=all and waits for the delivery report.
pub(crate) struct Producer {
    inner: FutureProducer<Watcher>,
    metrics: Metrics,
}

impl Producer {
    /// Connects and checks that the topics are there: a send to an unknown topic would only fail
    /// after half a minute.
    pub(crate) async fn connect(kafka: &Kafka, metrics: Metrics) -> anyhow::Result<Self> {
        let inner: FutureProducer<Watcher> = client_config(kafka)
            .set("statistics.interval.ms", STATISTICS_MS)
            .set("acks", "all")
            // Idempotence also bounds what is in flight, which is what makes linger 0 batch well.
            .set("enable.idempotence", "true")
            .set("partitioner", topics::PARTITIONER)
            .set("linger.ms", kafka.linger.as_millis().to_string())
            .set("batch.size", kafka.batch_size.to_string())
            .set("compression.type", kafka.compression.as_str())
            .set("message.timeout.ms", kafka.message_timeout.as_millis().max(1).to_string())
            .set("queue.buffering.max.messages", kafka.queue_messages.to_string())
            .create_with_context(Watcher { metrics: metrics.clone() })?;
        // The first send of a fresh idempotent producer would otherwise wait half a second.
        let brokers = kafka.brokers.clone();
        let probe = inner.clone();
        tokio::task::spawn_blocking(move || {
            let metadata = probe
                .client()
                .fetch_metadata(None, Duration::from_secs(10))
                .with_context(|| format!("no broker answers at {brokers}"))?;
            for topic in topics::ALL {
                let known = metadata
                    .topics()
                    .iter()
                    .any(|found| found.name() == topic && !found.partitions().is_empty());
                anyhow::ensure!(known, "topic {topic} does not exist; `nsys kafka ensure-topics` creates it");
            }
            anyhow::Ok(())
        })
        .await??;
        Ok(Self { inner, metrics })
    }

    /// Sends one notification and waits until the log has it.
    pub(crate) async fn send(&self, envelope: &Envelope) -> Result<(), SendError> {
        let value = serde_json::to_vec(envelope).map_err(|cause| SendError::Unknown(cause.to_string()))?;
        let mut header = OwnedHeaders::new_with_capacity(4)
            .insert(Header { key: headers::SCHEMA_VERSION, value: Some(SCHEMA_VERSION) })
            .insert(Header { key: headers::MESSAGE_TYPE, value: Some(envelope.kind.as_str()) })
            .insert(Header { key: headers::PRIORITY, value: Some(envelope.priority.as_str()) });
        if let Some(key) = &envelope.idempotency_key {
            header = header.insert(Header { key: headers::IDEMPOTENCY_KEY, value: Some(key) });
        }
        self.send_raw(topics::NOTIFICATIONS, envelope.user_id.as_bytes(), &value, header).await
    }

    /// Puts bytes that could not be handled on the dead-letter topic.
    pub(crate) async fn dead_letter(&self, key: &[u8], raw: &[u8], reason: &str) -> Result<(), SendError> {
        let header = OwnedHeaders::new().insert(Header { key: headers::REASON, value: Some(reason) });
        self.send_raw(topics::DEAD_LETTERS, key, raw, header).await
    }

    /// Puts bytes that could not be decoded back where the workers read.
    pub(crate) async fn redrive(&self, key: &[u8], raw: &[u8]) -> Result<(), SendError> {
        self.send_raw(topics::NOTIFICATIONS, key, raw, OwnedHeaders::new()).await
    }

    async fn send_raw(
        &self,
        topic: &str,
        key: &[u8],
        value: &[u8],
        header: OwnedHeaders,
    ) -> Result<(), SendError> {
        let started = Instant::now();
        let record = FutureRecord::to(topic).key(key).payload(value).headers(header);
        let report = match self.inner.send_result(record) {
            Ok(report) => report,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                self.metrics.publish_error(topic, "queue_full");
                return Err(SendError::Full);
            }
            Err((cause, _)) => {
                self.metrics.publish_error(topic, "refused");
                return Err(SendError::Unknown(cause.to_string()));
            }
        };
        match report.await {
            Ok(Ok(_)) => {
                self.metrics.published(topic, started.elapsed());
                Ok(())
            }
            Ok(Err((cause, _))) => {
                self.metrics.publish_error(topic, "not_delivered");
                Err(SendError::Unknown(cause.to_string()))
            }
            Err(_) => Err(SendError::Unknown("the producer was closed".to_owned())),
        }
    }

    /// Messages that wait for their delivery report.
    pub(crate) fn waiting(&self) -> i64 {
        i64::from(self.inner.in_flight_count())
    }

    /// Waits until everything queued is sent.
    pub(crate) fn flush(&self, timeout: Duration) {
        if let Err(cause) = self.inner.flush(timeout) {
            tracing::warn!(%cause, "Not every message could be flushed before the end.");
        }
    }
}
