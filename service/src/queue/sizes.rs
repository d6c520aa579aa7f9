//! How large messages are, by partition, learned from what this process puts on the log.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes that a message takes beside its key and its value, at most: headers, and the frame of a batch of one.
const FRAME: u64 = 256;

/// Bytes of so many messages.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    bytes: u64,
    messages: u64,
}

impl Sum {
    fn add(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.messages = self.messages.saturating_add(1);
    }

    fn mean(self) -> Option<u64> {
        self.bytes.checked_div(self.messages)
    }

    fn halved(self) -> Self {
        // With fewer than two there would be nothing left to divide by.
        if self.messages < 2 { self } else { Self { bytes: self.bytes / 2, messages: self.messages / 2 } }
    }
}

/// What was sent to one partition.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    /// Since nothing waited there.
    since_idle: Sum,
    /// Lately; what is older weighs less.
    lately: Sum,
}

impl Sent {
    /// The larger of both: a backlog may hold either kind.
    fn mean(self) -> Option<u64> {
        self.since_idle.mean().max(self.lately.mean())
    }
}

/// Sizes by partition.
#[derive(Debug, Default)]
pub(crate) struct Sizes(Mutex<Vec<Sent>>);

impl Sizes {
    fn lock(&self) -> MutexGuard<'_, Vec<Sent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log has taken a message of so many bytes.
    pub(super) fn note(&self, partition: i32, bytes: usize) {
        let Ok(partition) = usize::try_from(partition) else { return };
        let mut all = self.lock();
        if all.len() <= partition {
            all.resize(partition + 1, Sent::default());
        }
        let bytes = bytes as u64 + FRAME;
        all[partition].since_idle.add(bytes);
        all[partition].lately.add(bytes);
    }

    /// Bytes that a message of a partition takes, rather too many than too few: where this process has sent
    /// nothing, as many as on the partition with the largest. `None` before it has sent anything.
    pub(crate) fn mean(&self, partition: i32) -> Option<u64> {
        let all = self.lock();
        let own = usize::try_from(partition).ok().and_then(|partition| all.get(partition)?.mean());
        own.or_else(|| all.iter().filter_map(|sent| sent.mean()).max())
    }

    /// A moment has passed: what was sent before it weighs half, and where nothing waits a new backlog begins.
    pub(crate) fn pass(&self, is_idle: impl Fn(i32) -> bool) {
        for (partition, sent) in self.lock().iter_mut().enumerate() {
            sent.lately = sent.lately.halved();
            if i32::try_from(partition).is_ok_and(&is_idle) {
                sent.since_idle = sent.lately;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_known_before_something_was_sent() {
        assert_eq!(Sizes::default().mean(0), None);
    }

    #[test]
    fn a_partition_that_got_nothing_is_taken_for_the_one_with_the_largest() {
        let sizes = Sizes::default();
        sizes.note(0, 100);
        sizes.note(2, 5_000);
        assert_eq!(sizes.mean(0), Some(100 + FRAME));
        assert_eq!(sizes.mean(1), Some(5_000 + FRAME));
        assert_eq!(sizes.mean(9), Some(5_000 + FRAME));
    }

    #[test]
    fn small_messages_do_not_hide_the_large_ones_before_them_nor_after_them() {
        let sizes = Sizes::default();
        for bytes in [1_000_000, 1_000_000, 100, 100] {
            sizes.note(0, bytes);
        }
        assert_eq!(sizes.mean(0), Some(500_050 + FRAME));
        for _ in 0..40 {
            sizes.pass(|_| true);
            sizes.note(0, 100);
        }
        assert!(sizes.mean(0).unwrap() < 1_000, "{:?}", sizes.mean(0));
        for _ in 0..1_000 {
            sizes.note(0, 100);
        }
        for _ in 0..20 {
            sizes.pass(|_| false);
            sizes.note(0, 1_000_000);
        }
        assert!(sizes.mean(0).unwrap() > 400_000, "{:?}", sizes.mean(0));
    }
}
