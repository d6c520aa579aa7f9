//! Hands messages to the client library in waves: while one is under way, what comes waits for the next.
//!
//! An idempotent producer of librdkafka (2.12) has few messages of a partition under way, and its thread
//! asks for the time and the socket over and over while others wait behind them: at full load that was a
//! fifth of a core, and a wake-up for each message besides. Messages that wait here cost nothing, and go
//! as few large requests. A message that finds nothing under way does not wait.

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
const LINE_BYTES: usize = 64 << 20;
/// So many go at once: what an idempotent producer may have under way of one partition.
const AT_ONCE: usize = 5;
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

/// Told when the log has a message, or does not.
pub(super) type Report = oneshot::Receiver<Result<(), SendError>>;
type Reporter = oneshot::Sender<Result<(), SendError>>;

/// A message that waits.
struct Waiting {
    message: Outgoing,
    reporter: Reporter,
    since: Instant,
}

/// What was handed over, and what waits.
#[derive(Default)]
struct Line {
    under_way: usize,
    waiting: Vec<Waiting>,
    /// Bytes of those that wait.
    bytes: usize,
    /// A wave is on its way to the client library: who came later must not get there first.
    handing_over: bool,
}

impl Line {
    /// Whether a message goes without waiting.
    fn is_open(&self) -> bool {
        self.under_way < AT_ONCE && self.waiting.is_empty() && !self.handing_over
    }

    /// Everything that waits, once nothing is under way.
    fn next_wave(&mut self) -> Option<Vec<Waiting>> {
        if self.under_way > 0 || self.waiting.is_empty() || self.handing_over {
            return None;
        }
        // As many as go now are likely to come meanwhile.
        let room = Vec::with_capacity(self.waiting.len());
        let wave = std::mem::replace(&mut self.waiting, room);
        self.under_way = wave.len();
        self.bytes = 0;
        self.handing_over = true;
        Some(wave)
    }
}

/// The client library's side: it says here what became of each message.
struct Reports {
    metrics: Metrics,
    sizes: Sizes,
    /// Longest wait for a wave: the log stands still, and who would go now would wait as long again.
    patience: Duration,
    line: Mutex<Line>,
    producer: OnceLock<Weak<BaseProducer<Self>>>,
}

impl Reports {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One message less is under way; after the last one the next wave goes.
    fn ended(&self) {
        let mut wave = {
            let mut line = self.line();
            line.under_way = line.under_way.saturating_sub(1);
            line.next_wave()
        };
        while let Some(messages) = wave {
            let refused = self.hand_over(messages);
            let mut line = self.line();
            line.handing_over = false;
            line.under_way = line.under_way.saturating_sub(refused);
            wave = line.next_wave();
        }
    }

