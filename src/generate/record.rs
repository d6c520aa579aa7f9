//! What one thread has counted: by window for the results, by second for whoever watches.

use crate::domain::profile::StatusSet;
use crate::domain::slices::{SliceCounts, Slicing};
use crate::error::{Context, Result};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Longest time that is told apart from longer ones, in µs: two minutes.
const LONGEST_US: u64 = 120_000_000;
/// Three significant figures: an error of at most one in a thousand.
const FIGURES: u8 = 3;

/// Counts of one window.
#[derive(Clone, Debug)]
pub(super) struct WindowCounts {
    pub(super) requests: u64,
    pub(super) failed: u64,
    /// Time that virtual users were busy, in µs.
    pub(super) busy_us: u64,
    /// Answer times of what succeeded, from the intended start, in µs.
    pub(super) answers: Histogram<u64>,
    /// How long everything that was due took or waited, whatever its end was, from the intended start, in
    /// µs. Requests that were dropped after they had waited for an idle user are in here alone.
    pub(super) due: Histogram<u64>,
}

/// Counts of one second.
#[derive(Clone, Debug)]
pub(super) struct SecondCounts {
    /// Seconds since the start of the level.
    pub(super) second: u64,
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) dropped: u64,
    /// How long all took that ended in it, from the intended start, in µs.
    pub(super) times: Histogram<u64>,
}

/// Everything that a thread counts.
#[derive(Clone, Debug)]
pub(super) struct ThreadCounts {
    pub(super) windows: Vec<WindowCounts>,
    /// By when requests were due.
    pub(super) slices: Vec<SliceCounts>,
    pub(super) accepted: u64,
    pub(super) dropped: u64,
    pub(super) errors: BTreeMap<String, u64>,
    /// Creations by thread: the first part of their ids, and what became of them.
    pub(super) creations: BTreeMap<String, Creations>,
    /// How late requests were sent although a connection was free, in µs.
    pub(super) late: Histogram<u64>,
}

/// The creations of one thread, numbered from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Creations {
    /// How many were sent.
    pub sent: u64,
    /// The numbers of those that were not acknowledged: they may be stored or not.
    pub unacknowledged: Vec<u64>,
}

/// Where a request counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WindowSlice {
    pub(super) window: usize,
    /// None in the warm-up.
    pub(super) slice: Option<usize>,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// With a success.
    Answered,
    /// With a success by which the service acknowledges that it took something.
    Acknowledged,
    /// Anything else, with its cause.
    Failed(String),
}

/// What the statuses of an answer mean.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    pub(super) success: StatusSet,
    pub(super) acknowledged: StatusSet,
}

impl Expected {
    pub(super) fn ending(&self, status: u16) -> Ending {
        if self.acknowledged.contains(status) {
            Ending::Acknowledged
        } else if self.success.contains(status) {
            Ending::Answered
        } else {
            Ending::Failed(format!("status {status}"))
        }
    }
}

pub(super) fn histogram() -> Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, LONGEST_US, FIGURES).context("cannot make a histogram")
}

impl SecondCounts {
    pub(super) fn new(second: u64) -> Result<Self> {
        Ok(Self { second, requests: 0, failed: 0, dropped: 0, times: histogram()? })
    }

    /// Adds the same second of another thread.
    pub(super) fn add(&mut self, other: &Self) -> Result<()> {
        self.requests += other.requests;
        self.failed += other.failed;
        self.dropped += other.dropped;
        self.times.add(&other.times).context("cannot add histograms")
    }
}

impl ThreadCounts {
    pub(super) fn new(windows: usize, slices: Option<&Slicing>) -> Result<Self> {
        let window = || {
            let (answers, due) = (histogram()?, histogram()?);
            Ok(WindowCounts { requests: 0, failed: 0, busy_us: 0, answers, due })
        };
        Ok(Self {
            windows: (0..windows).map(|_| window()).collect::<Result<_>>()?,
            slices: slices.map_or_else(Vec::new, |cut| vec![SliceCounts::default(); cut.count as usize]),
            accepted: 0,
            dropped: 0,
            errors: BTreeMap::new(),
            creations: BTreeMap::new(),
            late: histogram()?,
        })
    }

