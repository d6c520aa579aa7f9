//! What gave way first: rules over the levels of a run, each with its evidence. Pure.
//!
//! A rule whose input is missing is unknown, never a pass. When the generator was the limit, the
//! service is not blamed for it.

use super::run::{LevelResult, Run};
use super::verdict::Verdict;
use serde::Serialize;

/// Outcome of one rule on one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Within its bound on every level.
    Pass,
    /// Beyond its bound on some level.
    Fail,
    /// An input could not be had, and what was had is within its bound.
    Unknown,
}

/// A value with its bound.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evidence {
    /// The level, counted from 1.
    pub level: usize,
    /// The name with the unit last.
    pub metric: &'static str,
    /// What was measured.
    pub value: f64,
    /// The bound it crossed.
    pub bound: f64,
    /// Where the value comes from.
    pub source: &'static str,
}

/// One rule's answer.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The rule.
    pub rule: &'static str,
    /// What it means when it fails.
    pub cause: &'static str,
    /// The command that mends it.
    pub mend: &'static str,
    /// The outcome.
    pub status: Status,
    /// The first level that crossed the bound.
    pub first_level: Option<usize>,
    /// How sure it is that this is a cause, 0 to 1: how soon and how far the bound was crossed.
    pub confidence: f64,
    /// The crossings.
    pub evidence: Vec<Evidence>,
}

/// What a run comes to.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    /// The run.
    pub run: String,
    /// In one sentence.
    pub summary: String,
    /// Causes first, most likely on top; then what is unknown; then what held.
    pub findings: Vec<Finding>,
}

/// The bounds, apart from where they are configured.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// 95th percentile of queries, ms.
    pub query_p95_ms: f64,
    /// Mean time of a statement, ms.
    pub statement_ms: f64,
    /// Share of the pool in use.
    pub pool_share: f64,
    /// Rows read by one sequential scan.
    pub scan_rows: f64,
    /// Messages that wait.
    pub lag: f64,
    /// Consumed by published.
    pub consumed_share: f64,
    /// Share of cache reads that hit.
    pub cache_hit_rate: f64,
    /// CPU of the service, per cent of all cores.
    pub cpu_pct: f64,
    /// Memory of the service, MiB.
    pub memory_mb: f64,
    /// Share of failed requests.
    pub error_rate: f64,
}

/// A rule: what is looked at, and what it means.
pub struct Rule {
    /// Its id.
    pub id: &'static str,
    /// What it means when it fails.
    pub cause: &'static str,
    /// Why that is so, for `--explain`.
    pub explanation: &'static str,
    /// The command that mends it.
    pub mend: &'static str,
    metric: &'static str,
    source: &'static str,
    /// Whether the value must not fall below the bound, instead of not exceed it.
    at_least: bool,
    /// How much a crossing weighs as a cause rather than a symptom, 0 to 1.
    weight: f64,
    value: fn(&Run, &LevelResult) -> Option<f64>,
    bound: fn(&Bounds) -> f64,
}

