//! Metric names, as the guide's PromQL lines name them, and the histogram buckets.
//!
//! Both sides of every ratio carry the same label set, and a counter that can be a numerator is
//! created at zero together with its denominator, so that a division never comes out empty.

/// Histogram of request time in seconds {method, route, status_code}.
pub const HTTP_REQUEST_DURATION_SECONDS: &str = "http_request_duration_seconds";
/// Counter of requests {method, route, status_code}.
pub const HTTP_REQUESTS_TOTAL: &str = "http_requests_total";
/// Counter of requests answered 5xx or 4xx other than 404 {method, route, status_code}.
pub const HTTP_REQUEST_ERRORS_TOTAL: &str = "http_request_errors_total";
/// Counter of the same requests {method, route, error_type}.
pub const HTTP_REQUEST_ERRORS_BY_TYPE_TOTAL: &str = "http_request_errors_by_type_total";
/// Gauge of open connections.
pub const ACTIVE_CONNECTIONS: &str = "active_connections";
/// Gauge of queued work {queue_name}.
pub const QUEUE_DEPTH: &str = "queue_depth";
/// The `queue_name` of [`QUEUE_DEPTH`] that counts requests that are not answered yet, those in line too.
pub const REQUESTS_IN_PROGRESS: &str = "requests";
/// Counter of notifications that reached a final state {channel, type, priority, status}.
pub const NOTIFICATIONS_TOTAL: &str = "notifications_total";
/// Counter of failed notifications, same labels as [`NOTIFICATIONS_TOTAL`].
pub const NOTIFICATIONS_FAILED_TOTAL: &str = "notifications_failed_total";
/// The same by channel alone {channel}.
pub const NOTIFICATIONS_BY_CHANNEL_TOTAL: &str = "notifications_by_channel_total";
/// The same by priority alone {priority}.
pub const NOTIFICATIONS_BY_PRIORITY_TOTAL: &str = "notifications_by_priority_total";
/// Counter of messages that came again after their row was stored.
pub const REDELIVERED_TOTAL: &str = "redelivered_total";
/// Gauge of dead letters that nobody sent again yet.
pub const DLQ_DEPTH: &str = "dlq_depth";
/// Gauge of how long the oldest row that is due waits to be claimed, in s.
pub const SCHEDULER_DUE_LAG_SECONDS: &str = "scheduler_due_lag_seconds";
/// Gauge of accepted requests whose message has no delivery report yet.
pub const ACCEPT_QUEUE_DEPTH: &str = "accept_queue_depth";
/// Histogram of the time from acceptance to a final state {channel, status}.
pub const NOTIFICATION_PROCESSING_DURATION_SECONDS: &str = "notification_processing_duration_seconds";
/// Counter of produced messages {topic}.
pub const KAFKA_MESSAGES_PUBLISHED_TOTAL: &str = "kafka_messages_published_total";
/// Counter of consumed messages {topic, consumer_group}.
pub const KAFKA_MESSAGES_CONSUMED_TOTAL: &str = "kafka_messages_consumed_total";
/// Counter of messages that were deleted from the log before a worker read them {topic, partition}.
pub const KAFKA_MESSAGES_LOST_TOTAL: &str = "kafka_messages_lost_total";
/// Gauge, 1 while the log may delete messages of a topic that nobody has read yet {topic}.
pub const KAFKA_RETENTION_AT_RISK: &str = "kafka_retention_at_risk";
/// Gauge of how long the log keeps messages of a topic, in s; absent where it keeps them for ever {topic}.
pub const KAFKA_RETENTION_SECONDS: &str = "kafka_retention_seconds";
/// Gauge, 1 while PostgreSQL answers this process.
pub const DATABASE_UP: &str = "database_up";
/// Gauge of lag in messages {topic, partition, consumer_group}.
pub const KAFKA_CONSUMER_LAG: &str = "kafka_consumer_lag";
/// Gauge of lag in seconds {topic, partition, consumer_group}.
pub const KAFKA_CONSUMER_LAG_SECONDS: &str = "kafka_consumer_lag_seconds";
/// Counter of failed sends {topic, error_type}.
pub const KAFKA_PUBLISH_ERRORS_TOTAL: &str = "kafka_publish_errors_total";
/// Histogram of the time from handing a message to the producer to the broker's acknowledgement {topic}.
pub const KAFKA_PUBLISH_DURATION_SECONDS: &str = "kafka_publish_duration_seconds";
/// Gauge of how long a broker lately held answers back because of a quota, in ms; the slowest broker.
pub const KAFKA_BROKER_THROTTLE_MS: &str = "kafka_broker_throttle_ms";
/// Histogram of the time one delivery attempt took at its provider {channel}.
pub const DELIVERY_DURATION_SECONDS: &str = "delivery_duration_seconds";
/// Histogram of query time {operation, table}.
pub const DB_QUERY_DURATION_SECONDS: &str = "db_query_duration_seconds";
/// Gauge of connections in use by this process.
pub const DB_CONNECTIONS_ACTIVE: &str = "db_connections_active";
/// Gauge of the pool's size limit.
pub const DB_POOL_SIZE: &str = "db_pool_size";
/// Histogram of the time a request waited for a connection.
pub const DB_POOL_WAIT_SECONDS: &str = "db_pool_wait_seconds";
/// Counter of failed queries {operation, error_type}.
pub const DB_QUERY_ERRORS_TOTAL: &str = "db_query_errors_total";
/// Counter of cache hits {cache_key_pattern}.
pub const CACHE_HITS_TOTAL: &str = "cache_hits_total";
/// Counter of cache misses {cache_key_pattern}.
pub const CACHE_MISSES_TOTAL: &str = "cache_misses_total";
/// Counter of what else happens in the cache {cache_key_pattern, event}: `negative_hit`,
/// `early_refresh`, `warmed`, `flushed`, and `changed`: an entry gave way to a mark that its row is
/// another now, which expires soon.
pub const CACHE_EVENTS_TOTAL: &str = "cache_events_total";
/// Histogram of cache calls {operation}.
pub const CACHE_OPERATION_DURATION_SECONDS: &str = "cache_operation_duration_seconds";
/// Counter of idempotency decisions {outcome}.
pub const IDEMPOTENCY_TOTAL: &str = "idempotency_total";
/// Counter of refused requests {reason}.
pub const SHED_TOTAL: &str = "shed_total";
/// Gauge of processors {machine, of}: those that the process may use (`of="process"`), and those of its
/// machine (`of="machine"`). `machine` is the id of the machine's boot, equal in all its containers.
pub const CPU_CORES: &str = "cpu_cores";
/// Gauge, 1, with the version as label.
pub const BUILD_INFO: &str = "build_info";

/// Upper bounds in seconds. A superset of the original's buckets, finer around the objectives.
pub const DURATION_BUCKETS: [f64; 15] =
    [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The bucket bounds of the original system, which must stay among ours.
pub const ORIGINAL_BUCKETS: [f64; 8] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_original_bucket_is_kept() {
        assert!(ORIGINAL_BUCKETS.iter().all(|bound| DURATION_BUCKETS.contains(bound)));
    }
}
