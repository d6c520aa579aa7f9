//! How often a comparison errs, on series recorded from a real stack on a busy machine: a level of four
//! minutes, its seconds resampled in blocks, so that they depend on each other as the recorded ones do.
//! Fixed seeds.

use super::*;
use crate::domain::run::test_run;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Seconds of one baseline run, p95 between 10 and 950 ms: rate, p50, p95, p99, CPU of the service, its memory, lag.
const RECORDED: &str = include_str!("recorded.json");
/// Seconds that stay together, longer than they depend on each other.
const BLOCK: usize = 15;
/// Seconds of a resampled run: the shortest level of the guide's ladder.
const SECONDS: usize = 300;
const PAIRS: u64 = 200;

type Second = [Option<f64>; 7];

fn resampled(recorded: &[Second], seed: u64, slower: f64) -> Run {
    let mut draws = StdRng::seed_from_u64(seed);
    let mut run = test_run(&[20.0]);
    let level = &mut run.levels[0];
    level.samples.clear();
    level.steady_s = SECONDS as u64;
    let mut from = 0;
    for second in 0..SECONDS {
        if second % BLOCK == 0 {
            from = draws.random_range(0..recorded.len());
        }
        let [rate, p50, p95, p99, cpu, memory, lag] = recorded[(from + second % BLOCK) % recorded.len()];
        level.samples.push(Sample {
            at_s: level.steady_from_s + second as f64,
            rate_rps: rate,
            p50_ms: p50.map(|ms| ms * slower),
            p95_ms: p95.map(|ms| ms * slower),
            p99_ms: p99.map(|ms| ms * slower),
            service_cpu_pct: cpu,
            service_rss_mb: memory,
            lag: lag.map(|lag| lag as i64),
            ..Sample::default()
        });
    }
    run
}

/// The share of pairs, the second `slower` times as slow, of which `holds`.
fn share(slower: f64, holds: impl Fn(&Comparison) -> bool) -> f64 {
    let recorded: Vec<Second> = serde_json::from_str(RECORDED).unwrap();
    let pair = |seed| {
        let (before, after) = (resampled(&recorded, seed, 1.0), resampled(&recorded, seed + 10_000, slower));
        compare(&before, &after, &NoiseFloor::default(), Vec::new())
    };
    (1..=PAIRS).filter(|seed| holds(&pair(*seed))).count() as f64 / PAIRS as f64
}

#[test]
fn of_equal_runs_at_most_one_in_twenty_shows_any_false_verdict() {
    let wrong = share(1.0, |found| found.count(Change::Improved) + found.count(Change::Regressed) > 0);
    assert!(wrong <= 0.05, "{wrong}");
}

#[test]
fn a_tenth_that_the_noise_hides_is_never_called_unchanged() {
    let wrong = share(1.1, |found| {
        let p95 = found.levels[0].metrics.iter().find(|one| one.name == "p95_ms");
        p95.is_none_or(|one| matches!(one.verdict, Change::Improved | Change::Unchanged))
    });
    assert!(wrong <= 0.05, "{wrong}");
}
