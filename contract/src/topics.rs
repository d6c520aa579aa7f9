//! Kafka topics, their partner topics and the consumer group.

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

/// The topics that must exist before the service starts.
pub const ALL: [&str; 3] = [NOTIFICATIONS, RETRY, DEAD_LETTERS];

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
