//! How often a caller may come: a token bucket kept in one atomic number. Pure.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How much a bucket holds and how fast it fills again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    /// Tokens of a full bucket.
    pub(crate) burst: u32,
    /// Nanoseconds until one more token is there.
    interval_ns: u64,
}

impl Quota {
    /// A quota of `rate` a second and `burst` at once; `None` when there is no limit.
    pub(crate) fn new(rate: u32, burst: u32) -> Option<Self> {
        let interval_ns = 1_000_000_000_u64.checked_div(u64::from(rate))?;
        Some(Self { burst: burst.max(1), interval_ns: interval_ns.max(1) })
    }

    /// A quota of one each interval and `burst` at once.
    pub(crate) fn every(interval: Duration, burst: u32) -> Self {
        let interval_ns = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        Self { burst: burst.max(1), interval_ns: interval_ns.max(1) }
    }

    /// Seconds in which an empty bucket fills, rounded up.
    pub(crate) fn window_s(self) -> u64 {
        (u64::from(self.burst) * self.interval_ns).div_ceil(1_000_000_000)
    }
}

/// What a bucket says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Go on.
    Pass {
        /// Tokens left.
        remaining: u32,
        /// Seconds until the bucket is full again, rounded up.
        reset_s: u64,
    },
    /// Come again after this long.
    Wait(Duration),
}

/// The bucket of one caller. Time is given, in nanoseconds since any fixed moment.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    /// When the bucket is full again.
    full_at_ns: AtomicU64,
}

