//! Judging a level. Never green by absence: what could not be measured is unknown.

pub use super::check::{CheckStatus, ObjectiveCheck, Verdict};

use super::objectives::LevelCriteria;
use super::run::{Latency, LevelResult};
use super::{guard, standstill};

/// Fills in checks, the generator's state and the verdict of a level that ran to its end.
pub fn judge(level: &mut LevelResult, criteria: &LevelCriteria) {
    let objectives = &criteria.objectives;
    let offered_rps = guard::planned(level).map(|rate| rate * criteria.generator.offered_share);
    let k6 =
        if level.generator.engine == "native" { "native engine, steady window" } else { "k6, steady window" };
    let percentile = |metric: &str, of: fn(&Latency) -> Option<f64>, objective: f64| {
        // Quick failures make the successful ones the slower of the two.
        let whose = if of(&level.success_ms) > of(&level.latency_ms) { "successful" } else { "all" };
        ObjectiveCheck::new(metric, level.judged_ms(of), objective, false, &format!("{k6}, {whose} requests"))
    };
    let mut checks = vec![
        percentile("p95_ms", |one| one.p95, objectives.p95_ms),
        percentile("p99_ms", |one| one.p99, objectives.p99_ms),
        ObjectiveCheck::new("error_rate", level.error_rate.clone(), objectives.error_rate, false, k6),
    ];
    checks.extend(standstill::bound(level, objectives.error_rate).filter(|_| criteria.reports_seconds).map(
        |longest| {
            let source = "the generator's seconds without a successful answer";
            ObjectiveCheck::new("standstill_s", level.generator.standstill_s.clone(), longest, false, source)
        },
    ));
    checks
        .extend(offered_rps.map(|least| {
            ObjectiveCheck::new("throughput_rps", level.throughput_rps.into(), least, true, k6)
        }));
    let process = "/proc, mean of the steady window";
    let missing = level.reconciliation.missing().map(|missing| missing as f64);
    let by_ids = level.reconciliation.acknowledged_stored.is_measured();
    let reconciled = if missing.is_not_applicable() {
        "acknowledgements against what is stored"
    } else if by_ids {
        "answers 201 against rows in PostgreSQL, by ids"
    } else {
        "answers 201 against rows in PostgreSQL, counted"
    };
    checks.extend([
        ObjectiveCheck::new(
            "service_cpu_pct",
            level.service.cpu_pct.clone(),
            objectives.cpu_pct,
            false,
            process,
        ),
        ObjectiveCheck::new(
            "service_memory_mb",
            level.service.rss_mb.clone(),
            objectives.memory_mb,
            false,
            "/proc, largest",
        ),
        ObjectiveCheck::new(
            "db_connections",
            level.db.connections_max.clone().map(|n| n as f64),
            objectives.db_connections,
            false,
            "pg_stat_activity, largest",
        ),
        ObjectiveCheck::new(
            "lag_end",
            level.kafka.lag_end.clone().map(|n| n as f64),
            objectives.lag,
            false,
            "Kafka offsets when the load ended",
        ),
        ObjectiveCheck::new("acknowledged_not_stored", missing, 0.0, false, reconciled),
    ]);
    checks.extend(criteria.warms_caches.then_some(objectives.cache_hit_rate).map(|objective| {
        ObjectiveCheck::new(
            "cache_hit_rate",
            level.cache.hit_rate.clone(),
            objective,
            true,
            "Prometheus, cache_hits_total / (hits + misses)",
        )
    }));
    if criteria.reconcile {
        let found = &level.reconciliation;
        let apart = found
            .succeeded
            .clone()
            .zip(found.served.clone())
            .map(|(said, served)| said.abs_diff(served) as f64);
        let source = "generator's successes against the service's http_requests_total";
        checks.push(ObjectiveCheck::new("successes_apart", apart, 0.0, false, source));
    }
    checks.extend(level.trends.iter().filter_map(|trend| trend.check(level.steady_s)));
    level.checks = checks;

    let mut reasons = guard::reasons(level, criteria.generator);
    let quick = level.judged_ms(|one| one.p95).value().is_some_and(|p95| p95 <= objectives.p95_ms);
    if reasons.is_empty() && offered_rps.is_some_and(|least| level.throughput_rps < least) && quick {
        reasons
            .push(format!("only {:.0}/s were offered although answers came in time", level.throughput_rps));
    }
    level.generator.limited = !reasons.is_empty();
    level.generator.reasons = reasons;
    level.verdict = of_level(level);
}

