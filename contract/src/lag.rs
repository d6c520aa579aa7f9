//! Lag of a consumer group on a partition: what lies between its commit and the end of the log.

use serde::{Deserialize, Serialize};

/// What lies between a commit and the log, in offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Kept messages that wait; absent when it depends on where the group's consumers begin.
    pub waiting: Option<i64>,
    /// Messages behind the commit that the log no longer keeps: nobody can read them any more.
    pub lost: i64,
    /// So far beyond the end the commit lies: it is one of another log.
    pub beyond: i64,
}

impl Backlog {
    /// From the offsets. Where no commit points into the log, what waits depends on where the group's
    /// consumers begin, which the broker does not know: then it is only told for a group known to begin
    /// at the first message, and for an empty log.
    #[must_use]
    pub fn of(committed: Option<i64>, begin: i64, end: i64, begins_at_first: bool) -> Self {
        let kept = (end - begin).max(0);
        let whole = (begins_at_first || kept == 0).then_some(kept);
        match committed {
            None => Self { waiting: whole, ..Self::default() },
            Some(commit) if commit > end => Self { waiting: whole, lost: 0, beyond: commit - end },
            Some(commit) => Self {
                waiting: Some((end - commit.max(begin)).max(0)),
                lost: (begin.min(end) - commit).max(0),
                beyond: 0,
            },
        }
    }
}

/// How far a consumer group is behind on one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PartitionLag {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The next offset the group reads; `null`: it never committed.
    pub committed: Option<i64>,
    /// The next offset a producer gets.
    pub end: i64,
    /// Messages that wait; those that are gone are not among them.
    pub lag: i64,
    /// Messages after the commit that retention removed before they were read.
    #[serde(default)]
    pub lost: i64,
}

impl PartitionLag {
    /// From the offsets, of a group that begins at the first message. Without a commit the whole log
    /// waits.
    #[must_use]
    pub fn new(topic: &str, partition: i32, committed: Option<i64>, first: i64, end: i64) -> Self {
        let backlog = Backlog::of(committed, first, end, true);
        let lag = backlog.waiting.unwrap_or(0);
        Self { topic: topic.to_owned(), partition, committed, end, lag, lost: backlog.lost }
    }
}