    /// Counts one request that ended.
    pub(super) fn ended(&mut self, place: WindowSlice, answer_us: u64, busy_us: u64, ending: &Ending) {
        let Some(counts) = self.windows.get_mut(place.window) else { return };
        if let Some(slice) = place.slice.and_then(|index| self.slices.get_mut(index)) {
            slice.requests += 1;
            slice.failed += u64::from(matches!(ending, Ending::Failed(_)));
            slice.due.record_us(answer_us);
        }
        counts.requests += 1;
        counts.busy_us += busy_us;
        // Longer than the longest counts as the longest.
        counts.due.saturating_record(answer_us);
        match ending {
            Ending::Failed(cause) => {
                counts.failed += 1;
                *self.errors.entry(cause.clone()).or_default() += 1;
            }
            Ending::Answered | Ending::Acknowledged => {
                counts.answers.saturating_record(answer_us);
                self.accepted += u64::from(*ending == Ending::Acknowledged);
            }
        }
    }

    /// Counts one request that waited for an idle user and was never made.
    pub(super) fn dropped(&mut self, place: WindowSlice, waited_us: u64) {
        self.dropped += 1;
        if let Some(counts) = self.windows.get_mut(place.window) {
            counts.due.saturating_record(waited_us);
        }
        if let Some(slice) = place.slice.and_then(|index| self.slices.get_mut(index)) {
            slice.due.record_us(waited_us);
        }
    }

    /// Adds what another thread counted.
    pub(super) fn add(&mut self, other: &Self) -> Result<()> {
        for (own, more) in self.windows.iter_mut().zip(&other.windows) {
            own.requests += more.requests;
            own.failed += more.failed;
            own.busy_us += more.busy_us;
            own.answers.add(&more.answers).context("cannot add histograms")?;
            own.due.add(&more.due).context("cannot add histograms")?;
        }
        for (own, more) in self.slices.iter_mut().zip(&other.slices) {
            own.add(more);
        }
        self.accepted += other.accepted;
        self.dropped += other.dropped;
        for (cause, count) in &other.errors {
            *self.errors.entry(cause.clone()).or_default() += count;
        }
        // Threads have names of their own.
        self.creations.extend(other.creations.clone());
        self.late.add(&other.late).context("cannot add histograms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUT: Slicing = Slicing { start_s: 0, length_s: 1, count: 2, seconds: 2 };

    fn at(window: usize, slice: usize) -> WindowSlice {
        WindowSlice { window, slice: Some(slice) }
    }

    #[test]
    fn a_status_means_what_the_request_says() {
        let expected = Expected { success: StatusSet::of(&[200, 202]), acknowledged: StatusSet::of(&[202]) };
        let endings = [202, 200, 201].map(|status| expected.ending(status));
        assert_eq!(endings, [Ending::Acknowledged, Ending::Answered, Ending::Failed("status 201".into())]);
    }

    #[test]
    fn failures_have_waited_without_an_answer_and_creations_are_counted() {
        let mut counts = ThreadCounts::new(2, Some(&CUT)).unwrap();
        counts.ended(at(1, 0), 5_000, 4_000, &Ending::Acknowledged);
        counts.ended(at(1, 1), 7_000, 6_000, &Ending::Answered);
        counts.ended(at(1, 1), 1, 1, &Ending::Failed("refused".into()));
        counts.ended(at(9, 0), 1, 1, &Ending::Answered);
        let [first, second] = &counts.slices[..] else { panic!("{:?}", counts.slices) };
        assert_eq!((first.requests, first.failed, first.due.count()), (1, 0, 1));
        assert_eq!((second.requests, second.failed, second.due.count()), (2, 1, 2));
        let window = &counts.windows[1];
        assert_eq!((window.requests, window.failed, window.answers.len()), (3, 1, 2));
        assert_eq!((window.due.len(), window.due.min()), (3, 1));
        assert_eq!((counts.accepted, counts.errors["refused"]), (1, 1));
        let mut sum = counts.clone();
        sum.add(&counts).unwrap();
        assert_eq!((sum.windows[1].answers.len(), sum.accepted), (4, 2));
        assert!(sum.windows[1].answers.value_at_quantile(0.5).abs_diff(5_000) <= 5);
    }

    #[test]
    fn a_dropped_request_has_waited_and_is_no_request_that_was_made() {
        let mut counts = ThreadCounts::new(1, Some(&CUT)).unwrap();
        counts.dropped(at(0, 1), 30_000_000);
        assert_eq!((counts.slices[1].requests, counts.slices[1].due.count()), (0, 1));
        let window = &counts.windows[0];
        assert_eq!((window.requests, window.failed, window.due.len(), counts.dropped), (0, 0, 1, 1));
    }
}
