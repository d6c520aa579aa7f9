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
    /// Takes `tokens` at once, or none. More than the bucket holds counts as all it holds.
    pub(crate) fn take(&self, tokens: u32, quota: Quota, now_ns: u64) -> Decision {
        let cost_ns = u64::from(tokens.min(quota.burst)) * quota.interval_ns;
        let span_ns = u64::from(quota.burst) * quota.interval_ns;
        let mut full_at = self.full_at_ns.load(Ordering::Relaxed);
        loop {
            let then = full_at.max(now_ns) + cost_ns;
            let ahead = then - now_ns;
            if ahead > span_ns {
                return Decision::Wait(Duration::from_nanos(ahead - span_ns));
            }
            let swapped =
                self.full_at_ns.compare_exchange_weak(full_at, then, Ordering::Relaxed, Ordering::Relaxed);
            match swapped {
                Ok(_) => {
                    let remaining = u32::try_from((span_ns - ahead) / quota.interval_ns).unwrap_or(u32::MAX);
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
    fn more_than_the_bucket_holds_passes_when_it_is_full() {
        let (bucket, quota) = (Bucket::default(), Quota::new(1, 5).unwrap());
        assert!(matches!(bucket.take(1_000, quota, 0), Decision::Pass { remaining: 0, .. }));
        assert_eq!(bucket.take(1_000, quota, 0), Decision::Wait(Duration::from_secs(5)));
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
