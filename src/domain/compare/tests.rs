//! What a comparison says of runs whose difference is known.

use super::*;
use crate::domain::run::test_run;
use crate::measured::Measured;

fn compared(before: &Run, after: &Run) -> Comparison {
    compare(before, after, &NoiseFloor::default(), Vec::new())
}

fn metric<'a>(found: &'a Comparison, name: &str) -> &'a MetricComparison {
    found.levels[0].metrics.iter().find(|one| one.name == name).unwrap()
}

#[test]
fn a_run_against_itself_changed_nothing() {
    let run = test_run(&[20.0]);
    let found = compared(&run, &run);
    assert!(!found.regressed());
    assert!(found.differences.is_empty());
    assert_eq!(metric(&found, "p95_ms").verdict, MetricChange::Unchanged);
}

#[test]
fn twice_the_latency_is_a_regression_and_half_an_improvement() {
    let (slow, fast) = (test_run(&[40.0]), test_run(&[20.0]));
    assert!(compared(&fast, &slow).regressed());
    assert_eq!(metric(&compared(&slow, &fast), "p95_ms").verdict, MetricChange::Improved);
}

#[test]
fn a_level_the_generator_could_not_offer_tells_nothing() {
    let (slow, mut fast) = (test_run(&[40.0]), test_run(&[20.0]));
    fast.levels[0].verdict = Verdict::GeneratorLimited;
    let found = compared(&slow, &fast);
    assert!(found.levels[0].metrics.iter().all(|one| one.verdict == MetricChange::Inconclusive));
}

#[test]
fn other_machines_loads_and_volumes_are_not_compared() {
    let (mut one, mut two) = (test_run(&[20.0]), test_run(&[20.0]));
    assert!(obstacles(&one, &two).is_empty());
    two.environment.cpus = 64;
    two.levels[0].target_rps = Some(999);
    one.environment.rows = Some(20_000);
    two.environment.rows = Some(2_000_000);
    assert_eq!(obstacles(&one, &two).len(), 3);
}

#[test]
fn what_is_different_around_the_runs_is_told() {
    let (mut one, mut two) = (test_run(&[20.0]), test_run(&[20.0]));
    one.environment.settings.insert("db.pool_size".into(), "10".into());
    two.environment.settings.insert("db.pool_size".into(), "20".into());
    two.environment.versions.insert("service".into(), "0.2.0".into());
    assert_eq!(differences(&one, &two), ["version of service: unset -> 0.2.0", "db.pool_size: 10 -> 20"]);
}

#[test]
fn a_difference_below_the_noise_floor_is_none() {
    let (one, two) = (test_run(&[20.0]), test_run(&[22.0]));
    assert_eq!(metric(&compared(&one, &two), "p95_ms").verdict, MetricChange::Regressed);
    let floor = NoiseFloor { shares: [("p95_ms".to_owned(), 0.15)].into(), origin: "test".into() };
    let found = compare(&one, &two, &floor, Vec::new());
    assert_eq!(metric(&found, "p95_ms").verdict, MetricChange::Unchanged);
}

#[test]
fn the_noise_floor_is_what_equal_runs_differ_by() {
    let runs = [test_run(&[20.0]), test_run(&[21.0]), test_run(&[23.0])];
    let floor = NoiseFloor::measured(&runs.iter().collect::<Vec<_>>()).unwrap();
    assert!((floor.of("p95_ms") - 0.15).abs() < 1e-9, "{floor:?}");
    assert!((floor.of("throughput_rps") - 0.05).abs() < 1e-9);
    let mut other = test_run(&[20.0]);
    other.environment.settings.insert("db.pool_size".into(), "20".into());
    assert!(NoiseFloor::measured(&[&runs[0], &other]).unwrap_err().contains("db.pool_size"));
    assert!(NoiseFloor::measured(&[&runs[0]]).is_err());
}

fn refs(runs: &[Run]) -> Vec<&Run> {
    runs.iter().collect()
}

fn sets(before: &[Run], after: &[Run]) -> Comparison {
    compare_all(&refs(before), &refs(after), &NoiseFloor::default(), Vec::new())
}

/// Equal runs around a 95th percentile, made one after the other from place `from` on, every `each`-th.
fn around(p95_ms: f64, count: usize, (from, each): (usize, usize)) -> Vec<Run> {
    let offs = [0.0, 0.3, -0.2, 0.1, 0.25, -0.3, 0.15];
    let run = |index: usize| {
        let mut run = test_run(&[p95_ms + offs[index]]);
        run.started_at = format!("2026-01-01T00:{:02}:00Z", from + index * each);
        run
    };
    (0..count).map(run).collect()
}

