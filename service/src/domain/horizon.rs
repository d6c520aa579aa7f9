//! Up to which event everything is there. Pure.
//!
//! Events get their numbers when they are written and become visible when their transaction ends, so
//! a later number may be seen before an earlier one. A number is safe once every transaction that ran
//! when it was the highest has ended.

use std::collections::VecDeque;

/// Longest wait for a transaction, in ms: one that is left open must not hold everybody up.
const MAX_HOLD_MS: i64 = 10_000;

/// What the database says at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// The highest number given to an event.
    pub(crate) last_id: i64,
    /// The oldest transaction that still runs.
    pub(crate) oldest_running: i64,
    /// The next transaction.
    pub(crate) next: i64,
    pub(crate) now_ms: i64,
}

/// The safe number, and the moments that are to make a higher one safe.
#[derive(Debug, Default)]
pub(crate) struct Horizon {
    safe: i64,
    waiting: VecDeque<Moment>,
}

impl Horizon {
    /// Takes a moment in; the answer is the number up to which everything is there.
    pub(crate) fn observe(&mut self, moment: Moment) -> i64 {
        self.waiting.push_back(moment);
        while let Some(first) = self.waiting.front() {
            let ended = moment.oldest_running >= first.next;
            if !ended && moment.now_ms - first.now_ms < MAX_HOLD_MS {
                break;
            }
            self.safe = self.safe.max(first.last_id);
            self.waiting.pop_front();
        }
        self.safe
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(last_id: i64, oldest_running: i64, next: i64, now_ms: i64) -> Moment {
        Moment { last_id, oldest_running, next, now_ms }
    }

    #[test]
    fn nothing_runs_so_everything_is_there() {
        assert_eq!(Horizon::default().observe(moment(7, 100, 100, 0)), 7);
    }

    #[test]
    fn a_number_waits_for_the_transactions_of_its_time() {
        let mut horizon = Horizon::default();
        assert_eq!(horizon.observe(moment(7, 90, 100, 0)), 0);
        assert_eq!(horizon.observe(moment(9, 95, 105, 200)), 0, "95 may hold number 6");
        assert_eq!(horizon.observe(moment(9, 100, 106, 400)), 7);
        assert_eq!(horizon.observe(moment(9, 107, 107, 600)), 9);
    }

    #[test]
    fn a_transaction_left_open_does_not_hold_everybody_up() {
        let mut horizon = Horizon::default();
        assert_eq!(horizon.observe(moment(7, 90, 100, 0)), 0);
        assert_eq!(horizon.observe(moment(8, 90, 101, MAX_HOLD_MS)), 7);
    }
}
