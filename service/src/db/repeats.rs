//! Whether rows that are to be inserted may be there already.

use std::sync::atomic::{AtomicU32, Ordering};

/// Statements without a repeat after which none is expected any more.
const QUIET: u32 = 32;

/// Remembers whether rows came that were there already.
///
/// To look for each row first (`ON CONFLICT`) costs PostgreSQL a third more of its time, and finds one
/// only after a worker died between storing and committing, or where callers repeat themselves. So rows
/// go in unlooked; where one is there the statement fails as a whole and goes again with looking, and
/// those that follow look from the start until that has found nothing for a while.
#[derive(Default)]
pub(super) struct Repeats(AtomicU32);

impl Repeats {
    /// Whether it is worth looking for each row.
    pub(super) fn are_expected(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// Says whether a statement met any.
    pub(super) fn note(&self, met: bool) {
        if met {
            self.0.store(QUIET, Ordering::Relaxed);
        } else {
            // Nothing is lost when two count at once: both count.
            let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_expected_for_a_while_after_one() {
        let repeats = Repeats::default();
        assert!(!repeats.are_expected());
        repeats.note(true);
        for _ in 0..QUIET {
            assert!(repeats.are_expected());
            repeats.note(false);
        }
        assert!(!repeats.are_expected());
        repeats.note(false);
        assert!(!repeats.are_expected());
    }
}
