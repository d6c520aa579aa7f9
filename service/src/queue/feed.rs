//! The messages of one partition on their way from the consumer's thread to the lane that handles
//! them, bounded, and how far the lane has got.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// One message as a lane sees it.
pub(crate) struct Message {
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
}

/// One partition.
pub(crate) struct Feed {
    /// The topic.
    pub(crate) topic: Box<str>,
    /// The partition.
    pub(crate) partition: i32,
    limit: usize,
    state: Mutex<State>,
    arrived: Notify,
    /// Signalled when there is room again and when the lane has ended.
    moved: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Message>,
    /// Timestamp of the oldest message that a lane has taken but not finished.
    taken_ms: Option<i64>,
    /// The next offset to read after everything that is finished.
    done: Option<i64>,
    committed: Option<i64>,
    closed: bool,
    ended: bool,
}

impl Feed {
    pub(super) fn new(topic: &str, partition: i32, limit: usize) -> Self {
        Self {
            topic: topic.into(),
            partition,
            limit: limit.max(1),
            state: Mutex::default(),
            arrived: Notify::new(),
            moved: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message; gives it back when there is no room within `patience`.
    pub(super) fn push(&self, message: Message, patience: Duration) -> Result<(), Message> {
        let until = Instant::now() + patience;
        let mut state = self.lock();
        while state.waiting.len() >= self.limit && !state.closed {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(message);
            }
            state = self.moved.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        // A closed feed's messages come again, to whoever has the partition then.
        if !state.closed {
            state.waiting.push_back(message);
            if state.waiting.len() == 1 || state.waiting.len() == self.limit {
                self.arrived.notify_one();
            }
        }
        Ok(())
    }

    /// Up to `max` messages: waits for the first, then at most `wait` for more. `None` once closed.
    pub(crate) async fn take(&self, max: usize, wait: Duration) -> Option<Vec<Message>> {
        let mut lingered = false;
        loop {
            {
                let mut state = self.lock();
                if state.closed {
                    return None;
                }
                let ready = state.waiting.len();
                if ready >= max.min(self.limit) || (ready > 0 && (lingered || wait.is_zero())) {
                    let batch: Vec<_> = state.waiting.drain(..ready.min(max)).collect();
                    state.taken_ms = batch.first().map(|message| message.timestamp_ms);
                    self.moved.notify_all();
                    return Some(batch);
                }
                lingered = ready > 0;
            }
            if lingered {
                let _ = tokio::time::timeout(wait, self.arrived.notified()).await;
            } else {
                self.arrived.notified().await;
            }
        }
    }

    /// Everything before `next` is stored: it may be committed.
    pub(crate) fn finish(&self, next: i64) {
        let mut state = self.lock();
        state.done = Some(next);
        state.taken_ms = None;
    }

    /// No more messages: the partition was given away, or the process ends.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.waiting.clear();
        self.arrived.notify_one();
        self.moved.notify_all();
    }

    /// Whether the partition was given away.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// The lane is done with this feed.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.moved.notify_all();
    }

    /// Waits until the lane has ended; `false` when it has not by `until`.
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

    /// The offset to commit, when it is further than the one committed last.
    pub(super) fn uncommitted(&self) -> Option<i64> {
        let mut state = self.lock();
        let due = state.done.filter(|done| state.committed.is_none_or(|committed| committed < *done));
        if due.is_some() {
            state.committed = due;
        }
        due
    }

    /// Timestamp of the oldest message that is not finished, in ms since the epoch.
    pub(super) fn oldest_ms(&self) -> Option<i64> {
        let state = self.lock();
        state.taken_ms.or_else(|| state.waiting.front().map(|message| message.timestamp_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(offset: i64) -> Message {
        Message {
            offset,
            timestamp_ms: 1_000 + offset,
            key: Box::default(),
            value: Box::default(),
            delay_ms: None,
            traceparent: None,
        }
    }

    #[tokio::test]
    async fn a_full_feed_gives_the_message_back_and_takes_it_after_a_batch() {
        let feed = Feed::new("t", 0, 2);
        assert!(feed.push(message(0), Duration::ZERO).is_ok());
        assert!(feed.push(message(1), Duration::ZERO).is_ok());
        let back = feed.push(message(2), Duration::from_millis(1)).err().unwrap();
        assert_eq!(feed.take(10, Duration::from_secs(60)).await.unwrap().len(), 2);
        assert_eq!(feed.oldest_ms(), Some(1_000));
        assert!(feed.push(back, Duration::ZERO).is_ok());
    }

    #[tokio::test]
    async fn only_what_is_finished_is_committed_and_only_once() {
        let feed = Feed::new("t", 0, 10);
        assert!(feed.push(message(4), Duration::ZERO).is_ok());
        let batch = feed.take(10, Duration::ZERO).await.unwrap();
        assert_eq!(feed.uncommitted(), None);
        feed.finish(batch[0].offset + 1);
        assert_eq!(feed.uncommitted(), Some(5));
        assert_eq!(feed.uncommitted(), None);
    }

    #[tokio::test]
    async fn a_closed_feed_drops_what_waits_and_ends_its_lane() {
        let feed = Feed::new("t", 0, 10);
        assert!(feed.push(message(0), Duration::ZERO).is_ok());
        feed.close();
        assert!(feed.take(10, Duration::ZERO).await.is_none());
        assert!(!feed.wait_ended(Instant::now()));
        feed.end();
        assert!(feed.wait_ended(Instant::now()));
        assert_eq!(feed.uncommitted(), None);
    }
}
