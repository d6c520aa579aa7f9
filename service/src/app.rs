//! Everything a handler or the worker needs, built once.

use crate::admission::ConcurrencyLimits;
use crate::auth::Authenticator;
use crate::cache::Cache;
use crate::counts::CachedCounts;
use crate::db::Db;
use crate::follow::Follower;
use crate::idempotency::StoredRequests;
use crate::ingestion::Ingestion;
use crate::queue::Producer;
use crate::telemetry::Metrics;
use crate::templates::Templates;
use crate::worker::WorkerState;
use anyhow::Context;
use nsys_contract::config::ServiceConfig;
use std::sync::atomic::{AtomicBool, Ordering};

/// The parts of one process.
pub(crate) struct App {
    pub(crate) config: ServiceConfig,
    pub(crate) db: Db,
    pub(crate) cache: Cache,
    pub(crate) producer: Producer,
    pub(crate) auth: Authenticator,
    pub(crate) templates: Templates,
    pub(crate) counts: CachedCounts,
    pub(crate) stored_requests: StoredRequests,
    pub(crate) follower: Follower,
    pub(crate) ingestion: Ingestion,
    pub(crate) metrics: Metrics,
    pub(crate) worker: WorkerState,
    pub(crate) concurrency: ConcurrencyLimits,
    draining: AtomicBool,
}

impl App {
    /// Connects to every part, in the order in which a failure is easiest to understand.
    pub(crate) async fn connect(config: ServiceConfig) -> anyhow::Result<Self> {
        let metrics = Metrics::default();
        let db = Db::connect(&config.db, metrics.clone()).await.context("PostgreSQL")?;
        db.require_schema().await?;
        let cache = Cache::connect(&config.cache, config.service.request_timeout, metrics.clone())
            .context("Redis")?;
        let producer = Producer::connect(&config.kafka, metrics.clone()).await.context("Kafka")?;
        let auth = Authenticator::open(&config.auth, &config.limits)?;
        auth.keyring.reload(&db).await;
        let ingestion = Ingestion::open(&config.kafka).context("Kafka")?;
        ingestion.read_settings(&metrics).await;
        Ok(Self {
            concurrency: ConcurrencyLimits::new(&config.limits),
            draining: AtomicBool::new(false),
            worker: WorkerState::default(),
            config,
            db,
            cache,
            producer,
            auth,
            templates: Templates::default(),
            counts: CachedCounts::default(),
            stored_requests: StoredRequests::default(),
            follower: Follower::default(),
            ingestion,
            metrics,
        })
    }

    /// While it drains, readiness answers 503.
    pub(crate) fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::Relaxed);
    }

    /// Whether the process is to get no more traffic.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
