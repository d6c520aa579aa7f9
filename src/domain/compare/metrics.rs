//! What is compared, and which way is better.

use crate::domain::run::{LevelResult, Sample};

/// One metric.
pub(super) struct MetricKind {
    /// Its name with the unit last.
    pub(super) name: &'static str,
    /// Whether more of it is better.
    pub(super) more_is_better: bool,
    /// The level's value.
    pub(super) value: fn(&LevelResult) -> Option<f64>,
    /// One second's value.
    pub(super) series: fn(&Sample) -> Option<f64>,
}

/// Every metric that is compared.
pub(super) const KINDS: [MetricKind; 7] = [
    MetricKind {
        name: "throughput_rps",
        more_is_better: true,
        value: |level| Some(level.throughput_rps),
        series: |one| one.rate_rps,
    },
    MetricKind {
        name: "p50_ms",
        more_is_better: false,
        value: |level| level.latency_ms.p50,
        series: |one| one.p50_ms,
    },
    MetricKind {
        name: "p95_ms",
        more_is_better: false,
        value: |level| level.latency_ms.p95,
        series: |one| one.p95_ms,
    },
    MetricKind {
        name: "p99_ms",
        more_is_better: false,
        value: |level| level.latency_ms.p99,
        series: |one| one.p99_ms,
    },
    MetricKind {
        name: "service_cpu_pct",
        more_is_better: false,
        value: |level| level.service.cpu_pct.value(),
        series: |one| one.service_cpu_pct,
    },
    MetricKind {
        name: "service_memory_mb",
        more_is_better: false,
        value: |level| level.service.rss_mb.value(),
        series: |one| one.service_rss_mb,
    },
    MetricKind {
        name: "lag",
        more_is_better: false,
        value: |level| level.kafka.lag_max.value().map(|lag| lag as f64),
        // A queue of none is as good as a queue of one.
        series: |one| one.lag.map(|lag| lag.max(1) as f64),
    },
];
