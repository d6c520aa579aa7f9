//! One second of a level: what the generator did, what the service counted, what each part used.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One second. What could not be had is absent; a rate covers the time since the sample before, or,
/// where Prometheus tells it, four scrapes before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// Seconds since the epoch.
    pub at_s: f64,

    /// CPU of the generator, per cent of one core.
    pub generator_cpu_pct: Option<f64>,
    /// Memory of the generator, MiB.
    pub generator_rss_mb: Option<f64>,
    /// Share of its running time that the generator's threads waited for a processor, per cent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator_wait_pct: Option<f64>,
    /// Requests per second that were planned for this instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned_rps: Option<f64>,
    /// Answers per second, as the generator counted them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_rps: Option<f64>,
    /// Median answer time of this second as the generator measured it, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_p50_ms: Option<f64>,
    /// 95th percentile of this second as the generator measured it, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_p95_ms: Option<f64>,
    /// 99th percentile of this second as the generator measured it, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_p99_ms: Option<f64>,
    /// Failed requests per second, as the generator counted them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_errors_per_s: Option<f64>,
    /// Requests per second that could not be started in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped_per_s: Option<f64>,
    /// Answer time of one request that nsys itself made beside the load, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_ms: Option<f64>,

    /// CPU of the service, per cent of all cores.
    pub service_cpu_pct: Option<f64>,
    /// Memory of the service, MiB.
    pub service_rss_mb: Option<f64>,
    /// Requests per second, as the service counted them.
    pub rate_rps: Option<f64>,
    /// Median answer time as the service measured it, in ms.
    pub p50_ms: Option<f64>,
    /// 95th percentile as the service measured it, in ms.
    pub p95_ms: Option<f64>,
    /// 99th percentile as the service measured it, in ms.
    pub p99_ms: Option<f64>,
    /// Requests per second that the service answered with an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors_per_s: Option<f64>,
    /// Requests in progress in the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<f64>,

    /// Work that waits or is done inside the service: producer queue and worker batches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_depth: Option<f64>,

    /// Connections to PostgreSQL.
    pub db_connections: Option<u64>,
    /// Connections that run a statement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub db_active: Option<u64>,
    /// Sessions that wait for a lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub db_lock_waits: Option<u64>,
    /// Transactions committed per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub db_commits_per_s: Option<f64>,
    /// 95th percentile of query time as the service measured it, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_p95_ms: Option<f64>,
    /// Connections in use, of all pools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_active: Option<f64>,
    /// Connections that all pools together may open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_size: Option<f64>,
    /// 95th percentile of the wait for a connection, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_wait_p95_ms: Option<f64>,

    /// Messages that wait.
    pub lag: Option<i64>,
    /// Messages that wait on the partition where most do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_worst: Option<i64>,
    /// Messages published per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_per_s: Option<f64>,
    /// Messages consumed per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumed_per_s: Option<f64>,

    /// Mean time until the broker has acknowledged a message, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish_ms: Option<f64>,

    /// Mean time of a cache call as the service measured it, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_ms: Option<f64>,
    /// Share of the service's cache reads that hit, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hit_rate: Option<f64>,
    /// Commands per second that Redis processed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis_ops_per_s: Option<f64>,
    /// Memory that Redis uses, MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis_memory_mb: Option<f64>,
    /// Keys per second that Redis removed to make room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis_evicted_per_s: Option<f64>,

    /// CPU of the whole machine, per cent of all cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_cpu_pct: Option<f64>,
    /// CPU by part (`postgres`, `kafka`, `app-1`, …), per cent of one core.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub cpu_pct: BTreeMap<String, f64>,
    /// Memory by part, MiB.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rss_mb: BTreeMap<String, f64>,
    /// Open files of the service's processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_files: Option<u64>,
}

/// Mean of what is there.
#[must_use]
pub fn mean<'a>(
    samples: impl IntoIterator<Item = &'a Sample>,
    of: impl Fn(&Sample) -> Option<f64>,
) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0_u32);
    for value in samples.into_iter().filter_map(of) {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / f64::from(count))
}

/// Largest of what is there.
#[must_use]
pub fn largest<'a>(
    samples: impl IntoIterator<Item = &'a Sample>,
    of: impl Fn(&Sample) -> Option<f64>,
) -> Option<f64> {
    samples.into_iter().filter_map(of).reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_of_an_older_run_is_read() {
        let old = r#"{"at_s": 1.0, "generator_cpu_pct": 3.0, "lag": 4, "db_connections": null}"#;
        let sample: Sample = serde_json::from_str(old).unwrap();
        assert_eq!((sample.lag, sample.pool_active), (Some(4), None));
    }

    #[test]
    fn what_is_missing_counts_neither_as_zero_nor_as_most() {
        let of = |lag: Option<f64>| Sample { in_flight: lag, ..Sample::default() };
        let samples = [of(Some(2.0)), of(None), of(Some(4.0))];
        assert_eq!(mean(&samples, |one| one.in_flight), Some(3.0));
        assert_eq!(largest(&samples, |one| one.in_flight), Some(4.0));
        assert_eq!(mean(&samples, |one| one.rate_rps), None);
    }
}
