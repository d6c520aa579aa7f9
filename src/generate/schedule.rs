//! When each request of the open model is meant to start. Pure: seconds in, seconds out.

use crate::domain::level::Window;
use std::time::{Duration, Instant};

/// One request to make.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Arrival {
    /// Counted from 0 over the whole level.
    pub(super) number: u64,
    /// The window it belongs to.
    pub(super) window: usize,
    /// When it is meant to start, seconds from the start of the level.
    pub(super) at_s: f64,
}

impl Arrival {
    /// When it is meant to start, for a level that began at `begin`.
    pub(super) fn due(&self, begin: Instant) -> Instant {
        begin + Duration::from_secs_f64(self.at_s)
    }
}

/// The requests of a level in order, evenly spaced within each window. Several processes share one
/// level: each takes every n-th.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    windows: Vec<Window>,
    window: usize,
    in_window: u64,
    number: u64,
    share: u64,
    of: u64,
}

impl Schedule {
    /// The part `share` (from 0) of `of` of these windows.
    pub(super) fn new(windows: &[Window], share: u32, of: u32) -> Self {
        let (share, of) = (u64::from(share), u64::from(of.max(1)));
        Self { windows: windows.to_vec(), window: 0, in_window: 0, number: 0, share, of }
    }

    fn next_of_all(&mut self) -> Option<Arrival> {
        loop {
            let window = self.windows.get(self.window)?;
            let rate = f64::from(window.rate.unwrap_or(0));
            let planned = (rate * window.seconds as f64) as u64;
            if self.in_window >= planned {
                (self.window, self.in_window) = (self.window + 1, 0);
                continue;
            }
            // From the number and not by adding up steps, whose rounding would drift over a long window.
            let at_s = window.start_s as f64 + self.in_window as f64 / rate;
            let arrival = Arrival { number: self.number, window: self.window, at_s };
            self.in_window += 1;
            self.number += 1;
            return Some(arrival);
        }
    }
}

impl Iterator for Schedule {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        loop {
            let arrival = self.next_of_all()?;
            if arrival.number % self.of == self.share {
                return Some(arrival);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::level::Level;

    #[test]
    fn every_request_has_its_time_and_its_window() {
        let windows = Level::open(10, 10).windows(0.2);
        let all: Vec<_> = Schedule::new(&windows, 0, 1).collect();
        assert_eq!(all.len(), 100);
        assert_eq!((all[0].at_s, all[1].at_s, all[0].window), (0.0, 0.1, 0));
        assert_eq!((all[20].at_s, all[20].window), (2.0, 1));
        assert!(all.windows(2).all(|two| two[0].at_s < two[1].at_s));
    }

    #[test]
    fn processes_that_share_a_level_make_each_request_once() {
        let windows = Level::open(7, 5).windows(0.2);
        let mut numbers: Vec<_> =
            (0..3).flat_map(|share| Schedule::new(&windows, share, 3)).map(|one| one.number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..35).collect::<Vec<_>>());
    }

    #[test]
    fn a_spike_changes_the_rate_at_once() {
        let parts = ["10/s:10s", "100/s:5s", "10/s:10s"].map(|text| Level::by_rate(text).unwrap());
        let windows = Level::spike(&parts).unwrap().windows(0.0);
        let counts = |from: f64, to: f64| {
            Schedule::new(&windows, 0, 1).filter(|one| one.at_s >= from && one.at_s < to).count()
        };
        assert_eq!((counts(0.0, 10.0), counts(10.0, 15.0), counts(15.0, 25.0)), (100, 500, 100));
    }
}
