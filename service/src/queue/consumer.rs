//! A member of the worker group: one thread that polls, one feed for each partition.
//!
//! Offsets are committed after the effect, never before. A partition that is given away is let go
//! only after its partition worker has finished the batch in progress and that batch is committed, so that the
//! next owner begins where this one stopped.

use super::client_config;
use super::feed::{Feed, PartitionMessage};
use crate::domain::lag::{AssignedLag, LogGap};
use crate::telemetry::trace;
use anyhow::anyhow;
use nsys_contract::config::{Kafka, Worker};
use nsys_contract::lag::PartitionLag;
use nsys_contract::topics::{self, headers};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long the broker waits for a member that says nothing before it gives its partitions away.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for partition workers to finish before partitions are given away unfinished.
const HANDOVER: Duration = Duration::from_secs(8);
/// How long the thread waits for a message, and so how late a finished batch is committed at most.
const TICK: Duration = Duration::from_millis(20);
/// Longest wait for the broker while partitions are assigned.
const ANSWER: Duration = Duration::from_secs(2);
/// How long a full feed may hold up the thread before its partitions are paused.
const PUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Most that the broker hands out of a partition at once. One thread deals to all feeds in turn: with the
/// client library's own megabyte a feed was full before the next one got anything, and its partition worker stood still.
const FETCH_BYTES: &str = "262144";

/// Pause of reading ahead once enough is read. The client library's own second is longer than what was
/// read lasts while a backlog is drained.
const FETCH_PAUSE_MS: &str = "20";

/// What a new member hands out: its partitions, each as a feed, and the gaps that it finds.
pub(crate) struct Subscribed {
    /// The member.
    pub(crate) consumer: Consumer,
    /// Every partition that has messages, once for each time it is assigned.
    pub(crate) feeds: mpsc::UnboundedReceiver<Arc<Feed>>,
    /// What is missing from the log.
    pub(crate) gaps: mpsc::UnboundedReceiver<LogGap>,
}

/// The feeds of the partitions this process has.
type Feeds = Mutex<HashMap<(Box<str>, i32), Arc<Feed>>>;

/// Where this process begins on partitions that were assigned and have no feed yet.
type Starts = Mutex<HashMap<(Box<str>, i32), i64>>;

struct Context {
    feeds: Arc<Feeds>,
    starts: Starts,
}

impl Context {
    fn starts(&self) -> MutexGuard<'_, HashMap<(Box<str>, i32), i64>> {
        self.starts.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
            Rebalance::Error(cause) => tracing::warn!(%cause, "The consumer group could not be rebalanced."),
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance
            && let Err(cause) = self.commit_starts(consumer, partitions)
        {
            // The first batch of each partition commits anyway.
            tracing::debug!(%cause, "The starting offsets of new partitions were not committed.");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        let feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        for one in offsets.elements() {
            let feed = feeds.get(&(one.topic().into(), one.partition()));
            if let (Some(feed), Offset::Offset(offset)) = (feed, one.offset())
                && (result.is_err() || one.error().is_err())
            {
                tracing::debug!(topic = %feed.topic, partition = feed.partition, offset, "An offset was not committed; retrying.");
                feed.commit_failed(offset);
            }
        }
    }
}

impl Context {
    /// Commits where this process begins on partitions that the group never committed to. Their lag is
    /// known from then on, and nobody who takes them over begins anywhere else. Where the group has committed,
    /// what comes next is known too.
    fn commit_starts(&self, consumer: &BaseConsumer<Self>, assigned: &TopicPartitionList) -> KafkaResult<()> {
        let committed = consumer.committed_offsets(assigned.clone(), ANSWER)?;
        let mut starts = TopicPartitionList::new();
        for one in committed.elements() {
            match one.offset() {
                Offset::Invalid => {
                    starts.add_partition_offset(one.topic(), one.partition(), Offset::Beginning)?;
                }
                Offset::Offset(next) => {
                    self.starts().insert((one.topic().into(), one.partition()), next);
                }
                _ => {}
            }
        }
        if starts.count() == 0 {
            return Ok(());
        }
        consumer.commit(&consumer.offsets_for_times(starts, ANSWER)?, CommitMode::Async)
    }
}

/// The offset that the group has committed; `None` where there is none, or the broker does not say.
fn committed(consumer: &BaseConsumer<Context>, topic: &str, partition: i32) -> Option<i64> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition(topic, partition);
    let found = consumer.committed_offsets(asked, ANSWER).ok()?;
    known_offset(&found.find_partition(topic, partition)?)
}

/// The offset that the broker told of a partition; `None` where it told none.
fn known_offset(one: &TopicPartitionListElem<'_>) -> Option<i64> {
    one.offset().to_raw().filter(|offset| *offset >= 0)
}

