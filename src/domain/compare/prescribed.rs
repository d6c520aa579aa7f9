//! The truth bench of comparisons: pairs and sets of runs made from series that were recorded on a real stack
//! (equal runs, one after the other), resampled in blocks, so that seconds depend on each other as the recorded
//! ones do, with and without a known change. Fixed seeds. `NSYS_TRUTH=all` draws more of them, and prints the
//! table of docs/ACCURACY.md.

use super::*;
use crate::domain::distribution::Distribution;
use crate::domain::level::{STEADY, Window};
use crate::domain::run::{Sample, Slice, test_run};
use crate::domain::slices::Slicing;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::io::Write;

/// Equal runs; of each second rate, p50, p95, p99, CPU of the service, its memory, lag.
const RECORDED: &str = include_str!("recorded.json");
/// Seconds that stay together, longer than they depend on each other.
const BLOCK: usize = 15;
/// Steady seconds of a level of the guide's ladder, and of a short one.
const LONG: usize = 240;
const SHORT: usize = 48;
/// Wrong verdicts may be so many.
const WRONG: f64 = 0.05;

type Second = [Option<f64>; 7];

/// What is different in a run.
#[derive(Clone, Copy)]
struct Truth {
    /// Times are so much longer.
    slower: f64,
    /// Share of requests that fail besides.
    failing: f64,
    /// Memory is so much more.
    memory: f64,
    /// Age of the service's processes.
    age_s: f64,
}

const NONE: Truth = Truth { slower: 1.0, failing: 0.0, memory: 1.0, age_s: 600.0 };

/// Of a process that was just started: what its memory is a share of.
fn grown(age_s: f64) -> f64 {
    0.4 + 0.6 * (1.0 - (-age_s / 900.0).exp())
}

fn recorded() -> Vec<Second> {
    serde_json::from_str::<Vec<Vec<Second>>>(RECORDED).unwrap().concat()
}

/// So many seconds drawn from recorded ones, block by block.
fn drawn(recorded: &[Second], seconds: usize, draws: &mut StdRng) -> Vec<Second> {
    let mut from = 0;
    (0..seconds)
        .map(|second| {
            if second.is_multiple_of(BLOCK) {
                from = draws.random_range(0..recorded.len());
            }
            recorded[(from + second % BLOCK) % recorded.len()]
        })
        .collect()
}

/// Puts a second's requests where its percentiles say that they were.
fn count(second: &Second, change: &Truth, into: &mut Slice) {
    let [Some(rate), Some(p50), Some(p95), Some(p99), ..] = *second else { return };
    let requests = rate.round();
    let points = [(0.0, p50 * 0.4), (0.5, p50), (0.95, p95), (0.99, p99), (1.0, p99 * 1.1)];
    for request in 0..requests as u64 {
        let rank = (request as f64 + 0.5) / requests;
        let after = points.iter().position(|(share, _)| rank <= *share).unwrap_or(4).max(1);
        let ((from, low), (to, high)) = (points[after - 1], points[after]);
        let ms = low * (high / low).powf((rank - from) / (to - from));
        into.counts.due.record_ms(ms * change.slower, 1);
    }
    into.counts.requests += requests as u64;
    // A slow second loses a few requests, as a busy one does.
    let lost = if p99 > 300.0 { 1.0 } else { 0.0 };
    into.counts.failed += (lost + (requests * change.failing).round()) as u64;
}

