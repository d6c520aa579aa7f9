//! What the diagnosis says of runs that are known.

use super::*;
use crate::domain::remedy::Tuning;
use crate::domain::run::{Statement, test_run};
use crate::domain::verdict::Verdict;
use crate::measured::Measured;

/// The shipped bounds.
pub(crate) fn bounds() -> DiagnosisBounds {
    let config: crate::config::Config = toml::from_str(crate::config::DEFAULTS).unwrap();
    config.bounds()
}

/// Facts of a level on which nothing is near a bound.
fn quiet() -> Facts {
    let mut facts = Facts::default();
    let mut put = |name: &str, value: f64| facts.put(name, value, "test", "test");
    for rule in rules() {
        let inputs = std::iter::once((rule.input, rule.at_least))
            .chain(rule.guards.iter().map(|one| (one.input, one.at_least)));
        for (name, at_least) in inputs {
            put(name, if at_least { 1.0 } else { 0.0 });
        }
    }
    put("machine_cpu_pct", 30.0);
    put("parts_cpu_pct", 20.0);
    put("in_flight", 10.0);
    put("request_rate", 500.0);
    put("request_mean_ms", 20.0);
    put("request_p50_ms", 5.0);
    facts
}

fn healthy() -> Run {
    let mut run = test_run(&[20.0, 21.0]);
    for level in &mut run.levels {
        level.facts = quiet();
        level.db.seq_scans = Measured::Value(0);
        level.db.seq_rows_read = Measured::Value(0);
        level.db.top = vec![Statement { query: "SELECT".into(), calls: 100, total_ms: 10.0, mean_ms: 0.1 }];
    }
    run
}

fn set(level: &mut crate::domain::run::LevelResult, name: &str, value: f64) {
    level.facts.put(name, value, "test", "test");
}

fn first(run: &Run) -> &'static str {
    diagnose(run, &bounds()).causes().next().map_or("none", |one| one.rule)
}

#[test]
fn every_rule_is_whole_and_its_bounds_are_configured() {
    let bounds = bounds();
    let mut ids = std::collections::BTreeSet::new();
    for rule in rules() {
        assert!(ids.insert(rule.id), "{} is there twice", rule.id);
        for text in [rule.cause, rule.explanation, rule.input, rule.bound] {
            assert!(!text.is_empty(), "{} lacks a text", rule.id);
        }
        assert!((0.0..=1.0).contains(&rule.weight), "{}", rule.id);
        assert!(bounds.of(rule.bound).is_finite(), "{}: there is no bound {}", rule.id, rule.bound);
        for guard in rule.guards {
            assert!(bounds.of(guard.bound).is_finite(), "{}: there is no bound {}", rule.id, guard.bound);
        }
    }
    for rule in rules() {
        for explained in rule.explains {
            assert!(ids.contains(explained), "{} explains {explained}, which is no rule", rule.id);
            assert_ne!(*explained, rule.id);
        }
    }
}

#[test]
fn a_small_load_saturates_nothing() {
    let found = diagnose(&healthy(), &bounds());
    assert!(found.summary.contains("too small"), "{}", found.summary);
    let held = |one: &RuleFinding| matches!(one.status, RuleStatus::Pass | RuleStatus::Skipped);
    assert!(found.findings.iter().all(held), "{:?}", found.findings.iter().find(|one| !held(one)));
}

#[test]
fn what_was_not_measured_is_unknown_and_said() {
    for rule in rules() {
        let mut run = healthy();
        let name = rule.input;
        if run.levels[1].facts.get(name).is_none() {
            continue;
        }
        run.levels[1].facts.miss(name, "test", "test", "it was away");
        let observations = of_run::observations(&run);
        // What a level's own fields tell is measured all the same.
        if observations[1].facts.value(name).is_some()
            || observations[1].facts.measured(name).is_not_applicable()
        {
            continue;
        }
        let found = diagnose(&run, &bounds());
        let finding = found.findings.iter().find(|one| one.rule == rule.id).unwrap();
        assert_eq!(finding.status, RuleStatus::Unknown, "{}", rule.id);
        assert!(finding.missing.contains(&name));
        assert!(found.summary.contains("rules were not measured"), "{}", found.summary);
    }
}

#[test]
fn a_run_of_an_older_version_is_never_green() {
    let mut run = healthy();
    for level in &mut run.levels {
        level.facts = Facts::default();
    }
    let found = diagnose(&run, &bounds());
    assert!(found.findings.iter().filter(|one| one.status == RuleStatus::Unknown).count() > 10);
    assert!(found.summary.contains("rules were not measured"), "{}", found.summary);
}

