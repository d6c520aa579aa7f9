//! What one level found: the load, each part, the reconciliation, the verdict.

use super::{Sample, Spike, Trend};
use crate::domain::check::{ObjectiveCheck, Verdict};
use crate::domain::facts::Facts;
use crate::domain::level::Stage;
use crate::domain::slices::Slice;
use crate::measured::Measured;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Percentiles of the answer time over the steady window, in ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
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
    /// The parts of a level that changes its rate; empty when it does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageResult>,
    /// Requests that were started in the steady window: answered, failed, or left without an answer.
    pub requests: u64,
    /// Requests per second of the steady window.
    pub throughput_rps: f64,
    /// Share of failed requests; null when there was none at all.
    pub error_rate: Measured<f64>,
    /// Failed requests by cause, warm-up included: `unanswered` (no answer when the grace after the load was
    /// over), `timeout`, `refused`, `reset`, `status 503`, …
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, u64>,
    /// How long all requests took that were due, whatever their end was; one without an answer has waited
    /// at least so long.
    pub latency_ms: Latency,
    /// Answer times of the requests that succeeded. Runs of older versions have these in `latency_ms`.
    #[serde(default)]
    pub success_ms: Latency,
    /// Iterations the generator could not start in the steady window.
    pub dropped_iterations: u64,
    /// The load generator.
    pub generator: GeneratorResult,
    /// The service's processes.
    pub service: Service,
    /// PostgreSQL.
    pub db: Db,
    /// Kafka.
    pub kafka: Kafka,
    /// The cache.
    pub cache: CacheResult,
    /// What each process or container used.
    #[serde(default)]
    pub containers: Vec<PartUse>,
    /// How the machine's processors were divided, per cent of all cores: `generator`, `service`,
    /// `postgres`, `kafka`, `redis`, `prometheus`, `other`, `idle`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cpu_division: BTreeMap<String, f64>,
    /// Lines at level error in the parts' logs during the level.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub log_errors: BTreeMap<String, u64>,
    /// What else was measured over the steady window, for the diagnosis.
    #[serde(default)]
    pub facts: Facts,
    /// Acknowledged against stored.
    pub reconciliation: Reconciliation,
    /// How the service took a sudden rise, of a spike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spike: Option<Spike>,
    /// What grew, of a level long enough to tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trends: Vec<Trend>,
    /// What the machine waited for after the load ended, and whether it came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stabilised: Vec<Condition>,
    /// What could not be done or judged, in words: a part that did not answer, a stop rule without a value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// Why the level was stopped before its end, when a stop rule said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<String>,
    /// What measuring cost itself.
    #[serde(default)]
    pub measuring: Measuring,
    /// What the client counted in each slice of the steady window; empty in runs of older versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<Slice>,
    /// One sample a second.
    pub samples: Vec<Sample>,
    /// What it comes to.
    pub verdict: Verdict,
    /// The single judgements.
    pub checks: Vec<ObjectiveCheck>,
}

impl LevelResult {
    /// A percentile as it is judged: the slower of all requests that were due and of those that succeeded,
    /// so that neither quick failures nor missing answers flatter it. Missing where nothing succeeded.
    #[must_use]
    pub fn judged_ms(&self, of: fn(&Latency) -> Option<f64>) -> Measured<f64> {
        let slower = [of(&self.latency_ms), of(&self.success_ms)].into_iter().flatten().reduce(f64::max);
        Measured::or_missing(slower, "no request was answered")
            .filter(|_| self.error_rate.value() != Some(1.0), "no request succeeded")
    }
}

/// One part of a level that changes its rate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StageResult {
    /// What was planned.
    #[serde(flatten)]
    pub stage: Stage,
    /// Its start, seconds since the epoch.
    pub from_s: f64,
    /// Requests that were answered.
    pub requests: u64,
    /// Requests per second.
    pub throughput_rps: f64,
    /// Share of failed requests; null when there was none at all.
    pub error_rate: Measured<f64>,
    /// How long all requests took that were due, whatever their end was.
    pub latency_ms: Latency,
    /// Answer times of the requests that succeeded.
    #[serde(default)]
    pub success_ms: Latency,
    /// Iterations the generator could not start.
    pub dropped_iterations: u64,
}

