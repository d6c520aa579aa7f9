//! A member of the worker group: one thread that polls, one feed for each partition.
//!
//! Offsets are committed after the effect, never before. A partition that is given away is let go
//! only after its lane has finished the batch in progress and that batch is committed, so that the
//! next owner begins where this one stopped.

use super::client_config;
use super::feed::{Feed, Message};
use crate::telemetry::trace;
use anyhow::anyhow;
use nsys_contract::config::{Kafka, Worker};
use nsys_contract::topics::{self, headers};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long the broker waits for a member that says nothing before it gives its partitions away.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for lanes to finish before partitions are given away unfinished.
const HANDOVER: Duration = Duration::from_secs(8);
/// How long the thread waits for a message, and so how late a finished batch is committed at most.
const TICK: Duration = Duration::from_millis(20);
/// Longest wait for the broker while partitions are assigned.
const ANSWER: Duration = Duration::from_secs(2);
/// How long a full feed may hold up the thread before its partitions are paused.
const PATIENCE: Duration = Duration::from_secs(1);

/// Most that the broker hands out of a partition at once. One thread deals to all feeds in turn: with the
/// client library's own megabyte a feed was full before the next one got anything, and its lane stood still.
const FETCH_BYTES: &str = "262144";

/// Pause of reading ahead once enough is read. The client library's own second is longer than what was
/// read lasts while a backlog is drained.
const FETCH_PAUSE_MS: &str = "20";

/// How far one partition is behind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lag {
    /// The topic.
    pub(crate) topic: String,
    /// The partition.
    pub(crate) partition: i32,
    /// Messages that are not committed yet.
    pub(crate) messages: i64,
    /// Age of the oldest of them that this process has read, in s; 0 when there is none.
    pub(crate) seconds: f64,
}

/// The feeds of the partitions this process has.
type Feeds = Mutex<HashMap<(Box<str>, i32), Arc<Feed>>>;

struct Context {
    feeds: Arc<Feeds>,
}

impl ClientContext for Context {}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Revoke(partitions) => {
                let going: Vec<_> = {
                    let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
                    let elements = partitions.elements();
                    elements
                        .iter()
                        .filter_map(|one| feeds.remove(&(one.topic().into(), one.partition())))
                        .collect()
                };
                hand_over(consumer, &going);
            }
            Rebalance::Assign(partitions) => {
                tracing::debug!(count = partitions.count(), "Partitions were assigned.");
            }
            Rebalance::Error(cause) => tracing::warn!(%cause, "The group could not be rebalanced."),
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance
            && let Err(cause) = commit_starts(consumer, partitions)
        {
            // The first batch of each partition commits anyway.
            tracing::debug!(%cause, "The starts of new partitions are not committed.");
        }
    }
}

/// Commits where this process begins on partitions that the group never committed to. Their lag is
/// known from then on, and nobody who takes them over begins anywhere else.
fn commit_starts(consumer: &BaseConsumer<Context>, assigned: &TopicPartitionList) -> KafkaResult<()> {
    let committed = consumer.committed_offsets(assigned.clone(), ANSWER)?;
    let mut starts = TopicPartitionList::new();
    for one in committed.elements().iter().filter(|one| one.offset() == Offset::Invalid) {
        starts.add_partition_offset(one.topic(), one.partition(), Offset::Beginning)?;
    }
    if starts.count() == 0 {
        return Ok(());
    }
    consumer.commit(&consumer.offsets_for_times(starts, ANSWER)?, CommitMode::Async)
}

/// Lets the lanes finish their batch, then commits what they did.
fn hand_over(consumer: &BaseConsumer<Context>, going: &[Arc<Feed>]) {
    let until = Instant::now() + HANDOVER;
    for feed in going {
        feed.close();
    }
    for feed in going {
        if !feed.wait_ended(until) {
            tracing::warn!(topic = %feed.topic, partition = feed.partition, "A partition is given away before its batch is finished.");
        }
    }
    commit(consumer, going, CommitMode::Sync);
}

