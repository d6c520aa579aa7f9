//! When so much waits on the log that more is refused. Pure.
//!
//! The log deletes what is too much or too old for it whether or not somebody has read it. Accepting has to
//! stop long before: what was acknowledged is not to be lost.

use nsys_contract::config::Limits;
use nsys_contract::topics::TopicRetention;
use std::time::Duration;

/// Accepting stops when this part of what the log keeps is reached. The rest is for what comes until that is
/// noticed, and for what is only estimated.
const SHARE: u32 = 2;

/// What waits on one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartitionBacklog {
    /// Messages that are not stored yet.
    pub(crate) messages: u64,
    /// Bytes that they take; `None` when nobody knows.
    pub(crate) bytes: Option<u64>,
    /// Whether the oldest of them is older than [`oldest`] allows.
    pub(crate) is_old: bool,
}

/// Why no more is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    /// Too many messages wait.
    Messages,
    /// They take too much of the log.
    Bytes,
    /// The oldest waits for so long that the log would soon delete it.
    Age,
}

impl Excess {
    pub(crate) const ALL: [Self; 3] = [Self::Messages, Self::Bytes, Self::Age];

    /// The `reason` that refused requests are counted by.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "backlog",
            Self::Bytes => "backlog_bytes",
            Self::Age => "backlog_age",
        }
    }

    /// The detail that callers get.
    pub(crate) const fn detail(self) -> &'static str {
        match self {
            Self::Messages => "too many notifications wait for the workers",
            Self::Bytes => "the notifications that wait for the workers take too much of the log",
            Self::Age => "notifications have waited for the workers for too long",
        }
    }
}

/// The age from which on what waits stops more from being taken; `None`: none.
pub(crate) fn oldest(kept: &TopicRetention) -> Option<Duration> {
    kept.time.map(|time| time / SHARE)
}

/// Whether too much waits on these partitions of a topic of which so much is kept.
pub(crate) fn excess(
    partitions: &[PartitionBacklog],
    limits: &Limits,
    kept: &TopicRetention,
) -> Option<Excess> {
    let messages: u64 = partitions.iter().map(|one| one.messages).sum();
    let bytes: u64 = partitions.iter().filter_map(|one| one.bytes).sum();
    let of_partition = kept.bytes.map(|bytes| bytes / u64::from(SHARE));
    let is_near = |one: &PartitionBacklog| {
        one.messages > 0 && one.bytes.zip(of_partition).is_some_and(|(is, may)| is > may)
    };
    if partitions.iter().any(|one| one.is_old) {
        Some(Excess::Age)
    } else if bytes > limits.max_backlog_bytes || partitions.iter().any(is_near) {
        Some(Excess::Bytes)
    } else if messages > limits.max_backlog {
        Some(Excess::Messages)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(messages: u64, bytes: u64) -> PartitionBacklog {
        PartitionBacklog { messages, bytes: Some(bytes), is_old: false }
    }

    fn limits() -> Limits {
        Limits { max_backlog: 1_000, max_backlog_bytes: 10_000, ..Limits::default() }
    }

    #[test]
    fn count_and_bytes_of_all_partitions_are_bounded() {
        let judge =
            |partitions: &[PartitionBacklog]| excess(partitions, &limits(), &TopicRetention::default());
        assert_eq!(judge(&[waiting(500, 5_000), waiting(500, 5_000)]), None);
        assert_eq!(judge(&[waiting(500, 10), waiting(501, 10)]), Some(Excess::Messages));
        assert_eq!(judge(&[waiting(5, 5_000), waiting(5, 5_001)]), Some(Excess::Bytes));
        assert_eq!(judge(&[]), None);
    }

    #[test]
    fn a_topic_that_keeps_less_bounds_each_partition_at_half_of_it() {
        let kept = TopicRetention { bytes: Some(2_000), ..TopicRetention::default() };
        assert_eq!(excess(&[waiting(5, 1_000), waiting(5, 1_000)], &limits(), &kept), None);
        assert_eq!(excess(&[waiting(5, 0), waiting(5, 1_001)], &limits(), &kept), Some(Excess::Bytes));
    }

    #[test]
    fn what_is_old_stops_more_and_an_unknown_size_does_not() {
        let kept = TopicRetention { bytes: Some(2_000), ..TopicRetention::default() };
        let unknown = PartitionBacklog { messages: 9, ..PartitionBacklog::default() };
        assert_eq!(excess(&[unknown], &limits(), &kept), None);
        assert_eq!(
            excess(&[PartitionBacklog { is_old: true, ..unknown }], &limits(), &kept),
            Some(Excess::Age)
        );
    }

    #[test]
    fn half_of_the_time_that_is_kept_may_be_waited() {
        let kept = TopicRetention { time: Some(Duration::from_secs(60)), ..TopicRetention::default() };
        assert_eq!(oldest(&kept), Some(Duration::from_secs(30)));
        assert_eq!(oldest(&TopicRetention::default()), None);
    }
}