#[test]
fn five_runs_a_side_prove_what_never_overlaps() {
    let found = sets(&around(40.0, 5, (0, 2)), &around(30.0, 5, (1, 2)));
    assert_eq!(found.method, ComparisonMethod::MannWhitney);
    let p95 = metric(&found, "p95_ms");
    assert_eq!(p95.verdict, MetricChange::Improved, "{p95:?}");
    assert!(p95.change.unwrap() < -0.2 && p95.p.unwrap() < 0.05, "{p95:?}");
    assert!(sets(&around(30.0, 5, (0, 2)), &around(40.0, 5, (1, 2))).regressed());
    assert!(!found.is_blind());
}

#[test]
fn too_few_runs_say_how_many_are_needed() {
    let found = sets(&around(30.0, 3, (0, 2)), &around(60.0, 3, (1, 2)));
    let p95 = metric(&found, "p95_ms");
    assert_eq!(p95.verdict, MetricChange::Inconclusive);
    assert!(p95.reason.as_deref().unwrap().contains("4 runs on each side are needed"), "{p95:?}");
    assert!(found.notes.iter().any(|note| note.contains("each side needs 5 for throughput")), "{found:?}");
    assert!(found.is_blind());
}

#[test]
fn runs_that_were_not_made_in_turns_say_so_and_their_drift_is_no_finding() {
    let drifting = |from: usize| -> Vec<Run> {
        let run = |index: usize| {
            let mut run = test_run(&[20.0 + 1.0 * (from + index) as f64]);
            run.started_at = format!("2026-01-01T00:{:02}:00Z", from + index);
            run
        };
        (0..6).map(run).collect()
    };
    let found = sets(&drifting(0), &drifting(6));
    assert!(found.notes.iter().any(|note| note.contains("made in turns")), "{found:?}");
    let p95 = metric(&found, "p95_ms");
    assert_eq!(p95.verdict, MetricChange::Inconclusive, "{p95:?}");
    assert!(p95.reason.as_deref().unwrap().contains("drift"), "{p95:?}");
    // A step is one, whatever the order.
    assert!(sets(&around(20.0, 6, (0, 1)), &around(26.0, 6, (6, 1))).regressed());
}

#[test]
fn a_change_of_spread_at_the_same_median_is_found() {
    let scatter = |by: f64, from: usize| -> Vec<Run> {
        let run = |(index, off): (usize, &f64)| {
            let mut run = test_run(&[20.0 * (1.0 + by * off)]);
            run.started_at = format!("2026-01-01T00:{:02}:00Z", from + 2 * index);
            run
        };
        [0.0, 1.0, -1.0, 0.8, -0.8, 1.2, -1.1, 0.1].iter().enumerate().map(run).collect()
    };
    let found = sets(&scatter(0.004, 0), &scatter(0.3, 1));
    assert_eq!(metric(&found, "p95_ms_spread").verdict, MetricChange::Regressed, "{found:?}");
    assert_ne!(metric(&found, "p95_ms").verdict, MetricChange::Regressed);
    assert!(!sets(&scatter(0.3, 0), &scatter(0.3, 1)).regressed());
}

#[test]
fn what_is_shown_and_what_is_judged_are_one_number() {
    let found = compared(&test_run(&[20.0]), &test_run(&[31.0]));
    for one in &found.levels[0].metrics {
        let (Some(before), Some(after), Some(change)) = (one.before, one.after, one.change) else {
            panic!("{one:?}")
        };
        let shown =
            if one.scale == DifferenceScale::Absolute { after - before } else { after / before - 1.0 };
        assert!((shown - change).abs() < 1e-9, "{one:?}");
        let (low, high) = one.interval.unwrap();
        assert!(low <= change && change <= high, "{one:?}");
    }
}

#[test]
fn the_services_buckets_tell_nothing_of_what_lies_in_one_of_them() {
    // From 11 to 24 ms everything is in one bucket, and only the client sees it.
    let found = compared(&test_run(&[11.0]), &test_run(&[22.0]));
    assert_eq!(metric(&found, "p95_ms").verdict, MetricChange::Regressed);
    let service = metric(&found, "service_p95_ms");
    assert_eq!(service.verdict, MetricChange::Inconclusive);
    assert!(service.reason.as_deref().unwrap().contains("from 10 to 25 ms"), "{service:?}");
    let across = compared(&test_run(&[11.0]), &test_run(&[110.0]));
    assert_eq!(metric(&across, "service_p95_ms").verdict, MetricChange::Regressed);
    let same = compared(&test_run(&[11.0]), &test_run(&[11.0]));
    assert_ne!(metric(&same, "service_p95_ms").verdict, MetricChange::Unchanged, "coarser than the noise");
}