fn commit(consumer: &BaseConsumer<Context>, feeds: &[Arc<Feed>], mode: CommitMode) {
    let mut offsets = TopicPartitionList::new();
    for feed in feeds {
        if let Some(next) = feed.uncommitted()
            && let Err(cause) =
                offsets.add_partition_offset(&feed.topic, feed.partition, Offset::Offset(next))
        {
            tracing::warn!(%cause, "An offset cannot be committed.");
        }
    }
    if offsets.count() == 0 {
        return;
    }
    if let Err(cause) = consumer.commit(&offsets, mode) {
        // The batch comes again to whoever has the partition then; it finds its rows stored.
        tracing::warn!(%cause, "Finished batches could not be committed.");
    }
}

/// A member of the worker group. Dropping it does not end the thread; [`Consumer::leave`] does.
pub(crate) struct Consumer {
    inner: Arc<BaseConsumer<Context>>,
    feeds: Arc<Feeds>,
    stopping: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Consumer {
    /// Joins the group. Every partition that has messages comes out of the receiver once for each
    /// time it is assigned.
    pub(crate) fn subscribe(
        kafka: &Kafka,
        worker: &Worker,
    ) -> anyhow::Result<(Self, mpsc::UnboundedReceiver<Arc<Feed>>)> {
        let feeds = Arc::new(Feeds::default());
        let inner: BaseConsumer<Context> = client_config(kafka)
            .set("group.id", topics::WORKER_GROUP)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", topics::WORKER_OFFSET_RESET)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", SESSION_TIMEOUT.as_millis().to_string())
            .set("topic.metadata.refresh.interval.ms", "10000")
            .set("queued.max.messages.kbytes", "16384")
            .set("max.partition.fetch.bytes", FETCH_BYTES)
            .set("fetch.queue.backoff.ms", FETCH_PAUSE_MS)
            .create_with_context(Context { feeds: Arc::clone(&feeds) })?;
        inner.subscribe(&[topics::NOTIFICATIONS, topics::RETRY])?;
        let inner = Arc::new(inner);
        let stopping = Arc::new(AtomicBool::new(false));
        // As many as there are partitions, so it needs no bound of its own.
        let (opened, receiver) = mpsc::unbounded_channel();
        let poller = Poller {
            consumer: Arc::clone(&inner),
            feeds: Arc::clone(&feeds),
            opened,
            batch: worker.batch_size,
            stopping: Arc::clone(&stopping),
        };
        let thread = std::thread::Builder::new()
            .name("consumer".to_owned())
            .spawn(move || poller.run())
            .map_err(|cause| anyhow!("cannot start the consumer's thread: {cause}"))?;
        Ok((Self { inner, feeds, stopping, thread }, receiver))
    }

    /// Finishes the batches in progress, commits them, and leaves the group. Blocks.
    pub(crate) fn leave(self) {
        self.stopping.store(true, Ordering::Relaxed);
        if self.thread.join().is_err() {
            tracing::error!("The consumer's thread ended abnormally.");
        }
        self.inner.unsubscribe();
    }

    /// How far each assigned partition is behind. Blocks for as long as the broker takes to answer.
    pub(crate) fn lag(&self) -> Vec<Lag> {
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let read = || {
            let assigned = self.inner.assignment()?;
            if assigned.count() == 0 {
                return Ok(Vec::new());
            }
            let committed = self.inner.committed_offsets(assigned.clone(), Duration::from_secs(2))?;
            let mut ends = assigned;
            ends.set_all_offsets(Offset::End)?;
            let ends = self.inner.offsets_for_times(ends, Duration::from_secs(2))?;
            let feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
            let elements = ends.elements();
            let lags = elements.iter().filter_map(|end| {
                let at = committed.find_partition(end.topic(), end.partition())?.offset().to_raw();
                let end_offset = end.offset().to_raw().filter(|offset| *offset >= 0)?;
                // Never committed: everything waits.
                let messages = (end_offset - at.filter(|at| *at >= 0).unwrap_or(0)).max(0);
                let oldest =
                    feeds.get(&(end.topic().into(), end.partition())).and_then(|feed| feed.oldest_ms());
                let seconds = oldest.map_or(0.0, |oldest| (now_ms - oldest).max(0) as f64 / 1_000.0);
                Some(Lag { topic: end.topic().to_owned(), partition: end.partition(), messages, seconds })
            });
            KafkaResult::Ok(lags.collect())
        };
        read().unwrap_or_else(|cause| {
            tracing::debug!(%cause, "The lag cannot be read.");
            Vec::new()
        })
    }
}

