//! Redis, and the small in-process level before it. Only this file and those below it name redis.
//!
//! Every call is bounded in time: with Redis away the service is slower but right.

mod idempotency;
mod invalidation;
mod notifications;
mod recent;
mod recipients;
mod write_behind;

pub(crate) use idempotency::Record;
pub(crate) use notifications::LookupMiss;
pub(crate) use recipients::{Recipients, recipient_key};

use recent::Recent;
use write_behind::WriteBehindQueue;

use crate::domain::recipient::Recipient;
use crate::domain::view::NotificationView;
use crate::telemetry::{Metrics, trace};
use anyhow::Context;
// Faster than the default, and seeded. Names, which callers choose freely, keep the default.
use foldhash::fast::RandomState;
use nsys_contract::config::Cache as Settings;
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use rand::RngExt;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// Users remembered by a process.
const RECIPIENTS: u64 = 100_000;
/// How long a change of preferences may go unnoticed when its announcement is lost.
const RECIPIENT_STALENESS: Duration = Duration::from_secs(30);

/// The cache of one process.
pub(crate) struct Cache {
    client: redis::Client,
    connection: OnceCell<ConnectionManager>,
    write_behind: WriteBehindQueue,
    settings: Settings,
    metrics: Metrics,
    /// Longest time a request may be in progress, and with it a claimed key undecided.
    in_flight: Duration,
    /// How long a changed row's copies are kept away.
    changed_for: Duration,
    local: moka::future::Cache<Uuid, Arc<NotificationView>, RandomState>,
    /// What this process acknowledged lately: a read right after a write never misses.
    recent: Recent,
    /// Ids that are known not to exist.
    absent: moka::sync::Cache<Uuid, (), RandomState>,
    /// What users want, by their key in Redis; users without any preferences are remembered as such.
    recipients: moka::sync::Cache<String, Option<Arc<Recipient>>>,
    /// Mean time of a read from the database, in microseconds: what an early refresh costs.
    load_us: AtomicU64,
}

impl Cache {
    /// A row that was changed may be read as it was before for `read_max_lag`.
    pub(crate) fn connect(
        settings: &Settings,
        in_flight: Duration,
        read_max_lag: Duration,
        metrics: Metrics,
    ) -> anyhow::Result<Self> {
        let client =
            redis::Client::open(settings.url.as_str()).context("cache.url is not a Redis address")?;
        Ok(Self {
            client,
            connection: OnceCell::new(),
            write_behind: WriteBehindQueue::default(),
            metrics,
            in_flight,
            changed_for: notifications::changed_for(read_max_lag),
            local: moka::future::Cache::builder()
                .max_capacity(settings.local_entries)
                .time_to_live(settings.local_ttl)
                .build_with_hasher(RandomState::default()),
            recent: Recent::default(),
            absent: moka::sync::Cache::builder()
                .max_capacity(settings.local_entries)
                .time_to_live(settings.ttl_negative)
                .build_with_hasher(RandomState::default()),
            recipients: moka::sync::Cache::builder()
                .max_capacity(RECIPIENTS)
                .time_to_live(RECIPIENT_STALENESS)
                .build(),
            load_us: AtomicU64::new(1_000),
            settings: settings.clone(),
        })
    }

    async fn connection(&self) -> redis::RedisResult<ConnectionManager> {
        let manager = self.connection.get_or_try_init(|| async {
            let config = ConnectionManagerConfig::new()
                .set_connection_timeout(Some(self.settings.timeout))
                .set_response_timeout(Some(self.settings.timeout))
                .set_number_of_retries(1);
            ConnectionManager::new_with_config(self.client.clone(), config).await
        });
        manager.await.cloned()
    }

    /// Runs one call, bounded and counted.
    async fn call<T: redis::FromRedisValue>(
        &self,
        operation: &'static str,
        pipe: redis::Pipeline,
    ) -> Option<T> {
        let started = Instant::now();
        let call = async { pipe.query_async::<T>(&mut self.connection().await?).await };
        // The driver's own time-out does not bound its reconnecting.
        let bounded = tokio::time::timeout(self.settings.timeout, call);
        let about = || vec![KeyValue::new("db.system.name", "redis")];
        let outcome = trace::step(operation, SpanKind::Client, about, bounded).await;
        self.metrics.cache_operation(operation, started.elapsed());
        match outcome {
            Ok(Ok(value)) => Some(value),
            Ok(Err(cause)) => {
                tracing::debug!(%cause, operation, "A call to Redis failed.");
                None
            }
            Err(_) => None,
        }
    }

    /// Whether Redis answers.
    pub(crate) async fn ping(&self) -> bool {
        let mut pipe = redis::pipe();
        pipe.cmd("PING").ignore();
        self.call::<()>("ping", pipe).await.is_some()
    }

    /// A TTL spread a little, so that entries made together do not expire together.
    fn ttl_ms(&self, base: Duration) -> u64 {
        let spread = self.settings.ttl_jitter.clamp(0.0, 1.0) * rand::rng().random::<f64>();
        ((base.as_millis() as f64 * (1.0 - spread)) as u64).max(1)
    }
}
