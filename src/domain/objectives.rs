//! Service level objectives, and what a level of a load test is judged by.

use super::guard;
use serde::{Deserialize, Serialize};

/// The objectives, as `[objectives]` of the configuration sets them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objectives {
    /// 95th percentile, ms.
    pub p95_ms: f64,
    /// 99th percentile, ms.
    pub p99_ms: f64,
    /// Share of failed requests, 0 to 1.
    pub error_rate: f64,
    /// CPU of the service, per cent of all cores.
    pub cpu_pct: f64,
    /// Memory of the service, MiB.
    pub memory_mb: f64,
    /// Connections to PostgreSQL.
    pub db_connections: f64,
    /// Messages that wait when the load ends.
    pub lag: f64,
    /// Share of cache reads that hit, 0 to 1.
    pub cache_hit_rate: f64,
}

/// What a level is judged by: the objectives, and what this load allows to be judged.
#[derive(Clone, Copy, Debug)]
pub struct LevelCriteria {
    /// What is to be kept.
    pub objectives: Objectives,
    /// Whether the load is long enough to warm a cache; else its hit rate is not judged.
    pub warms_caches: bool,
    /// From where on the generator was the limit.
    pub generator: guard::GeneratorBounds,
    /// Whether successes must equal what the service counted.
    pub reconcile: bool,
    /// Whether the generators tell what they do second by second; those of a cluster do not.
    pub reports_seconds: bool,
}
