//! Retention that will overtake a commit: told before it deletes what nobody has read.

use serde::Serialize;
use std::time::Duration;

/// From this share of the retention on a message that waits is warned of.
pub const WARN_SHARE: f64 = 0.5;

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
}
