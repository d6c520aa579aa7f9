//! The messages of one partition on their way from the consumer's thread to the partition worker that handles
//! them, bounded, and how far the partition worker has got.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// One message as a partition worker sees it.
pub(crate) struct PartitionMessage {
    /// Its place in the partition.
    pub(crate) offset: i64,
    /// When the broker or the producer dated it, in ms since the epoch.
    pub(crate) timestamp_ms: i64,
    /// The key.
    pub(crate) key: Box<[u8]>,
    /// The value.
    pub(crate) value: Box<[u8]>,
    /// From the headers of the retry topic: how long to wait first, in ms.
    pub(crate) delay_ms: Option<i64>,
    /// The trace it belongs to, when that is recorded.
    pub(crate) traceparent: Option<Box<str>>,
    /// Whether a copy of it may be in the cache already.
    pub(crate) copied: bool,
}

impl PartitionMessage {
    /// Bytes that it takes, about.
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.key.len() + self.value.len()
    }
}

/// Batches that a feed holds for its partition worker.
const BATCHES_AHEAD: usize = 4;
/// Bytes of one batch, but for its first message: a batch is in memory several times while it is stored.
const BATCH_BYTES: usize = 2 << 20;
/// Bytes that a feed holds for its partition worker, but for the last message.
const BYTES_AHEAD: usize = 4 << 20;
/// From so many messages after the first wait on, more are coming: that is worth waiting longer, because
/// what a batch costs beside its rows is paid once.
const MORE_ARE_COMING: usize = 8;
/// So many waits at most.
const WAITS: u32 = 4;
/// Pause before an offset is committed again that the broker did not take.
const COMMIT_PAUSE: Duration = Duration::from_millis(250);
/// No offset.
const UNKNOWN: i64 = -1;

/// One partition.
pub(crate) struct Feed {
    /// The topic.
    pub(crate) topic: Box<str>,
    /// The partition.
    pub(crate) partition: i32,
    /// Most messages of one batch.
    batch: usize,
    /// The offset that comes next, as far as nothing is missing.
    next: AtomicI64,
    state: Mutex<FeedState>,
    arrived: Notify,
    /// Signalled when there is capacity again and when the partition worker has ended.
    moved: Condvar,
}

#[derive(Default)]
struct FeedState {
    waiting: VecDeque<PartitionMessage>,
    /// Bytes of those that wait.
    bytes: usize,
    /// Timestamps of the oldest messages of each batch that the partition worker has taken but not finished.
    taken_ms: VecDeque<i64>,
    /// The next offset to read after everything that is finished.
    done: Option<i64>,
    committed: Option<i64>,
    /// Nothing is committed before: the broker did not take the last one.
    commit_after: Option<Instant>,
    closed: bool,
    ended: bool,
}

impl FeedState {
    /// The oldest messages: so many at most, and so many bytes but for the first one.
    fn batch(&mut self, most: usize) -> Vec<PartitionMessage> {
        let mut bytes = 0;
        let fits = |message: &&PartitionMessage| {
            let is_first = bytes == 0;
            bytes += message.bytes();
            is_first || bytes <= BATCH_BYTES
        };
        let count = self.waiting.iter().take(most).take_while(fits).count();
        let batch: Vec<_> = self.waiting.drain(..count).collect();
        self.bytes = self.bytes.saturating_sub(batch.iter().map(PartitionMessage::bytes).sum());
        batch
    }
}