#[test]
fn each_rule_is_named_first_when_it_alone_is_broken() {
    for rule in rules() {
        let mut run = healthy();
        for level in &mut run.levels {
            let bound = bounds().of(rule.bound);
            set(level, rule.input, if rule.at_least { bound / 3.0 } else { bound.max(0.1) * 3.0 });
            for guard in rule.guards {
                let bound = bounds().of(guard.bound);
                set(level, guard.input, if guard.at_least { bound / 3.0 } else { bound.max(0.1) * 3.0 });
            }
        }
        let observations = of_run::observations(&run);
        let broken = observations.iter().all(|observation| {
            let guards = rule.guards.iter().map(|one| (one.input, one.bound, one.at_least));
            std::iter::once((rule.input, rule.bound, rule.at_least)).chain(guards).all(
                |(name, bound, at_least)| {
                    observation
                        .facts
                        .value(name)
                        .is_some_and(|value| (value < bounds().of(bound)) == at_least)
                },
            )
        });
        // Inputs that a level's own fields tell are broken in tests of their own.
        if !broken {
            continue;
        }
        let found = diagnose(&run, &bounds());
        let names: Vec<_> = found.causes().map(|one| one.rule).collect();
        assert!(names.contains(&rule.id), "{}: {names:?}", rule.id);
    }
}

#[test]
fn a_missing_index_comes_before_the_slow_queries_it_makes() {
    let mut run = healthy();
    for level in &mut run.levels {
        level.db.seq_scans = Measured::Value(3_000);
        level.db.seq_rows_read = Measured::Value(3_000 * 200_000);
        level.db.query_p95_ms = Measured::Value(900.0);
        level.service.cpu_pct = Measured::Value(95.0);
    }
    let found = diagnose(&run, &bounds());
    assert_eq!(found.findings[0].rule, "db-sequential-scans");
    assert_eq!(found.findings[0].remedies, [Remedy::Tune(Tuning::BuildIndexes)]);
    let queries = found.findings.iter().find(|one| one.rule == "db-query-time").unwrap();
    assert_eq!(queries.explained_by, Some("db-sequential-scans"));
}

#[test]
fn what_saturated_first_comes_before_what_followed() {
    let mut run = healthy();
    run.levels.push(run.levels[1].clone());
    run.levels[2].level = 3;
    for level in &mut run.levels {
        set(level, "cache_mean_ms", 100.0);
    }
    set(&mut run.levels[2], "publish_mean_ms", 500.0);
    assert_eq!(first(&run), "cache-slow");
}

#[test]
fn a_cause_that_came_later_does_not_explain_what_was_there_before() {
    let mut run = healthy();
    for level in &mut run.levels {
        level.db.query_p95_ms = Measured::Value(900.0);
    }
    set(&mut run.levels[1], "lock_waiters", 5.0);
    let found = diagnose(&run, &bounds());
    let queries = found.findings.iter().find(|one| one.rule == "db-query-time").unwrap();
    assert_eq!(queries.explained_by, None);
}

#[test]
fn two_causes_are_both_named() {
    let mut run = healthy();
    for level in &mut run.levels {
        level.db.seq_scans = Measured::Value(3_000);
        level.db.seq_rows_read = Measured::Value(3_000 * 200_000);
        set(level, "delivery_mean_ms", 2_000.0);
        set(level, "undelivered_s", 30.0);
    }
    let found = diagnose(&run, &bounds());
    let mut two: Vec<_> = found.causes().take(2).map(|one| one.rule).collect();
    two.sort_unstable();
    assert_eq!(two, ["db-sequential-scans", "provider-slow"]);
}

#[test]
fn the_generator_is_named_above_all() {
    let mut run = healthy();
    run.levels[1].verdict = Verdict::GeneratorLimited;
    set(&mut run.levels[1], "behind_s", 50.0);
    let found = diagnose(&run, &bounds());
    assert_eq!(found.causes().next().unwrap().rule, "generator-limited");
    assert!(found.summary.starts_with("the load generator was the limit on level 2"), "{}", found.summary);
    assert!(found.summary.contains("workers fall behind"));
}

#[test]
fn the_sentence_begins_with_what_leads_the_list() {
    let mut run = healthy();
    for level in &mut run.levels {
        set(level, "machine_cpu_pct", 95.0);
        set(level, "parts_cpu_pct", 5.0);
        set(level, "cache_mean_ms", 300.0);
    }
    let found = diagnose(&run, &bounds());
    let first = found.causes().next().unwrap();
    assert_eq!(first.rule, "machine-shared");
    assert!(
        found.summary.starts_with(&format!("{}; apart from that: ", first.cause_in_full())),
        "{}",
        found.summary
    );
}