/// A run of these seconds.
fn run_of(seconds: &[Second], change: &Truth) -> Run {
    let mut run = test_run(&[20.0]);
    let level = &mut run.levels[0];
    let window = |seconds: usize| Window {
        name: STEADY.into(),
        rate: Some(60),
        start_s: 0,
        seconds: seconds as u64,
        measured: true,
    };
    let cut = Slicing::of(&[window(seconds.len())]).unwrap();
    let from = level.steady_from_s;
    let slice = |index: usize| {
        let start = index * cut.length_s as usize;
        let mut slice =
            Slice { from_s: from + start as f64, seconds: cut.length_of(index), ..Slice::default() };
        let end = start + slice.seconds as usize;
        seconds[start..end].iter().for_each(|second| count(second, change, &mut slice));
        slice
    };
    level.slices = (0..cut.count as usize).map(slice).collect();
    let sample = |(at, [rate, p50, p95, p99, cpu, memory, lag]): (usize, &Second)| Sample {
        at_s: from + at as f64,
        rate_rps: *rate,
        p50_ms: p50.map(|ms| ms * change.slower),
        p95_ms: p95.map(|ms| ms * change.slower),
        p99_ms: p99.map(|ms| ms * change.slower),
        service_cpu_pct: *cpu,
        service_rss_mb: memory.map(|mb| mb * change.memory * grown(change.age_s + at as f64)),
        lag: lag.map(|lag| lag as i64),
        ..Sample::default()
    };
    level.samples = seconds.iter().enumerate().map(sample).collect();
    level.steady_s = seconds.len() as u64;
    (level.service.youngest_s, level.service.oldest_s) = (change.age_s.into(), change.age_s.into());
    let mut due = Distribution::default();
    level.slices.iter().for_each(|slice| due.add(&slice.counts.due));
    let sum = |of: fn(&Slice) -> u64| level.slices.iter().map(of).sum::<u64>() as f64;
    level.throughput_rps = sum(|one| one.counts.requests) / seconds.len() as f64;
    level.error_rate = (sum(|one| one.counts.failed) / sum(|one| one.counts.requests)).into();
    level.latency_ms.p50 = due.quantile_ms(0.5);
    level.latency_ms.p95 = due.quantile_ms(0.95);
    level.latency_ms.p99 = due.quantile_ms(0.99);
    run
}

/// What a comparison told in many draws.
#[derive(Default)]
struct DrawnComparisons {
    draws: usize,
    /// Draws with any finding.
    any: usize,
    /// Findings by metric and way.
    found: BTreeMap<(String, &'static str), usize>,
    /// Draws in which a metric was shown.
    metrics: BTreeMap<String, usize>,
}

impl DrawnComparisons {
    fn take(&mut self, found: &Comparison) {
        self.draws += 1;
        let findings = [MetricChange::Improved, MetricChange::Regressed];
        self.any += usize::from(findings.iter().any(|one| found.count(*one) > 0));
        for one in &found.levels[0].metrics {
            *self.metrics.entry(one.name.clone()).or_default() += 1;
            *self.found.entry((one.name.clone(), one.verdict.as_str())).or_default() += 1;
        }
    }

    fn share(&self, metric: &str, verdict: MetricChange) -> f64 {
        let count = self.found.get(&(metric.to_owned(), verdict.as_str())).copied().unwrap_or(0);
        count as f64 / self.draws as f64
    }

    fn any(&self) -> f64 {
        self.any as f64 / self.draws as f64
    }

    /// The metric with the most findings.
    fn worst(&self) -> (String, f64) {
        let both = |name: &String| {
            self.share(name, MetricChange::Improved) + self.share(name, MetricChange::Regressed)
        };
        let all = self.metrics.keys().map(|name| (name.clone(), both(name)));
        all.max_by(|one, two| one.1.total_cmp(&two.1)).unwrap()
    }

