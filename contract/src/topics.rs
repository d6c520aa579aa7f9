//! Kafka topics, their partner topics, what the log keeps of them, and the consumer group.

use std::time::Duration;

/// Accepted notifications, keyed by user id.
pub const NOTIFICATIONS: &str = "notifications";

/// Notifications that wait for another attempt; consumed by the same group.
pub const RETRY: &str = "notifications-retry";

/// Dead letters: what could not be decoded or delivered.
pub const DEAD_LETTERS: &str = "notifications-dlq";

/// The consumer group of the workers.
pub const WORKER_GROUP: &str = "notification-workers";

/// Where the workers begin on a partition they never committed to. `latest` would miss what is produced
/// to a new partition before it is discovered.
pub const WORKER_OFFSET_RESET: &str = "earliest";

/// Largest message of a producer, in bytes: what brokers take unless they are told otherwise
/// (`message.max.bytes`, 1,048,588) leaves room for it.
pub const MAX_MESSAGE_BYTES: usize = 1_000_000;

/// The topics that must exist before the service starts.
pub const ALL: [&str; 3] = [NOTIFICATIONS, RETRY, DEAD_LETTERS];

/// What the topics are configured with when they are made, explicitly, so that no default of a broker deletes
/// what was acknowledged: kept by time alone.
#[must_use]
pub fn settings(retention: Duration) -> [(&'static str, String); 3] {
    [
        (CLEANUP_POLICY, "delete".to_owned()),
        (RETENTION_BYTES, "-1".to_owned()),
        (RETENTION_MS, retention.as_millis().to_string()),
    ]
}

/// Whether old messages are deleted or compacted away.
pub const CLEANUP_POLICY: &str = "cleanup.policy";
/// Bytes that are kept of each partition; -1: all.
pub const RETENTION_BYTES: &str = "retention.bytes";
/// How long messages are kept, in ms; -1: for ever.
pub const RETENTION_MS: &str = "retention.ms";

/// What the log keeps of a topic, as its broker says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicRetention {
    /// Most bytes of a partition; `None`: all.
    pub bytes: Option<u64>,
    /// How long; `None`: for ever.
    pub time: Option<Duration>,
    /// Whether earlier messages of a key are removed when a later one comes.
    pub is_compacted: bool,
}

impl TopicRetention {
    /// From the effective configuration of a topic; what is not among it counts as the broker's own default.
    pub fn read<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut found = Self { time: Some(BROKER_RETENTION), ..Self::default() };
        for (name, value) in entries {
            match name {
                RETENTION_BYTES => found.bytes = value.parse().ok(),
                RETENTION_MS => found.time = value.parse().ok().map(Duration::from_millis),
                CLEANUP_POLICY => found.is_compacted = value.contains("compact"),
                _ => {}
            }
        }
        found
    }

    /// Why messages may be deleted that nobody has read yet, whatever their age; `None` when they are not.
    #[must_use]
    pub fn risk(&self) -> Option<String> {
        if self.is_compacted {
            return Some(format!(
                "{CLEANUP_POLICY} removes messages that a later one of the same user follows"
            ));
        }
        self.bytes.map(|bytes| {
            format!("{RETENTION_BYTES} = {bytes} deletes messages that were not read yet, whatever their age")
        })
    }
}

/// How long a broker keeps messages that nothing was said of.
const BROKER_RETENTION: Duration = Duration::from_secs(7 * 86_400);

/// The partitioner every producer must use, so that one user's messages stay on one partition
/// whichever client wrote them (Java and kafkajs hash keys with murmur2).
pub const PARTITIONER: &str = "murmur2_random";

/// Header names on a message.
pub mod headers {
    /// The idempotency key, when the caller gave one.
    pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
    /// The notification type.
    pub const MESSAGE_TYPE: &str = "message-type";
    /// The priority.
    pub const PRIORITY: &str = "priority";
    /// W3C trace context.
    pub const TRACEPARENT: &str = "traceparent";
    /// The tenant.
    pub const TENANT: &str = "tenant";
    /// The version of the value's schema.
    pub const SCHEMA_VERSION: &str = "schema-version";
    /// How many attempts were made (retry topic).
    pub const RETRY_COUNT: &str = "retry-count";
    /// How long to wait before the attempt, in ms (retry topic).
    pub const BACKOFF_DELAY: &str = "backoff-delay";
    /// Why the message is on the retry or the dead-letter topic.
    pub const REASON: &str = "retry-reason";
    /// Set where nobody keeps a copy of a notification before its row is there (batches and streams), so
    /// that there is none to forget when it is.
    pub const UNCACHED: &str = "uncached";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[(&str, &str)]) -> TopicRetention {
        TopicRetention::read(entries.iter().copied())
    }

    #[test]
    fn what_a_topic_is_made_with_is_no_risk() {
        let made = settings(Duration::from_secs(60));
        let found = TopicRetention::read(made.iter().map(|(name, value)| (*name, value.as_str())));
        let wanted = TopicRetention { bytes: None, time: Some(Duration::from_secs(60)), is_compacted: false };
        assert_eq!(found, wanted);
        assert_eq!(found.risk(), None);
    }

    #[test]
    fn retention_by_bytes_and_compaction_are_a_risk() {
        let by_bytes = read(&[(RETENTION_BYTES, "1024"), (RETENTION_MS, "-1")]);
        assert_eq!(by_bytes, TopicRetention { bytes: Some(1_024), time: None, is_compacted: false });
        assert!(by_bytes.risk().is_some_and(|why| why.starts_with("retention.bytes = 1024")));
        assert!(read(&[(CLEANUP_POLICY, "compact,delete")]).risk().is_some());
    }

    #[test]
    fn a_broker_that_says_nothing_keeps_a_week() {
        assert_eq!(read(&[]).time, Some(BROKER_RETENTION));
    }
}
