//! What the sources tell. A recording is these, one JSON line each.

use crate::domain::cache::CacheStats;
use crate::domain::database::{Connections, LockWait};
use crate::domain::lag::tracker::GroupSample;
use crate::domain::live::{LiveStatement, Prefixes, TableUse, Totals};
use crate::domain::progress::RunProgress;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An update with its time in seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stamped {
    /// When it was had.
    pub at_s: f64,
    /// What it is.
    pub update: Update,
}

/// One source's answer, or in one line why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Update {
    /// The service, as Prometheus counts it.
    Service(Result<ServiceSample, String>),
    /// Consumer groups with their offsets.
    Lag(Result<Vec<GroupSample>, String>),
    /// PostgreSQL.
    Db(Result<Database, String>),
    /// Redis.
    Cache(Result<CacheSample, String>),
    /// The parts.
    Stack(Result<Vec<PartSample>, String>),
    /// The load test that runs, or the one that ran last.
    Load(Result<Option<Load>, String>),
    /// The machine that the stack runs on.
    Machine(Result<MachineSample, String>),
    /// New lines of a part's log.
    Log {
        /// The part.
        part: String,
        /// The lines.
        lines: Vec<String>,
    },
    /// Changes of the stack that were made, oldest first.
    Changes(Vec<Mark>),
    /// A mark that the operator put.
    Mark(Mark),
    /// A call that was made.
    Call(Call),
}

/// The service's last seconds. What could not be had is absent, never 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceSample {
    /// Seconds that every rate and percentile is about.
    pub window_s: Option<f64>,
    /// Requests per second; probes and scrapes of the stack itself are left out.
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
    /// Connections of the service's pools that are in use.
    pub pool_active: Option<f64>,
    /// Connections the pools may open.
    pub pool_size: Option<f64>,
    /// 95th percentile of the wait for a connection, ms.
    pub pool_wait_ms: Option<f64>,
    /// Share of cache reads that hit, 0 to 1.
    pub hit_rate: Option<f64>,
    /// Whether each replica of the service answered when it was last scraped.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<String, bool>,
}

impl ServiceSample {
    /// How many requests its percentiles are made of; absent where the window is not known.
    #[must_use]
    pub fn requests(&self) -> Option<f64> {
        Some(self.rate? * self.window_s?)
    }
}

/// What PostgreSQL says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Database {
    /// Connections by application and state.
    pub connections: Vec<Connections>,
    /// Most connections it takes.
    pub limit: i64,
    /// Statements, counted since the statistics began; the ones with the most time.
    pub statements: Vec<LiveStatement>,
    /// Sessions that wait.
    pub locks: Vec<LockWait>,
    /// Counters of the database, since its statistics began.
    #[serde(default)]
    pub totals: Totals,
    /// Tables, largest first.
    #[serde(default)]
    pub tables: Vec<TableUse>,
    /// Size of the database, bytes; absent until it was asked for.
    #[serde(default)]
    pub bytes: Option<i64>,
}

/// What Redis says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CacheSample {
    /// Counters since its start, and sizes now.
    pub stats: CacheStats,
    /// Keys by prefix; absent until they were counted.
    #[serde(default)]
    pub prefixes: Option<Prefixes>,
}

/// One part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PartSample {
    /// Its name.
    pub name: String,
    /// `running`, `restarting`, `failed`, `stopping`, …
    pub state: String,
    /// CPU since the look before, per cent of one core.
    pub cpu_pct: Option<f64>,
    /// Resident memory, bytes.
    pub memory_bytes: Option<u64>,
    /// Read from disks so far, bytes.
    pub disk_read_bytes: Option<u64>,
    /// Written to disks so far, bytes.
    pub disk_write_bytes: Option<u64>,
    /// Received and sent over the network so far, bytes.
    pub network_bytes: Option<u64>,
    /// Restarts.
    pub restarts: u32,
    /// Start, in seconds since the epoch.
    pub started_s: Option<f64>,
    /// How it last ended.
    pub last_exit: Option<String>,
}

/// The machine that the stack runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MachineSample {
    /// Processors in use since the look before, per cent of all cores.
    pub cpu_pct: Option<f64>,
    /// Memory that is in use and cannot be given back, bytes.
    pub memory_bytes: Option<u64>,
    /// All memory, bytes.
    pub memory_limit_bytes: Option<u64>,
}

/// A load test that runs, or the one that ran last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Name of the run.
    pub run: String,
    /// Levels that are done.
    pub done: Vec<LevelDone>,
    /// Requests per second that the present level plans; absent in the closed model.
    pub target: Option<u32>,
    /// Virtual users of the present level.
    pub vus: Option<u32>,
    /// CPU of the generator, per cent of one core.
    pub generator_cpu_pct: Option<f64>,
    /// Where it is, as its stream tells; absent in recordings of older versions.
    #[serde(default)]
    pub progress: Option<Box<RunProgress>>,
}

impl Load {
    /// Whether it still runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.progress.as_ref().is_none_or(|progress| progress.runs())
    }
}

/// A level that is done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LevelDone {
    /// Planned requests per second.
    pub target: Option<u32>,
    /// Achieved requests per second.
    pub achieved: f64,
    /// 95th percentile, ms.
    pub p95_ms: Option<f64>,
    /// `passed`, `failed`, …
    pub verdict: String,
    /// Median, ms.
    #[serde(default)]
    pub p50_ms: Option<f64>,
    /// 99th percentile, ms.
    #[serde(default)]
    pub p99_ms: Option<f64>,
    /// Share of failed requests.
    #[serde(default)]
    pub error_rate: Option<f64>,
    /// Requests that the generator could not start.
    #[serde(default)]
    pub not_started: Option<u64>,
    /// Why it was judged so, as sentences.
    #[serde(default)]
    pub reasons: Vec<String>,
}

/// Something that happened at a time: shown on every chart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// When, in seconds since the epoch.
    pub at_s: f64,
    /// What.
    pub text: String,
}

/// A call as somebody would make it by hand, and how it went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The command line.
    pub command: String,
    /// How long it took, ms.
    pub took_ms: f64,
    /// Why it failed, if it did.
    #[serde(default)]
    pub error: Option<String>,
}
