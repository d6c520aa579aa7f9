//! Hands messages to the client library in batches: while one is in flight, what comes waits for the next.
//!
//! An idempotent producer of librdkafka (2.12) has few messages of a partition in flight, and its thread
//! asks for the time and the socket over and over while others wait behind them: at full load that was a
//! fifth of a core, and a wake-up for each message besides. Messages that wait here cost nothing, and go
//! as few large requests. A message that finds nothing in flight does not wait.

use super::{SendError, Sizes};
use crate::telemetry::Metrics;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Message as _, OwnedHeaders};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::{ClientConfig, ClientContext, Statistics};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Bytes of the messages that wait, but for the last one.
const MAX_WAITING_BYTES: usize = 64 << 20;
/// Most messages that go without waiting for a batch: what an idempotent producer may have in flight of one
/// partition.
const MAX_IN_FLIGHT: usize = 5;
/// How long the thread that takes reports waits for one, and with it the end for the thread.
const POLL: Duration = Duration::from_millis(100);

/// A message to send.
pub(super) struct Outgoing {
    pub(super) topic: &'static str,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) headers: OwnedHeaders,
}

impl Outgoing {
    /// Bytes that it takes, about.
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.key.len() + self.value.len()
    }
}

/// Resolves when the log has a message, or refused it.
pub(super) type Report = oneshot::Receiver<Result<(), SendError>>;
type Reporter = oneshot::Sender<Result<(), SendError>>;

/// A message that waits.
struct QueuedMessage {
    message: Outgoing,
    reporter: Reporter,
    since: Instant,
}

/// What was handed over, and what waits.
#[derive(Default)]
struct SendQueue {
    in_flight: usize,
    waiting: Vec<QueuedMessage>,
    /// Bytes of those that wait.
    bytes: usize,
    /// A batch is on its way to the client library: who came later must not get there first.
    handing_over: bool,
}

impl SendQueue {
    /// Whether a message goes without waiting.
    fn is_open(&self) -> bool {
        self.in_flight < MAX_IN_FLIGHT && self.waiting.is_empty() && !self.handing_over
    }

    /// Everything that waits, once nothing is in flight.
    fn next_batch(&mut self) -> Option<Vec<QueuedMessage>> {
        if self.in_flight > 0 || self.waiting.is_empty() || self.handing_over {
            return None;
        }
        // As many as go now are likely to come meanwhile.
        let spare = Vec::with_capacity(self.waiting.len());
        let batch = std::mem::replace(&mut self.waiting, spare);
        self.in_flight = batch.len();
        self.bytes = 0;
        self.handing_over = true;
        Some(batch)
    }
}

/// The client library's side: it says here what became of each message.
struct DeliveryReports {
    metrics: Metrics,
    sizes: Sizes,
    /// Longest wait for a batch: the log stands still, and who would go now would wait as long again.
    wait_limit: Duration,
    queue: Mutex<SendQueue>,
    producer: OnceLock<Weak<BaseProducer<Self>>>,
}

impl DeliveryReports {
    fn queue(&self) -> MutexGuard<'_, SendQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One message less is in flight; after the last one the next batch goes.
    ///
    /// Called by the thread that polls the client library, and by a sender whose message the library refused at
    /// once. The batch is handed over without the lock, so that senders do not wait for all of it; meanwhile
    /// `handing_over` keeps what comes in the queue, or it would overtake the batch and a user's messages would
    /// change places. A batch of which everything was refused brings no report that would call this again:
    /// therefore the loop, without which the queue would stand still for good.
    fn on_report(&self) {
        let mut batch = {
            let mut queue = self.queue();
            queue.in_flight = queue.in_flight.saturating_sub(1);
            queue.next_batch()
        };
        while let Some(messages) = batch {
            let refused = self.hand_over(messages);
            let mut queue = self.queue();
            queue.handing_over = false;
            queue.in_flight = queue.in_flight.saturating_sub(refused);
            batch = queue.next_batch();
        }
    }

    /// Gives a batch to the client library; how many of it were refused.
    fn hand_over(&self, batch: Vec<QueuedMessage>) -> usize {
        let producer = self.producer.get().and_then(Weak::upgrade);
        let mut refused = 0;
        for QueuedMessage { message, reporter, since } in batch {
            let outcome = match &producer {
                _ if since.elapsed() > self.wait_limit => Err((SendError::late(), reporter)),
                Some(producer) => produce(producer, message, reporter),
                None => Err((SendError::closed(), reporter)),
            };
            if let Err((cause, reporter)) = outcome {
                refused += 1;
                // Nobody may wait for it any more.
                let _ = reporter.send(Err(cause));
            }
        }
        refused
    }
}

