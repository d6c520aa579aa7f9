//! The message log. Only this file and those below it name rdkafka.

mod consumer;
mod feed;
mod position;

pub(crate) use consumer::{Consumer, Lag};
pub(crate) use feed::{Feed, Message};
pub(crate) use position::LogPosition;

use crate::domain::draft::Accepted;
use crate::telemetry::{Metrics, Publishing, trace};
use anyhow::Context;
use nsys_contract::config::Kafka;
use nsys_contract::event::SCHEMA_VERSION;
use nsys_contract::topics::{self, headers};
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::DeliveryFuture;
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
    notifications: Publishing,
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
        Ok(Self { inner, notifications: metrics.publishing(topics::NOTIFICATIONS), metrics })
    }

    /// Sends one notification and waits until the log has it.
    pub(crate) async fn send(&self, accepted: &Accepted<'_>) -> Result<(), SendError> {
        let receipt = self.enqueue(accepted, trace::current_traceparent().as_deref())?;
        trace::step("publish", SpanKind::Producer, publish_attributes, receipt.delivered(self)).await
    }

    /// Hands one notification to the producer without waiting; `parent` is the trace it belongs to.
    pub(crate) fn enqueue(
        &self,
        accepted: &Accepted<'_>,
        parent: Option<&str>,
    ) -> Result<Receipt, SendError> {
        let value = accepted.message().map_err(|cause| SendError::Unknown(cause.to_string()))?;
        let mut header = OwnedHeaders::new_with_capacity(5)
            .insert(Header { key: headers::SCHEMA_VERSION, value: Some(SCHEMA_VERSION) })
            .insert(Header { key: headers::MESSAGE_TYPE, value: Some(accepted.kind.as_str()) })
            .insert(Header { key: headers::PRIORITY, value: Some(accepted.priority.as_str()) });
        if let Some(key) = accepted.idempotency_key.as_deref() {
            header = header.insert(Header { key: headers::IDEMPOTENCY_KEY, value: Some(key) });
        }
        if let Some(parent) = parent {
            header = header.insert(Header { key: headers::TRACEPARENT, value: Some(parent) });
        }
        self.hand_over(topics::NOTIFICATIONS, accepted.user_id.as_bytes(), &value, header)
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
        topic: &'static str,
        key: &[u8],
        value: &[u8],
        header: OwnedHeaders,
    ) -> Result<(), SendError> {
        self.hand_over(topic, key, value, header)?.delivered(self).await
    }

    fn hand_over(
        &self,
        topic: &'static str,
        key: &[u8],
        value: &[u8],
        header: OwnedHeaders,
    ) -> Result<Receipt, SendError> {
        let started = Instant::now();
        let record = FutureRecord::to(topic).key(key).payload(value).headers(header);
        match self.inner.send_result(record) {
            Ok(report) => Ok(Receipt { report, topic, started }),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                self.metrics.publish_error(topic, "queue_full");
                Err(SendError::Full)
            }
            Err((cause, _)) => {
                self.metrics.publish_error(topic, "refused");
                Err(SendError::Unknown(cause.to_string()))
            }
        }
    }

    fn delivered(&self, topic: &str, took: Duration) {
        if topic == topics::NOTIFICATIONS {
            self.notifications.delivered(took);
        } else {
            self.metrics.publishing(topic).delivered(took);
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

/// A message on its way to the log.
pub(crate) struct Receipt {
    report: DeliveryFuture,
    topic: &'static str,
    started: Instant,
}

impl Receipt {
    /// Waits until the log has the message.
    pub(crate) async fn delivered(self, producer: &Producer) -> Result<(), SendError> {
        match self.report.await {
            Ok(Ok(_)) => {
                producer.delivered(self.topic, self.started.elapsed());
                Ok(())
            }
            Ok(Err((cause, _))) => {
                producer.metrics.publish_error(self.topic, "not_delivered");
                Err(SendError::Unknown(cause.to_string()))
            }
            Err(_) => Err(SendError::Unknown("the producer was closed".to_owned())),
        }
    }
}

fn publish_attributes() -> Vec<KeyValue> {
    vec![
        KeyValue::new("messaging.system", "kafka"),
        KeyValue::new("messaging.destination.name", topics::NOTIFICATIONS),
    ]
}
