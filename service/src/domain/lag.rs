//! How far this process is behind on the log, and what the log deleted before it was read. Pure.

use nsys_contract::lag::PartitionLag;

/// The lag of a partition that this process has.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AssignedLag {
    pub(crate) lag: PartitionLag,
    /// Age of the oldest waiting message that this process has read, in seconds; 0 when there is none.
    pub(crate) oldest_s: f64,
}

/// Messages of a partition that were deleted from the log before a worker read them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogGap {
    /// The topic.
    pub(crate) topic: String,
    /// The partition.
    pub(crate) partition: i32,
    /// The first offset that is gone.
    pub(crate) first: i64,
    /// The first one that is not.
    pub(crate) next: i64,
}

impl LogGap {
    /// How many messages are gone.
    pub(crate) fn messages(&self) -> u64 {
        u64::try_from(self.next - self.first).unwrap_or(0)
    }
}
