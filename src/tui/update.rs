//! What the sources tell. A recording is these, one JSON line each.

use crate::domain::cache::CacheStats;
use crate::domain::database::{Connections, LockWait};
use crate::domain::lag::PartitionLag;
use crate::domain::run::Statement;
use serde::{Deserialize, Serialize};

/// An answer, or why there is none, with its time in seconds since the epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stamped {
    /// When it was had.
    pub at_s: f64,
    /// What it is.
    pub update: Update,
}

/// One source's answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Update {
    /// The service, as Prometheus counts it.
    Service(Result<Sample, String>),
    /// Consumer lag.
    Lag(Result<Vec<OwnedLag>, String>),
    /// PostgreSQL.
    Db(Result<Database, String>),
    /// Redis, since its start.
    Cache(Result<CacheStats, String>),
    /// The parts.
    Stack(Result<Vec<Part>, String>),
    /// The load test, if one runs.
    Load(Result<Option<Load>, String>),
}

/// The service's last seconds. What could not be had is absent, never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Requests per second.
    pub rate: Option<f64>,
    /// Median answer time, ms.
    pub p50_ms: Option<f64>,
    /// 95th percentile, ms.
    pub p95_ms: Option<f64>,
    /// 99th percentile, ms.
    pub p99_ms: Option<f64>,
    /// Requests answered with an error, per second.
    pub errors: Option<f64>,
    /// Messages published per second.
    pub published: Option<f64>,
    /// Messages consumed per second.
    pub consumed: Option<f64>,
    /// 95th percentile of query time, ms.
    pub query_p95_ms: Option<f64>,
    /// Share of cache reads that hit.
    pub hit_rate: Option<f64>,
}

/// A partition and who owns it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OwnedLag {
    /// Offsets.
    pub lag: PartitionLag,
    /// The member that owns it.
    pub owner: Option<String>,
}

/// What PostgreSQL says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Database {
    /// Connections by application and state.
    pub connections: Vec<Connections>,
    /// Most connections it takes.
    pub limit: i64,
    /// Statements with the most time.
    pub top: Vec<Statement>,
    /// Sessions that wait.
    pub locks: Vec<LockWait>,
}

/// One part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// `running`, `restarting`, `failed`, `stopping`.
    pub state: String,
    /// Per cent of one core since the look before.
    pub cpu_pct: Option<f64>,
    /// Resident memory, bytes.
    pub memory_bytes: Option<u64>,
    /// Restarts.
    pub restarts: u32,
    /// The last lines of its log.
    pub log: Vec<String>,
}

/// A load test that runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Load {
    /// Name of the run.
    pub run: String,
    /// Levels that are done: target, achieved rate, p95 in ms, verdict.
    pub done: Vec<(Option<u32>, f64, Option<f64>, String)>,
    /// The present level: target rate or VUs, warm-up and steady seconds.
    pub target: Option<u32>,
    /// Virtual users of the present level.
    pub vus: Option<u32>,
    /// CPU of the generator, per cent of one core.
    pub generator_cpu_pct: Option<f64>,
}
