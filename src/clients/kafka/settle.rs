//! Whether messages wait at all: behind a commit there may be nothing but the control records of transactions,
//! which nobody can consume.

use super::Brokers;
use super::read::{FirstRecord, first_records, first_records_now};
use crate::domain::group::GroupType;
use crate::domain::lag::PartitionLag;
use crate::domain::lag::tracker::GroupSample;
use crate::error::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Partitions of a topic that are read at once.
const AT_ONCE: usize = 64;
/// Longest wait for their first records; those that do not answer wait as far as is known.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Sets lag to 0 where no record lies behind the commit.
///
/// # Errors
/// When the broker does not answer.
pub(super) async fn settle(brokers: &Brokers, lags: &mut [PartitionLag]) -> Result<()> {
    for (topic, starts) in starts(lags.iter()) {
        let found = first_records(brokers, &topic, starts, TIMEOUT).await?;
        for one in lags.iter_mut().filter(|one| one.topic == topic) {
            if found.get(&one.partition) == Some(&FirstRecord::Nothing) {
                one.lag = 0;
            }
        }
    }
    Ok(())
}

/// Where the first message that waits on each partition would be, by topic.
fn starts<'a>(lags: impl Iterator<Item = &'a PartitionLag>) -> BTreeMap<String, Vec<(i32, i64)>> {
    let mut starts: BTreeMap<String, Vec<(i32, i64)>> = BTreeMap::new();
    for one in lags.filter(|one| one.lag > 0) {
        let of = starts.entry(one.topic.clone()).or_default();
        if of.len() < AT_ONCE {
            of.push((one.partition, one.end - one.lag));
        }
    }
    starts
}

/// What is known of partitions that stand still. What moves is not read: it will be consumed.
#[derive(Debug, Default)]
pub(super) struct Settled {
    still: BTreeMap<(String, String, i32), Still>,
}

#[derive(Debug, PartialEq)]
struct Still {
    from: i64,
    end: i64,
    is_exhausted: Option<bool>,
}

impl Settled {
    /// Sets lag to 0 where a group has stood still since the last sample and no record lies behind its commit.
    pub(super) fn settle(&mut self, brokers: &Brokers, sample: &mut GroupSample) {
        // A share group's coordinator counts records itself.
        if sample.kind == GroupType::Share {
            return;
        }
        let mut lags: Vec<_> = sample.partitions.iter_mut().map(|one| &mut one.lag).collect();
        self.settle_lags(brokers, &sample.group, &mut lags);
    }

    /// The same for the partitions of one group.
    pub(super) fn settle_lags(&mut self, brokers: &Brokers, group: &str, lags: &mut [&mut PartitionLag]) {
        let key = |one: &PartitionLag| (group.to_owned(), one.topic.clone(), one.partition);
        let waiting: BTreeSet<_> = lags.iter().filter(|one| one.lag > 0).map(|one| key(one)).collect();
        self.still.retain(|known, _| known.0 != group || waiting.contains(known));
        let mut unread = Vec::new();
        for one in lags.iter().filter(|one| one.lag > 0) {
            let (from, end) = (one.end - one.lag, one.end);
            match self.still.get(&key(one)) {
                Some(known) if (known.from, known.end) == (from, end) => {
                    if known.is_exhausted.is_none() {
                        unread.push((**one).clone());
                    }
                }
                _ => {
                    self.still.insert(key(one), Still { from, end, is_exhausted: None });
                }
            }
        }
        for (topic, starts) in starts(unread.iter()) {
            // What cannot be read waits as far as is known.
            let found = first_records_now(brokers, &topic, &starts, TIMEOUT).unwrap_or_default();
            for (partition, first) in found {
                if let Some(known) = self.still.get_mut(&(group.to_owned(), topic.clone(), partition)) {
                    known.is_exhausted = Some(first == FirstRecord::Nothing);
                }
            }
        }
        for one in lags {
            let known = self.still.get(&key(one));
            if one.lag > 0 && known.is_some_and(|known| known.is_exhausted == Some(true)) {
                one.lag = 0;
            }
        }
    }

    /// Forgets groups that are not followed any more.
    pub(super) fn keep(&mut self, groups: &[GroupSample]) {
        self.still.retain(|known, _| groups.iter().any(|group| group.group == known.0));
    }
}
