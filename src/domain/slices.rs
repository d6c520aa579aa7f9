//! The measured time of a level in slices, and what its client counted in each: requests by when they were
//! due, so that slices of several generators, and of a level, add up.

use super::distribution::Distribution;
use super::level::Window;
use serde::{Deserialize, Serialize};

/// Slices of a level at most; each costs the generators a little, and more tell little more.
const MOST: u64 = 32;

/// How the measured time of a level is cut. Generators are told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slicing {
    /// Start of the first one, seconds from the start of the level.
    pub start_s: u64,
    /// Length of each but the last, in seconds.
    pub length_s: u64,
    /// How many there are.
    pub count: u64,
    /// Length of all.
    pub seconds: u64,
}

impl Slicing {
    /// Cuts what is measured of these windows; none where nothing is.
    #[must_use]
    pub fn of(windows: &[Window]) -> Option<Self> {
        let measured = windows.iter().filter(|window| window.measured);
        let start_s = measured.clone().map(|window| window.start_s).min()?;
        let seconds: u64 = measured.map(|window| window.seconds).sum();
        let length_s = seconds.div_ceil(MOST).max(1);
        Some(Self { start_s, length_s, count: seconds.div_ceil(length_s), seconds })
    }

    /// The slice of a time, in seconds from the start of the level; what comes after the last one belongs
    /// to it.
    #[must_use]
    pub fn at(&self, at_s: f64) -> Option<usize> {
        let into = at_s - self.start_s as f64;
        (into >= 0.0 && self.count > 0)
            .then(|| (into as u64 / self.length_s.max(1)).min(self.count - 1) as usize)
    }

    /// The length of one of them, in seconds.
    #[must_use]
    pub fn length_of(&self, index: usize) -> u64 {
        self.seconds.saturating_sub(index as u64 * self.length_s).min(self.length_s)
    }
}

/// What a generator counted in a slice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SliceCounts {
    /// Requests that were started.
    pub requests: u64,
    /// Those that failed, those without an answer too.
    pub failed: u64,
    /// How long all that were due took or waited, whatever their end was.
    pub due: Distribution,
}

impl SliceCounts {
    /// Adds what another generator counted.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.due.add(&other.due);
    }
}

/// A slice of a level.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// Its start, seconds since the epoch.
    pub from_s: f64,
    /// Its length.
    pub seconds: u64,
    /// What was counted in it.
    #[serde(flatten)]
    pub counts: SliceCounts,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::level::Level;

    #[test]
    fn slices_cover_what_is_measured_and_nothing_else() {
        for seconds in [1, 2, 20, 61, 300, 3_600] {
            let windows = Level::open(100, seconds).windows(0.2);
            let cut = Slicing::of(&windows).unwrap();
            assert!(cut.count <= MOST, "{cut:?}");
            let lengths: u64 = (0..cut.count as usize).map(|index| cut.length_of(index)).sum();
            assert_eq!(lengths, cut.seconds, "{cut:?}");
            assert_eq!(cut.at(cut.start_s as f64 - 0.001), None, "{cut:?}");
            assert_eq!(cut.at(cut.start_s as f64), Some(0));
            let end = (cut.start_s + cut.seconds) as f64;
            assert_eq!(cut.at(end - 0.001), cut.at(end + 1.0), "{cut:?}");
        }
    }
}
