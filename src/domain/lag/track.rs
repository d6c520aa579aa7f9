//! What one partition did over the last minute: rates, seconds behind, and a status.
//!
//! The status follows Burrow's idea (a consumer that does not move, or moves back, or falls behind)
//! on a clock of our own: offsets are looked at once a second whether anybody commits or not, so an
//! idle group is never taken for a dead one.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Looks older than this tell nothing about the present.
const WINDOW_S: f64 = 60.0;
/// Rates are taken over this much of the window.
const RATE_S: f64 = 10.0;
/// A commit that stays where it is for so long, while messages wait, is not moving.
const STILL_S: f64 = 10.0;
/// Lag is judged to grow only when it was looked at for so long.
const TREND_S: f64 = 10.0;
/// Times of the end of the log that are kept; older ones are thinned, so they reach far back.
const ENDS: usize = 512;

/// How the consumption of a partition, a topic or a group goes; the later, the worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LagStatus {
    /// Nothing waits, or what waits is being worked off.
    Ok,
    /// Not looked at for long enough.
    #[default]
    Unknown,
    /// More waits than before, and it never caught up in between.
    Growing,
    /// The commit went back: somebody reset it, or a consumer repeats.
    Rewind,
    /// The commit is beyond the end: the topic was made anew, or its log truncated.
    #[serde(rename = "beyond end")]
    Beyond,
    /// Messages wait, a member owns the partition, and its commit does not move.
    Stalled,
    /// Messages wait, and nobody owns the partition.
    Stopped,
}

impl LagStatus {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Growing => "growing",
            Self::Rewind => "rewind",
            Self::Beyond => "beyond end",
            Self::Stalled => "stalled",
            Self::Stopped => "stopped",
        }
    }
}

/// One look at a partition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PartitionSample {
    /// When, in seconds since the epoch.
    pub at_s: f64,
    /// The committed offset; absent when nothing was ever committed.
    pub committed: Option<i64>,
    /// The end of the log.
    pub end: i64,
    /// Messages that wait.
    pub lag: i64,
    /// Messages behind the commit that retention removed.
    pub lost: i64,
    /// Whether a member owns the partition.
    pub owned: bool,
}

impl PartitionSample {
    /// Whether the commit is one of another log.
    fn is_beyond(&self) -> bool {
        self.committed.is_some_and(|committed| committed > self.end)
    }
}

/// How long ago the oldest message that waits was written.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimeBehind {
    /// Seconds.
    pub seconds: f64,
    /// It is longer than that: the message is older than our first look.
    pub at_least: bool,
}

/// The last minute of one partition. Memory is bounded.
#[derive(Clone, Debug, Default)]
pub struct Track {
    samples: VecDeque<PartitionSample>,
    /// When the end of the log was where, oldest first.
    ends: VecDeque<(f64, i64)>,
    /// When the oldest message that waited was how old, where that was known exactly.
    ages: VecDeque<(f64, f64)>,
}