#[test]
fn a_cold_cache_is_no_bottleneck_and_a_short_ttl_is() {
    let mut run = healthy();
    for level in &mut run.levels {
        level.cache.hit_rate = Measured::Value(0.2);
        set(level, "filling_share", 0.9);
    }
    assert_eq!(first(&run), "none");
    for level in &mut run.levels {
        set(level, "filling_share", 0.0);
        set(level, "expired_per_miss", 0.95);
        set(level, "misses_per_s", 10.0);
        set(level, "ttl_windows", 0.1);
    }
    assert_eq!(first(&run), "cache-ttl");
    for level in &mut run.levels {
        set(level, "ttl_windows", 20.0);
    }
    assert_ne!(first(&run), "cache-ttl", "what expires is of an earlier load");
}

#[test]
fn what_waits_for_a_processor_cost_is_not_blamed_on_a_part() {
    let mut run = healthy();
    for level in &mut run.levels {
        set(level, "cache_mean_ms", 60.0);
    }
    assert_eq!(first(&run), "cache-slow");
    for level in &mut run.levels {
        set(level, "cpu_wait_ms", 10.0);
    }
    assert_eq!(first(&run), "cpu-queueing");
    for level in &mut run.levels {
        set(level, "cache_mean_ms", 300.0);
    }
    let found = diagnose(&run, &bounds());
    assert!(found.causes().any(|one| one.rule == "cache-slow"), "beyond what waiting explains");
}

#[test]
fn near_a_bound_is_a_warning_and_no_cause() {
    let mut run = healthy();
    set(&mut run.levels[0], "cache_mean_ms", bounds().of("cache_ms") * 0.95);
    let found = diagnose(&run, &bounds());
    let cache = found.findings.iter().find(|one| one.rule == "cache-slow").unwrap();
    assert_eq!((cache.status, cache.onset), (RuleStatus::Warn, None));
    assert_eq!(found.causes().count(), 0);
}

#[test]
fn the_onset_within_a_level_is_the_second_it_began() {
    let mut run = healthy();
    for level in &mut run.levels {
        set(level, "behind_s", 20.0);
        for (second, sample) in level.samples.iter_mut().enumerate() {
            sample.lag = Some(if second < 30 { 3 } else { 20 * (second as i64 - 29) });
            sample.published_per_s = Some(20.0);
        }
        level.kafka.lag_end = Measured::Value(5_000);
    }
    let found = diagnose(&run, &bounds());
    let onset = found.causes().next().unwrap().onset.unwrap();
    assert_eq!(onset.level, 1);
    assert!(onset.second.is_some_and(|second| second >= 30), "{onset:?}");
}

/// A level whose samples hold everything.
fn sampled() -> crate::domain::run::LevelResult {
    let mut level = healthy().levels.remove(0);
    for sample in &mut level.samples {
        (sample.lag, sample.published_per_s, sample.machine_cpu_pct) = (Some(1), Some(50.0), Some(30.0));
        (sample.client_rps, sample.client_errors_per_s, sample.client_p95_ms) =
            (Some(100.0), Some(0.0), Some(10.0));
        (sample.service_rss_mb, sample.db_lock_waits, sample.query_p95_ms) = (Some(50.0), Some(0), Some(2.0));
        (sample.pool_active, sample.pool_size, sample.pool_wait_p95_ms) = (Some(1.0), Some(10.0), Some(0.1));
        (sample.publish_ms, sample.cache_ms) = (Some(2.0), Some(1.0));
        (sample.hit_rate, sample.redis_evicted_per_s) = (Some(0.9), Some(0.0));
    }
    level
}

#[test]
fn every_series_that_a_rule_looks_at_is_told_by_a_run_in_the_unit_of_its_bound() {
    let (filled, bounds) = (of_run::series(&sampled()), bounds());
    for (rule, series) in rules().filter_map(|rule| Some((rule.id, rule.series?))) {
        assert!(filled.contains_key(series.name), "{rule}: {} is never filled", series.name);
        assert!(bounds.of(series.bound).is_finite(), "{rule}: there is no bound {}", series.bound);
        // Nothing of a quiet level is beyond it.
        let at_least = rules().any(|one| one.id == rule && one.at_least);
        let beyond = |value: f64| (value < bounds.of(series.bound)) == at_least;
        assert!(filled[series.name].iter().all(|(_, value)| !beyond(*value)), "{rule}: {}", series.name);
    }
}

