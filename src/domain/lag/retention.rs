//! Retention that will overtake a commit: told before it deletes what nobody has read.

use serde::Serialize;
use std::time::Duration;

/// From this share of the retention on a message that waits is warned of.
pub const WARN_SHARE: f64 = 0.5;

/// Below this growth, in seconds a second, retention comes no nearer: it would take a hundred times as long as where
/// nobody reads.
const LEAST_GROWTH: f64 = 0.01;

/// Retention as it comes nearer to a commit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetentionOutlook {
    /// How far the oldest message that waits is on its way to be deleted.
    pub used: RetentionUse,
    /// Seconds until it may be, at the present rates; none where it comes no nearer.
    pub left_s: Option<f64>,
}

/// How far the oldest message that waits is on its way to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct RetentionUse {
    /// Its age over the time that the log keeps messages.
    pub share: f64,
    /// Seconds until it may be deleted; the log deletes whole segments, so it may last longer.
    pub left_s: f64,
}

impl RetentionUse {
    /// Of a message of this age in a log that keeps messages for `kept`.
    #[must_use]
    pub fn of(age_s: f64, kept: Duration) -> Self {
        let kept_s = kept.as_secs_f64();
        let share = if kept_s > 0.0 { age_s / kept_s } else { 1.0 };
        Self { share, left_s: (kept_s - age_s).max(0.0) }
    }

    /// Seconds until it may be deleted where the oldest message that waits grows older by `growth_per_s` seconds a
    /// second: 1 where nobody reads, as is assumed where the rate is not known. None where it does not grow older.
    #[must_use]
    pub fn left_at(&self, growth_per_s: Option<f64>) -> Option<f64> {
        match growth_per_s {
            None => Some(self.left_s),
            Some(growth) if growth <= LEAST_GROWTH => None,
            Some(growth) => Some(self.left_s / growth),
        }
    }

    /// Whether somebody has to be told.
    #[must_use]
    pub fn is_warned_of(&self) -> bool {
        self.share >= WARN_SHARE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_retention_is_warned_of_before_anything_is_lost() {
        let week = Duration::from_secs(7 * 86_400);
        let fresh = RetentionUse::of(3_600.0, week);
        assert!(!fresh.is_warned_of() && fresh.left_s > 6.0 * 86_400.0);
        let old = RetentionUse::of(5.0 * 86_400.0, week);
        assert!(old.is_warned_of() && (old.left_s - 2.0 * 86_400.0).abs() < 1.0);
        assert_eq!(RetentionUse::of(8.0 * 86_400.0, week).left_s, 0.0);
        assert!(RetentionUse::of(1.0, Duration::ZERO).is_warned_of());
    }

    #[test]
    fn the_time_that_is_left_follows_the_rate_at_which_the_oldest_grows_older() {
        let used = RetentionUse::of(600.0, Duration::from_secs(1_000));
        let left =
            [None, Some(1.0), Some(0.5), Some(2.0), Some(0.0), Some(-0.4)].map(|rate| used.left_at(rate));
        assert_eq!(left, [Some(400.0), Some(400.0), Some(800.0), Some(200.0), None, None]);
    }
}
