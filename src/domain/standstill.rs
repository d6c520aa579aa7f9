//! Whether the service stood still: seconds in which nothing was answered although requests were due.
//!
//! Percentiles cannot show it in the closed model. Every user is stuck with one request, so that a long
//! standstill is a handful of slow requests among thousands of quick ones.

use super::guard;
use super::run::LevelResult;
use super::stream::Tick;

/// Below so many requests per second a second without an answer says nothing.
const LEAST_RATE: f64 = 2.0;
/// A standstill as short as this cannot be told from the edge between two seconds.
const SHORTEST_S: f64 = 1.0;

/// The longest time without any successful answer between two moments, in whole seconds. None where less
/// than half of the time was told.
#[must_use]
pub fn longest(seconds: &[Tick], from_s: f64, to_s: f64) -> Option<f64> {
    // A second is told when it is over.
    let ticks = seconds.iter().filter(|one| one.at_s > from_s + 0.5 && one.at_s <= to_s + 0.5);
    let (mut longest, mut run, mut count) = (0_u32, 0_u32, 0_u32);
    for one in ticks {
        run = if one.rate > one.errors { 0 } else { run + 1 };
        longest = longest.max(run);
        count += 1;
    }
    (f64::from(count) >= (to_s - from_s) / 2.0).then_some(f64::from(longest))
}

/// The longest standstill that is no failure, in seconds: the share of the measured time that may fail.
/// None where so few requests were due that a second without an answer says nothing.
#[must_use]
pub fn bound(level: &LevelResult, error_rate: f64) -> Option<f64> {
    // In the closed model as many are due as the users could make, had every answer been as quick.
    let closed = || level.success_ms.p50.map(|ms| f64::from(level.vus) * 1_000.0 / ms.max(0.001));
    let due = guard::planned(level).or_else(closed)?;
    (due >= LEAST_RATE).then(|| (level.steady_s as f64 * error_rate).max(SHORTEST_S))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::run::test_run;

    /// Twenty seconds from 100 on, with these answered.
    fn ticks(answered: impl Fn(u32) -> f64) -> Vec<Tick> {
        let second = |second: u32| Tick {
            at_s: 101.0 + f64::from(second),
            rate: answered(second) + 5.0,
            errors: 5.0,
            ..Tick::default()
        };
        (0..20).map(second).collect()
    }

    #[test]
    fn seconds_with_nothing_but_failures_are_a_standstill() {
        let half = ticks(|second| if second < 8 { 50.0 } else { 0.0 });
        assert_eq!(longest(&half, 100.0, 120.0), Some(12.0));
        let twice = ticks(|second| if (3..5).contains(&second) || second > 16 { 0.0 } else { 50.0 });
        assert_eq!(longest(&twice, 100.0, 120.0), Some(3.0));
        assert_eq!(longest(&twice, 100.0, 110.0), Some(2.0));
        assert_eq!(longest(&ticks(|_| 1.0), 100.0, 120.0), Some(0.0));
    }

    #[test]
    fn what_was_not_told_is_not_known() {
        assert_eq!(longest(&[], 100.0, 120.0), None);
        assert_eq!(longest(&ticks(|_| 0.0)[..4], 100.0, 120.0), None);
    }

    #[test]
    fn a_long_level_may_stand_still_for_longer_and_one_with_few_requests_says_nothing() {
        let mut level = test_run(&[10.0]).levels.remove(0);
        (level.steady_s, level.target_rps) = (20, Some(50));
        assert_eq!(bound(&level, 0.01), Some(1.0));
        level.steady_s = 3_600;
        assert_eq!(bound(&level, 0.01), Some(36.0));
        level.target_rps = Some(1);
        assert_eq!(bound(&level, 0.01), None);
        (level.target_rps, level.vus, level.success_ms.p50) = (None, 20, Some(100.0));
        assert_eq!(bound(&level, 0.01), Some(36.0));
        level.success_ms.p50 = None;
        assert_eq!(bound(&level, 0.01), None);
    }
}