impl Feed {
    /// With capacity for some batches of `batch` messages, of a partition whose first one is to have the offset
    /// `next`.
    pub(super) fn new(topic: &str, partition: i32, batch: usize, next: Option<i64>) -> Self {
        Self {
            next: AtomicI64::new(next.unwrap_or(UNKNOWN)),
            topic: topic.into(),
            partition,
            batch: batch.max(1),
            state: Mutex::default(),
            arrived: Notify::new(),
            moved: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, FeedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells which offset comes now. The one that should have come, when it was an earlier one.
    pub(super) fn skipped(&self, offset: i64) -> Option<i64> {
        let due = self.next.swap(offset + 1, Ordering::Relaxed);
        (due != UNKNOWN && due < offset).then_some(due)
    }

    /// Everything before this offset is accounted for.
    pub(super) fn skip_to(&self, offset: i64) {
        self.next.fetch_max(offset, Ordering::Relaxed);
    }

    /// Adds a message; gives it back when there is no capacity within `timeout`.
    pub(super) fn push(&self, message: PartitionMessage, timeout: Duration) -> Result<(), PartitionMessage> {
        let mut since = None;
        let mut state = self.lock();
        let is_full = |state: &FeedState| {
            state.waiting.len() >= self.batch * BATCHES_AHEAD || state.bytes >= BYTES_AHEAD
        };
        while is_full(&state) && !state.closed {
            let left = timeout.saturating_sub(since.get_or_insert_with(Instant::now).elapsed());
            if left.is_zero() {
                return Err(message);
            }
            state = self.moved.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        // A closed feed's messages come again, to whoever has the partition then.
        if !state.closed {
            let before = state.bytes;
            state.bytes += message.bytes();
            state.waiting.push_back(message);
            let is_whole = before < BATCH_BYTES && state.bytes >= BATCH_BYTES;
            if state.waiting.len() == 1 || state.waiting.len() == self.batch || is_whole {
                self.arrived.notify_one();
            }
        }
        Ok(())
    }

    /// One batch: waits for the first message, then `wait` for more, and up to four times as long while
    /// they come. `None` once closed.
    pub(crate) async fn take(&self, wait: Duration) -> Option<Vec<PartitionMessage>> {
        let mut waits = 0;
        loop {
            {
                let mut state = self.lock();
                if state.closed {
                    return None;
                }
                let ready = state.waiting.len();
                let waited = wait.is_zero() || waits >= if ready < MORE_ARE_COMING { 1 } else { WAITS };
                if ready >= self.batch || state.bytes >= BATCH_BYTES || (ready > 0 && waited) {
                    let batch = state.batch(self.batch);
                    state.taken_ms.extend(batch.first().map(|message| message.timestamp_ms));
                    self.moved.notify_all();
                    return Some(batch);
                }
                waits += u32::from(ready > 0);
            }
            if waits > 0 {
                let _ = tokio::time::timeout(wait, self.arrived.notified()).await;
            } else {
                self.arrived.notified().await;
            }
        }
    }

    /// The oldest batch that was taken is stored: everything before `next` may be committed.
    pub(crate) fn finish(&self, next: i64) {
        let mut state = self.lock();
        state.done = Some(next);
        state.taken_ms.pop_front();
    }

    /// No more messages: the partition was given away, or the process ends.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.waiting.clear();
        state.bytes = 0;
        self.arrived.notify_one();
        self.moved.notify_all();
    }

    /// Whether the partition was given away.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// The partition worker is done with this feed.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.moved.notify_all();
    }

    /// Waits until the partition worker has ended; `false` when it has not by `until`.
    pub(super) fn wait_ended(&self, until: Instant) -> bool {
        let mut state = self.lock();
        while !state.ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.moved.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// The offset to commit, when it is further than the one committed last. One that the broker did not take
    /// rests for a moment, unless it is the `last` chance.
    pub(super) fn uncommitted(&self, last: bool) -> Option<i64> {
        let mut state = self.lock();
        if !last && state.commit_after.is_some_and(|after| Instant::now() < after) {
            return None;
        }
        let due = state.done.filter(|done| state.committed.is_none_or(|committed| committed < *done));
        if due.is_some() {
            state.committed = due;
        }
        due
    }

    /// The broker did not take this offset: unless a later one is on its way, it is committed again.
    pub(super) fn commit_failed(&self, offset: i64) {
        let mut state = self.lock();
        if state.committed == Some(offset) {
            state.committed = None;
            state.commit_after = Some(Instant::now() + COMMIT_PAUSE);
        }
    }

    /// Whether everything that was read is finished.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.lock();
        state.waiting.is_empty() && state.taken_ms.is_empty()
    }

    /// Timestamp of the oldest message that is not finished, in ms since the epoch.
    pub(super) fn oldest_ms(&self) -> Option<i64> {
        let state = self.lock();
        state.taken_ms.front().copied().or_else(|| state.waiting.front().map(|message| message.timestamp_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(offset: i64) -> PartitionMessage {
        PartitionMessage {
            offset,
            timestamp_ms: 1_000 + offset,
            key: Box::default(),
            value: Box::default(),
            delay_ms: None,
            traceparent: None,
            copied: true,
        }
    }

    #[tokio::test]
    async fn a_full_feed_gives_the_message_back_and_takes_it_after_a_batch() {
        let feed = Feed::new("t", 0, 1, None);
        for offset in 0..BATCHES_AHEAD as i64 {
            assert!(feed.push(message(offset), Duration::ZERO).is_ok());
        }
        let back = feed.push(message(9), Duration::from_millis(1)).err().unwrap();
        assert_eq!(feed.take(Duration::from_secs(60)).await.unwrap().len(), 1);
        assert_eq!(feed.oldest_ms(), Some(1_000));
        assert!(feed.push(back, Duration::ZERO).is_ok());
    }

    #[tokio::test]
    async fn a_whole_batch_does_not_wait_and_a_few_messages_wait_once() {
        let feed = Feed::new("t", 0, 10, None);
        for offset in 0..13 {
            assert!(feed.push(message(offset), Duration::ZERO).is_ok());
        }
        let long = Duration::from_secs(60);
        assert_eq!(feed.take(long).await.unwrap().len(), 10);
        assert_eq!(feed.take(Duration::from_millis(1)).await.unwrap().len(), 3);
    }

    #[tokio::test]
    async fn only_what_is_finished_is_committed_and_only_once() {
        let feed = Feed::new("t", 0, 10, None);
        assert!(feed.push(message(4), Duration::ZERO).is_ok());
        let batch = feed.take(Duration::ZERO).await.unwrap();
        assert_eq!(feed.uncommitted(false), None);
        feed.finish(batch[0].offset + 1);
        assert_eq!(feed.uncommitted(false), Some(5));
        assert_eq!(feed.uncommitted(false), None);
    }

    #[tokio::test]
    async fn an_offset_that_the_broker_did_not_take_is_committed_again() {
        let feed = Feed::new("t", 0, 10, None);
        feed.finish(5);
        assert_eq!(feed.uncommitted(false), Some(5));
        feed.commit_failed(5);
        assert_eq!(feed.uncommitted(false), None, "it rests for a moment");
        assert_eq!(feed.uncommitted(true), Some(5));
        feed.finish(9);
        assert_eq!(feed.uncommitted(true), Some(9));
        feed.commit_failed(5);
        assert_eq!(feed.uncommitted(true), None, "a later one is on its way");
        feed.commit_failed(9);
        tokio::time::sleep(COMMIT_PAUSE * 2).await;
        assert_eq!(feed.uncommitted(false), Some(9));
    }

    #[test]
    fn offsets_that_are_left_out_are_told_once() {
        let feed = Feed::new("t", 0, 10, Some(3));
        assert_eq!(feed.skipped(3), None);
        assert_eq!(feed.skipped(7), Some(4));
        assert_eq!(feed.skipped(7), None, "one that is read again leaves out nothing");
        feed.skip_to(10);
        assert_eq!(feed.skipped(10), None);
        assert_eq!(Feed::new("t", 0, 10, None).skipped(10), None, "nobody knows what should have come");
    }

    #[tokio::test]
    async fn the_oldest_message_is_of_the_oldest_batch_in_progress() {
        let feed = Feed::new("t", 0, 1, None);
        for offset in 0..3 {
            assert!(feed.push(message(offset), Duration::ZERO).is_ok());
        }
        for batch in 0..2 {
            assert_eq!(feed.take(Duration::ZERO).await.unwrap()[0].offset, batch);
        }
        for oldest in 0..3 {
            assert_eq!(feed.oldest_ms(), Some(1_000 + oldest));
            feed.finish(oldest + 1);
        }
    }

    fn large(offset: i64) -> PartitionMessage {
        PartitionMessage { value: vec![b'x'; BATCH_BYTES / 4].into(), ..message(offset) }
    }

    #[tokio::test]
    async fn large_messages_go_in_small_batches_and_few_wait() {
        let feed = Feed::new("t", 0, 1_000, None);
        let mut taken = 0;
        while feed.push(large(taken), Duration::ZERO).is_ok() {
            taken += 1;
        }
        assert_eq!(taken as usize, BYTES_AHEAD / (BATCH_BYTES / 4), "the feed is full by its bytes");
        let long = Duration::from_secs(60);
        let batch = feed.take(long).await.unwrap();
        assert_eq!(batch.len(), 3, "a batch that is whole by its bytes does not wait");
        assert!(feed.push(large(taken), Duration::ZERO).is_ok());
        let huge = PartitionMessage { value: vec![b'x'; 2 * BYTES_AHEAD].into(), ..message(99) };
        let feed = Feed::new("t", 0, 1_000, None);
        assert!(feed.push(huge, Duration::ZERO).is_ok());
        assert_eq!(feed.take(long).await.unwrap().len(), 1, "one is taken whatever its size");
        assert_eq!(feed.lock().bytes, 0);
    }

    #[tokio::test]
    async fn a_closed_feed_drops_what_waits_and_ends_its_lane() {
        let feed = Feed::new("t", 0, 10, None);
        assert!(feed.push(message(0), Duration::ZERO).is_ok());
        feed.close();
        assert!(feed.take(Duration::ZERO).await.is_none());
        assert!(!feed.wait_ended(Instant::now()));
        feed.end();
        assert!(feed.wait_ended(Instant::now()));
        assert_eq!(feed.uncommitted(false), None);
    }
}
