//! A healthy run for the tests of whatever reads runs.

use super::{
    CacheResult, Db, Environment, GeneratorResult, Kafka, Latency, LevelResult, Measuring, Reconciliation,
    Run, SCHEMA, Sample, Service, Slice,
};
use crate::domain::facts::Facts;
use crate::domain::level::Model;
use crate::domain::slices::SliceCounts;
use crate::domain::verdict::Verdict;
use std::collections::BTreeMap;

/// Two seconds of a client at 500/s that wavers by a tenth.
fn slice(p95_ms: f64, index: u32) -> Slice {
    let waver = 1.0 + 0.1 * f64::from((index * 7919) % 13) / 13.0;
    let mut counts = SliceCounts { requests: 1_000, ..SliceCounts::default() };
    for (ms, count) in [(p95_ms / 4.0, 900), (p95_ms, 70), (p95_ms * 2.0, 30)] {
        counts.due.record_ms(ms * waver, count);
    }
    Slice { from_s: 1_000.0 + f64::from(2 * index), seconds: 2, counts }
}

/// A healthy run for tests: one level of a minute for each 95th percentile (ms), with a series that
/// wavers by a tenth.
pub(crate) fn test_run(p95_ms: &[f64]) -> Run {
    let level = |(index, p95): (usize, &f64)| {
        let sample = |second: u32| {
            let waver = 1.0 + 0.1 * f64::from((second * 7919) % 13) / 13.0;
            Sample {
                at_s: 1_000.0 + f64::from(second),
                service_cpu_pct: Some(20.0 * waver),
                rate_rps: Some(500.0 * waver),
                service_rss_mb: Some(60.0 * waver),
                lag: Some(3),
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
            stages: Vec::new(),
            requests: 30_000,
            throughput_rps: 500.0,
            error_rate: 0.0.into(),
            errors: BTreeMap::new(),
            latency_ms: Latency {
                p50: Some(p95 / 4.0),
                p95: Some(*p95),
                p99: Some(p95 * 2.0),
                ..Latency::default()
            },
            success_ms: Latency::default(),
            dropped_iterations: 0,
            generator: GeneratorResult {
                cpu_pct: 20.0.into(),
                standstill_s: 0.0.into(),
                ..GeneratorResult::default()
            },
            service: Service {
                cpu_pct: 20.0.into(),
                rss_mb: 60.0.into(),
                youngest_s: 600.0.into(),
                oldest_s: 600.0.into(),
                ..Service::default()
            },
            db: Db { connections_max: 8.into(), pool_size: 10, query_p95_ms: 2.0.into(), ..Db::default() },
            kafka: Kafka {
                lag_end: 0.into(),
                published_per_s: 300.0.into(),
                consumed_per_s: 300.0.into(),
                ..Kafka::default()
            },
            cache: CacheResult { hit_rate: 0.9.into(), ..CacheResult::default() },
            containers: Vec::new(),
            facts: Facts::default(),
            cpu_division: BTreeMap::new(),
            log_errors: BTreeMap::new(),
            reconciliation: Reconciliation::default(),
            spike: None,
            trends: Vec::new(),
            stabilised: Vec::new(),
            problems: Vec::new(),
            stopped_by: None,
            measuring: Measuring::default(),
            slices: (0..30).map(|index| slice(*p95, index)).collect(),
            samples: (0..60).map(sample).collect(),
            verdict: Verdict::Passed,
            checks: Vec::new(),
        }
    };
    Run {
        schema: SCHEMA.into(),
        kind: "incremental".into(),
        id: "incremental-20260101_000000".into(),
        stack: None,
        state: "finished".into(),
        started_at: "2026-01-01T00:00:00Z".into(),
        finished_at: None,
        model: Model::Open,
        note: None,
        engineer: None,
        tags: BTreeMap::new(),
        plan: None,
        resume_points: Vec::new(),
        stopped_by: None,
        broken_off: None,
        search: None,
        profile: None,
        environment: Environment {
            nsys: "0".into(),
            k6: "k6".into(),
            os: "Linux".into(),
            cpus: 2,
            memory_mb: 4_096,
            app: 1,
            worker: 1,
            shared_machine: true,
            stack_here: Some(true),
            host: None,
            runtime: None,
            disk: None,
            versions: BTreeMap::new(),
            script: "s".into(),
            rows: None,
            settings: BTreeMap::new(),
        },
        objectives: serde_json::Value::Null,
        levels: p95_ms.iter().enumerate().map(level).collect(),
        verdict: Verdict::Passed,
    }
}