impl ClientContext for DeliveryReports {
    fn stats(&self, statistics: Statistics) {
        let throttles = statistics.brokers.values().filter_map(|broker| broker.throttle.as_ref());
        self.metrics.broker_throttle(throttles.map(|window| window.max).max().unwrap_or(0));
    }
}

impl ProducerContext for DeliveryReports {
    type DeliveryOpaque = Box<Reporter>;

    fn delivery(&self, result: &DeliveryResult<'_>, reporter: Box<Reporter>) {
        if let Ok(message) = result {
            let bytes = message.key_len() + message.payload_len();
            self.sizes.note(message.partition(), bytes);
        }
        let outcome = result.as_ref().map(|_| ()).map_err(|(cause, _)| refusal(cause));
        // First the next batch: those who wait for it have waited longer.
        self.on_report();
        let _ = reporter.send(outcome);
    }
}

fn produce(
    producer: &BaseProducer<DeliveryReports>,
    message: Outgoing,
    reporter: Reporter,
) -> Result<(), (SendError, Reporter)> {
    let record = BaseRecord::with_opaque_to(message.topic, Box::new(reporter))
        .key(&message.key)
        .payload(&message.value)
        .headers(message.headers);
    producer.send(record).map_err(|(cause, record)| (refusal(&cause), *record.delivery_opaque))
}

/// What an error of the client library says of a message.
fn refusal(cause: &KafkaError) -> SendError {
    match cause.rdkafka_error_code() {
        Some(RDKafkaErrorCode::QueueFull) => SendError::Full,
        // The library's own bound, and the broker's.
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => SendError::TooLarge,
        _ => SendError::Unknown(cause.to_string()),
    }
}

/// The client library, and the queue in front of it.
pub(super) struct BatchingProducer {
    producer: Arc<BaseProducer<DeliveryReports>>,
    /// Most that wait.
    limit: usize,
    stopping: Arc<AtomicBool>,
    reports: Option<JoinHandle<()>>,
}

impl BatchingProducer {
    /// With a library set up by `config`, a report for each message within `timeout`, and capacity for `limit`
    /// that wait.
    pub(super) fn new(
        config: &ClientConfig,
        timeout: Duration,
        limit: usize,
        metrics: Metrics,
    ) -> anyhow::Result<Self> {
        let mut config = config.clone();
        // While the log stands still, messages that wait need their report in time too.
        let wait_limit = timeout / 3;
        config
            .set("message.timeout.ms", (timeout - wait_limit).as_millis().max(1).to_string())
            // A batch is as long as the queue was, and some messages go without waiting.
            .set("queue.buffering.max.messages", limit.saturating_add(MAX_IN_FLIGHT).to_string());
        let (queue, producer) = (Mutex::default(), OnceLock::new());
        let reports = DeliveryReports { metrics, sizes: Sizes::default(), wait_limit, queue, producer };
        let producer: Arc<BaseProducer<DeliveryReports>> = Arc::new(config.create_with_context(reports)?);
        // Weak: the library's side must not keep itself alive.
        let _ = producer.context().producer.set(Arc::downgrade(&producer));
        let stopping = Arc::new(AtomicBool::new(false));
        let (polled, stop) = (Arc::clone(&producer), Arc::clone(&stopping));
        let reports = std::thread::Builder::new().name("kafka reports".to_owned()).spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                polled.poll(POLL);
            }
        })?;
        Ok(Self { producer, limit, stopping, reports: Some(reports) })
    }

    fn queue(&self) -> MutexGuard<'_, SendQueue> {
        self.producer.context().queue()
    }

    /// Sends a message, at once or with the next batch.
    pub(super) fn send(&self, message: Outgoing) -> Result<Report, SendError> {
        let (reporter, report) = oneshot::channel();
        {
            let mut queue = self.queue();
            // Nobody overtakes those who wait: a user's messages stay in their order.
            if !queue.is_open() {
                if queue.waiting.len() >= self.limit || queue.bytes >= MAX_WAITING_BYTES {
                    return Err(SendError::Full);
                }
                queue.bytes += message.bytes();
                queue.waiting.push(QueuedMessage { message, reporter, since: Instant::now() });
                return Ok(report);
            }
            queue.in_flight += 1;
        }
        produce(&self.producer, message, reporter).map_err(|(cause, _)| {
            self.producer.context().on_report();
            cause
        })?;
        Ok(report)
    }

    /// Calls the broker for what it knows of its topics. Blocks.
    pub(super) fn metadata(&self, timeout: Duration) -> Result<Metadata, KafkaError> {
        self.producer.client().fetch_metadata(None, timeout)
    }

    pub(super) fn sizes(&self) -> &Sizes {
        &self.producer.context().sizes
    }

    /// Why the client library sends nothing any more: an idempotent producer that cannot go on without breaking
    /// its promise says so once and for all.
    pub(super) fn fatal(&self) -> Option<String> {
        self.producer.client().fatal_error().map(|(_, why)| why)
    }

    /// Messages without a report.
    pub(super) fn unreported(&self) -> usize {
        let queue = self.queue();
        queue.in_flight + queue.waiting.len()
    }

    /// Waits until every message has its report, or the time is over. Blocks.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        let until = Instant::now() + timeout;
        while self.unreported() > 0 {
            let left = until.saturating_duration_since(Instant::now());
            // What is left belongs to a batch that went meanwhile; an error says that the time is over.
            if left.is_zero() || self.producer.flush(left).is_err() {
                return self.unreported() == 0;
            }
        }
        true
    }
}

