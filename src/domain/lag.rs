//! Consumer lag: of one partition at one look, and over time in [`track`] and [`book`].

pub mod book;
pub mod track;

use serde::{Deserialize, Serialize};

/// Lag of one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionLag {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The group's committed offset; absent when nothing was ever committed.
    pub committed: Option<i64>,
    /// The end of the log.
    pub end: i64,
    /// Messages that wait.
    pub lag: i64,
}

impl PartitionLag {
    /// From the offsets. Without a commit the whole log waits, counted from its first message.
    #[must_use]
    pub fn new(topic: &str, partition: i32, committed: Option<i64>, first: i64, end: i64) -> Self {
        let lag = (end - committed.unwrap_or(first)).max(0);
        Self { topic: topic.to_owned(), partition, committed, end, lag }
    }
}

/// What a group committed on one partition, and where the log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOffsets {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Absent when nothing was ever committed.
    pub committed: Option<i64>,
    /// First offset that is kept; only asked for where nothing was committed.
    pub begin: Option<i64>,
    /// End of the log; absent when no broker leads the partition.
    pub end: Option<i64>,
}

impl GroupOffsets {
    /// Messages that wait. Without a commit that depends on where the group's consumers begin, which
    /// the broker does not know: then it is only told for a group known to begin at the first
    /// message, and for an empty log.
    #[must_use]
    pub fn lag(&self, begins_at_first: bool) -> Option<i64> {
        let end = self.end?;
        match (self.committed, self.begin) {
            (Some(committed), _) => Some((end - committed).max(0)),
            (None, Some(begin)) if begins_at_first || begin == end => Some((end - begin).max(0)),
            _ => None,
        }
    }

    /// The offset of the first message that waits, if any does.
    #[must_use]
    pub fn first_waiting(&self, begins_at_first: bool) -> Option<i64> {
        let waits = self.lag(begins_at_first).is_some_and(|lag| lag > 0);
        waits.then(|| self.committed.or(self.begin)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_commit_only_a_known_beginning_tells_what_waits() {
        let mut one =
            GroupOffsets { topic: "t".into(), partition: 0, committed: None, begin: Some(5), end: Some(12) };
        assert_eq!((one.lag(true), one.lag(false)), (Some(7), None));
        assert_eq!((one.first_waiting(true), one.first_waiting(false)), (Some(5), None));
        one.begin = Some(12);
        assert_eq!((one.lag(false), one.first_waiting(false)), (Some(0), None));
        one.end = None;
        assert_eq!(one.lag(true), None);
    }

    #[test]
    fn a_commit_tells_what_waits_whatever_retention_removed() {
        let one =
            GroupOffsets { topic: "t".into(), partition: 0, committed: Some(3), begin: None, end: Some(12) };
        assert_eq!((one.lag(false), one.first_waiting(false)), (Some(9), Some(3)));
    }

    #[test]
    fn without_a_commit_the_whole_log_waits() {
        assert_eq!(PartitionLag::new("t", 0, None, 5, 12).lag, 7);
        assert_eq!(PartitionLag::new("t", 0, Some(12), 5, 12).lag, 0);
    }
}
