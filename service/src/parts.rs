//! What every role stands on, connected once: configuration, PostgreSQL, Redis, the log, metrics.

use crate::cache::Cache;
use crate::db::{Db, Workload};
use crate::queue::Producer;
use crate::telemetry::Metrics;
use anyhow::Context;
use nsys_contract::config::ServiceConfig;

/// The parts of one process that the API and the worker share.
pub(crate) struct Parts {
    pub(crate) config: ServiceConfig,
    pub(crate) db: Db,
    pub(crate) cache: Cache,
    pub(crate) producer: Producer,
    pub(crate) metrics: Metrics,
}

impl Parts {
    /// Connects to every part, in the order in which a failure is easiest to understand: without the
    /// schema nothing works, without Redis everything does. `serves`: whether requests are answered here.
    ///
    /// # Errors
    /// When PostgreSQL or Kafka cannot be reached, the schema is too old, or an address is malformed.
    pub(crate) async fn connect(config: ServiceConfig, serves: bool) -> anyhow::Result<Self> {
        let metrics = Metrics::default();
        let workload = Workload { has_lists: serves, request_timeout: config.service.request_timeout };
        let db = Db::connect(&config.db, workload, metrics.clone()).await.context("PostgreSQL")?;
        db.require_schema().await?;
        let (in_flight, read_max_lag) = (config.service.request_timeout, config.db.read_max_lag);
        let cache =
            Cache::connect(&config.cache, in_flight, read_max_lag, metrics.clone()).context("Redis")?;
        let producer = Producer::connect(&config.kafka, metrics.clone()).await.context("Kafka")?;
        Ok(Self { config, db, cache, producer, metrics })
    }
}
