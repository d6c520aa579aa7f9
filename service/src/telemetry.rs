//! Metrics under the names of the contract; logs and traces in the files below.
//!
//! A counter that can be a numerator is created together with its denominator, so that no ratio of
//! the guide comes out empty.

mod logs;
mod process;
mod registry;
mod routes;
pub(crate) mod trace;

pub use logs::install as install_logs;
pub(crate) use routes::{Publishing, RouteMetrics};
pub use trace::{Exporter, install as install_traces};

use crate::domain::lag::{AssignedLag, LogGap};
use nsys_contract::metrics::DURATION_BUCKETS;
use nsys_contract::status::{Channel, NotificationType, Priority, Status};
use nsys_contract::topics::{self, TopicRetention};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

macro_rules! labels {
    ($name:ident { $($field:ident: $type:ty),+ }) => {
        #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
        struct $name { $($field: $type),+ }
    };
}

labels!(RequestLabels { method: &'static str, route: String, status_code: u16 });
labels!(ErrorLabels { method: &'static str, route: String, error_type: &'static str });
labels!(NotificationLabels { channel: &'static str, r#type: &'static str, priority: &'static str, status: &'static str });
labels!(ChannelOnlyLabels { channel: &'static str });
labels!(PriorityLabels { priority: &'static str });
labels!(BuildLabels { version: &'static str });
labels!(ProcessingLabels { channel: &'static str, status: &'static str });
labels!(TopicLabels { topic: String });
labels!(ConsumedLabels { topic: String, consumer_group: &'static str });
labels!(LagLabels { topic: String, partition: i32, consumer_group: &'static str });
labels!(PartitionLabels { topic: String, partition: i32 });
labels!(PublishErrorLabels { topic: String, error_type: &'static str });
labels!(QueryLabels { operation: &'static str, table: &'static str });
labels!(QueryErrorLabels { operation: &'static str, error_type: &'static str });
labels!(PatternLabels { cache_key_pattern: &'static str });
labels!(CacheEventLabels { cache_key_pattern: &'static str, event: &'static str });
labels!(OperationLabels { operation: &'static str });
labels!(OutcomeLabels { outcome: &'static str });
labels!(ChannelLabels { channel: &'static str });
labels!(ReasonLabels { reason: &'static str });
labels!(QueueLabels { queue_name: &'static str });

fn histogram() -> Histogram {
    Histogram::new(DURATION_BUCKETS)
}

/// Every metric of the process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    http_duration: Family<RequestLabels, Histogram, fn() -> Histogram>,
    http_requests: Family<RequestLabels, Counter>,
    http_errors: Family<RequestLabels, Counter>,
    http_errors_by_type: Family<ErrorLabels, Counter>,
    active_connections: Gauge,
    queue_depth: Family<QueueLabels, Gauge>,
    notifications: Family<NotificationLabels, Counter>,
    notifications_failed: Family<NotificationLabels, Counter>,
    by_channel: Family<ChannelOnlyLabels, Counter>,
    by_priority: Family<PriorityLabels, Counter>,
    redelivered: Counter,
    dlq_depth: Gauge,
    due_lag: Gauge<f64, AtomicU64>,
    accept_queue: Gauge,
    build: Family<BuildLabels, Gauge>,
    processing: Family<ProcessingLabels, Histogram, fn() -> Histogram>,
    published: Family<TopicLabels, Counter>,
    consumed: Family<ConsumedLabels, Counter>,
    lag: Family<LagLabels, Gauge>,
    lag_seconds: Family<LagLabels, Gauge<f64, AtomicU64>>,
    lost: Family<PartitionLabels, Counter>,
    at_risk: Family<TopicLabels, Gauge>,
    retention: Family<TopicLabels, Gauge<f64, AtomicU64>>,
    database_up: Gauge,
    publish_errors: Family<PublishErrorLabels, Counter>,
    publish_duration: Family<TopicLabels, Histogram, fn() -> Histogram>,
    broker_throttle: Gauge,
    delivery_duration: Family<ChannelLabels, Histogram, fn() -> Histogram>,
    query_duration: Family<QueryLabels, Histogram, fn() -> Histogram>,
    db_active: Gauge,
    db_pool: Gauge,
    pool_wait: Histogram,
    query_errors: Family<QueryErrorLabels, Counter>,
    cache_hits: Family<PatternLabels, Counter>,
    cache_misses: Family<PatternLabels, Counter>,
    cache_events: Family<CacheEventLabels, Counter>,
    cache_duration: Family<OperationLabels, Histogram, fn() -> Histogram>,
    idempotency: Family<OutcomeLabels, Counter>,
    shed: Family<ReasonLabels, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let inner = Inner {
            registry: Registry::default(),
            http_duration: Family::new_with_constructor(histogram),
            http_requests: Family::default(),
            http_errors: Family::default(),
            http_errors_by_type: Family::default(),
            active_connections: Gauge::default(),
            queue_depth: Family::default(),
            notifications: Family::default(),
            notifications_failed: Family::default(),
            by_channel: Family::default(),
            by_priority: Family::default(),
            redelivered: Counter::default(),
            dlq_depth: Gauge::default(),
            due_lag: Gauge::default(),
            accept_queue: Gauge::default(),
            build: Family::default(),
            processing: Family::new_with_constructor(histogram),
            published: Family::default(),
            consumed: Family::default(),
            lag: Family::default(),
            lag_seconds: Family::default(),
            lost: Family::default(),
            at_risk: Family::default(),
            retention: Family::default(),
            database_up: Gauge::default(),
            publish_errors: Family::default(),
            publish_duration: Family::new_with_constructor(histogram),
            broker_throttle: Gauge::default(),
            delivery_duration: Family::new_with_constructor(histogram),
            query_duration: Family::new_with_constructor(histogram),
            db_active: Gauge::default(),
            db_pool: Gauge::default(),
            pool_wait: histogram(),
            query_errors: Family::default(),
            cache_hits: Family::default(),
            cache_misses: Family::default(),
            cache_events: Family::default(),
            cache_duration: Family::new_with_constructor(histogram),
            idempotency: Family::default(),
            shed: Family::default(),
        };
        let metrics = Self(Arc::new(inner.registered()));
        metrics.create_zeros();
        metrics
    }
}

impl Metrics {
    /// Series that PromQL divides or subtracts exist from the start.
    fn create_zeros(&self) {
        let inner = &self.0;
        inner.build.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
        for topic in topics::ALL {
            let _ = inner.published.get_or_create(&TopicLabels { topic: topic.to_owned() });
            let labels = PublishErrorLabels { topic: topic.to_owned(), error_type: "not_delivered" };
            let _ = inner.publish_errors.get_or_create(&labels);
            let _ = inner.publish_duration.get_or_create(&TopicLabels { topic: topic.to_owned() });
        }
        let _ =
            inner.query_errors.get_or_create(&QueryErrorLabels { operation: "select", error_type: "query" });
        for channel in Channel::ALL {
            let _ = inner.delivery_duration.get_or_create(&ChannelLabels { channel: channel.as_str() });
        }
        for pattern in nsys_contract::keys::CACHE_PREFIXES {
            let _ = inner.cache_hits.get_or_create(&PatternLabels { cache_key_pattern: pattern });
            let _ = inner.cache_misses.get_or_create(&PatternLabels { cache_key_pattern: pattern });
        }
        let changed =
            CacheEventLabels { cache_key_pattern: nsys_contract::keys::NOTIFICATION, event: "changed" };
        let _ = inner.cache_events.get_or_create(&changed);
        // Without the series, "nothing was refused" could not be told from "not counted".
        let _ = inner.shed.get_or_create(&ReasonLabels { reason: "in_flight" });
        let _ = inner.idempotency.get_or_create(&OutcomeLabels { outcome: "new" });
    }

    /// The text that Prometheus scrapes.
    pub(crate) fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::with_capacity(16 * 1024);
        prometheus_client::encoding::text::encode(&mut text, &self.0.registry)?;
        Ok(text)
    }

    pub(crate) fn finished(
        &self,
        channel: Channel,
        kind: NotificationType,
        priority: Priority,
        status: Status,
        took: &[Duration],
    ) {
        let count = took.len() as u64;
        let labels = NotificationLabels {
            channel: channel.as_str(),
            r#type: kind.as_str(),
            priority: priority.as_str(),
            status: status.as_str(),
        };
        self.0.notifications.get_or_create(&labels).inc_by(count);
        let failed = if status == Status::Failed { count } else { 0 };
        self.0.notifications_failed.get_or_create(&labels).inc_by(failed);
        self.0.by_channel.get_or_create(&ChannelOnlyLabels { channel: channel.as_str() }).inc_by(count);
        self.0.by_priority.get_or_create(&PriorityLabels { priority: priority.as_str() }).inc_by(count);
        let labels = ProcessingLabels { channel: channel.as_str(), status: status.as_str() };
        let processing = self.0.processing.get_or_create(&labels);
        took.iter().for_each(|took| processing.observe(took.as_secs_f64()));
    }

    /// The series of what is published on a topic, looked up once for many messages.
    pub(crate) fn publishing(&self, topic: &str) -> Publishing {
        let labels = TopicLabels { topic: topic.to_owned() };
        Publishing {
            published: self.0.published.get_or_create(&labels).clone(),
            duration: self.0.publish_duration.get_or_create(&labels).clone(),
        }
    }

    pub(crate) fn broker_throttle(&self, ms: i64) {
        self.0.broker_throttle.set(ms);
    }

    pub(crate) fn delivered(&self, channel: Channel, took: Duration) {
        let labels = ChannelLabels { channel: channel.as_str() };
        self.0.delivery_duration.get_or_create(&labels).observe(took.as_secs_f64());
    }

    pub(crate) fn publish_error(&self, topic: &str, error_type: &'static str) {
        self.0
            .publish_errors
            .get_or_create(&PublishErrorLabels { topic: topic.to_owned(), error_type })
            .inc();
    }

    pub(crate) fn consumed(&self, topic: &str, count: u64) {
        let labels = ConsumedLabels { topic: topic.to_owned(), consumer_group: topics::WORKER_GROUP };
        self.0.consumed.get_or_create(&labels).inc_by(count);
    }

    /// Replaces the lag of every assigned partition; partitions given away disappear.
    pub(crate) fn lag(&self, lags: &[AssignedLag]) {
        self.0.lag.clear();
        self.0.lag_seconds.clear();
        for AssignedLag { lag, oldest_s } in lags {
            let labels = LagLabels {
                topic: lag.topic.clone(),
                partition: lag.partition,
                consumer_group: topics::WORKER_GROUP,
            };
            self.0.lag.get_or_create(&labels).set(lag.lag);
            self.0.lag_seconds.get_or_create(&labels).set(*oldest_s);
            // There from the beginning, so that an increase is visible.
            let _ =
                self.0.lost.get_or_create(&PartitionLabels { topic: labels.topic, partition: lag.partition });
        }
    }

    /// Messages are missing from the log.
    pub(crate) fn lost(&self, gap: &LogGap) {
        let labels = PartitionLabels { topic: gap.topic.clone(), partition: gap.partition };
        self.0.lost.get_or_create(&labels).inc_by(gap.messages());
    }

    /// How long the log keeps messages of a topic, and whether it may delete some that nobody has read yet whatever
    /// their age.
    pub(crate) fn retention(&self, topic: &str, kept: &TopicRetention) {
        let labels = TopicLabels { topic: topic.to_owned() };
        self.0.at_risk.get_or_create(&labels).set(i64::from(kept.risk().is_some()));
        match kept.time {
            Some(time) => {
                self.0.retention.get_or_create(&labels).set(time.as_secs_f64());
            }
            // It may never have been there.
            None => {
                let _ = self.0.retention.remove(&labels);
            }
        }
    }

    /// Whether PostgreSQL answered just now.
    pub(crate) fn database_up(&self, is_up: bool) {
        self.0.database_up.set(i64::from(is_up));
    }

    pub(crate) fn redelivered(&self, count: u64) {
        self.0.redelivered.inc_by(count);
    }

    /// What waits in the database: dead letters, and how long the oldest due row has waited.
    pub(crate) fn stored_backlog(&self, dead_letters: u64, due_lag_s: f64) {
        self.0.dlq_depth.set(i64::try_from(dead_letters).unwrap_or(i64::MAX));
        self.0.due_lag.set(due_lag_s);
    }

    pub(crate) fn accept_queue(&self, waiting: i64) {
        self.0.accept_queue.set(waiting);
    }

    pub(crate) fn queue_depth(&self, queue_name: &'static str, depth: i64) {
        self.0.queue_depth.get_or_create(&QueueLabels { queue_name }).set(depth);
    }

    pub(crate) fn query(&self, operation: &'static str, table: &'static str, took: Duration, failed: bool) {
        self.0.query_duration.get_or_create(&QueryLabels { operation, table }).observe(took.as_secs_f64());
        if failed {
            self.0.query_errors.get_or_create(&QueryErrorLabels { operation, error_type: "query" }).inc();
        }
    }

    pub(crate) fn pool(&self, active: i64, size: i64) {
        self.0.db_active.set(active);
        self.0.db_pool.set(size);
    }

    pub(crate) fn pool_wait(&self, waited: Duration) {
        self.0.pool_wait.observe(waited.as_secs_f64());
    }

    pub(crate) fn cache_hit(&self, pattern: &'static str) {
        self.0.cache_hits.get_or_create(&PatternLabels { cache_key_pattern: pattern }).inc();
    }

    pub(crate) fn cache_miss(&self, pattern: &'static str) {
        self.0.cache_misses.get_or_create(&PatternLabels { cache_key_pattern: pattern }).inc();
    }

    pub(crate) fn cache_event(&self, pattern: &'static str, event: &'static str) {
        self.cache_events(pattern, event, 1);
    }

    pub(crate) fn cache_events(&self, pattern: &'static str, event: &'static str, count: u64) {
        let labels = CacheEventLabels { cache_key_pattern: pattern, event };
        self.0.cache_events.get_or_create(&labels).inc_by(count);
    }

    pub(crate) fn cache_operation(&self, operation: &'static str, took: Duration) {
        self.0.cache_duration.get_or_create(&OperationLabels { operation }).observe(took.as_secs_f64());
    }

    pub(crate) fn idempotency(&self, outcome: &'static str) {
        self.0.idempotency.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    pub(crate) fn shed(&self, reason: &'static str) {
        self.0.shed.get_or_create(&ReasonLabels { reason }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_the_error_ratio_exist_for_every_label_set() {
        let metrics = Metrics::default();
        metrics.route("POST", "/notifications").ended(201, Duration::from_millis(3));
        let text = metrics.encode().unwrap();
        let labels = r#"{method="POST",route="/notifications",status_code="201"}"#;
        assert!(text.contains(&format!("http_requests_total{labels} 1")), "{text}");
        assert!(text.contains(&format!("http_request_errors_total{labels} 0")));
        assert!(text.contains(r#"cache_misses_total{cache_key_pattern="notification:"} 0"#));
    }
}
