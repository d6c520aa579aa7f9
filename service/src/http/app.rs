//! The state of the API: the shared parts, and what only requests need. Built once.

pub(in crate::http) mod concurrency;
pub(in crate::http) mod counts;
pub(in crate::http) mod follower;
pub(in crate::http) mod senders;
pub(in crate::http) mod template_cache;

use super::idempotency::StoredRequests;
use crate::auth::Authenticator;
use crate::channels::EndpointVault;
use crate::parts::Parts;
use crate::queue::Ingestion;
use crate::worker::WorkerState;
use anyhow::Context;
use concurrency::ConcurrencyLimits;
use counts::CachedCounts;
use follower::Follower;
use senders::Senders;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use template_cache::Templates;

/// What a handler may use.
pub(crate) struct App {
    pub(crate) parts: Arc<Parts>,
    pub(crate) auth: Authenticator,
    pub(crate) ingestion: Ingestion,
    pub(crate) follower: Follower,
    pub(in crate::http) senders: Senders,
    pub(crate) endpoints: EndpointVault,
    pub(in crate::http) templates: Templates,
    pub(in crate::http) counts: CachedCounts,
    pub(in crate::http) stored_requests: Arc<StoredRequests>,
    pub(in crate::http) concurrency: ConcurrencyLimits,
    /// Of the worker in this process, if it has one; `/health/worker` shows it.
    pub(in crate::http) worker: Arc<WorkerState>,
    draining: AtomicBool,
}

impl App {
    /// Reads the signing keys and the settings of the topics, so that the first request finds both.
    ///
    /// # Errors
    /// When the signing key file cannot be read or made, or Kafka's settings are malformed.
    pub(crate) async fn open(parts: Arc<Parts>, worker: Arc<WorkerState>) -> anyhow::Result<Self> {
        let auth = Authenticator::open(&parts.config.auth, &parts.config.limits)?;
        auth.keyring.reload(&parts.db).await;
        let ingestion = Ingestion::open(&parts.config.kafka).context("Kafka")?;
        ingestion.read_settings(&parts.metrics).await;
        Ok(Self {
            concurrency: ConcurrencyLimits::new(&parts.config.limits),
            draining: AtomicBool::new(false),
            worker,
            auth,
            senders: Senders::default(),
            templates: Templates::default(),
            counts: CachedCounts::default(),
            stored_requests: Arc::default(),
            follower: Follower::default(),
            endpoints: EndpointVault::open(&parts.config)?,
            ingestion,
            parts,
        })
    }

    /// While it drains, readiness answers 503.
    pub(crate) fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::Relaxed);
    }

    /// Whether the process is to get no more traffic.
    pub(in crate::http) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