/// What the checks of a level come to.
#[must_use]
pub fn of_level(level: &LevelResult) -> Verdict {
    let any = |status| level.checks.iter().any(|check| check.status == status);
    // What was acknowledged and is not stored is a failure however the load was offered.
    let lost = level
        .checks
        .iter()
        .any(|check| check.metric == "acknowledged_not_stored" && check.status == CheckStatus::Fail);
    if level.requests == 0 || level.error_rate.value() == Some(1.0) || level.stopped_by.is_some() || lost {
        Verdict::Failed
    } else if level.generator.limited {
        Verdict::GeneratorLimited
    } else if any(CheckStatus::Fail) {
        Verdict::Failed
    } else if any(CheckStatus::Unknown) {
        Verdict::Unknown
    } else {
        Verdict::Passed
    }
}

/// The worst of the levels; no level at all is unknown.
#[must_use]
pub fn of_run(levels: &[LevelResult]) -> Verdict {
    levels.iter().map(|level| level.verdict).max().unwrap_or(Verdict::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::objectives::Objectives;
    use crate::domain::run::{Reconciliation, test_run};
    use crate::measured::Measured;

    const CRITERIA: LevelCriteria = LevelCriteria {
        objectives: Objectives {
            p95_ms: 100.0,
            p99_ms: 500.0,
            error_rate: 0.01,
            cpu_pct: 80.0,
            memory_mb: 2_048.0,
            db_connections: 100.0,
            lag: 1_000.0,
            cache_hit_rate: 0.7,
        },
        warms_caches: true,
        generator: guard::GeneratorBounds { cpu_pct: 150.0, offered_share: 0.95, rate_per_cpu: 4_000.0 },
        reconcile: false,
        reports_seconds: true,
    };

    fn good() -> LevelResult {
        let mut level = test_run(&[10.0]).levels.remove(0);
        (level.target_rps, level.throughput_rps, level.requests) = (Some(100), 100.0, 1_600);
        level.reconciliation = Reconciliation {
            acknowledged: 960.into(),
            stored: 960.into(),
            r#final: 960.into(),
            ..Reconciliation::default()
        };
        level
    }

    fn judged(change: impl FnOnce(&mut LevelResult)) -> Verdict {
        let mut level = good();
        change(&mut level);
        judge(&mut level, &CRITERIA);
        level.verdict
    }

    #[test]
    fn a_level_passes_only_when_everything_was_measured_and_met() {
        assert_eq!(judged(|_| ()), Verdict::Passed);
        assert_eq!(judged(|level| level.cache.hit_rate = Measured::default()), Verdict::Unknown);
        assert_eq!(judged(|level| level.latency_ms.p95 = Some(101.0)), Verdict::Failed);
    }

    #[test]
    fn what_a_stack_has_nothing_to_tell_by_is_not_judged_and_fails_and_passes_nothing() {
        let described = |change: fn(&mut LevelResult)| {
            let mut level = good();
            let gap = || Measured::not_applicable("the profile shop names no Redis");
            (level.cache.hit_rate, level.service.cpu_pct) = (gap(), gap());
            change(&mut level);
            judge(&mut level, &CRITERIA);
            let skipped = level.checks.iter().filter(|one| one.status == CheckStatus::Skipped).count();
            (level.verdict, skipped)
        };
        assert_eq!(described(|_| ()), (Verdict::Passed, 2));
        assert_eq!(described(|level| level.latency_ms.p95 = Some(101.0)), (Verdict::Failed, 2));
        assert_eq!(described(|level| level.db.connections_max = Measured::default()), (Verdict::Unknown, 2));
    }

    #[test]
    fn neither_quick_failures_nor_a_standstill_pass() {
        // Most answers are failures at once: the others are slow all the same.
        assert_eq!(judged(|level| level.success_ms.p99 = Some(900.0)), Verdict::Failed);
        // Twenty of three thousand requests have no answer: no percentile shows it.
        assert_eq!(judged(|level| level.generator.standstill_s = Measured::Value(12.0)), Verdict::Failed);
        assert_eq!(judged(|level| level.generator.standstill_s = Measured::default()), Verdict::Unknown);
        let mut level = good();
        (level.error_rate, level.latency_ms.p95) = (1.0.into(), Some(1.0));
        judge(&mut level, &CRITERIA);
        let p95 = level.checks.iter().find(|one| one.metric == "p95_ms").unwrap();
        assert_eq!(
            (&p95.value, p95.status),
            (&Measured::missing("no request succeeded"), CheckStatus::Unknown)
        );
    }

    #[test]
    fn a_soak_that_grows_does_not_pass() {
        use crate::domain::trend;
        let points =
            |per_s: f64| (0..3_600).map(|s| (f64::from(s), 100.0 + per_s * f64::from(s))).collect::<Vec<_>>();
        let soak = |per_s: f64| {
            judged(|level| level.trends = vec![trend::trend(trend::SERVICE_MEMORY, &points(per_s), 5.0)])
        };
        assert_eq!((soak(0.0), soak(0.14)), (Verdict::Passed, Verdict::Failed));
    }

    #[test]
    fn a_saturated_generator_never_blames_the_service() {
        assert_eq!(
            judged(|level| {
                level.generator.cpu_pct = Measured::Value(180.0);
                level.latency_ms.p95 = Some(900.0);
            }),
            Verdict::GeneratorLimited
        );
    }

    #[test]
    fn a_service_too_slow_to_take_the_load_is_blamed() {
        assert_eq!(
            judged(|level| {
                level.throughput_rps = 50.0;
                level.latency_ms.p95 = Some(2_000.0);
            }),
            Verdict::Failed
        );
        assert_eq!(judged(|level| level.throughput_rps = 50.0), Verdict::GeneratorLimited);
    }

    #[test]
    fn nothing_but_errors_and_lost_notifications_always_fail() {
        assert_eq!(judged(|level| level.error_rate = Measured::Value(1.0)), Verdict::Failed);
        assert_eq!(
            judged(|level| {
                level.reconciliation.stored = Measured::Value(959);
                level.generator.cpu_pct = Measured::Value(180.0);
            }),
            Verdict::Failed
        );
    }

    #[test]
    fn rows_that_nobody_was_told_of_do_not_hide_a_loss() {
        // 300 timed out and are stored all the same; 250 that were acknowledged are gone.
        let overloaded = |acknowledged_stored| {
            judged(|level| {
                level.reconciliation.stored = Measured::Value(960 - 250 + 300);
                level.reconciliation.acknowledged_stored = Measured::Value(acknowledged_stored);
            })
        };
        assert_eq!(overloaded(710), Verdict::Failed);
        assert_eq!(overloaded(960), Verdict::Passed);
    }

    #[test]
    fn the_worst_level_decides() {
        let of = |verdict| LevelResult { verdict, ..good() };
        assert_eq!(of_run(&[of(Verdict::Passed), of(Verdict::GeneratorLimited)]), Verdict::GeneratorLimited);
        assert_eq!(of_run(&[of(Verdict::Failed), of(Verdict::GeneratorLimited)]), Verdict::Failed);
        assert_eq!(of_run(&[]), Verdict::Unknown);
    }
}
