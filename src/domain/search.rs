//! Search for the highest rate that keeps the objectives: double until it breaks, halve the gap, confirm.

use serde::{Deserialize, Serialize};

/// The search ends when the gap is at most this share of the rate that holds.
const GAP: f64 = 0.1;
/// Lowest rate that is tried, requests per second.
const LOWEST: u32 = 1;

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SearchResult {
    /// Highest rate that kept every objective, confirmed by a stage of its own; null when none did.
    pub rate_rps: Option<u32>,
    /// Lowest rate that broke one; null when none did.
    pub broke_at_rps: Option<u32>,
    /// What gave way there: the checks that failed.
    pub gave_way: Vec<String>,
    /// Whether the confirming stage kept the objectives.
    pub confirmed: bool,
    /// Why the search ended before the gap was small, when it did.
    pub ended_by: Option<String>,
}

/// How one probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// Every objective was kept.
    Kept,
    /// One was broken.
    Broke,
    /// The rate could not be offered: the service was not tested.
    NotOffered,
    /// It was cut short, or something that is needed to judge it could not be measured.
    Undecided,
}

/// What to try next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This rate.
    Probe(u32),
    /// This rate once more, for longer.
    Confirm(u32),
    /// The search is over.
    Done,
}

/// The state of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Searcher {
    first: u32,
    /// Rates that kept the objectives, ascending.
    kept: Vec<u32>,
    /// Lowest rate that broke one.
    broke: Option<u32>,
    /// Lowest rate that could not be offered.
    ceiling: Option<u32>,
    /// A rate of which nothing could be said; the search ends there.
    undecided: Option<u32>,
    confirmed: bool,
}

impl Searcher {
    /// Begins at `first` requests per second.
    #[must_use]
    pub const fn new(first: u32) -> Self {
        Self { first, kept: Vec::new(), broke: None, ceiling: None, undecided: None, confirmed: false }
    }

    /// What to try next.
    #[must_use]
    pub fn next(&self) -> Next {
        if self.undecided.is_some() {
            return Next::Done;
        }
        let upper = self.broke.into_iter().chain(self.ceiling).min();
        match (self.kept.last().copied(), upper) {
            (None, None) => Next::Probe(self.first),
            (Some(kept), None) => Next::Probe(kept.saturating_mul(2)),
            (None, Some(upper)) if upper <= LOWEST => Next::Done,
            (None, Some(upper)) => Next::Probe((upper / 2).max(LOWEST)),
            (Some(kept), Some(upper)) if f64::from(upper - kept) > (f64::from(kept) * GAP).max(1.0) => {
                Next::Probe(kept + (upper - kept) / 2)
            }
            (Some(_), Some(_)) if self.confirmed => Next::Done,
            (Some(kept), Some(_)) => Next::Confirm(kept),
        }
    }

    /// Takes the outcome of a probe, or of the confirming stage. What held for a short time and not
    /// for a long one does not hold.
    pub fn take(&mut self, tried: Next, outcome: ProbeOutcome) {
        let (rate, confirming) = match tried {
            Next::Probe(rate) => (rate, false),
            Next::Confirm(rate) => (rate, true),
            Next::Done => return,
        };
        match outcome {
            ProbeOutcome::Kept => {
                if !self.kept.contains(&rate) {
                    self.kept.push(rate);
                    self.kept.sort_unstable();
                }
                self.confirmed = confirming;
                return;
            }
            ProbeOutcome::Undecided => {
                (self.undecided, self.confirmed) = (Some(rate), false);
                return;
            }
            ProbeOutcome::Broke => self.broke = Some(self.broke.map_or(rate, |broke| broke.min(rate))),
            ProbeOutcome::NotOffered => {
                self.ceiling = Some(self.ceiling.map_or(rate, |ceiling| ceiling.min(rate)));
            }
        }
        self.kept.retain(|kept| *kept < rate);
        self.confirmed = false;
    }