    fn regressed(&self, metric: &str) -> f64 {
        self.share(metric, MetricChange::Regressed)
    }
}

fn is_long() -> bool {
    crate::process_env::var("NSYS_TRUTH").is_some()
}

/// Draws of a scenario: many in the long form.
fn draws(long: u64) -> u64 {
    if is_long() { long } else { long / 10 }
}

/// One line of the table.
fn tell(scenario: &str, told: &str, truth: &str) {
    if is_long() {
        let line = format!("| {scenario} | {told} | {truth} |\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
}

fn per_cent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// Pairs of runs of so many seconds.
fn pairs(count: u64, seconds: usize, before: &Truth, after: &Truth) -> DrawnComparisons {
    let pool = recorded();
    let mut told = DrawnComparisons::default();
    for seed in 1..=count {
        let mut draws = StdRng::seed_from_u64(seed);
        let one = run_of(&drawn(&pool, seconds, &mut draws), before);
        let two = run_of(&drawn(&pool, seconds, &mut draws), after);
        told.take(&compare(&one, &two, &NoiseFloor::default(), Vec::new()));
    }
    told
}

/// How a set of runs is made.
#[derive(Clone, Copy)]
struct RunSetDesign {
    /// Runs on each side.
    runs: usize,
    /// Whether both sides take turns.
    turns: bool,
    /// What every run is slower by than the one before it.
    drift: f64,
    /// How runs scatter: the standard deviation of the logarithm of their times, before and after.
    scatter: (f64, f64),
}

fn sets(count: u64, plan: RunSetDesign, after: &Truth) -> DrawnComparisons {
    let pool = recorded();
    let mut told = DrawnComparisons::default();
    for seed in 1..=count {
        let mut draws = StdRng::seed_from_u64(seed);
        let (mut one, mut two) = (Vec::new(), Vec::new());
        for place in 0..2 * plan.runs {
            // Before, after, after, before, so that a steady drift is on neither side.
            let second = if plan.turns { [1, 2].contains(&(place % 4)) } else { place >= plan.runs };
            let (change, scatter) = if second { (after, plan.scatter.1) } else { (&NONE, plan.scatter.0) };
            let normal = (0..12).map(|_| draws.random_range(0.0..1.0)).sum::<f64>() - 6.0;
            let slower = change.slower * (plan.drift * place as f64 + scatter * normal).exp();
            let seconds = drawn(&pool, SHORT, &mut draws);
            let mut run = run_of(&seconds, &Truth { slower, ..*change });
            run.started_at = format!("2026-01-01T00:{place:02}:00Z");
            if second { two.push(run) } else { one.push(run) }
        }
        let found = compare_all(
            &one.iter().collect::<Vec<_>>(),
            &two.iter().collect::<Vec<_>>(),
            &NoiseFloor::default(),
            Vec::new(),
        );
        told.take(&found);
    }
    told
}

/// Equal runs: nothing is to be found, in the whole comparison and in each of its rows.
fn nothing_is_found(scenario: &str, told: &DrawnComparisons) {
    let (metric, worst) = told.worst();
    let text = format!("{} of comparisons, {} of {metric}", per_cent(told.any()), per_cent(worst));
    tell(scenario, &text, "no difference");
    assert!(told.any() <= WRONG, "{scenario}: {text}");
    assert!(worst <= WRONG, "{scenario}: {text}");
}

const EQUAL: RunSetDesign = RunSetDesign { runs: 5, turns: true, drift: 0.0, scatter: (0.05, 0.05) };

#[test]
fn of_equal_runs_hardly_any_shows_a_difference() {
    nothing_is_found("equal pairs of 240 s", &pairs(draws(400), LONG, &NONE, &NONE));
    nothing_is_found("equal pairs of 48 s", &pairs(draws(600), SHORT, &NONE, &NONE));
}

#[test]
fn of_equal_sets_hardly_any_shows_a_difference() {
    for runs in [5, 7, 8] {
        let scenario = format!("equal sets, {runs} and {runs} in turns");
        nothing_is_found(&scenario, &sets(draws(400), RunSetDesign { runs, ..EQUAL }, &NONE));
    }
}

#[test]
fn a_machine_that_drifts_is_not_a_change() {
    for drift in [0.01, 0.03] {
        for turns in [true, false] {
            let order = if turns { "in turns" } else { "one side after the other" };
            let scenario = format!("equal sets, 6 and 6 {order}, each run {} slower", per_cent(drift));
            nothing_is_found(
                &scenario,
                &sets(draws(400), RunSetDesign { runs: 6, turns, drift, ..EQUAL }, &NONE),
            );
        }
    }
}

#[test]
fn a_shift_is_found_as_often_as_is_said_and_never_called_the_opposite() {
    for (slower, seconds) in [(1.1, LONG), (1.3, LONG), (2.0, LONG), (2.0, SHORT)] {
        let told = pairs(draws(200), seconds, &NONE, &Truth { slower, ..NONE });
        let found = |metric| per_cent(told.regressed(metric));
        tell(
            &format!("pairs of {seconds} s, {:.0} % slower", (slower - 1.0) * 100.0),
            &format!("found in {} by p50, {} by p95", found("p50_ms"), found("p95_ms")),
            "slower",
        );
        for metric in ["p50_ms", "p95_ms", "p99_ms"] {
            let wrong =
                told.share(metric, MetricChange::Improved) + told.share(metric, MetricChange::Unchanged);
            assert!(wrong <= WRONG, "{metric}, {slower}: {wrong}");
        }
    }
    let told = pairs(draws(200), LONG, &NONE, &Truth { slower: 2.0, ..NONE });
    assert!(told.regressed("p50_ms") >= 0.9, "{}", told.regressed("p50_ms"));
}

#[test]
fn a_shift_between_sets_is_found() {
    for (runs, slower) in [(5, 1.3), (5, 1.6), (8, 1.3)] {
        let told = sets(draws(200), RunSetDesign { runs, ..EQUAL }, &Truth { slower, ..NONE });
        let found = |metric| per_cent(told.regressed(metric));
        tell(
            &format!("sets, {runs} and {runs}, {:.0} % slower", (slower - 1.0) * 100.0),
            &format!("found in {} by p50, {} by p95", found("p50_ms"), found("p95_ms")),
            "slower",
        );
    }
    let all = sets(draws(200), EQUAL, &Truth { slower: 6.0, ..NONE });
    assert!(all.regressed("p95_ms") >= 0.9, "{}", all.regressed("p95_ms"));
}

#[test]
fn errors_are_found() {
    let told = pairs(draws(200), LONG, &NONE, &Truth { failing: 0.05, ..NONE });
    tell(
        "pairs of 240 s, 5 % of requests fail",
        &format!("found in {}", per_cent(told.regressed("error_rate"))),
        "failing",
    );
    assert!(told.regressed("error_rate") >= 0.95, "{}", told.regressed("error_rate"));
}

#[test]
fn runs_that_scatter_more_at_the_same_median_are_found() {
    let told = sets(draws(200), RunSetDesign { runs: 14, scatter: (0.02, 2.5), ..EQUAL }, &NONE);
    let found = told.regressed("p95_ms_spread");
    tell("sets, 14 and 14, one scatters", &format!("found in {}", per_cent(found)), "more scatter");
    assert!(found >= 0.5, "{found}");
    assert!(told.regressed("p95_ms") <= WRONG, "{}", told.regressed("p95_ms"));
}

#[test]
fn the_memory_of_a_process_that_ran_longer_has_not_regressed() {
    let told = pairs(draws(200), LONG, &Truth { age_s: 60.0, ..NONE }, &Truth { age_s: 7_200.0, ..NONE });
    tell(
        "memory of processes of 1 min and 2 h",
        &format!("regressed in {}", per_cent(told.regressed(MEMORY))),
        "no difference",
    );
    assert!(told.regressed(MEMORY) == 0.0 && told.any() <= WRONG, "{}", told.any());
    let told = pairs(draws(200), LONG, &NONE, &Truth { memory: 1.5, ..NONE });
    tell(
        "memory at equal age, half as much again",
        &format!("found in {}", per_cent(told.regressed(MEMORY))),
        "more",
    );
    assert!(told.regressed(MEMORY) >= 0.8, "{}", told.regressed(MEMORY));
}
