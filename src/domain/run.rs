//! What a run found: the schema `nsys.run/1` of results.json. A value that could not be had is null.

use super::facts::Facts;
use super::level::Model;
use super::verdict::{Check, Verdict};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// The machine's name.
    #[serde(default)]
    pub host: Option<String>,
    /// Where the stack runs: `local`, `docker`, ….
    #[serde(default)]
    pub runtime: Option<String>,
    /// The kind of disk under the data.
    #[serde(default)]
    pub disk: Option<String>,
    /// What each part says of its version.
    #[serde(default)]
    pub versions: BTreeMap<String, String>,
    /// SHA-256 of the load script and of what it is told beside rates, shortened.
    #[serde(default)]
    pub script: String,
    /// Notifications stored when the run began, as the statistics estimate them.
    #[serde(default)]
    pub rows: Option<i64>,
    /// Every setting of the service, secrets left out.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
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
    /// What else was measured over the steady window, for the diagnosis.
    #[serde(default)]
    pub facts: Facts,
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
    /// Sequential scans of the notifications table in this level.
    #[serde(default)]
    pub seq_scans: Option<i64>,
    /// Rows that they read.
    #[serde(default)]
    pub seq_rows_read: Option<i64>,
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
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
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
    /// Requests per second, as the service counted them.
    #[serde(default)]
    pub rate_rps: Option<f64>,
    /// Median answer time as the service measured it, in ms.
    #[serde(default)]
    pub p50_ms: Option<f64>,
    /// 95th percentile as the service measured it, in ms.
    #[serde(default)]
    pub p95_ms: Option<f64>,
    /// 99th percentile as the service measured it, in ms.
    #[serde(default)]
    pub p99_ms: Option<f64>,
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

/// A healthy run for tests: one level of a minute for each 95th percentile (ms), with a series that
/// wavers by a tenth.
#[cfg(test)]
pub(crate) fn test_run(p95_ms: &[f64]) -> Run {
    let level = |(index, p95): (usize, &f64)| {
        let sample = |second: u32| {
            let waver = 1.0 + 0.1 * f64::from((second * 7919) % 13) / 13.0;
            Sample {
                at_s: 1_000.0 + f64::from(second),
                service_cpu_pct: Some(20.0 * waver),
                rate_rps: Some(500.0 * waver),
                p50_ms: Some(p95 / 4.0 * waver),
                p95_ms: Some(p95 * waver),
                p99_ms: Some(p95 * 2.0 * waver),
                ..Sample::default()
            }
        };
        LevelResult {
            level: index + 1,
            vus: 50,
            target_rps: Some(500),
            duration_s: 60,
            steady_s: 60,
            steady_from_s: 1_000.0,
            requests: 30_000,
            throughput_rps: 500.0,
            error_rate: Some(0.0),
            latency_ms: Latency {
                p50: Some(p95 / 4.0),
                p95: Some(*p95),
                p99: Some(p95 * 2.0),
                ..Latency::default()
            },
            dropped_iterations: 0,
            generator: Generator { cpu_pct: Some(20.0), ..Generator::default() },
            service: Service { cpu_pct: Some(20.0), rss_mb: Some(60.0), ..Service::default() },
            db: Db { connections_max: Some(8), pool_size: 10, query_p95_ms: Some(2.0), ..Db::default() },
            kafka: Kafka {
                lag_end: Some(0),
                published_per_s: Some(300.0),
                consumed_per_s: Some(300.0),
                ..Kafka::default()
            },
            cache: Cache { hit_rate: Some(0.9) },
            facts: Facts::default(),
            reconciliation: Reconciliation::default(),
            samples: (0..60).map(sample).collect(),
            verdict: Verdict::Passed,
            checks: Vec::new(),
        }
    };
    Run {
        schema: SCHEMA.into(),
        kind: "incremental".into(),
        id: "incremental-20260101_000000".into(),
        state: "finished".into(),
        started_at: "2026-01-01T00:00:00Z".into(),
        finished_at: None,
        model: Model::Open,
        note: None,
        environment: Environment {
            nsys: "0".into(),
            k6: "k6".into(),
            os: "Linux".into(),
            cpus: 2,
            memory_mb: 4_096,
            app: 1,
            worker: 1,
            shared_machine: true,
            host: None,
            runtime: None,
            disk: None,
            versions: BTreeMap::new(),
            script: "s".into(),
            rows: None,
            settings: BTreeMap::new(),
        },
        targets: serde_json::Value::Null,
        levels: p95_ms.iter().enumerate().map(level).collect(),
        verdict: Verdict::Passed,
    }
}
