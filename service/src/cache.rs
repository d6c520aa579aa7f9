//! Redis, and the small in-process level before it. The only place that names redis.
//!
//! Every call is bounded in time: with Redis away the service is slower but right.

use crate::telemetry::{Metrics, trace};
use anyhow::Context;
use nsys_contract::api::Notification;
use nsys_contract::config::Cache as Settings;
use nsys_contract::keys;
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use rand::RngExt;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// How many acknowledged notifications a process remembers until their rows exist.
const RECENT_ENTRIES: u64 = 200_000;

/// What an idempotency key already stands for.
pub(crate) enum Claim {
    /// Nobody used it: go on.
    New,
    /// It was used for a request with this fingerprint.
    Taken {
        /// Fingerprint of the earlier request.
        request_hash: String,
    },
    /// Redis does not answer: the database's unique key decides.
    Unknown,
}

/// The cache of one process.
pub(crate) struct Cache {
    client: redis::Client,
    connection: OnceCell<ConnectionManager>,
    settings: Settings,
    metrics: Metrics,
    local: moka::future::Cache<Uuid, Arc<Notification>>,
    /// What this process acknowledged lately: a read right after a write never misses.
    recent: moka::sync::Cache<Uuid, Arc<Notification>>,
}

impl Cache {
    pub(crate) fn connect(settings: &Settings, metrics: Metrics) -> anyhow::Result<Self> {
        let client =
            redis::Client::open(settings.url.as_str()).context("cache.url is not a Redis address")?;
        Ok(Self {
            client,
            connection: OnceCell::new(),
            metrics,
            local: moka::future::Cache::builder()
                .max_capacity(settings.local_entries)
                .time_to_live(settings.local_ttl)
                .build(),
            recent: moka::sync::Cache::builder()
                .max_capacity(RECENT_ENTRIES)
                .time_to_live(Duration::from_secs(600))
                .build(),
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
                tracing::debug!(%cause, operation, "Redis refused a call.");
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

    /// Claims an idempotency key for a request.
    pub(crate) async fn claim(&self, tenant: Option<&str>, key: &str, request_hash: &str) -> Claim {
        let name = keys::idempotency(tenant, key);
        let mut pipe = redis::pipe();
        pipe.cmd("SET")
            .arg(&name)
            .arg(request_hash)
            .arg("NX")
            .arg("GET")
            .arg("PX")
            .arg(self.idempotency_ms());
        match self.call::<(Option<String>,)>("claim", pipe).await {
            Some((None,)) => Claim::New,
            Some((Some(request_hash),)) => Claim::Taken { request_hash },
            None => Claim::Unknown,
        }
    }

    /// Gives a claimed key back after the request failed.
    pub(crate) async fn release(&self, tenant: Option<&str>, key: &str) {
        let mut pipe = redis::pipe();
        pipe.cmd("DEL").arg(keys::idempotency(tenant, key)).ignore();
        let _: Option<()> = self.call("release", pipe).await;
    }

    fn idempotency_ms(&self) -> u64 {
        u64::try_from(self.settings.ttl_idempotency.as_millis()).unwrap_or(u64::MAX).max(1)
    }

    /// A TTL spread a little, so that entries made together do not expire together.
    fn ttl_ms(&self, base: Duration) -> u64 {
        let spread = self.settings.ttl_jitter.clamp(0.0, 1.0) * rand::rng().random::<f64>();
        ((base.as_millis() as f64 * (1.0 - spread)) as u64).max(1)
    }

    /// Stores an acknowledged notification before the caller is told.
    pub(crate) async fn remember(&self, notification: &Arc<Notification>) {
        self.recent.insert(notification.id, Arc::clone(notification));
        self.store(notification).await;
    }

    async fn store(&self, notification: &Notification) {
        let Ok(text) = serde_json::to_string(notification) else { return };
        let mut pipe = redis::pipe();
        let ttl = self.ttl_ms(self.settings.ttl_notification);
        pipe.cmd("SET").arg(keys::notification(notification.id)).arg(text).arg("PX").arg(ttl).ignore();
        let _: Option<()> = self.call("set", pipe).await;
    }

    /// Forgets cached copies after rows changed.
    pub(crate) async fn forget(&self, ids: &[Uuid]) {
        if ids.is_empty() {
            return;
        }
        let mut pipe = redis::pipe();
        pipe.cmd("UNLINK").arg(ids.iter().map(keys::notification).collect::<Vec<_>>()).ignore();
        let _: Option<()> = self.call("unlink", pipe).await;
        for id in ids {
            self.local.invalidate(id).await;
            self.recent.invalidate(id);
        }
    }

    /// Reads through: process, Redis, then `load`, once per id at a time.
    pub(crate) async fn notification<E: Clone + Send + Sync + 'static>(
        &self,
        id: Uuid,
        load: impl Future<Output = Result<Option<Notification>, E>>,
    ) -> Result<Option<Arc<Notification>>, Arc<Lookup<E>>> {
        if let Some(hit) = self.local.get(&id).await {
            self.metrics.cache_hit(keys::NOTIFICATION);
            return Ok(Some(hit));
        }
        let found = self.local.try_get_with(id, async {
            let mut pipe = redis::pipe();
            pipe.cmd("GET").arg(keys::notification(id));
            let cached = self.call::<(Option<String>,)>("get", pipe).await.and_then(|(text,)| text);
            if let Some(hit) = cached.and_then(|text| serde_json::from_str::<Notification>(&text).ok()) {
                self.metrics.cache_hit(keys::NOTIFICATION);
                return Ok(Arc::new(hit));
            }
            self.metrics.cache_miss(keys::NOTIFICATION);
            match load.await {
                Ok(Some(row)) => {
                    self.store(&row).await;
                    Ok(Arc::new(row))
                }
                Ok(None) => self.recent.get(&id).ok_or(Lookup::Absent),
                // The database is away, but we may know it all the same.
                Err(cause) => self.recent.get(&id).ok_or(Lookup::Failed(cause)),
            }
        });
        match found.await {
            Ok(hit) => Ok(Some(hit)),
            Err(miss) if matches!(*miss, Lookup::Absent) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

/// Why a read found nothing.
pub(crate) enum Lookup<E> {
    /// There is no such row.
    Absent,
    /// The row could not be read.
    Failed(E),
}