/// What the consumer's thread works with.
struct Poller {
    consumer: Arc<BaseConsumer<Context>>,
    feeds: Arc<Feeds>,
    opened: mpsc::UnboundedSender<Arc<Feed>>,
    batch: usize,
    stopping: Arc<AtomicBool>,
}

impl Poller {
    fn run(self) {
        let mut committed_at = Instant::now();
        while !self.stopping.load(Ordering::Relaxed) {
            match self.consumer.poll(TICK) {
                Some(Ok(message)) => self.deal(&message),
                Some(Err(cause)) => {
                    tracing::warn!(%cause, "The log cannot be read; trying again.");
                    std::thread::sleep(Duration::from_millis(100));
                }
                None => {}
            }
            if committed_at.elapsed() >= TICK {
                commit(&self.consumer, &self.all(), CommitMode::Async);
                committed_at = Instant::now();
            }
        }
        let going: Vec<_> = {
            let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
            feeds.drain().map(|(_, feed)| feed).collect()
        };
        hand_over(&self.consumer, &going);
    }

    fn all(&self) -> Vec<Arc<Feed>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect()
    }

    /// Puts a message into its partition's feed. While that is full, everything is paused: polling
    /// goes on, or the broker would take this member for dead.
    fn deal(&self, borrowed: &BorrowedMessage<'_>) {
        let feed = self.feed(borrowed.topic(), borrowed.partition());
        let Err(mut waiting) = feed.push(read(borrowed), PATIENCE) else { return };
        let paused = self.consumer.assignment().and_then(|assigned| {
            self.consumer.pause(&assigned)?;
            Ok(assigned)
        });
        while !self.stopping.load(Ordering::Relaxed) {
            // Nothing comes while paused, except from a partition assigned meanwhile.
            if let Some(Ok(other)) = self.consumer.poll(TICK) {
                let feed = self.feed(other.topic(), other.partition());
                if feed.push(read(&other), PATIENCE).is_err() {
                    self.read_again(&other);
                }
            }
            commit(&self.consumer, &self.all(), CommitMode::Async);
            match feed.push(waiting, TICK) {
                Ok(()) => break,
                Err(back) => waiting = back,
            }
        }
        if let Err(cause) = paused.and_then(|paused| self.consumer.resume(&paused)) {
            tracing::warn!(%cause, "The partitions could not be paused and resumed.");
        }
    }

    /// Moves a partition back to a message for which there was no room.
    fn read_again(&self, message: &BorrowedMessage<'_>) {
        let back = Offset::Offset(message.offset());
        if let Err(cause) = self.consumer.seek(message.topic(), message.partition(), back, PATIENCE) {
            tracing::warn!(%cause, "A partition could not be moved back.");
        }
    }

    fn feed(&self, topic: &str, partition: i32) -> Arc<Feed> {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        let known = feeds.entry((topic.into(), partition));
        let feed = known.or_insert_with(|| {
            let feed = Arc::new(Feed::new(topic, partition, self.batch));
            // Nobody listens any more only while the process ends.
            let _ = self.opened.send(Arc::clone(&feed));
            feed
        });
        Arc::clone(feed)
    }
}

fn read(message: &BorrowedMessage<'_>) -> Message {
    let (mut delay_ms, mut traceparent, mut copied) = (None, None, true);
    for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
        let text = || header.value.and_then(|value| std::str::from_utf8(value).ok());
        if header.key == headers::BACKOFF_DELAY {
            delay_ms = text().and_then(|text| text.parse().ok());
        } else if header.key == headers::TRACEPARENT {
            traceparent = text().filter(|text| trace::is_sampled(text)).map(Into::into);
        } else if header.key == headers::UNCACHED {
            copied = false;
        }
    }
    Message {
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or_default(),
        key: message.key().unwrap_or_default().into(),
        value: message.payload().unwrap_or_default().into(),
        delay_ms,
        traceparent,
        copied,
    }
}
