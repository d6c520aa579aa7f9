//! What a comparison says of runs whose difference is known.

use super::*;
use crate::domain::run::test_run;

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

#[test]
fn repeated_runs_are_compared_by_ranks() {
    let runs = |around: f64| [0.0, 0.3, -0.2, 0.1, 0.25].map(|off| test_run(&[around + off]));
    let (slow, fast) = (runs(40.0), runs(30.0));
    let found = compare_all(
        &slow.iter().collect::<Vec<_>>(),
        &fast.iter().collect::<Vec<_>>(),
        &NoiseFloor::default(),
        Vec::new(),
    );
    assert_eq!(found.method, ComparisonMethod::MannWhitney);
    // Seven metrics are looked at; two times five runs can prove one difference, not seven.
    let p95 = metric(&found, "p95_ms");
    assert!(p95.change.unwrap() < -0.2, "{p95:?}");
    let few = compare_all(&[&slow[0], &slow[1]], &[&fast[0], &fast[1]], &NoiseFloor::default(), Vec::new());
    assert!(metric(&few, "p95_ms").reason.as_deref().unwrap().contains("four runs"));
}
