//! Every group, topic and partition that is followed: looks go in, what they mean comes out.

use super::PartitionLag;
use super::retention::{RetentionOutlook, RetentionUse};
use super::track::{LagStatus, PartitionSample, TimeBehind, Track};
use crate::domain::group::{Group, GroupType};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Partitions that are followed at most; what is beyond has no history.
const MOST: usize = 4_096;

/// A group as one look found it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupSample {
    /// Its name.
    pub group: String,
    /// How its members share what there is to read.
    #[serde(default)]
    pub kind: GroupType,
    /// `Stable`, `Empty`, …
    pub state: String,
    /// How many are in it.
    pub members: usize,
    /// The partitions it commits to or owns.
    pub partitions: Vec<OwnedLag>,
    /// Partitions besides that nobody answered for.
    #[serde(default)]
    pub unknown: usize,
    /// Why members or offsets are not known, if they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long the log keeps messages of a topic, in seconds; a topic whose messages it keeps for ever, or that was
    /// not asked about, is absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keeps_s: BTreeMap<String, f64>,
}

/// A partition and who owns it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OwnedLag {
    /// Offsets.
    pub lag: PartitionLag,
    /// The member that owns it.
    pub owner: Option<String>,
    /// When the oldest message that waits was written, in seconds since the epoch, if it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_s: Option<f64>,
}

/// A group with what its looks mean.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupView {
    /// Its name.
    pub group: String,
    /// How its members share what there is to read.
    pub kind: GroupType,
    /// `Stable`, `Empty`, …
    pub state: String,
    /// How many are in it.
    pub members: usize,
    /// The topics it consumes.
    pub topics: Vec<TopicView>,
    /// Partitions that nobody answered for; they are in no topic.
    pub unknown: usize,
    /// Why members or offsets are not known, if they are not.
    pub reason: Option<String>,
}

/// A topic of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicView {
    /// Its name.
    pub topic: String,
    /// Messages that wait.
    pub lag: i64,
    /// Messages that retention removed before they were committed.
    pub lost: i64,
    /// Messages written per second.
    pub in_per_s: Option<f64>,
    /// Messages committed per second.
    pub out_per_s: Option<f64>,
    /// Of the partition that is furthest behind.
    pub behind: Option<TimeBehind>,
    /// Of the partition that retention is nearest to; absent where nothing waits, or nothing is known of it.
    pub retention: Option<RetentionOutlook>,
    /// The worst of its partitions.
    pub status: LagStatus,
    /// In the order of their numbers.
    pub partitions: Vec<PartitionView>,
}

/// A partition of a topic of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionView {
    /// Its number.
    pub partition: i32,
    /// The committed offset; absent when nothing was ever committed.
    pub committed: Option<i64>,
    /// The end of the log.
    pub end: i64,
    /// Messages that wait.
    pub lag: i64,
    /// Messages that retention removed before they were committed.
    pub lost: i64,
    /// How old the oldest message that waits is.
    pub behind: Option<TimeBehind>,
    /// How near retention is to it.
    pub retention: Option<RetentionOutlook>,
    /// The member that owns it.
    pub owner: Option<String>,
    /// How it goes.
    pub status: LagStatus,
}

/// When everything that waits is worked off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clear {
    /// Nothing waits.
    Now,
    /// In so many seconds, at the present rates.
    In(f64),
    /// Not at the present rates.
    Never,
}

impl TopicView {
    /// When it is worked off; absent while the rates are not known.
    #[must_use]
    pub fn clear(&self) -> Option<Clear> {
        clear(self.lag, self.in_per_s, self.out_per_s)
    }
}

/// When `lag` messages are worked off at these rates.
#[must_use]
pub fn clear(lag: i64, in_per_s: Option<f64>, out_per_s: Option<f64>) -> Option<Clear> {
    if lag == 0 {
        return Some(Clear::Now);
    }
    let net = out_per_s? - in_per_s?;
    Some(if net > 0.0 { Clear::In(lag as f64 / net) } else { Clear::Never })
}

impl GroupView {
    /// Messages that wait; absent while it reads no topic whose lag is known.
    #[must_use]
    pub fn lag(&self) -> Option<i64> {
        (!self.topics.is_empty()).then(|| self.topics.iter().map(|topic| topic.lag).sum())
    }

    /// Whether the broker knows the group, by a member or by what it committed.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.members > 0 || !self.topics.is_empty() || self.state != Group::DEAD
    }

    /// The worst of its topics; a group without any is idle, one with unanswered partitions never ok.
    #[must_use]
    pub fn status(&self) -> LagStatus {
        let is_dark = self.unknown > 0 || (self.reason.is_some() && self.topics.is_empty());
        let least = if is_dark { LagStatus::Unknown } else { LagStatus::Ok };
        self.topics.iter().map(|topic| topic.status).max().unwrap_or(LagStatus::Ok).max(least)
    }
}

/// The looks so far, by group, topic and partition.
#[derive(Clone, Debug, Default)]
pub struct LagTracker {
    tracks: BTreeMap<String, BTreeMap<String, BTreeMap<i32, Track>>>,
}

