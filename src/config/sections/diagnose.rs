//! `[diagnose]`: the bounds of the rules of the diagnosis, by the names that rules use.

use serde::{Deserialize, Serialize};

/// The section as it is written in `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiagnoseSection {
    /// 95th percentile of query time, in ms.
    pub query_p95_ms: f64,
    /// Mean query time above which reading from disk counts, in ms.
    pub query_mean_ms: f64,
    /// Mean time of one statement, in ms.
    pub statement_ms: f64,
    /// Sessions that wait for a lock, on average.
    pub lock_waiters: f64,
    /// Time a query takes beyond what PostgreSQL spends on it, on average, in ms.
    pub db_network_ms: f64,
    /// Share of statement time that goes into reading blocks, 0 to 1.
    pub db_io_share: f64,
    /// CPU of PostgreSQL, in per cent of all cores.
    pub db_cpu_pct: f64,
    /// Connections over those that PostgreSQL admits, clients over those that Redis admits, 0 to 1.
    pub connections_share: f64,
    /// Share of the looks that a part left unanswered, 0 to 1.
    pub unanswered_share: f64,
    /// Used part of the file system under the data, 0 to 1.
    pub disk_share: f64,
    /// Open files over the most there may be, of the machine or of one process, 0 to 1.
    pub files_share: f64,
    /// Processes and threads over the most there may be, 0 to 1.
    pub processes_share: f64,
    /// Share of a connection pool in use, 0 to 1.
    pub pool_share: f64,
    /// Wait for a connection over wait and query together, 0 to 1.
    pub pool_wait_share: f64,
    /// Mean wait for a connection above which its share counts, in ms.
    pub pool_wait_ms: f64,
    /// Rows that one sequential scan of the notifications table reads on average.
    pub scan_rows: f64,
    /// Share of published messages that is consumed in the same window, 0 to 1.
    pub consumed_share: f64,
    /// Pending messages, in seconds of arrivals at the current rate.
    pub behind_s: f64,
    /// Members of the worker group for each partition.
    pub workers_per_partition: f64,
    /// Messages of the fullest partition over the mean of all.
    pub publish_skew: f64,
    /// Messages that wait for one worker over the mean of the others.
    pub worker_lag_ratio: f64,
    /// Mean time of a delivery attempt at its provider, in ms.
    pub delivery_ms: f64,
    /// Mean time until the broker has acknowledged a message, in ms.
    pub publish_ms: f64,
    /// Delay that a broker imposes by quota, in ms.
    pub broker_throttle_ms: f64,
    /// Mean time of a cache call, in ms.
    pub cache_ms: f64,
    /// Keys per second that Redis evicts.
    pub evicted_per_s: f64,
    /// Keys that expired for each read that missed.
    pub expired_per_miss: f64,
    /// Reads per second that miss the cache, above which the reason counts.
    pub misses_per_s: f64,
    /// Life of a cached notification, in windows of measurement: what lives longer expires from earlier loads.
    pub ttl_windows: f64,
    /// Share of misses that still fill the cache; from here on it is cold, and misses are no limit.
    pub filling_share: f64,
    /// Share of periods in which a CPU limit stopped the service, 0 to 1.
    pub throttled_share: f64,
    /// CPU of stack and generator together, in per cent of all cores.
    pub machine_cpu_pct: f64,
    /// Mean run-queue wait of a thread of the service, in ms.
    pub cpu_wait_ms: f64,
    /// Scheduler time slices per call; latency bounds are raised by their run-queue wait.
    pub scheduling_turns: f64,
    /// CPU used by other programs, in per cent of all cores.
    pub other_cpu_pct: f64,
    /// Memory of a replica over its limit, 0 to 1.
    pub memory_share: f64,
    /// Share of time in which a process waited for memory, 0 to 1.
    pub memory_stall_share: f64,
    /// Growth of the service's memory, in MiB per minute.
    pub memory_growth_mb_per_min: f64,
    /// Bytes of log for each request.
    pub log_bytes_per_request: f64,
    /// Bytes of log per second above which their number for each request counts.
    pub log_bytes_per_s: f64,
    /// Restarts of parts during a level.
    pub restarts: f64,
    /// Median answer time of the generator beyond that of the service, in ms.
    pub outside_ms: f64,
    /// Requests per second that the service sheds.
    pub shed_per_s: f64,
    /// Share of the answer time that is spent in neither database, pool, cache nor broker, 0 to 1.
    pub elsewhere_share: f64,
    /// Mean answer time above which that share counts, in ms.
    pub request_mean_ms: f64,
    /// Growth of throughput below which a level adds nothing, as a share.
    pub flat_growth: f64,
    /// Difference between requests in progress and rate times answer time, as a share.
    pub little_error: f64,
    /// Share of successful scrapes, 0 to 1.
    pub scraped_share: f64,
    /// 1 when the generator was the limit.
    pub generator_limited: f64,
    /// Share of a bound above which a value is near it.
    pub warn_share: f64,
}