impl Drop for BatchingProducer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(reports) = self.reports.take() {
            // It ends within `POLL`; that it panicked is in the log already.
            let _ = reports.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn producer(limit: usize) -> BatchingProducer {
        producer_for(limit, Duration::from_millis(200))
    }

    fn producer_for(limit: usize, timeout: Duration) -> BatchingProducer {
        let mut config = ClientConfig::new();
        // Nobody listens there.
        config.set("bootstrap.servers", "127.0.0.1:1");
        BatchingProducer::new(&config, timeout, limit, Metrics::default()).unwrap()
    }

    fn message() -> Outgoing {
        let (key, value, headers) = (b"user".to_vec(), b"{}".to_vec(), OwnedHeaders::new());
        Outgoing { topic: "notifications", key, value, headers }
    }

    #[tokio::test]
    async fn every_message_gets_a_report_when_the_broker_is_away() {
        let producer = producer(100);
        let reports: Vec<_> = (0..MAX_IN_FLIGHT + 20).map(|_| producer.send(message()).unwrap()).collect();
        assert_eq!(producer.unreported(), MAX_IN_FLIGHT + 20);
        for report in reports {
            assert!(matches!(report.await, Ok(Err(SendError::Unknown(_)))));
        }
        assert_eq!(producer.unreported(), 0);
    }

    #[tokio::test]
    async fn the_queue_is_bounded() {
        let producer = producer(3);
        let _taken: Vec<_> = (0..MAX_IN_FLIGHT + 3).map(|_| producer.send(message()).unwrap()).collect();
        assert!(matches!(producer.send(message()), Err(SendError::Full)));
    }

    #[tokio::test]
    async fn the_queue_is_bounded_in_bytes() {
        let producer = producer_for(1_000_000, Duration::from_secs(600));
        let _under_way: Vec<_> = (0..MAX_IN_FLIGHT).map(|_| producer.send(message()).unwrap()).collect();
        let large = || Outgoing { value: vec![b'x'; 512 << 10], ..message() };
        let waiting: Vec<_> = std::iter::from_fn(|| producer.send(large()).ok()).take(1_000).collect();
        assert_eq!(waiting.len(), MAX_WAITING_BYTES / (512 << 10));
        assert!(matches!(producer.send(message()), Err(SendError::Full)));
    }

    #[tokio::test]
    async fn a_message_that_is_too_large_is_reported_as_such() {
        let producer = producer(100);
        let large = Outgoing { value: vec![b'x'; 2_000_000], ..message() };
        let outcome = match producer.send(large) {
            Ok(report) => report.await.unwrap(),
            Err(cause) => Err(cause),
        };
        assert!(matches!(outcome, Err(SendError::TooLarge)), "{outcome:?}");
        assert_eq!(producer.unreported(), 0);
    }

    #[tokio::test]
    async fn a_flush_waits_for_the_batches_that_are_to_come() {
        let producer = producer(100);
        let reports: Vec<_> = (0..MAX_IN_FLIGHT + 1).map(|_| producer.send(message()).unwrap()).collect();
        assert!(producer.flush(Duration::from_secs(30)));
        assert_eq!((producer.unreported(), reports.len()), (0, MAX_IN_FLIGHT + 1));
    }
}