impl LagTracker {
    /// Takes a look at every group and tells what is known now. Partitions that are gone are forgotten.
    pub fn take(&mut self, at_s: f64, groups: &[GroupSample]) -> Vec<GroupView> {
        self.tracks.retain(|name, _| groups.iter().any(|group| group.group == *name));
        groups.iter().map(|group| self.group(at_s, group)).collect()
    }

    fn group(&mut self, at_s: f64, sample: &GroupSample) -> GroupView {
        let followed: usize = self.tracks.values().flat_map(BTreeMap::values).map(BTreeMap::len).sum();
        let tracks = self.tracks.entry(sample.group.clone()).or_default();
        tracks.retain(|topic, _| sample.partitions.iter().any(|one| one.lag.topic == *topic));
        let mut topics: Vec<TopicView> = Vec::new();
        for one in &sample.partitions {
            let track = tracks.entry(one.lag.topic.clone()).or_default().entry(one.lag.partition);
            let mut unfollowed = Track::default();
            let track = match track {
                std::collections::btree_map::Entry::Vacant(_) if followed >= MOST => &mut unfollowed,
                entry => entry.or_default(),
            };
            // That no member is known to own it says nothing where members are not known.
            let is_owned = one.owner.is_some() || sample.reason.is_some();
            let keeps_s = sample.keeps_s.get(&one.lag.topic).copied();
            let partition = follow(track, at_s, one, is_owned, keeps_s);
            let rates = (track.in_per_s(), track.out_per_s());
            match topics.iter_mut().find(|topic| topic.topic == one.lag.topic) {
                Some(topic) => topic.add(partition, rates),
                None => topics.push(TopicView::of(&one.lag.topic, partition, rates)),
            }
        }
        topics.sort_by(|one, other| one.topic.cmp(&other.topic));
        for topic in &mut topics {
            topic.partitions.sort_by_key(|one| one.partition);
        }
        GroupView {
            group: sample.group.clone(),
            kind: sample.kind,
            state: sample.state.clone(),
            members: sample.members,
            topics,
            unknown: sample.unknown,
            reason: sample.reason.clone(),
        }
    }
}

fn follow(track: &mut Track, at_s: f64, one: &OwnedLag, owned: bool, keeps_s: Option<f64>) -> PartitionView {
    let lag = &one.lag;
    if let (Some(oldest_s), Some(committed)) = (one.oldest_s, lag.committed) {
        track.seed(oldest_s, committed + lag.lost);
    }
    track.push(PartitionSample {
        at_s,
        committed: lag.committed,
        end: lag.end,
        lag: lag.lag,
        lost: lag.lost,
        owned,
    });
    PartitionView {
        partition: lag.partition,
        committed: lag.committed,
        end: lag.end,
        lag: lag.lag,
        lost: lag.lost,
        behind: track.behind(),
        retention: outlook(track, keeps_s),
        owner: one.owner.clone(),
        status: track.status(),
    }
}

fn outlook(track: &Track, keeps_s: Option<f64>) -> Option<RetentionOutlook> {
    let keeps = Duration::try_from_secs_f64(keeps_s?).ok()?;
    let age = track.behind().filter(|_| track.last().is_some_and(|last| last.lag > 0))?;
    let used = RetentionUse::of(age.seconds, keeps);
    // What is only known to be older than the first look was not read since.
    let growth = if age.at_least { None } else { track.aging() };
    Some(RetentionOutlook { used, left_s: used.left_at(growth) })
}

type Rates = (Option<f64>, Option<f64>);

impl TopicView {
    fn of(topic: &str, partition: PartitionView, rates: Rates) -> Self {
        Self {
            topic: topic.to_owned(),
            lag: partition.lag,
            lost: partition.lost,
            in_per_s: rates.0,
            out_per_s: rates.1,
            behind: partition.behind,
            retention: partition.retention,
            status: partition.status,
            partitions: vec![partition],
        }
    }