    /// Gives a wave to the client library; how many of it were refused.
    fn hand_over(&self, wave: Vec<Waiting>) -> usize {
        let producer = self.producer.get().and_then(Weak::upgrade);
        let mut refused = 0;
        for Waiting { message, reporter, since } in wave {
            let outcome = match &producer {
                _ if since.elapsed() > self.patience => Err((SendError::late(), reporter)),
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

impl ClientContext for Reports {
    fn stats(&self, statistics: Statistics) {
        let throttles = statistics.brokers.values().filter_map(|broker| broker.throttle.as_ref());
        self.metrics.broker_throttle(throttles.map(|window| window.max).max().unwrap_or(0));
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Reporter>;

    fn delivery(&self, result: &DeliveryResult<'_>, reporter: Box<Reporter>) {
        if let Ok(message) = result {
            let bytes = message.key_len() + message.payload_len();
            self.sizes.note(message.partition(), bytes);
        }
        let outcome = result.as_ref().map(|_| ()).map_err(|(cause, _)| refusal(cause));
        // First the next wave: those who wait for it have waited longer.
        self.ended();
        let _ = reporter.send(outcome);
    }
}

fn produce(
    producer: &BaseProducer<Reports>,
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

/// The client library, and the line before it.
pub(super) struct Waves {
    producer: Arc<BaseProducer<Reports>>,
    /// Most that wait.
    limit: usize,
    stopping: Arc<AtomicBool>,
    reports: Option<JoinHandle<()>>,
}

impl Waves {
    /// With a library set up by `config`, a report for each message within `timeout`, and room for `limit`
    /// that wait.
    pub(super) fn new(
        config: &ClientConfig,
        timeout: Duration,
        limit: usize,
        metrics: Metrics,
    ) -> anyhow::Result<Self> {
        let mut config = config.clone();
        // While the log stands still, who waits has to be told in time too.
        let patience = timeout / 3;
        config
            .set("message.timeout.ms", (timeout - patience).as_millis().max(1).to_string())
            // A wave is as long as the line was, and some go without a line.
            .set("queue.buffering.max.messages", limit.saturating_add(AT_ONCE).to_string());
        let (line, producer) = (Mutex::default(), OnceLock::new());
        let reports = Reports { metrics, sizes: Sizes::default(), patience, line, producer };
        let producer: Arc<BaseProducer<Reports>> = Arc::new(config.create_with_context(reports)?);
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

    fn line(&self) -> MutexGuard<'_, Line> {
        self.producer.context().line()
    }

    /// Sends a message, at once or with the next wave.
    pub(super) fn send(&self, message: Outgoing) -> Result<Report, SendError> {
        let (reporter, report) = oneshot::channel();
        {
            let mut line = self.line();
            // Nobody overtakes those who wait: a user's messages stay in their order.
            if !line.is_open() {
                if line.waiting.len() >= self.limit || line.bytes >= LINE_BYTES {
                    return Err(SendError::Full);
                }
                line.bytes += message.bytes();
                line.waiting.push(Waiting { message, reporter, since: Instant::now() });
                return Ok(report);
            }
            line.under_way += 1;
        }
        produce(&self.producer, message, reporter).map_err(|(cause, _)| {
            self.producer.context().ended();
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
        let line = self.line();
        line.under_way + line.waiting.len()
    }

    /// Waits until every message has its report, or the time is over. Blocks.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        let until = Instant::now() + timeout;
        while self.unreported() > 0 {
            let left = until.saturating_duration_since(Instant::now());
            // What is left is of a wave that went meanwhile; an error says that the time is over.
            if left.is_zero() || self.producer.flush(left).is_err() {
                return self.unreported() == 0;
            }
        }
        true
    }
}

impl Drop for Waves {
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

    fn waves(limit: usize) -> Waves {
        waves_for(limit, Duration::from_millis(200))
    }

    fn waves_for(limit: usize, timeout: Duration) -> Waves {
        let mut config = ClientConfig::new();
        // Nobody listens there.
        config.set("bootstrap.servers", "127.0.0.1:1");
        Waves::new(&config, timeout, limit, Metrics::default()).unwrap()
    }

    fn message() -> Outgoing {
        let (key, value, headers) = (b"user".to_vec(), b"{}".to_vec(), OwnedHeaders::new());
        Outgoing { topic: "notifications", key, value, headers }
    }

    #[tokio::test]
    async fn everybody_is_told_wave_after_wave_when_the_log_is_away() {
        let waves = waves(100);
        let reports: Vec<_> = (0..AT_ONCE + 20).map(|_| waves.send(message()).unwrap()).collect();
        assert_eq!(waves.unreported(), AT_ONCE + 20);
        for report in reports {
            assert!(matches!(report.await, Ok(Err(SendError::Unknown(_)))));
        }
        assert_eq!(waves.unreported(), 0);
    }

    #[tokio::test]
    async fn the_line_has_an_end() {
        let waves = waves(3);
        let _taken: Vec<_> = (0..AT_ONCE + 3).map(|_| waves.send(message()).unwrap()).collect();
        assert!(matches!(waves.send(message()), Err(SendError::Full)));
    }

    #[tokio::test]
    async fn the_line_has_an_end_in_bytes() {
        let waves = waves_for(1_000_000, Duration::from_secs(600));
        let _under_way: Vec<_> = (0..AT_ONCE).map(|_| waves.send(message()).unwrap()).collect();
        let large = || Outgoing { value: vec![b'x'; 512 << 10], ..message() };
        let waiting: Vec<_> = std::iter::from_fn(|| waves.send(large()).ok()).take(1_000).collect();
        assert_eq!(waiting.len(), LINE_BYTES / (512 << 10));
        assert!(matches!(waves.send(message()), Err(SendError::Full)));
    }

    #[tokio::test]
    async fn a_message_that_is_too_large_is_told_as_such() {
        let waves = waves(100);
        let large = Outgoing { value: vec![b'x'; 2_000_000], ..message() };
        let outcome = match waves.send(large) {
            Ok(report) => report.await.unwrap(),
            Err(cause) => Err(cause),
        };
        assert!(matches!(outcome, Err(SendError::TooLarge)), "{outcome:?}");
        assert_eq!(waves.unreported(), 0);
    }

    #[tokio::test]
    async fn a_flush_waits_for_the_waves_that_are_to_come() {
        let waves = waves(100);
        let reports: Vec<_> = (0..AT_ONCE + 1).map(|_| waves.send(message()).unwrap()).collect();
        assert!(waves.flush(Duration::from_secs(30)));
        assert_eq!((waves.unreported(), reports.len()), (0, AT_ONCE + 1));
    }
}
