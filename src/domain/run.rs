//! What a run found: the schema `nsys.run/1` of results.json. A value that could not be had is null.

use super::level::Model;
use super::verdict::{Check, Verdict};

use serde::{Deserialize, Serialize};

/// Name of the schema.
pub const SCHEMA: &str = "nsys.run/1";

/// A whole run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// [`SCHEMA`].
    pub schema: String,
    /// `smoke` or `incremental`.
    pub kind: String,
    /// Name of its directory.
    pub id: String,
    /// `running`, `finished` or `interrupted`.
    pub state: String,
    /// RFC 3339.
    pub started_at: String,
    /// RFC 3339; absent while it runs.
    pub finished_at: Option<String>,
    /// Open or closed.
    pub model: Model,
    /// The user's remark.
    pub note: Option<String>,
    /// Where it was measured.
    pub environment: Environment,
    /// What it was judged by.
    pub targets: serde_json::Value,
    /// The levels, in order.
    pub levels: Vec<LevelResult>,
    /// The worst of the levels.
    pub verdict: Verdict,
}

/// Where it was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Environment {
    /// Version of nsys.
    pub nsys: String,
    /// Version of k6, as it says itself.
    pub k6: String,
    /// Operating system.
    pub os: String,
    /// Processors.
    pub cpus: usize,
    /// Memory, in MiB.
    pub memory_mb: u64,
    /// Replicas of the api.
    pub app: usize,
    /// Replicas of the worker.
    pub worker: usize,
    /// Whether generator and stack share the machine.
    pub shared_machine: bool,
}

/// Percentiles of the answer time over the steady window, in ms.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    /// Fastest.
    pub min: Option<f64>,
    /// Median.
    pub p50: Option<f64>,
    /// 90th.
    pub p90: Option<f64>,
    /// 95th.
    pub p95: Option<f64>,
    /// 99th.
    pub p99: Option<f64>,
    /// 99.9th.
    pub p999: Option<f64>,
    /// Slowest.
    pub max: Option<f64>,
}

/// One level.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LevelResult {
    /// Counted from 1.
    pub level: usize,
    /// Virtual users.
    pub vus: u32,
    /// Planned requests per second.
    pub target_rps: Option<u32>,
    /// Length with the warm-up.
    pub duration_s: u64,
    /// Length of the steady window.
    pub steady_s: u64,
    /// Start of the steady window, seconds since the epoch.
    pub steady_from_s: f64,
    /// Requests of the steady window.
    pub requests: u64,
    /// Requests per second of the steady window.
    pub throughput_rps: f64,
    /// Share of failed requests; null when there was none at all.
    pub error_rate: Option<f64>,
    /// Answer times.
    pub latency_ms: Latency,
    /// Iterations k6 could not start in the steady window.
    pub dropped_iterations: u64,
    /// The load generator.
    pub generator: Generator,
    /// The service's processes.
    pub service: Service,
    /// PostgreSQL.
    pub db: Db,
    /// Kafka.
    pub kafka: Kafka,
    /// The cache.
    pub cache: Cache,
    /// Acknowledged against stored.
    pub reconciliation: Reconciliation,
    /// One sample a second.
    pub samples: Vec<Sample>,
    /// What it comes to.
    pub verdict: Verdict,
    /// The single judgements.
    pub checks: Vec<Check>,
}

/// The load generator.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Generator {
    /// Mean CPU in the steady window, per cent of one core.
    pub cpu_pct: Option<f64>,
    /// Largest resident memory, in MiB.
    pub rss_mb: Option<f64>,
    /// Whether it, not the service, was the limit.
    pub limited: bool,
    /// Why.
    pub reasons: Vec<String>,
    /// How k6 ended.
    pub exit: Option<i32>,
}

/// The service's processes together.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Service {
    /// Mean CPU in the steady window, per cent of all cores.
    pub cpu_pct: Option<f64>,
    /// Largest resident memory, in MiB.
    pub rss_mb: Option<f64>,
    /// 95th percentile as the service measured it, in ms.
    pub p95_ms: Option<f64>,
    /// 99th percentile as the service measured it, in ms.
    pub p99_ms: Option<f64>,
}

/// PostgreSQL.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Db {
    /// Most connections seen.
    pub connections_max: Option<u64>,
    /// Connections each process may open.
    pub pool_size: u32,
    /// 95th percentile of query time, in ms.
    pub query_p95_ms: Option<f64>,
    /// Statements that took the most time in this level.
    pub top: Vec<Statement>,
}

/// Kafka.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Kafka {
    /// Most messages that waited.
    pub lag_max: Option<i64>,
    /// Messages that waited when the load ended.
    pub lag_end: Option<i64>,
    /// Seconds from the end of the load until nothing waited; null when it did not drain in time.
    pub drain_s: Option<f64>,
    /// Messages published per second in the steady window.
    pub published_per_s: Option<f64>,
    /// Messages consumed per second in the steady window.
    pub consumed_per_s: Option<f64>,
}

/// The cache.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Cache {
    /// Share of reads that hit in the steady window.
    pub hit_rate: Option<f64>,
}

/// Acknowledged against stored, warm-up included.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Reconciliation {
    /// Answers 201 that k6 counted.
    pub acknowledged: Option<u64>,
    /// Rows stored.
    pub stored: Option<u64>,
    /// Rows in a final state.
    pub r#final: Option<u64>,
}

/// One second.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds since the epoch.
    pub at_s: f64,
    /// CPU of k6, per cent of one core.
    pub generator_cpu_pct: Option<f64>,
    /// Memory of k6, MiB.
    pub generator_rss_mb: Option<f64>,
    /// CPU of the service, per cent of all cores.
    pub service_cpu_pct: Option<f64>,
    /// Memory of the service, MiB.
    pub service_rss_mb: Option<f64>,
    /// Connections to PostgreSQL.
    pub db_connections: Option<u64>,
    /// Messages that wait.
    pub lag: Option<i64>,
}

/// One statement of `pg_stat_statements`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Statement {
    /// Its text, parameters left out, at most 160 characters.
    pub query: String,
    /// How often it ran.
    pub calls: i64,
    /// Time in all, in ms.
    pub total_ms: f64,
    /// Time for each call, in ms.
    pub mean_ms: f64,
}