/// Every rule, causes before symptoms.
pub static RULES: [Rule; 10] = [
    Rule {
        id: "db-sequential-scans",
        cause: "reads scan the whole notifications table: an index is missing",
        explanation: "A scan reads every row whatever it returns, so each read gets slower as the table grows, and CPU goes to rows nobody asked for.",
        mend: "nsys tune db --indexes",
        metric: "rows_per_sequential_scan",
        source: "pg_stat_user_tables, notifications, delta of the level",
        at_least: false,
        weight: 1.0,
        value: |_, level| {
            let (scans, rows) = (level.db.seq_scans?, level.db.seq_rows_read?);
            // A few scans are housekeeping, or the last of the time before: the server counts late.
            let few = (level.requests as f64 * 0.03).max(10.0);
            Some(if (scans as f64) < few { 0.0 } else { rows as f64 / scans as f64 })
        },
        bound: |bounds| bounds.scan_rows,
    },
    Rule {
        id: "db-slow-statement",
        cause: "a statement is slow",
        explanation: "A statement whose mean time is high holds a connection that long; the others wait for it in the pool.",
        mend: "nsys db slow; nsys tune db --indexes",
        metric: "slowest_mean_ms",
        source: "pg_stat_statements, reset at the start of the level",
        at_least: false,
        weight: 0.9,
        value: |_, level| {
            level.db.top.iter().filter(|one| one.calls >= 5).map(|one| one.mean_ms).reduce(f64::max)
        },
        bound: |bounds| bounds.statement_ms,
    },
    Rule {
        id: "db-pool-exhausted",
        cause: "the service uses nearly every connection of its pools",
        explanation: "When all connections are in use, requests queue for one although the database may be idle.",
        mend: "nsys tune db --pool-size 20",
        metric: "pool_share",
        source: "pg_stat_activity, largest, over replicas times db.pool_size",
        at_least: false,
        weight: 0.85,
        value: |run, level| {
            let replicas = (run.environment.app + run.environment.worker) as f64;
            Some(level.db.connections_max? as f64 / (f64::from(level.db.pool_size) * replicas))
        },
        bound: |bounds| bounds.pool_share,
    },
    Rule {
        id: "db-query-time",
        cause: "queries take long",
        explanation: "The service's own histogram of query time, waits for locks included.",
        mend: "nsys db slow; nsys db locks",
        metric: "query_p95_ms",
        source: "Prometheus, db_query_duration_seconds",
        at_least: false,
        weight: 0.7,
        value: |_, level| level.db.query_p95_ms,
        bound: |bounds| bounds.query_p95_ms,
    },
    Rule {
        id: "kafka-lag",
        cause: "workers fall behind",
        explanation: "Messages that wait when the load ends were accepted faster than they were delivered.",
        mend: "nsys scale worker=2; nsys tune kafka --partitions 6",
        metric: "lag_end",
        source: "Kafka offsets when the load ended",
        at_least: false,
        weight: 0.8,
        value: |_, level| level.kafka.lag_end.map(|lag| lag as f64),
        bound: |bounds| bounds.lag,
    },
    Rule {
        id: "kafka-consumption",
        cause: "less is consumed than published",
        explanation: "Over the steady window the workers took fewer messages than the service sent; the backlog grows for as long as the load lasts.",
        mend: "nsys scale worker=2",
        metric: "consumed_share",
        source: "Prometheus, kafka_messages_consumed_total / kafka_messages_published_total",
        at_least: true,
        weight: 0.75,
        value: |_, level| {
            let published = level.kafka.published_per_s?;
            if published <= 0.0 {
                return Some(1.0);
            }
            Some(level.kafka.consumed_per_s? / published)
        },
        bound: |bounds| bounds.consumed_share,
    },
    Rule {
        id: "cache-misses",
        cause: "the cache answers too few reads",
        explanation: "Reads that miss go to the database. A level right after start runs on a cold cache.",
        mend: "nsys tune cache --ttl notification=15m; nsys tune cache --warm 1000",
        metric: "hit_rate",
        source: "Prometheus, cache_hits_total / (hits + misses)",
        at_least: true,
        weight: 0.5,
        value: |_, level| level.cache.hit_rate,
        bound: |bounds| bounds.cache_hit_rate,
    },
    Rule {
        id: "service-cpu",
        cause: "the service uses the machine's CPU up",
        explanation: "CPU of all replicas together, of all cores.",
        mend: "nsys tune service --instances 2, on more cores",
        metric: "service_cpu_pct",
        source: "/proc, mean of the steady window",
        at_least: false,
        weight: 0.6,
        value: |_, level| level.service.cpu_pct,
        bound: |bounds| bounds.cpu_pct,
    },
    Rule {
        id: "service-memory",
        cause: "the service uses much memory",
        explanation: "Resident memory of all replicas together, at its largest.",
        mend: "nsys stats --watch",
        metric: "service_memory_mb",
        source: "/proc, largest",
        at_least: false,
        weight: 0.6,
        value: |_, level| level.service.rss_mb,
        bound: |bounds| bounds.memory_mb,
    },
    Rule {
        id: "http-errors",
        cause: "requests fail",
        explanation: "A symptom of something else that is named here, or of a part that was away.",
        mend: "nsys logs app --grep -i error; nsys health",
        metric: "error_rate",
        source: "k6, steady window",
        at_least: false,
        weight: 0.4,
        value: |_, level| level.error_rate,
        bound: |bounds| bounds.error_rate,
    },
];

/// Judges a run.
#[must_use]
pub fn diagnose(run: &Run, bounds: &Bounds) -> Diagnosis {
    let measured: Vec<_> = run.levels.iter().filter(|level| level.verdict != Verdict::Interrupted).collect();
    let mut findings: Vec<_> = RULES.iter().map(|rule| apply(rule, run, &measured, bounds)).collect();
    findings.sort_by(|one, two| {
        let order = |finding: &Finding| match finding.status {
            Status::Fail => 0,
            Status::Unknown => 1,
            Status::Pass => 2,
        };
        order(one).cmp(&order(two)).then(two.confidence.total_cmp(&one.confidence))
    });
    Diagnosis { run: run.id.clone(), summary: summary(run, &measured, &findings), findings }
}

fn apply(rule: &Rule, run: &Run, levels: &[&LevelResult], bounds: &Bounds) -> Finding {
    let bound = (rule.bound)(bounds);
    let (mut evidence, mut missing) = (Vec::new(), levels.is_empty());
    for level in levels {
        match (rule.value)(run, level) {
            None => missing = true,
            Some(value) if (value < bound) == rule.at_least && value != bound => {
                let (metric, source) = (rule.metric, rule.source);
                evidence.push(Evidence { level: level.level, metric, value, bound, source });
            }
            Some(_) => {}
        }
    }
    let first_level = evidence.first().map(|one| one.level);
    let status = match (first_level, missing) {
        (Some(_), _) => Status::Fail,
        (None, true) => Status::Unknown,
        (None, false) => Status::Pass,
    };
    let confidence = confidence(rule, levels.len(), &evidence);
    let (id, cause, mend) = (rule.id, rule.cause, rule.mend);
    Finding { rule: id, cause, mend, status, first_level, confidence, evidence }
}