    fn add(&mut self, partition: PartitionView, rates: Rates) {
        // A partition without a commit has no rate out; it takes nothing away from the others'.
        let sum = |one: Option<f64>, other: Option<f64>| match (one, other) {
            (None, None) => None,
            _ => Some(one.unwrap_or(0.0) + other.unwrap_or(0.0)),
        };
        self.lag += partition.lag;
        self.lost += partition.lost;
        (self.in_per_s, self.out_per_s) = (sum(self.in_per_s, rates.0), sum(self.out_per_s, rates.1));
        let later = |other: &TimeBehind| self.behind.is_none_or(|behind| other.seconds > behind.seconds);
        if partition.behind.as_ref().is_some_and(later) {
            self.behind = partition.behind;
        }
        let nearer = |one: &RetentionOutlook| self.retention.is_none_or(|is| one.used.share > is.used.share);
        if partition.retention.as_ref().is_some_and(nearer) {
            self.retention = partition.retention;
        }
        self.status = self.status.max(partition.status);
        self.partitions.push(partition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(group: &str, partitions: &[(i32, i64, i64)]) -> GroupSample {
        let one = |(partition, committed, end): &(i32, i64, i64)| OwnedLag {
            lag: PartitionLag::new("notifications", *partition, Some(*committed), 0, *end),
            owner: Some("worker-1".into()),
            oldest_s: None,
        };
        let partitions = partitions.iter().map(one).collect();
        let (group, state) = (group.into(), "Stable".into());
        GroupSample { group, state, members: 1, partitions, ..GroupSample::default() }
    }

    #[test]
    fn a_topic_sums_its_partitions_and_is_as_bad_as_the_worst() {
        let mut tracker = LagTracker::default();
        let mut seen = Vec::new();
        for second in 0..30 {
            let samples = [sample("workers", &[(1, second * 50, second * 50), (0, 100, 100 + second * 50)])];
            seen = tracker.take(second as f64, &samples);
        }
        let topic = &seen[0].topics[0];
        assert_eq!((topic.lag, topic.in_per_s, topic.out_per_s), (1_450, Some(100.0), Some(50.0)));
        assert_eq!((topic.status, topic.clear()), (LagStatus::Stalled, Some(Clear::Never)));
        assert_eq!(topic.partitions.iter().map(|one| one.partition).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(topic.partitions[1].status, LagStatus::Ok);
        assert!(topic.behind.unwrap().seconds > 20.0);
    }

    #[test]
    fn where_members_are_not_known_nobody_is_said_to_have_stopped() {
        let stands = |reason: Option<&str>| {
            let mut tracker = LagTracker::default();
            let mut seen = Vec::new();
            for second in 0..30 {
                let mut sample = sample("workers", &[(0, 100, 200)]);
                sample.partitions[0].owner = None;
                sample.reason = reason.map(str::to_owned);
                seen = tracker.take(f64::from(second), &[sample]);
            }
            seen[0].status()
        };
        assert_eq!((stands(None), stands(Some("no way to ask"))), (LagStatus::Stopped, LagStatus::Stalled));
        let dark =
            GroupSample { state: "Stable".into(), reason: Some("no way to ask".into()), ..sample("s", &[]) };
        assert_eq!(LagTracker::default().take(1.0, &[dark])[0].status(), LagStatus::Unknown);
    }

    #[test]
    fn what_is_lost_is_told_apart_and_what_is_unknown_is_not_ok() {
        let mut old = sample("workers", &[]);
        let lag = PartitionLag::new("notifications", 0, Some(10), 95, 100);
        old.partitions.push(OwnedLag { lag, owner: None, oldest_s: None });
        let topic = LagTracker::default().take(1.0, &[old])[0].topics[0].clone();
        assert_eq!((topic.lag, topic.lost), (5, 85));
        let mut dark = sample("workers", &[(0, 5, 5)]);
        dark.unknown = 2;
        let seen = &LagTracker::default().take(1.0, &[dark])[0];
        assert_eq!((seen.unknown, seen.lag(), seen.status()), (2, Some(0), LagStatus::Unknown));
    }

    #[test]
    fn retention_that_comes_nearer_is_told_with_the_time_that_is_left() {
        let outlook = |keeps_s: Option<f64>, read_per_s: i64| {
            let (mut tracker, mut seen) = (LagTracker::default(), Vec::new());
            for second in 0..40 {
                let mut one =
                    sample("workers", &[(0, second * read_per_s, second * 100), (1, second, second)]);
                one.keeps_s =
                    keeps_s.map(|seconds| ("notifications".to_owned(), seconds)).into_iter().collect();
                seen = tracker.take(second as f64, &[one]);
            }
            seen[0].topics[0].retention
        };
        assert_eq!(outlook(None, 0), None);
        // Nobody reads: after 39 s of 60 two thirds are used, and the rest goes by with the clock.
        let stopped = outlook(Some(60.0), 0).unwrap();
        assert!(stopped.used.is_warned_of() && stopped.left_s.is_some_and(|left| (left - 22.0).abs() < 2.0));
        let half = outlook(Some(60.0), 50).unwrap();
        let left = half.left_s.unwrap();
        assert!((left - half.used.left_s * 2.0).abs() < 8.0, "{half:?}");
        assert_eq!(outlook(Some(60.0), 100), None, "nothing waits");
    }

    #[test]
    fn time_to_clear_follows_the_rates() {
        assert_eq!(clear(0, None, None), Some(Clear::Now));
        assert_eq!(clear(100, Some(10.0), Some(30.0)), Some(Clear::In(5.0)));
        assert_eq!(clear(100, Some(30.0), Some(30.0)), Some(Clear::Never));
        assert_eq!(clear(100, None, Some(30.0)), None);
    }

    #[test]
    fn a_group_that_is_gone_is_forgotten() {
        let mut tracker = LagTracker::default();
        tracker.take(1.0, &[sample("one", &[(0, 0, 5)]), sample("two", &[(0, 0, 5)])]);
        tracker.take(2.0, &[sample("two", &[(0, 0, 5)])]);
        assert_eq!(tracker.tracks.len(), 1);
    }
}