    /// The result so far.
    #[must_use]
    pub fn result(&self) -> SearchResult {
        let limited = self.ceiling.filter(|ceiling| self.broke.is_none_or(|broke| *ceiling < broke));
        SearchResult {
            rate_rps: self.kept.last().copied(),
            broke_at_rps: self.broke,
            confirmed: self.confirmed,
            ended_by: self
                .undecided
                .map(|rate| {
                    format!("{rate}/s could not be judged: it was cut short, or not all was measured")
                })
                .or_else(|| limited.map(|ceiling| format!("the generator could not offer {ceiling}/s"))),
            ..SearchResult::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a search on a service that keeps its objectives up to `limit`.
    fn search(first: u32, limit: u32) -> (SearchResult, usize) {
        let mut searcher = Searcher::new(first);
        for tried in 0..100 {
            let next = searcher.next();
            let outcome = match next {
                Next::Probe(rate) | Next::Confirm(rate) if rate <= limit => ProbeOutcome::Kept,
                Next::Done => return (searcher.result(), tried),
                _ => ProbeOutcome::Broke,
            };
            searcher.take(next, outcome);
        }
        panic!("the search does not end");
    }

    #[test]
    fn the_limit_is_found_within_a_tenth_from_below_and_from_above() {
        for first in [100, 1_000, 50_000] {
            for limit in [90, 777, 1_234, 40_000] {
                let (found, tried) = search(first, limit);
                let rate = found.rate_rps.unwrap();
                assert!(
                    rate <= limit && f64::from(limit) < f64::from(rate) * 1.12 + 1.0,
                    "{limit}: {found:?}"
                );
                assert!(found.confirmed && tried < 20, "{tried} probes");
            }
        }
    }

    #[test]
    fn what_could_not_be_judged_is_neither_kept_nor_confirmed_and_ends_the_search() {
        let mut searcher = Searcher::new(100);
        searcher.take(Next::Probe(100), ProbeOutcome::Kept);
        searcher.take(Next::Probe(200), ProbeOutcome::Undecided);
        assert_eq!(searcher.next(), Next::Done);
        let found = searcher.result();
        assert_eq!((found.rate_rps, found.broke_at_rps, found.confirmed), (Some(100), None, false));
        assert!(found.ended_by.unwrap().contains("200/s could not be judged"));
        let mut searcher = Searcher::new(100);
        searcher.take(Next::Probe(100), ProbeOutcome::Kept);
        searcher.take(Next::Probe(105), ProbeOutcome::Broke);
        assert_eq!(searcher.next(), Next::Confirm(100));
        searcher.take(Next::Confirm(100), ProbeOutcome::Undecided);
        assert!(!searcher.result().confirmed && searcher.next() == Next::Done);
    }

    #[test]
    fn a_service_that_keeps_nothing_has_no_rate() {
        let (found, _) = search(100, 0);
        assert_eq!((found.rate_rps, found.confirmed), (None, false));
    }

    #[test]
    fn a_generator_at_its_limit_is_not_taken_for_the_service_s() {
        let mut searcher = Searcher::new(100);
        searcher.take(Next::Probe(100), ProbeOutcome::Kept);
        searcher.take(Next::Probe(200), ProbeOutcome::NotOffered);
        searcher.take(Next::Probe(150), ProbeOutcome::NotOffered);
        searcher.take(Next::Probe(110), ProbeOutcome::NotOffered);
        assert_eq!(searcher.next(), Next::Confirm(100));
        searcher.take(Next::Confirm(100), ProbeOutcome::Kept);
        assert_eq!(searcher.next(), Next::Done);
        let found = searcher.result();
        assert_eq!((found.rate_rps, found.broke_at_rps, found.confirmed), (Some(100), None, true));
        assert_eq!(found.ended_by.as_deref(), Some("the generator could not offer 110/s"));
    }

    #[test]
    fn a_rate_that_does_not_hold_for_long_gives_way_to_the_one_below() {
        let mut searcher = Searcher::new(100);
        searcher.take(Next::Probe(100), ProbeOutcome::Kept);
        searcher.take(Next::Probe(200), ProbeOutcome::Kept);
        searcher.take(Next::Probe(210), ProbeOutcome::Broke);
        searcher.take(Next::Confirm(200), ProbeOutcome::Broke);
        assert_eq!(searcher.next(), Next::Probe(150));
    }
}