#[test]
fn an_earlier_cause_comes_before_a_heavier_one() {
    let mut run = healthy();
    // Weight 0.5, slightly, on the first level; weight 1, far, on the second.
    set(&mut run.levels[0], "service_memory_mb", 0.0);
    for level in &mut run.levels {
        level.service.rss_mb = Measured::Value(bounds().of("memory_mb") * 1.05);
    }
    set(&mut run.levels[1], "lock_waiters", 50.0);
    let found = diagnose(&run, &bounds());
    let named: Vec<_> = found.causes().map(|one| (one.rule, one.strength)).collect();
    assert_eq!(named, [("service-memory", Strength::Weak), ("db-locks", Strength::Strong)]);
    // What puts the measurement in doubt comes first whenever it began, and makes the rest less sure.
    set(&mut run.levels[1], "cpu_wait_ms", 30.0);
    let named: Vec<_> =
        diagnose(&run, &bounds()).causes().map(|one| (one.rule, one.strength)).collect::<Vec<_>>();
    assert_eq!(named[0].0, "cpu-queueing");
    assert!(named.contains(&("db-locks", Strength::Moderate)), "{named:?}");
}

#[test]
fn an_onset_is_told_in_seconds_of_the_level_whatever_samples_are_there() {
    let mut run = healthy();
    let level = &mut run.levels[0];
    set(level, "lock_waiters", 5.0);
    // Every fourth sample of a long level is kept, its warm-up took twenty seconds, and one look failed.
    level.samples = (0..60)
        .map(|index| crate::domain::run::Sample {
            at_s: 1_000.0 + f64::from(index) * 4.0,
            db_lock_waits: (index != 9).then_some(if index < 30 { 0 } else { 5 }),
            ..Default::default()
        })
        .collect();
    (level.steady_from_s, level.steady_s) = (1_020.0, 220);
    let second = |run: &Run| {
        let found = diagnose(run, &bounds());
        let locks = found.findings.iter().find(|one| one.rule == "db-locks").unwrap();
        locks.onset.and_then(|onset| onset.second)
    };
    assert_eq!(second(&run), Some(120));
    for sample in &mut run.levels[0].samples {
        sample.db_lock_waits = Some(5);
    }
    assert_eq!(second(&run), Some(0), "it was so from the beginning");
}

#[test]
fn two_causes_of_one_level_stand_in_the_order_of_their_seconds() {
    let mut run = healthy();
    for level in &mut run.levels {
        set(level, "lock_waiters", 5.0);
        set(level, "cache_mean_ms", 100.0);
        for (second, sample) in level.samples.iter_mut().enumerate() {
            sample.db_lock_waits = Some(if second < 40 { 0 } else { 5 });
            sample.cache_ms = Some(if second < 15 { 1.0 } else { 100.0 });
        }
    }
    let found = diagnose(&run, &bounds());
    let named: Vec<_> = found.causes().map(|one| one.rule).collect();
    assert_eq!(named, ["cache-slow", "db-locks"], "the heavier one began later");
}

#[test]
fn growth_far_above_its_bound_is_not_near_it() {
    let mut run = healthy();
    let status = |run: &Run| {
        let found = diagnose(run, &bounds());
        found.findings.into_iter().find(|one| one.rule == "throughput-flat").unwrap().status
    };
    // From the level before, twice as much was offered and in progress.
    (run.levels[0].target_rps, run.levels[1].target_rps) = (Some(100), Some(500));
    set(&mut run.levels[1], "request_mean_ms", 60.0);
    run.levels[0].throughput_rps = run.levels[1].throughput_rps / 1.12;
    assert_ne!(status(&run), RuleStatus::Warn, "a growth of 12 % is more than twice the bound");
}

#[test]
fn a_database_that_admits_nobody_is_named_with_who_holds_it() {
    let mut run = healthy();
    let level = &mut run.levels[1];
    set(level, "connections_share", 1.0);
    level.facts.explain("connections_share", Some("97 of 97 held, it admits no more: 90 by job".into()));
    set(level, "error_rate", 0.5);
    level.error_rate = Measured::Value(0.5);
    let found = diagnose(&run, &bounds());
    assert_eq!(found.causes().next().unwrap().rule, "db-connections");
    assert!(found.summary.contains("97 of 97 held, it admits no more: 90 by job"), "{}", found.summary);
    let errors = found.findings.iter().find(|one| one.rule == "http-errors").unwrap();
    assert_eq!(errors.explained_by, Some("db-connections"));
}