/// Lets the partition workers finish their batches, then commits what they stored.
///
/// It runs within the callback of a rebalance, and the partitions are gone when that returns; until then nobody
/// reads them. So all feeds are closed before any is waited for: the workers finish side by side, within one
/// `HANDOVER`. A worker that is slower stores its rows all the same, only without a commit; the next owner reads
/// the batch again and finds them stored. The commit is synchronous: one that is only on its way when the
/// partitions are gone is refused, and everything stored since the last one would be read twice.
fn hand_over(consumer: &BaseConsumer<Context>, going: &[Arc<Feed>]) {
    let until = Instant::now() + HANDOVER;
    for feed in going {
        feed.close();
    }
    for feed in going {
        if !feed.wait_ended(until) {
            tracing::warn!(topic = %feed.topic, partition = feed.partition, "A partition was revoked before its batch was finished.");
        }
    }
    commit(consumer, going, CommitMode::Sync);
}

fn commit(consumer: &BaseConsumer<Context>, feeds: &[Arc<Feed>], mode: CommitMode) {
    let mut offsets = TopicPartitionList::new();
    for feed in feeds {
        if let Some(next) = feed.uncommitted(matches!(mode, CommitMode::Sync))
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
    gaps: mpsc::UnboundedSender<LogGap>,
    stopping: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Consumer {
    /// Joins the group.
    pub(crate) fn subscribe(kafka: &Kafka, worker: &Worker) -> anyhow::Result<Subscribed> {
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
            .create_with_context(Context { feeds: Arc::clone(&feeds), starts: Starts::default() })?;
        inner.subscribe(&[topics::NOTIFICATIONS, topics::RETRY])?;
        let inner = Arc::new(inner);
        let stopping = Arc::new(AtomicBool::new(false));
        // As many as there are partitions, so it needs no bound of its own.
        let (opened, receiver) = mpsc::unbounded_channel();
        // A gap is followed by a message, or by nothing: there are no more of them than messages.
        let (gaps, found) = mpsc::unbounded_channel();
        let poller = Poller {
            consumer: Arc::clone(&inner),
            feeds: Arc::clone(&feeds),
            opened,
            gaps: gaps.clone(),
            batch: worker.batch_size,
            stopping: Arc::clone(&stopping),
        };
        let thread = std::thread::Builder::new()
            .name("consumer".to_owned())
            .spawn(move || poller.run())
            .map_err(|cause| anyhow!("cannot start the consumer's thread: {cause}"))?;
        let consumer = Self { inner, feeds, gaps, stopping, thread };
        Ok(Subscribed { consumer, feeds: receiver, gaps: found })
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
    pub(crate) fn lag(&self) -> Vec<AssignedLag> {
        let now_ms = crate::clock::now().as_millisecond();
        let read = || {
            let assigned = self.inner.assignment()?;
            if assigned.count() == 0 {
                return Ok(Vec::new());
            }
            let committed = self.inner.committed_offsets(assigned.clone(), Duration::from_secs(2))?;
            let at = |point| {
                let mut asked = assigned.clone();
                asked.set_all_offsets(point)?;
                self.inner.offsets_for_times(asked, Duration::from_secs(2))
            };
            let (begins, ends) = (at(Offset::Beginning)?, at(Offset::End)?);
            self.find_emptied(&committed, &begins, &ends);
            let feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
            let elements = ends.elements();
            let lags = elements.iter().filter_map(|end| {
                let (topic, partition) = (end.topic(), end.partition());
                let committed = known_offset(&committed.find_partition(topic, partition)?);
                let begin = begins.find_partition(topic, partition).and_then(|begin| known_offset(&begin));
                let (begin, end) = (begin.unwrap_or(0), known_offset(end)?);
                let lag = PartitionLag::new(topic, partition, committed, begin, end);
                let oldest = feeds.get(&(topic.into(), partition)).and_then(|feed| feed.oldest_ms());
                let oldest_s = oldest.map_or(0.0, |oldest| (now_ms - oldest).max(0) as f64 / 1_000.0);
                Some(AssignedLag { lag, oldest_s })
            });
            KafkaResult::Ok(lags.collect())
        };
        read().unwrap_or_else(|cause| {
            tracing::debug!(%cause, "The lag cannot be read.");
            Vec::new()
        })
    }

    /// Partitions of which everything was deleted that the group had not read: no message comes by which that
    /// would be noticed. Their ends are committed, or they would seem to lag for ever.
    fn find_emptied(
        &self,
        committed: &TopicPartitionList,
        begins: &TopicPartitionList,
        ends: &TopicPartitionList,
    ) {
        let feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        let mut emptied = TopicPartitionList::new();
        for one in committed.elements() {
            let (topic, partition) = (one.topic(), one.partition());
            let at = |list: &TopicPartitionList| {
                let found = list.find_partition(topic, partition).filter(|one| one.error().is_ok())?;
                known_offset(&found)
            };
            let (Some(first), Some(begin), Some(end)) = (at(committed), at(begins), at(ends)) else {
                continue;
            };
            let feed = feeds.get(&(topic.into(), partition));
            if begin != end || begin <= first || feed.is_some_and(|feed| !feed.is_idle()) {
                continue;
            }
            if let Some(feed) = feed {
                feed.skip_to(begin);
            }
            self.inner.context().starts().insert((topic.into(), partition), begin);
            // Nobody listens any more only while the process ends.
            let _ = self.gaps.send(LogGap { topic: topic.to_owned(), partition, first, next: begin });
            // An offset of the log is a valid one.
            let _ = emptied.add_partition_offset(topic, partition, Offset::Offset(begin));
        }
        drop(feeds);
        if emptied.count() > 0
            && let Err(cause) = self.inner.commit(&emptied, CommitMode::Async)
        {
            tracing::warn!(%cause, "The offsets of emptied partitions could not be committed.");
        }
    }
}

/// What the consumer's thread works with.
struct Poller {
    consumer: Arc<BaseConsumer<Context>>,
    feeds: Arc<Feeds>,
    opened: mpsc::UnboundedSender<Arc<Feed>>,
    gaps: mpsc::UnboundedSender<LogGap>,
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
                    tracing::warn!(%cause, "The log cannot be read; retrying.");
                    #[expect(clippy::disallowed_methods, reason = "a thread of its own")]
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
        let feed = self.feed(borrowed);
        let Err(mut waiting) = feed.push(read(borrowed), PUSH_TIMEOUT) else { return };
        let paused = self.consumer.assignment().and_then(|assigned| {
            self.consumer.pause(&assigned)?;
            Ok(assigned)
        });
        while !self.stopping.load(Ordering::Relaxed) {
            // Nothing comes while paused, except from a partition assigned meanwhile.
            if let Some(Ok(other)) = self.consumer.poll(TICK) {
                let feed = self.feed(&other);
                if feed.push(read(&other), PUSH_TIMEOUT).is_err() {
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

    /// Moves a partition back to a message that the feed had no capacity for.
    fn read_again(&self, message: &BorrowedMessage<'_>) {
        let back = Offset::Offset(message.offset());
        if let Err(cause) = self.consumer.seek(message.topic(), message.partition(), back, PUSH_TIMEOUT) {
            tracing::warn!(%cause, "A partition could not be rewound.");
        }
    }

    /// The feed of a message's partition. Messages that are missing before it are reported.
    fn feed(&self, message: &BorrowedMessage<'_>) -> Arc<Feed> {
        let feed = self.feed_of(message.topic(), message.partition());
        if let Some(first) = feed.skipped(message.offset()) {
            self.tell_gap(&feed, first, message.offset());
        }
        feed
    }

    fn feed_of(&self, topic: &str, partition: i32) -> Arc<Feed> {
        let key = (topic.into(), partition);
        let known = self.feeds.lock().unwrap_or_else(PoisonError::into_inner).get(&key).map(Arc::clone);
        if let Some(feed) = known {
            return feed;
        }
        // Only this thread adds feeds, so nobody does meanwhile.
        let start = self.consumer.context().starts().remove(&key);
        let start = start.or_else(|| committed(&self.consumer, topic, partition));
        let feed = Arc::new(Feed::new(topic, partition, self.batch, start));
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&feed));
        // Nobody listens any more only while the process ends.
        let _ = self.opened.send(Arc::clone(&feed));
        feed
    }

    /// Offsets may be left out by markers of transactions too: gone is what lies before the first one that the
    /// log still has.
    fn tell_gap(&self, feed: &Feed, first: i64, offset: i64) {
        let next = match self.consumer.fetch_watermarks(&feed.topic, feed.partition, ANSWER) {
            Ok((begin, _)) => begin.min(offset),
            // Rather an alarm too many than one too few.
            Err(_) => offset,
        };
        if next > first {
            let (topic, partition) = (feed.topic.to_string(), feed.partition);
            // Nobody listens any more only while the process ends.
            let _ = self.gaps.send(LogGap { topic, partition, first, next });
        }
    }
}

fn read(message: &BorrowedMessage<'_>) -> PartitionMessage {
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
    PartitionMessage {
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or_default(),
        key: message.key().unwrap_or_default().into(),
        value: message.payload().unwrap_or_default().into(),
        delay_ms,
        traceparent,
        copied,
    }
}