#[test]
fn what_waits_before_the_service_is_seen_where_its_own_clock_sees_nothing() {
    let (one, mut two) = (test_run(&[20.0]), test_run(&[40.0]));
    for (sample, then) in two.levels[0].samples.iter_mut().zip(&one.levels[0].samples) {
        (sample.p50_ms, sample.p95_ms, sample.p99_ms) = (then.p50_ms, then.p95_ms, then.p99_ms);
    }
    let found = compared(&one, &two);
    assert_eq!(metric(&found, "p95_ms").verdict, MetricChange::Regressed);
    assert_eq!(metric(&found, "service_p95_ms").verdict, MetricChange::Inconclusive);
}

#[test]
fn older_runs_are_compared_by_the_clients_seconds_and_say_so() {
    let older = |p95: f64| {
        let mut run = test_run(&[p95]);
        run.levels[0].slices.clear();
        for sample in &mut run.levels[0].samples {
            (sample.client_p95_ms, sample.client_rps) = (sample.p95_ms, sample.rate_rps);
        }
        run
    };
    let found = compared(&older(11.0), &older(22.0));
    assert!(found.notes[0].contains("keeps no distribution of its client's times"), "{found:?}");
    assert_eq!(metric(&found, "p95_ms").verdict, MetricChange::Regressed);
    let nothing = metric(&found, "p50_ms");
    assert_eq!(nothing.verdict, MetricChange::Inconclusive);
    assert!(nothing.reason.as_deref().unwrap().contains("not measured second by second"), "{nothing:?}");
    // One that keeps slices is held against an older one by seconds as well.
    assert!(compared(&test_run(&[11.0]), &older(22.0)).notes[0].contains("typical second"));
}

#[test]
fn errors_that_come_up_are_a_regression_and_few_are_none() {
    let failing = |failed: u64| {
        let mut run = test_run(&[20.0]);
        run.levels[0].slices.iter_mut().for_each(|slice| slice.counts.failed = failed);
        run.levels[0].error_rate = (failed as f64 / 1_000.0).into();
        run
    };
    let found = compared(&test_run(&[20.0]), &failing(30));
    let errors = metric(&found, "error_rate");
    assert_eq!(
        (errors.verdict, errors.scale),
        (MetricChange::Regressed, DifferenceScale::Absolute),
        "{errors:?}"
    );
    assert_eq!(errors.change_text(errors.change.unwrap()), "+3.00 points");
    assert_eq!(
        metric(&compared(&failing(30), &test_run(&[20.0])), "error_rate").verdict,
        MetricChange::Improved
    );
    assert_eq!(metric(&compared(&failing(0), &failing(0)), "error_rate").verdict, MetricChange::Unchanged);
}

#[test]
fn memory_is_compared_at_equal_age_alone() {
    let aged = |age_s: Option<f64>, memory: f64| {
        let mut run = test_run(&[20.0]);
        let age = Measured::or_missing(age_s, "not known");
        (run.levels[0].service.youngest_s, run.levels[0].service.oldest_s) = (age.clone(), age);
        for sample in &mut run.levels[0].samples {
            sample.service_rss_mb = sample.service_rss_mb.map(|mb| mb * memory);
        }
        run
    };
    let memory = |one: &Run, two: &Run| metric(&compared(one, two), "service_memory_mb").clone();
    let found = memory(&aged(Some(60.0), 1.0), &aged(Some(7_200.0), 1.5));
    assert_eq!(found.verdict, MetricChange::Inconclusive);
    assert!(found.reason.unwrap().contains("60 s to 120 min old"));
    assert_eq!(memory(&aged(None, 1.0), &aged(Some(60.0), 1.5)).verdict, MetricChange::Inconclusive);
    assert_eq!(memory(&aged(Some(60.0), 1.0), &aged(Some(-5.0), 1.5)).verdict, MetricChange::Inconclusive);
    assert_eq!(memory(&aged(Some(600.0), 1.0), &aged(Some(640.0), 1.5)).verdict, MetricChange::Regressed);
}