/// The load generator.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct GeneratorResult {
    /// `k6` or `native`.
    #[serde(default)]
    pub engine: String,
    /// Mean CPU in the steady window, per cent of one core.
    pub cpu_pct: Measured<f64>,
    /// Largest resident memory, in MiB.
    pub rss_mb: Measured<f64>,
    /// Processors it was allowed to use; a part of one where its control group has a quota.
    #[serde(default)]
    pub cpus: Measured<f64>,
    /// Share of its running time that its threads waited for a processor, per cent.
    #[serde(default)]
    pub wait_pct: Measured<f64>,
    /// 99th percentile of how late requests were sent although a connection was free, in ms; of the
    /// native engine only.
    #[serde(default)]
    pub late_p99_ms: Measured<f64>,
    /// 95th percentile of the requests that nsys itself made beside the load, in ms.
    #[serde(default)]
    pub control_p95_ms: Measured<f64>,
    /// Virtual users that were busy on average, by Little's law.
    #[serde(default)]
    pub busy_vus: Measured<f64>,
    /// Seconds of the steady window in which less than the planned rate was offered.
    #[serde(default)]
    pub short_seconds: Measured<u64>,
    /// Longest time of the steady window in which nothing was answered, in whole seconds; absent where the
    /// generator does not tell its seconds.
    #[serde(default)]
    pub standstill_s: Measured<f64>,
    /// Whether it, not the service, was the limit.
    pub limited: bool,
    /// Why.
    pub reasons: Vec<String>,
    /// How it ended.
    pub exit: Option<i32>,
}

/// What nsys itself, not its generators, used of the machine while a level was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measuring {
    /// Mean CPU of nsys in the steady window, per cent of one core.
    #[serde(default)]
    pub cpu_pct: Measured<f64>,
    /// Statements per second that it asked PostgreSQL in the steady window.
    #[serde(default)]
    pub queries_per_s: Measured<f64>,
}

/// The service's processes together.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Service {
    /// Mean CPU in the steady window, per cent of all cores.
    pub cpu_pct: Measured<f64>,
    /// Largest resident memory, in MiB.
    pub rss_mb: Measured<f64>,
    /// Median as the service measured it, in ms.
    #[serde(default)]
    pub p50_ms: Measured<f64>,
    /// 95th percentile as the service measured it, in ms.
    pub p95_ms: Measured<f64>,
    /// 99th percentile as the service measured it, in ms.
    pub p99_ms: Measured<f64>,
    /// Most requests in progress.
    #[serde(default)]
    pub in_flight_max: Measured<f64>,
    /// 95th percentile of the time from acceptance to a final state, in ms.
    #[serde(default)]
    pub delivery_p95_ms: Measured<f64>,
    /// Notifications that reached a failed state per second.
    #[serde(default)]
    pub failed_per_s: Measured<f64>,
    /// Age of the process that started last when the steady window began, in seconds; negative when it was
    /// started afterwards.
    #[serde(default)]
    pub youngest_s: Measured<f64>,
    /// Age of the process that started first.
    #[serde(default)]
    pub oldest_s: Measured<f64>,
    /// Requests refused to protect the service, per second.
    #[serde(default)]
    pub shed_per_s: Measured<f64>,
}

/// PostgreSQL. Counts are of the steady window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Db {
    /// Most connections seen.
    pub connections_max: Measured<u64>,
    /// Connections each process may open.
    pub pool_size: u32,
    /// 95th percentile of query time, in ms.
    pub query_p95_ms: Measured<f64>,
    /// Statements that took the most time.
    pub top: Vec<Statement>,
    /// Sequential scans of the notifications table.
    #[serde(default)]
    pub seq_scans: Measured<i64>,
    /// Rows that they read.
    #[serde(default)]
    pub seq_rows_read: Measured<i64>,
    /// Most connections that ran a statement at once.
    #[serde(default)]
    pub active_max: Measured<u64>,
    /// Most sessions that waited for a lock at once.
    #[serde(default)]
    pub lock_waits_max: Measured<u64>,
    /// Most connections in use at once, of all pools.
    #[serde(default)]
    pub pool_active_max: Measured<f64>,
    /// Connections that all pools together may open.
    #[serde(default)]
    pub pool_limit: Measured<f64>,
    /// 95th percentile of the wait for a connection, in ms.
    #[serde(default)]
    pub pool_wait_p95_ms: Measured<f64>,
    /// Transactions committed per second.
    #[serde(default)]
    pub commits_per_s: Measured<f64>,
    /// Share of block reads that PostgreSQL's own cache answered, 0 to 1.
    #[serde(default)]
    pub block_hit_rate: Measured<f64>,
    /// Bytes written to temporary files.
    #[serde(default)]
    pub temp_bytes: Measured<i64>,
    /// Deadlocks.
    #[serde(default)]
    pub deadlocks: Measured<i64>,
}

