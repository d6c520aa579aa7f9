//! Consumer lag.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_commit_the_whole_log_waits() {
        assert_eq!(PartitionLag::new("t", 0, None, 5, 12).lag, 7);
        assert_eq!(PartitionLag::new("t", 0, Some(12), 5, 12).lag, 0);
    }
}
