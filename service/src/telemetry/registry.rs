//! Every metric under its name of the contract, with the help that Prometheus shows.

use super::{Inner, process};
use nsys_contract::metrics as names;

impl Inner {
    pub(super) fn registered(mut self) -> Self {
        let r = &mut self.registry;
        r.register_collector(Box::new(process::Process));
        // The client library appends `_total` to counters itself.
        let counter = |name: &'static str| name.strip_suffix("_total").unwrap_or(name);
        r.register(names::HTTP_REQUEST_DURATION_SECONDS, "Request duration", self.http_duration.clone());
        r.register(counter(names::HTTP_REQUESTS_TOTAL), "Requests", self.http_requests.clone());
        r.register(
            counter(names::HTTP_REQUEST_ERRORS_TOTAL),
            "Requests answered with an error",
            self.http_errors.clone(),
        );
        r.register(
            counter(names::HTTP_REQUEST_ERRORS_BY_TYPE_TOTAL),
            "Requests answered with an error, by kind",
            self.http_errors_by_type.clone(),
        );
        r.register(names::ACTIVE_CONNECTIONS, "Open connections", self.active_connections.clone());
        r.register(names::QUEUE_DEPTH, "Items that wait, by queue", self.queue_depth.clone());
        r.register(
            counter(names::NOTIFICATIONS_TOTAL),
            "Notifications that reached a final state",
            self.notifications.clone(),
        );
        r.register(
            counter(names::NOTIFICATIONS_FAILED_TOTAL),
            "Notifications that failed",
            self.notifications_failed.clone(),
        );
        r.register(
            counter(names::NOTIFICATIONS_BY_CHANNEL_TOTAL),
            "Notifications that failed, by channel",
            self.by_channel.clone(),
        );
        r.register(
            counter(names::NOTIFICATIONS_BY_PRIORITY_TOTAL),
            "Notifications that failed, by priority",
            self.by_priority.clone(),
        );
        r.register(
            counter(names::REDELIVERED_TOTAL),
            "Messages redelivered after their row was stored",
            self.redelivered.clone(),
        );
        r.register(names::DLQ_DEPTH, "Dead letters that were not redriven", self.dlq_depth.clone());
        r.register(
            names::SCHEDULER_DUE_LAG_SECONDS,
            "How long the oldest due row has waited",
            self.due_lag.clone(),
        );
        r.register(
            names::ACCEPT_QUEUE_DEPTH,
            "Messages without a delivery report",
            self.accept_queue.clone(),
        );
        r.register(names::BUILD_INFO, "The version of this build", self.build.clone());
        r.register(
            names::NOTIFICATION_PROCESSING_DURATION_SECONDS,
            "Time from acceptance to a final state",
            self.processing.clone(),
        );
        r.register(
            counter(names::KAFKA_MESSAGES_PUBLISHED_TOTAL),
            "Messages produced",
            self.published.clone(),
        );
        r.register(counter(names::KAFKA_MESSAGES_CONSUMED_TOTAL), "Messages consumed", self.consumed.clone());
        r.register(names::KAFKA_CONSUMER_LAG, "Messages not yet consumed", self.lag.clone());
        r.register(
            names::KAFKA_CONSUMER_LAG_SECONDS,
            "Age of the oldest message not yet consumed",
            self.lag_seconds.clone(),
        );
        r.register(
            counter(names::KAFKA_MESSAGES_LOST_TOTAL),
            "Messages deleted from the log before a worker read them",
            self.lost.clone(),
        );
        r.register(
            names::KAFKA_RETENTION_AT_RISK,
            "Whether the log may delete messages that nobody has read yet",
            self.at_risk.clone(),
        );
        r.register(
            names::KAFKA_RETENTION_SECONDS,
            "How long the log keeps messages of a topic",
            self.retention.clone(),
        );
        r.register(names::DATABASE_UP, "Whether PostgreSQL answers", self.database_up.clone());
        r.register(
            counter(names::KAFKA_PUBLISH_ERRORS_TOTAL),
            "Failed sends, by kind",
            self.publish_errors.clone(),
        );
        r.register(
            names::KAFKA_PUBLISH_DURATION_SECONDS,
            "Time from a send to its acknowledgement",
            self.publish_duration.clone(),
        );
        r.register(
            names::KAFKA_BROKER_THROTTLE_MS,
            "Throttle time imposed by a broker's quota",
            self.broker_throttle.clone(),
        );
        r.register(
            names::DELIVERY_DURATION_SECONDS,
            "Duration of one delivery attempt",
            self.delivery_duration.clone(),
        );
        r.register(names::DB_QUERY_DURATION_SECONDS, "Query duration", self.query_duration.clone());
        r.register(names::DB_CONNECTIONS_ACTIVE, "Connections in use", self.db_active.clone());
        r.register(names::DB_POOL_SIZE, "Connections the pool may open", self.db_pool.clone());
        r.register(
            names::DB_POOL_WAIT_SECONDS,
            "Time spent waiting for a connection",
            self.pool_wait.clone(),
        );
        r.register(counter(names::DB_QUERY_ERRORS_TOTAL), "Failed queries", self.query_errors.clone());
        r.register(
            counter(names::CACHE_HITS_TOTAL),
            "Reads answered from the cache",
            self.cache_hits.clone(),
        );
        r.register(
            counter(names::CACHE_MISSES_TOTAL),
            "Reads not answered from the cache",
            self.cache_misses.clone(),
        );
        r.register(
            counter(names::CACHE_EVENTS_TOTAL),
            "Early refreshes, negative hits, warmed and flushed entries",
            self.cache_events.clone(),
        );
        r.register(
            names::CACHE_OPERATION_DURATION_SECONDS,
            "Duration of calls to Redis",
            self.cache_duration.clone(),
        );
        r.register(counter(names::IDEMPOTENCY_TOTAL), "Idempotency decisions", self.idempotency.clone());
        r.register(counter(names::SHED_TOTAL), "Requests that were shed, by reason", self.shed.clone());
        self
    }
}