/// Kafka.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Kafka {
    /// Most messages that waited.
    pub lag_max: Measured<i64>,
    /// Messages that waited when the load ended.
    pub lag_end: Measured<i64>,
    /// Seconds from the end of the load until nothing waited; null when it did not drain in time.
    pub drain_s: Measured<f64>,
    /// Messages published per second in the steady window.
    pub published_per_s: Measured<f64>,
    /// Messages consumed per second in the steady window.
    pub consumed_per_s: Measured<f64>,
    /// How much the lag grew per second over the steady window; negative when it shrank.
    #[serde(default)]
    pub lag_slope_per_s: Measured<f64>,
    /// Each partition of the notification topics.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<PartitionLoad>,
}

/// One partition during a level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionLoad {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Most messages that waited.
    pub lag_max: i64,
    /// Messages that waited when the load ended.
    pub lag_end: i64,
    /// Messages written to it while the load lasted.
    pub written: i64,
}

/// The cache.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CacheResult {
    /// Share of the service's reads that hit in the steady window.
    pub hit_rate: Measured<f64>,
    /// Share of Redis' own look-ups that found their key in the steady window.
    #[serde(default)]
    pub redis_hit_rate: Measured<f64>,
    /// Memory that Redis uses, in MiB.
    #[serde(default)]
    pub memory_mb: Measured<f64>,
    /// Most memory it may use, in MiB; absent when there is no bound.
    #[serde(default)]
    pub memory_limit_mb: Option<f64>,
    /// Keys when the load ended.
    #[serde(default)]
    pub keys: Measured<u64>,
    /// Keys removed to make room, in the steady window.
    #[serde(default)]
    pub evicted: Measured<u64>,
    /// Commands per second in the steady window.
    #[serde(default)]
    pub ops_per_s: Measured<f64>,
}

/// What one process or container used in the steady window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PartUse {
    /// `postgres`, `app-1`, …
    pub name: String,
    /// Mean CPU, per cent of one core.
    pub cpu_pct: Measured<f64>,
    /// Largest CPU of a second, per cent of one core.
    pub cpu_pct_max: Measured<f64>,
    /// Largest memory, in MiB.
    pub memory_mb: Measured<f64>,
    /// Read from disk, in MiB.
    pub disk_read_mb: Measured<f64>,
    /// Written to disk, in MiB.
    pub disk_written_mb: Measured<f64>,
}

/// Acknowledged against stored, warm-up included.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Reconciliation {
    /// Answers 201 that the generator counted.
    pub acknowledged: Measured<u64>,
    /// Rows stored, those without a seen 201 too.
    pub stored: Measured<u64>,
    /// Creations without an answer 201, which may be stored or not; null where the generator cannot name
    /// them all.
    #[serde(default)]
    pub unacknowledged: Measured<u64>,
    /// Rows stored of those that were acknowledged, by their ids; null where they cannot be told apart.
    #[serde(default)]
    pub acknowledged_stored: Measured<u64>,
    /// Ids that were acknowledged and are not stored, a few of them, where the generator can name them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<String>,
    /// Rows in a final state, of the acknowledged ones where they can be told apart.
    pub r#final: Measured<u64>,
    /// Answers without an error that the generator counted.
    #[serde(default)]
    pub succeeded: Measured<u64>,
    /// Answers without an error that the service counted in the same time.
    #[serde(default)]
    pub served: Measured<u64>,
}

impl Reconciliation {
    /// How many acknowledged notifications are not stored. Rows without a seen 201 stand in for none of
    /// them, where the generator can name those.
    #[must_use]
    pub fn missing(&self) -> Measured<u64> {
        let kept = self.acknowledged_stored.clone().or(self.stored.clone());
        self.acknowledged.clone().zip(kept).map(|(said, kept)| said.saturating_sub(kept))
    }
}

/// One statement of `pg_stat_statements`, over the steady window.
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

/// One thing that is waited for between levels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// What it is, with the unit last.
    pub name: String,
    /// What it is now; absent when it cannot be measured.
    pub value: Measured<f64>,
    /// At most this is wanted.
    pub target: f64,
    /// Whether it holds.
    pub met: bool,
}

impl Condition {
    /// Holds when the value is known and not above the target.
    #[must_use]
    pub fn at_most(name: &str, value: Measured<f64>, target: f64) -> Self {
        let met = value.value().is_some_and(|value| value <= target);
        Self { name: name.to_owned(), value, target, met }
    }
}
