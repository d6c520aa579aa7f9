//! How often a comparison errs, on series recorded from a real stack: equal runs, one after the other,
//! their seconds resampled in blocks, so that they depend on each other as the recorded ones do. Fixed
//! seeds.

use super::*;
use crate::domain::run::test_run;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Equal runs; of each second rate, p50, p95, p99, CPU of the service, its memory, lag.
const RECORDED: &str = include_str!("recorded.json");
/// Seconds that stay together, longer than they depend on each other.
const BLOCK: usize = 15;
/// Seconds of a resampled run: the shortest level of the guide's ladder.
const SECONDS: usize = 300;
const PAIRS: u64 = 200;

type RecordedSecond = [Option<f64>; 7];

fn recorded() -> Vec<Vec<RecordedSecond>> {
    serde_json::from_str(RECORDED).unwrap()
}

/// A run of these seconds, its answers `slower` times as slow.
fn run_of(seconds: impl Iterator<Item = RecordedSecond>, slower: f64) -> Run {
    let mut run = test_run(&[20.0]);
    let level = &mut run.levels[0];
    let from = level.steady_from_s;
    let sample = |(at, [rate, p50, p95, p99, cpu, memory, lag]): (usize, RecordedSecond)| Sample {
        at_s: from + at as f64,
        rate_rps: rate,
        p50_ms: p50.map(|ms| ms * slower),
        p95_ms: p95.map(|ms| ms * slower),
        p99_ms: p99.map(|ms| ms * slower),
        service_cpu_pct: cpu,
        service_rss_mb: memory,
        lag: lag.map(|lag| lag as i64),
        ..Sample::default()
    };
    level.samples = seconds.enumerate().map(sample).collect();
    level.steady_s = level.samples.len() as u64;
    run
}

/// So many seconds drawn from recorded ones, block by block.
fn drawn(recorded: &[RecordedSecond], seconds: usize, seed: u64) -> impl Iterator<Item = RecordedSecond> {
    let mut draws = StdRng::seed_from_u64(seed);
    let mut from = 0;
    (0..seconds).map(move |second| {
        if second.is_multiple_of(BLOCK) {
            from = draws.random_range(0..recorded.len());
        }
        recorded[(from + second % BLOCK) % recorded.len()]
    })
}

/// The share of pairs drawn from all recorded seconds, the second one `slower` times as slow, of which
/// `holds`.
fn share(slower: f64, holds: impl Fn(&Comparison) -> bool) -> f64 {
    let pool = recorded().concat();
    let pair = |seed| {
        let before = run_of(drawn(&pool, SECONDS, seed), 1.0);
        let after = run_of(drawn(&pool, SECONDS, seed + 10_000), slower);
        compare(&before, &after, &NoiseFloor::default(), Vec::new())
    };
    (1..=PAIRS).filter(|seed| holds(&pair(*seed))).count() as f64 / PAIRS as f64
}

fn p95(found: &Comparison) -> &MetricComparison {
    found.levels[0].metrics.iter().find(|one| one.name == "p95_ms").unwrap()
}

fn false_verdict(found: &Comparison) -> bool {
    found.count(MetricChange::Improved) + found.count(MetricChange::Regressed) > 0
}

#[test]
fn of_equal_runs_at_most_one_in_twenty_shows_any_false_verdict() {
    let wrong = share(1.0, false_verdict);
    assert!(wrong <= 0.05, "{wrong}");
}

/// The length that a comparison asks for is enough, and its own significance is that of the sternest of
/// as many looks as it takes.
#[test]
fn a_tenth_in_p95_is_found_nine_times_in_ten_by_runs_as_long_as_compare_says() {
    let pool = recorded().concat();
    let (stern, floor) = (SIGNIFICANCE / KINDS.len() as f64, NoiseFloor::default().of("p95_ms"));
    let effect = |seconds: usize, seed: u64, slower: f64| {
        let series = |seed, slower| -> Vec<f64> {
            drawn(&pool, seconds, seed).filter_map(|[_, _, p95, ..]| Some(p95? * slower)).collect()
        };
        statistics::compare(&series(seed, 1.0), &series(seed + 10_000, slower)).unwrap()
    };
    let longer =
        |seed| effect(SECONDS, seed, 1.0).precision.unwrap().lengthening(TENTH, stern, floor).unwrap();
    let times = statistics::median(&(1..=100).map(longer).collect::<Vec<_>>()).unwrap();
    let needed = (times * SECONDS as f64) as usize;
    let found = |seed: &u64| {
        let effect = effect(needed, *seed, 1.0 + TENTH);
        effect.p < stern && effect.ratio >= 1.0 + floor
    };
    let right = (1..=100).filter(found).count();
    assert!(right >= 90, "{right} of 100 pairs of {needed} s");
}

#[test]
fn a_tenth_that_the_noise_hides_is_never_called_unchanged() {
    let wrong =
        share(1.1, |found| matches!(p95(found).verdict, MetricChange::Improved | MetricChange::Unchanged));
    assert!(wrong <= 0.05, "{wrong}");
}
