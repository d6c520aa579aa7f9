//! The pacing thread: deals each request to a core at its planned time.

use super::Shared;
use super::schedule::{Arrival, Schedule};
use crate::domain::level::Model;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

/// Requests that are due within so short a time are dealt together: waking for each would cost more
/// than it tells.
const GRAIN: Duration = Duration::from_micros(100);
/// Longest sleep, so that a stop is noticed.
const LONGEST: Duration = Duration::from_millis(50);

/// Deals until the end or a stop. Answers how many requests no core could take.
pub(super) fn pace(shared: &Shared, feeds: &[Sender<Arrival>]) -> u64 {
    if shared.plan.model == Model::Closed {
        return 0;
    }
    let (mut dropped, mut core) = (0, 0);
    for arrival in Schedule::new(&shared.plan.windows, shared.plan.share, shared.plan.of) {
        let due = shared.begin + Duration::from_secs_f64(arrival.at_s);
        if !sleep_until(shared, due) {
            break;
        }
        // A core that is full may have a neighbour that is not.
        let mut taken = false;
        for _ in 0..feeds.len() {
            core = (core + 1) % feeds.len();
            match feeds[core].try_send(arrival) {
                Ok(()) => {
                    taken = true;
                    break;
                }
                Err(TrySendError::Full(_)) => {}
                Err(TrySendError::Closed(_)) => return dropped,
            }
        }
        dropped += u64::from(!taken);
    }
    dropped
}

/// Sleeps until a request is due; false when the run was stopped meanwhile.
fn sleep_until(shared: &Shared, due: Instant) -> bool {
    loop {
        if shared.stopped() {
            return false;
        }
        let left = due.saturating_duration_since(Instant::now());
        if left < GRAIN {
            return true;
        }
        std::thread::sleep(left.min(LONGEST));
    }
}