impl Track {
    /// Takes a look. One that is not later than the last is ignored.
    pub fn push(&mut self, sample: PartitionSample) {
        if self.samples.back().is_some_and(|last| sample.at_s <= last.at_s) {
            return;
        }
        if self.ends.back().is_some_and(|(_, end)| sample.end < *end) {
            // The topic was made anew: what was known is about another log.
            *self = Self::default();
        }
        while self.samples.front().is_some_and(|first| sample.at_s - first.at_s > WINDOW_S) {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        self.ends.push_back((sample.at_s, sample.end));
        if self.ends.len() > ENDS {
            self.thin();
        }
        while self.ages.front().is_some_and(|first| sample.at_s - first.0 > WINDOW_S) {
            self.ages.pop_front();
        }
        if let Some(TimeBehind { seconds, at_least: false }) = self.behind() {
            self.ages.push_back((sample.at_s, seconds));
        }
    }

    /// By how many seconds a second the oldest message that waits grew older over the last minute: 1 where nobody
    /// reads, below 0 where the group catches up. Unknown where it was not followed for long enough.
    #[must_use]
    pub fn aging(&self) -> Option<f64> {
        let ((from_s, before), (to_s, after)) = (self.ages.front()?, self.ages.back()?);
        (to_s - from_s >= TREND_S).then(|| (after - before) / (to_s - from_s))
    }

    /// Tells when the message at the offset `end - 1` was written, if that is before our first look.
    pub fn seed(&mut self, at_s: f64, end: i64) {
        if self.ends.front().is_none_or(|(first, known)| at_s < *first && end <= *known) {
            self.ends.push_front((at_s, end));
        }
    }

    /// Drops every other entry of the older half: the recent past stays exact, the far past is coarser.
    fn thin(&mut self) {
        let half = self.ends.len() / 2;
        let mut place = 0;
        self.ends.retain(|_| {
            place += 1;
            place > half || place % 2 == 1
        });
    }

    /// The last look.
    #[must_use]
    pub fn last(&self) -> Option<&PartitionSample> {
        self.samples.back()
    }

    /// Looks of the last `seconds`.
    fn recent(&self, seconds: f64) -> impl DoubleEndedIterator<Item = &PartitionSample> {
        let from = self.last().map_or(f64::MAX, |last| last.at_s - seconds);
        self.samples.iter().filter(move |sample| sample.at_s >= from)
    }

    fn rate(&self, of: impl Fn(&PartitionSample) -> Option<i64>) -> Option<f64> {
        let mut samples = self.recent(RATE_S).filter_map(|sample| Some((sample.at_s, of(sample)?)));
        let first = samples.next()?;
        let last = samples.last()?;
        Some((last.1 - first.1) as f64 / (last.0 - first.0))
    }

    /// Messages written per second.
    #[must_use]
    pub fn in_per_s(&self) -> Option<f64> {
        self.rate(|sample| Some(sample.end))
    }

    /// Messages committed per second; below 0 after a rewind.
    #[must_use]
    pub fn out_per_s(&self) -> Option<f64> {
        self.rate(|sample| sample.committed)
    }

    /// How old the oldest message that waits is: the time at which the end of the log passed the
    /// commit, between two looks by interpolation.
    #[must_use]
    pub fn behind(&self) -> Option<TimeBehind> {
        let last = self.last()?;
        if last.is_beyond() {
            return None;
        }
        if last.lag == 0 {
            return Some(TimeBehind { seconds: 0.0, at_least: false });
        }
        // The first kept message is the oldest that waits.
        let committed = last.committed? + last.lost;
        let passed = self.ends.iter().position(|(_, end)| *end > committed)?;
        let after = self.ends[passed];
        let Some(before) = passed.checked_sub(1).map(|place| self.ends[place]) else {
            return Some(TimeBehind { seconds: last.at_s - after.0, at_least: true });
        };
        let share = (committed - before.1) as f64 / (after.1 - before.1) as f64;
        let at_s = before.0 + (after.0 - before.0) * share.clamp(0.0, 1.0);
        Some(TimeBehind { seconds: (last.at_s - at_s).max(0.0), at_least: false })
    }

    /// How it goes.
    #[must_use]
    pub fn status(&self) -> LagStatus {
        let Some(last) = self.last() else { return LagStatus::Unknown };
        if last.is_beyond() {
            return LagStatus::Beyond;
        }
        let commits = || self.samples.iter().filter_map(|sample| sample.committed);
        if commits().zip(commits().skip(1)).any(|(before, after)| after < before) {
            return LagStatus::Rewind;
        }
        if last.lag == 0 {
            return LagStatus::Ok;
        }
        if self.still_s() >= STILL_S {
            return if last.owned { LagStatus::Stalled } else { LagStatus::Stopped };
        }
        let watched_s = self.samples.front().map_or(0.0, |first| last.at_s - first.at_s);
        match watched_s < TREND_S {
            true => LagStatus::Unknown,
            false if self.grows() => LagStatus::Growing,
            false => LagStatus::Ok,
        }
    }

    /// For how long messages have waited without a commit.
    fn still_s(&self) -> f64 {
        let Some(last) = self.last() else { return 0.0 };
        let since = self
            .samples
            .iter()
            .rev()
            .take_while(|sample| sample.lag > 0 && sample.committed == last.committed)
            .last();
        since.map_or(0.0, |sample| last.at_s - sample.at_s)
    }

    /// Whether, since nothing waited last but over the last half minute at most, each third had more
    /// waiting than the one before, by at least what arrives in a second: batches make lag swing by
    /// about that much.
    fn grows(&self) -> bool {
        let samples = self.recent(WINDOW_S / 2.0).rev().take_while(|sample| sample.lag > 0);
        let mut samples: Vec<_> = samples.map(|sample| (sample.at_s, sample.lag as f64)).collect();
        samples.reverse();
        let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return false };
        if samples.len() < 6 || last.0 - first.0 < TREND_S {
            return false;
        }
        let lags: Vec<f64> = samples.iter().map(|(_, lag)| *lag).collect();
        let third = lags.len() / 3;
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let (early, middle, late) =
            (mean(&lags[..third]), mean(&lags[third..2 * third]), mean(&lags[2 * third..]));
        let swing = self.in_per_s().unwrap_or(0.0).max(10.0);
        early < middle && middle < late && late - early > swing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A track of looks once a second: committed and end by second.
    fn track(seconds: u32, owned: bool, of: impl Fn(i64) -> (Option<i64>, i64)) -> Track {
        let mut track = Track::default();
        for second in 0..seconds {
            let (committed, end) = of(i64::from(second));
            let lag = (end - committed.unwrap_or(0)).max(0);
            track.push(PartitionSample { at_s: f64::from(second), committed, end, lag, lost: 0, owned });
        }
        track
    }

    #[test]
    fn an_idle_group_is_ok_however_long_nobody_commits() {
        assert_eq!(track(120, true, |_| (Some(500), 500)).status(), LagStatus::Ok);
        assert_eq!(track(120, false, |_| (Some(500), 500)).status(), LagStatus::Ok);
        assert_eq!(track(120, false, |_| (None, 0)).status(), LagStatus::Ok);
    }

    #[test]
    fn a_commit_that_stays_is_stalled_with_an_owner_and_stopped_without() {
        let of = |second| (Some(100), 100 + second);
        assert_eq!(track(30, true, of).status(), LagStatus::Stalled);
        assert_eq!(track(30, false, of).status(), LagStatus::Stopped);
        assert_eq!(track(30, false, |second| (None, second)).status(), LagStatus::Stopped);
        // Two seconds without a commit happen in every rebalance.
        assert_ne!(track(3, false, of).status(), LagStatus::Stopped);
    }

    #[test]
    fn a_commit_that_goes_back_is_a_rewind() {
        let of = |second| (Some(if second == 20 { 10 } else { 1_000 + second }), 1_000 + second);
        assert_eq!(track(25, true, of).status(), LagStatus::Rewind);
        // A minute later it is history.
        assert_eq!(track(90, true, of).status(), LagStatus::Ok);
    }

    #[test]
    fn falling_behind_is_growing_and_catching_up_is_ok() {
        assert_eq!(track(30, true, |second| (Some(second * 80), second * 100)).status(), LagStatus::Growing);
        let catching_up = |second| (Some(second * 100), 3_000 + second * 50);
        assert_eq!(track(40, true, catching_up).status(), LagStatus::Ok);
    }

    #[test]
    fn batches_that_swing_around_a_level_do_not_grow() {
        let swings = |second| (Some(second * 100 + [0, 70, 30][second as usize % 3]), second * 100 + 90);
        assert_eq!(track(60, true, swings).status(), LagStatus::Ok);
    }

    #[test]
    fn rates_are_those_of_the_last_seconds() {
        let track = track(30, true, |second| (Some(second * 80), second * 100));
        assert_eq!((track.in_per_s(), track.out_per_s()), (Some(100.0), Some(80.0)));
        assert_eq!(Track::default().in_per_s(), None);
    }

    #[test]
    fn seconds_behind_are_interpolated_and_marked_when_older_than_the_first_look() {
        // 100 a second; at second 29 the commit is where the end was at second 23.5.
        let late = track(30, true, |second| (Some(2_350), second * 100));
        assert_eq!(late.behind(), Some(TimeBehind { seconds: 5.5, at_least: false }));
        let mut older = track(10, true, |second| (Some(50), 1_000 + second));
        assert_eq!(older.behind(), Some(TimeBehind { seconds: 9.0, at_least: true }));
        older.seed(-100.0, 50);
        let behind = older.behind().unwrap();
        assert!(!behind.at_least && (behind.seconds - 109.0).abs() < 1.0, "{behind:?}");
        assert_eq!(track(5, true, |_| (Some(7), 7)).behind().unwrap().seconds, 0.0);
    }

    #[test]
    fn what_waits_grows_older_as_fast_as_it_is_not_read() {
        let near =
            |track: &Track, wanted: f64| track.aging().is_some_and(|rate| (rate - wanted).abs() < 0.05);
        assert!(near(&track(40, true, |second| (Some(100), 100 + second * 100)), 1.0));
        assert!(near(&track(40, true, |second| (Some(second * 75), second * 100)), 0.25));
        assert!(near(&track(40, true, |second| (Some(second * 100), second * 100 + 50)), 0.0));
        assert_eq!(track(5, true, |second| (Some(100), 100 + second * 100)).aging(), None);
    }

    #[test]
    fn a_commit_beyond_the_end_is_neither_caught_up_nor_of_any_age() {
        let track = track(40, true, |second| if second < 20 { (Some(900), 1_000) } else { (Some(900), 3) });
        assert_eq!((track.status(), track.behind()), (LagStatus::Beyond, None));
    }

    #[test]
    fn what_retention_removed_is_not_behind() {
        let mut track = Track::default();
        for second in 0..30 {
            let lost = if second < 29 { 0 } else { 1_900 };
            let end = second * 100;
            let (at_s, committed) = (second as f64, Some(100));
            track.push(PartitionSample {
                at_s,
                committed,
                end,
                lag: (end - 100 - lost).max(0),
                lost,
                owned: true,
            });
        }
        assert_eq!(track.behind(), Some(TimeBehind { seconds: 9.0, at_least: false }));
    }

    #[test]
    fn a_topic_made_anew_is_a_new_log() {
        let track = track(40, true, |second| if second < 20 { (Some(900), 1_000) } else { (Some(3), 3) });
        assert_eq!(track.status(), LagStatus::Ok);
    }

    #[test]
    fn a_day_of_looks_takes_the_memory_of_a_minute() {
        let track = track(86_400, true, |second| (Some(second), second + 5));
        assert!(track.samples.len() <= 61 && track.ends.len() <= ENDS);
        assert_eq!(track.behind().map(|behind| behind.at_least), Some(false));
    }
}
