//! The pacing thread: deals each request to a core at its planned time.

use super::Shared;
use super::schedule::{Arrival, Schedule};
use crate::domain::level::Model;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

/// Requests that are due within so short a time are dealt together, at least …
const LEAST_GRAIN_S: f64 = 0.000_2;
/// … and at most: other generators pace by the millisecond too.
const MOST_GRAIN_S: f64 = 0.001;
/// The rate from which on it is the longest time.
const FULL_RATE: f64 = 24_000.0;
/// Longest sleep, so that a stop is noticed.
const LONGEST: Duration = Duration::from_millis(50);

/// Deals until the end or a stop. Answers how many requests no core could take.
pub(super) fn pace(shared: &Shared, feeds: &[Sender<Arrival>]) -> u64 {
    if shared.plan.model == Model::Closed {
        return 0;
    }
    let (mut dropped, mut core, mut together) = (0, 0, shared.begin);
    for arrival in Schedule::new(&shared.plan.windows, shared.plan.share, shared.plan.of) {
        let due = shared.begin + Duration::from_secs_f64(arrival.at_s);
        if due >= together {
            if !sleep_until(shared, due) {
                break;
            }
            together = due + grain(shared.rate_of(arrival.window));
            // One core for all of a grain: a single thread is woken for them.
            core = (core + 1) % feeds.len();
        }
        // A core that is full may have a neighbour that is not.
        let mut taken = false;
        for _ in 0..feeds.len() {
            match feeds[core].try_send(arrival) {
                Ok(()) => {
                    taken = true;
                    break;
                }
                Err(TrySendError::Full(_)) => core = (core + 1) % feeds.len(),
                Err(TrySendError::Closed(_)) => return dropped,
            }
        }
        dropped += u64::from(!taken);
    }
    dropped
}

/// How long requests are dealt together at a rate per second. Waking threads for each takes more of the
/// machine than it tells, and what it takes is missing to the service: at 24,000/s on two cores, with the
/// shortest time instead of the longest, the generator used 0.81 of a core instead of 0.58, and p99 was
/// twice as long. The answer time of a request that is dealt early counts from its start.
fn grain(rate: f64) -> Duration {
    Duration::from_secs_f64((rate / FULL_RATE * MOST_GRAIN_S).clamp(LEAST_GRAIN_S, MOST_GRAIN_S))
}

/// Sleeps until a request is due; false when the run was stopped meanwhile.
fn sleep_until(shared: &Shared, due: Instant) -> bool {
    loop {
        if shared.stopped() {
            return false;
        }
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        #[expect(clippy::disallowed_methods, reason = "a thread of its own")]
        std::thread::sleep(left.min(LONGEST));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_faster_the_more_are_dealt_together() {
        let at = |rate: f64| grain(rate).as_micros();
        assert_eq!(
            [at(10.0), at(4_800.0), at(12_000.0), at(24_000.0), at(90_000.0)],
            [200, 200, 500, 1_000, 1_000]
        );
    }
}
