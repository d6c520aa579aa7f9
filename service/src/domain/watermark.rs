//! The watermark of events: up to which number every event is visible. Pure.
//!
//! Events get their numbers when they are written and become visible when their transaction ends, so
//! a later number may be seen before an earlier one. Who takes a number locks the sequence, and holds that lock
//! until the end of the transaction, when what it wrote has become visible. So a number is safe once everybody
//! has let go who held the lock after the number was given.

use std::collections::VecDeque;
use std::time::Duration;

/// What the database says: first the highest number, then who holds the sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// The highest number given to an event.
    pub(crate) last_id: i64,
    /// The transactions that have taken a number and still run.
    pub(crate) holders: Vec<String>,
    pub(crate) now_ms: i64,
}

/// The safe number, and the moments that are to make a higher one safe.
#[derive(Debug)]
pub(crate) struct Watermark {
    safe: i64,
    waiting: VecDeque<Moment>,
    /// Longest wait for a transaction: one that is left open must not hold everybody up.
    max_hold: Duration,
}

impl Watermark {
    /// Nothing is safe yet. A transaction is waited for that long.
    pub(crate) const fn new(max_hold: Duration) -> Self {
        Self { safe: 0, waiting: VecDeque::new(), max_hold }
    }

    /// Takes a moment in; the answer is the number up to which everything is there.
    pub(crate) fn observe(&mut self, moment: Moment) -> i64 {
        let (holders, now_ms) = (moment.holders.clone(), moment.now_ms);
        self.waiting.push_back(moment);
        while let Some(first) = self.waiting.front_mut() {
            // Who has let go once is not waited for again.
            first.holders.retain(|holder| holders.contains(holder));
            let held = Duration::from_millis((now_ms - first.now_ms).max(0).unsigned_abs());
            if !first.holders.is_empty() && held < self.max_hold {
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

    const HOLD: Duration = Duration::from_secs(60);

    fn moment(last_id: i64, holders: &[&str], now_ms: i64) -> Moment {
        Moment { last_id, holders: holders.iter().map(|holder| (*holder).to_owned()).collect(), now_ms }
    }

    #[test]
    fn nobody_holds_the_sequence_so_everything_is_there() {
        assert_eq!(Watermark::new(HOLD).observe(moment(7, &[], 0)), 7);
    }

    #[test]
    fn a_number_waits_for_those_who_held_the_sequence_at_its_time() {
        let mut watermark = Watermark::new(HOLD);
        assert_eq!(watermark.observe(moment(7, &["3/1", "4/9"], 0)), 0);
        assert_eq!(watermark.observe(moment(9, &["4/9", "5/2"], 200)), 0, "4/9 may hold number 6");
        assert_eq!(watermark.observe(moment(9, &["5/2"], 400)), 7, "5/2 came after 7");
        assert_eq!(watermark.observe(moment(9, &["6/1"], 600)), 9);
    }

    #[test]
    fn a_transaction_left_open_does_not_hold_everybody_up() {
        let mut watermark = Watermark::new(HOLD);
        assert_eq!(watermark.observe(moment(7, &["3/1"], 0)), 0);
        assert_eq!(watermark.observe(moment(8, &["3/1"], 59_999)), 0);
        assert_eq!(watermark.observe(moment(8, &["3/1"], 60_000)), 7);
    }
}