/// Earlier and further beyond is surer. Twice the bound is as sure as it gets.
fn confidence(rule: &Rule, levels: usize, evidence: &[Evidence]) -> f64 {
    let Some(first) = evidence.first() else { return 0.0 };
    let far = evidence.iter().map(|one| {
        let ratio =
            if rule.at_least { one.bound / one.value.max(1e-9) } else { one.value / one.bound.max(1e-9) };
        (ratio - 1.0).clamp(0.0, 1.0)
    });
    let far = far.fold(0.0, f64::max);
    let early = 1.0 - (first.level - 1) as f64 / levels.max(1) as f64;
    rule.weight * (0.5 + 0.3 * far + 0.2 * early)
}

fn summary(run: &Run, levels: &[&LevelResult], findings: &[Finding]) -> String {
    if levels.is_empty() {
        return "nothing was measured to its end".into();
    }
    let limited: Vec<_> = levels
        .iter()
        .filter(|level| level.verdict == Verdict::GeneratorLimited)
        .map(|level| level.level.to_string())
        .collect();
    let first = findings.iter().find(|finding| finding.status == Status::Fail);
    let cause = match first {
        Some(finding) => format!("{} (from level {})", finding.cause, finding.first_level.unwrap_or(1)),
        None if findings.iter().any(|finding| finding.status == Status::Unknown) => {
            "no bound was crossed, but not everything could be measured".into()
        }
        None if run.verdict == Verdict::Passed => {
            "nothing saturated: the load was too small to find a limit".into()
        }
        None => "no rule explains what was missed".into(),
    };
    if limited.is_empty() {
        cause
    } else {
        format!("the load generator was the limit on level {}; apart from that: {cause}", limited.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::run::{Statement, test_run};

    const BOUNDS: Bounds = Bounds {
        query_p95_ms: 500.0,
        statement_ms: 100.0,
        pool_share: 0.9,
        scan_rows: 1_000.0,
        lag: 1_000.0,
        consumed_share: 0.95,
        cache_hit_rate: 0.7,
        cpu_pct: 80.0,
        memory_mb: 2_048.0,
        error_rate: 0.01,
    };

    fn healthy() -> Run {
        let mut run = test_run(&[20.0, 21.0]);
        for level in &mut run.levels {
            level.db.seq_scans = Some(0);
            level.db.seq_rows_read = Some(0);
            let quick = Statement { query: "SELECT".into(), calls: 100, total_ms: 10.0, mean_ms: 0.1 };
            level.db.top = vec![quick];
        }
        run
    }

    #[test]
    fn a_small_load_saturates_nothing() {
        let found = diagnose(&healthy(), &BOUNDS);
        assert!(found.summary.contains("too small"), "{}", found.summary);
        assert!(found.findings.iter().all(|finding| finding.status == Status::Pass), "{found:?}");
    }

    #[test]
    fn what_was_not_measured_is_unknown_and_said() {
        let mut run = healthy();
        run.levels[1].cache.hit_rate = None;
        let found = diagnose(&run, &BOUNDS);
        assert_eq!(found.findings[0].status, Status::Unknown);
        assert!(found.summary.contains("not everything"), "{}", found.summary);
    }

    #[test]
    fn a_missing_index_comes_before_the_slow_queries_it_makes() {
        let mut run = healthy();
        for level in &mut run.levels {
            level.db.seq_scans = Some(3_000);
            level.db.seq_rows_read = Some(3_000 * 200_000);
            level.db.query_p95_ms = Some(900.0);
            level.service.cpu_pct = Some(95.0);
        }
        let found = diagnose(&run, &BOUNDS);
        assert_eq!(found.findings[0].rule, "db-sequential-scans");
        assert_eq!(found.findings[0].mend, "nsys tune db --indexes");
    }

    #[test]
    fn the_generator_is_named_above_all() {
        let mut run = healthy();
        run.levels[1].verdict = Verdict::GeneratorLimited;
        run.levels[1].kafka.lag_end = Some(50_000);
        let found = diagnose(&run, &BOUNDS);
        assert!(
            found.summary.starts_with("the load generator was the limit on level 2"),
            "{}",
            found.summary
        );
        assert!(found.summary.contains("workers fall behind"));
    }

    #[test]
    fn few_hits_are_below_the_bound_not_above() {
        let mut run = healthy();
        run.levels[0].cache.hit_rate = Some(0.2);
        let found = diagnose(&run, &BOUNDS);
        assert_eq!((found.findings[0].rule, found.findings[0].first_level), ("cache-misses", Some(1)));
    }
}
