//! The message log. Only this file and those below it name rdkafka.

mod batching;
mod consumer;
mod feed;
mod ingestion;
mod position;
mod retention;
mod sizes;

pub(crate) use consumer::Consumer;
pub(crate) use feed::{Feed, PartitionMessage};
pub(crate) use ingestion::Ingestion;
pub(crate) use sizes::Sizes;

use crate::domain::draft::Accepted;
use crate::telemetry::{Metrics, Publishing, trace};
use anyhow::Context;
use batching::{BatchingProducer, Outgoing, Report};
use nsys_contract::config::Kafka;
use nsys_contract::event::SCHEMA_VERSION;
use nsys_contract::topics::{self, headers};
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use std::sync::Arc;
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
    /// It is larger than the log takes: it never will be taken.
    #[error("a message has at most {} bytes", topics::MAX_MESSAGE_BYTES)]
    TooLarge,
    /// No delivery report in time, or the broker refused. The message may still be stored.
    #[error("{0}")]
    Unknown(String),
}

impl SendError {
    fn closed() -> Self {
        Self::Unknown("the producer was closed".to_owned())
    }

    fn late() -> Self {
        Self::Unknown("the log did not acknowledge it in time".to_owned())
    }
}

/// How often the client library reports on its brokers.
const STATISTICS_MS: &str = "2000";

/// Sends with acks=all and waits for the delivery report.
pub(crate) struct Producer {
    inner: Arc<BatchingProducer>,
    notifications: Publishing,
    metrics: Metrics,
}

impl Producer {
    /// Connects and checks that the topics are there: a send to an unknown topic would only fail
    /// after half a minute.
    pub(crate) async fn connect(kafka: &Kafka, metrics: Metrics) -> anyhow::Result<Self> {
        let mut config = client_config(kafka);
        config
            .set("statistics.interval.ms", STATISTICS_MS)
            .set("acks", "all")
            .set("message.max.bytes", topics::MAX_MESSAGE_BYTES.to_string())
            .set("enable.idempotence", "true")
            .set("partitioner", topics::PARTITIONER)
            .set("linger.ms", kafka.linger.as_millis().to_string())
            .set("batch.size", kafka.batch_size.to_string())
            .set("compression.type", kafka.compression.as_str());
        let limit = usize::try_from(kafka.queue_messages).unwrap_or(usize::MAX);
        let inner = Arc::new(BatchingProducer::new(&config, kafka.message_timeout, limit, metrics.clone())?);
        // The first send of a fresh idempotent producer would otherwise wait half a second.
        let brokers = kafka.brokers.clone();
        let probe = Arc::clone(&inner);
        tokio::task::spawn_blocking(move || {
            let metadata = probe
                .metadata(Duration::from_secs(10))
                .with_context(|| format!("no broker answers at {brokers}"))?;
            for topic in topics::ALL {
                let known = metadata
                    .topics()
                    .iter()
                    .any(|found| found.name() == topic && !found.partitions().is_empty());
                anyhow::ensure!(known, "topic {topic} does not exist; `nsys up` creates it");
            }
            anyhow::Ok(())
        })
        .await??;
        Ok(Self { inner, notifications: metrics.publishing(topics::NOTIFICATIONS), metrics })
    }

    /// Sends one notification and waits until the log has it.
    pub(crate) async fn send(&self, accepted: &Accepted<'_>) -> Result<(), SendError> {
        let receipt = self.enqueue(accepted, trace::current_traceparent().as_deref(), true)?;
        published(receipt.delivered(self)).await
    }

    /// Hands one notification to the producer without waiting; `parent` is the trace it belongs to, `copied`
    /// says whether the caller keeps a copy in the cache.
    pub(crate) fn enqueue(
        &self,
        accepted: &Accepted<'_>,
        parent: Option<&str>,
        copied: bool,
    ) -> Result<Receipt, SendError> {
        let value = accepted.message().map_err(|cause| SendError::Unknown(cause.to_string()))?;
        let mut header = OwnedHeaders::new_with_capacity(6)
            .insert(Header { key: headers::SCHEMA_VERSION, value: Some(SCHEMA_VERSION) })
            .insert(Header { key: headers::MESSAGE_TYPE, value: Some(accepted.kind.as_str()) })
            .insert(Header { key: headers::PRIORITY, value: Some(accepted.priority.as_str()) });
        if let Some(key) = accepted.idempotency_key.as_deref() {
            header = header.insert(Header { key: headers::IDEMPOTENCY_KEY, value: Some(key) });
        }
        if !copied {
            header = header.insert(Header::<&str> { key: headers::UNCACHED, value: None });
        }
        if let Some(parent) = parent {
            header = header.insert(Header { key: headers::TRACEPARENT, value: Some(parent) });
        }
        self.hand_over(topics::NOTIFICATIONS, accepted.user_id.as_bytes().to_vec(), value, header)
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
        self.hand_over(topic, key.to_vec(), value.to_vec(), header)?.delivered(self).await
    }

    fn hand_over(
        &self,
        topic: &'static str,
        key: Vec<u8>,
        value: Vec<u8>,
        headers: OwnedHeaders,
    ) -> Result<Receipt, SendError> {
        let started = Instant::now();
        let sent = self.inner.send(Outgoing { topic, key, value, headers });
        let report = sent.inspect_err(|cause| self.failed(topic, cause, "refused"))?;
        Ok(Receipt { report, topic, started })
    }

    fn failed(&self, topic: &str, cause: &SendError, otherwise: &'static str) {
        let kind = match cause {
            SendError::Full => "queue_full",
            SendError::TooLarge => "too_large",
            SendError::Unknown(_) => otherwise,
        };
        self.metrics.publish_error(topic, kind);
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
        i64::try_from(self.inner.unreported()).unwrap_or(i64::MAX)
    }

    /// How large messages are.
    pub(crate) fn sizes(&self) -> &Sizes {
        self.inner.sizes()
    }

    /// Why nothing can be sent any more by this process; `None` while it can.
    pub(crate) fn fatal(&self) -> Option<String> {
        self.inner.fatal()
    }

    /// Waits until everything queued is sent.
    pub(crate) fn flush(&self, timeout: Duration) {
        if !self.inner.flush(timeout) {
            tracing::warn!("Some messages could not be flushed before the process ended.");
        }
    }
}

/// A message on its way to the log.
pub(crate) struct Receipt {
    report: Report,
    topic: &'static str,
    started: Instant,
}

impl Receipt {
    /// Waits until the log has the message.
    pub(crate) async fn delivered(mut self, producer: &Producer) -> Result<(), SendError> {
        self.outcome(producer).await
    }

    /// The same for whoever may be called away: asked again, it goes on waiting. Answers once.
    pub(crate) async fn outcome(&mut self, producer: &Producer) -> Result<(), SendError> {
        let outcome = (&mut self.report).await.unwrap_or_else(|_| Err(SendError::closed()));
        match &outcome {
            Ok(()) => producer.delivered(self.topic, self.started.elapsed()),
            Err(cause) => producer.failed(self.topic, cause, "not_delivered"),
        }
        outcome
    }
}

/// The wait for the log, as a step of the current trace.
pub(crate) async fn published<T>(wait: impl Future<Output = T>) -> T {
    trace::step("publish", SpanKind::Producer, publish_attributes, wait).await
}

fn publish_attributes() -> Vec<KeyValue> {
    vec![
        KeyValue::new("messaging.system", "kafka"),
        KeyValue::new("messaging.destination.name", topics::NOTIFICATIONS),
    ]
}