impl Bucket {
    /// Gives tokens back that were taken and not used.
    pub(crate) fn refund(&self, tokens: u32, quota: Quota) {
        let ns = u64::from(tokens).saturating_mul(quota.interval_ns);
        let back = |full_at: u64| Some(full_at.saturating_sub(ns));
        // Nothing refuses the change.
        let _ = self.full_at_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, back);
    }

    /// Takes `tokens` at once, or none. More than the bucket holds are taken from one that is full but for
    /// the request that asks; what is missing then is a debt that later requests wait for.
    pub(crate) fn take(&self, tokens: u32, quota: Quota, now_ns: u64) -> Decision {
        let needed = if tokens <= quota.burst { tokens } else { quota.burst - 1 };
        self.take_needing(needed, tokens, quota, now_ns)
    }

    /// The same for what a request brings that was counted as one already.
    pub(crate) fn take_more(&self, tokens: u32, quota: Quota, now_ns: u64) -> Decision {
        self.take_needing(tokens.min(quota.burst - 1), tokens, quota, now_ns)
    }

    /// Takes `tokens` where at least `needed` are there.
    fn take_needing(&self, needed: u32, tokens: u32, quota: Quota, now_ns: u64) -> Decision {
        let cost_ns = u64::from(tokens).saturating_mul(quota.interval_ns);
        let needed_ns = u64::from(needed).saturating_mul(quota.interval_ns);
        let span_ns = u64::from(quota.burst).saturating_mul(quota.interval_ns);
        let mut full_at = self.full_at_ns.load(Ordering::Relaxed);
        loop {
            let missing_ns = full_at.saturating_sub(now_ns).saturating_add(needed_ns);
            if tokens > 0 && missing_ns > span_ns {
                return Decision::Wait(Duration::from_nanos(missing_ns - span_ns));
            }
            let then = full_at.max(now_ns).saturating_add(cost_ns);
            let ahead = then - now_ns;
            let swapped =
                self.full_at_ns.compare_exchange_weak(full_at, then, Ordering::Relaxed, Ordering::Relaxed);
            match swapped {
                Ok(_) => {
                    let left = span_ns.saturating_sub(ahead) / quota.interval_ns;
                    let remaining = u32::try_from(left).unwrap_or(u32::MAX);
                    return Decision::Pass { remaining, reset_s: ahead.div_ceil(1_000_000_000) };
                }
                Err(current) => full_at = current,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn the_burst_passes_and_the_next_one_waits_its_turn() {
        let (bucket, quota) = (Bucket::default(), Quota::new(10, 3).unwrap());
        for left in [2, 1, 0] {
            let decision = bucket.take(1, quota, SECOND);
            assert!(
                matches!(decision, Decision::Pass { remaining, .. } if remaining == left),
                "{decision:?}"
            );
        }
        assert_eq!(bucket.take(1, quota, SECOND), Decision::Wait(Duration::from_millis(100)));
        assert!(matches!(bucket.take(1, quota, SECOND + SECOND / 10), Decision::Pass { remaining: 0, .. }));
    }

    #[test]
    fn what_does_not_pass_takes_nothing() {
        let (bucket, quota) = (Bucket::default(), Quota::new(1, 5).unwrap());
        assert!(matches!(bucket.take(3, quota, 0), Decision::Pass { remaining: 2, .. }));
        assert!(matches!(bucket.take(3, quota, 0), Decision::Wait(_)));
        assert!(matches!(bucket.take(2, quota, 0), Decision::Pass { remaining: 0, .. }));
    }

    #[test]
    fn more_than_the_bucket_holds_passes_when_it_is_full_but_for_the_request_itself() {
        let (bucket, quota) = (Bucket::default(), Quota::new(1, 5).unwrap());
        assert!(matches!(bucket.take(1, quota, 0), Decision::Pass { remaining: 4, .. }));
        assert!(matches!(bucket.take(1_000, quota, 0), Decision::Pass { remaining: 0, .. }));
        // All of it is paid for: 1,001 were taken, five at once.
        assert_eq!(bucket.take(1, quota, 0), Decision::Wait(Duration::from_secs(997)));
        assert!(matches!(bucket.take(1, quota, 997 * SECOND), Decision::Pass { remaining: 0, .. }));
    }

    #[test]
    fn a_batch_of_any_size_passes_when_its_caller_waits_as_told() {
        for (burst, more) in [(1, 1), (1, 999), (2, 1), (5, 3), (5, 4), (5, 5), (2_000, 999)] {
            let (bucket, quota) = (Bucket::default(), Quota::new(1, burst).unwrap());
            let (mut now, mut refused) = (0, 0);
            // Somebody has just emptied the bucket.
            assert!(matches!(bucket.take(burst, quota, now), Decision::Pass { .. }));
            loop {
                // The request is counted by itself, and what it brings after it was read.
                let wait = match bucket.take(1, quota, now) {
                    Decision::Wait(wait) => wait,
                    Decision::Pass { .. } => match bucket.take_more(more, quota, now) {
                        Decision::Pass { .. } => break,
                        Decision::Wait(wait) => {
                            bucket.refund(1, quota);
                            wait
                        }
                    },
                };
                refused += 1;
                assert!(refused <= 2, "{more} more of a burst of {burst} are refused for ever");
                now += u64::try_from(wait.as_nanos()).unwrap();
            }
        }
    }

    #[test]
    fn what_is_given_back_is_there_again() {
        let (bucket, quota) = (Bucket::default(), Quota::new(1, 1).unwrap());
        assert!(matches!(bucket.take(1, quota, SECOND), Decision::Pass { .. }));
        assert!(matches!(bucket.take(1, quota, SECOND), Decision::Wait(_)));
        bucket.refund(1, quota);
        assert!(matches!(bucket.take(1, quota, SECOND), Decision::Pass { .. }));
    }

    #[test]
    fn a_rate_of_zero_is_no_limit() {
        assert_eq!(Quota::new(0, 5), None);
        assert_eq!(Quota::new(1_000, 2_000).unwrap().window_s(), 2);
    }

    proptest! {
        #[test]
        fn never_more_than_burst_and_rate_allow(
            rate in 1_u32..2_000, burst in 1_u32..50, gaps in prop::collection::vec(0_u64..20_000_000, 1..200)
        ) {
            let (bucket, quota) = (Bucket::default(), Quota::new(rate, burst).unwrap());
            let (mut now, mut passed) = (0, 0_u64);
            for gap in gaps {
                now += gap;
                passed += u64::from(matches!(bucket.take(1, quota, now), Decision::Pass { .. }));
            }
            let allowed = u64::from(burst) + now * u64::from(rate) / SECOND + 1;
            prop_assert!(passed <= allowed, "{passed} of {allowed}");
        }
    }
}
