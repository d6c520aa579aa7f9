//! Puts together what a level found. No I/O.

use super::Offered;
use crate::domain::facts::Facts;
use crate::domain::level::{Level, Stage};
use crate::domain::run::{
    CacheResult, Db, GeneratorResult, Kafka, LevelResult, Measuring, Reconciliation, Sample, Service,
    StageResult, Trend, sample,
};
use crate::domain::scenario::{LoadEngine, Scenario};
use crate::domain::slices::{Slice, SliceCounts, Slicing};
use crate::domain::stream::Tick;
use crate::domain::verdict::Verdict;
use crate::domain::{guard, spike, standstill, trend};
use crate::error::Result;
use crate::loadtest::context::RunContext;
use crate::loadtest::engine::{GeneratorSummary, Offer};
use crate::loadtest::prometheus::PrometheusWindow;
use crate::measured::Measured;
use crate::render::format;
use crate::stack::spec::Record;
use std::collections::BTreeMap;

/// Why a value that is made of samples is missing.
const NEVER_SAMPLED: &str = "no sample of the level holds it";

/// Samples that a level keeps at most; of a longer one every second, third, … is kept.
const MOST_SAMPLES: usize = 900;

/// What a level asked of its generators, and how that went.
#[derive(Clone, Copy, Debug)]
pub struct ClientLoad<'a> {
    /// Counted from 1.
    pub number: usize,
    /// What was to be offered.
    pub level: &'a Level,
    /// What the generators were told.
    pub offer: &'a Offer,
    /// When the load began, seconds since the epoch.
    pub began_s: f64,
    /// Processors that a generator was allowed to use.
    pub cpus: Option<f64>,
    /// Their exit code; none for a signal.
    pub exit: Option<i32>,
    /// The seconds that they told of.
    pub ticks: &'a [Tick],
}

/// What the generators alone say of a level: everything else is not measured yet, and it is not judged.
#[must_use]
pub fn of_client(load: ClientLoad<'_>, summary: &GeneratorSummary) -> LevelResult {
    let ClientLoad { level, offer, began_s, .. } = load;
    let measured = offer.windows.iter().filter(|window| window.measured);
    let start = measured.clone().map(|window| window.start_s).min().unwrap_or(0);
    let steady_s: u64 = measured.map(|window| window.seconds).sum();
    let steady_from_s = began_s + start as f64;
    let throughput_rps = summary.measured.requests as f64 / steady_s.max(1) as f64;
    LevelResult {
        level: load.number,
        vus: level.vus,
        target_rps: level.rate,
        duration_s: level.seconds,
        steady_s,
        steady_from_s,
        stages: stages(level, offer, summary, began_s),
        requests: summary.measured.requests,
        throughput_rps,
        error_rate: summary.measured.error_rate(),
        errors: summary.errors.clone(),
        latency_ms: summary.measured.due.latency,
        success_ms: summary.measured.succeeded.latency,
        dropped_iterations: dropped(offer, summary),
        generator: GeneratorResult {
            engine: offer.engine.as_str().to_owned(),
            cpus: Measured::or_missing(load.cpus, "the generator's processors cannot be read"),
            late_p99_ms: match (summary.late_p99_ms, offer.engine) {
                (Some(late), _) => late.into(),
                (None, LoadEngine::K6) => Measured::not_applicable("k6 does not tell how late it sends"),
                (None, LoadEngine::Native) => Measured::missing("the generator did not tell"),
            },
            busy_vus: Measured::or_missing(
                summary.measured.busy_ms.map(|ms| throughput_rps * ms / 1_000.0),
                "no request was answered",
            ),
            standstill_s: Measured::or_missing(
                standstill::longest(load.ticks, steady_from_s, steady_from_s + steady_s as f64),
                "the generator did not tell its seconds",
            ),
            exit: load.exit,
            ..GeneratorResult::default()
        },
        service: Service::default(),
        db: Db::default(),
        kafka: Kafka::default(),
        cache: CacheResult::default(),
        containers: Vec::new(),
        cpu_division: BTreeMap::new(),
        log_errors: BTreeMap::new(),
        facts: Facts::default(),
        reconciliation: Reconciliation {
            acknowledged: summary.accepted.into(),
            succeeded: summary.requests.saturating_sub(summary.failed).into(),
            ..Reconciliation::default()
        },
        spike: None,
        trends: Vec::new(),
        stabilised: Vec::new(),
        problems: Vec::new(),
        stopped_by: None,
        slices: slices(offer, summary, began_s),
        measuring: Measuring::default(),
        samples: Vec::new(),
        verdict: Verdict::Unknown,
        checks: Vec::new(),
    }
}

/// What generator and samples say.
pub(super) fn assemble(
    context: &RunContext<'_>,
    number: usize,
    level: &Level,
    offer: &Offer,
    offered: &Offered,
    summary: &GeneratorSummary,
) -> LevelResult {
    let first = offered.samples.first().map_or(0.0, |one| one.at_s);
    let began_s = summary.began_s.or(offered.began_s).unwrap_or(first);
    let Offered { cpus, exit, ticks, .. } = offered;
    let load = ClientLoad { number, level, offer, began_s, cpus: *cpus, exit: *exit, ticks };
    let mut result = of_client(load, summary);
    result.db.pool_size = context.stack.loaded.config.db.pool_size;
    result.problems.clone_from(&offered.blind);
    result.stopped_by.clone_from(&offered.stopped_by);
    result.measuring = offered.measuring.clone();
    result.samples.clone_from(&offered.samples);
    for one in &mut result.samples {
        one.service_files = one.service_files.filter(|files| *files > 0);
    }
    result.kafka.lag_end = offered.partitions.as_ref().map(|all| all.iter().map(|one| one.lag).sum());
    aggregate(&mut result);
    result
}

/// Means and largest values of the samples.
fn aggregate(result: &mut LevelResult) {
    let end = result.steady_from_s + result.steady_s as f64;
    let from = result.steady_from_s;
    let window: Vec<_> =
        result.samples.iter().filter(|one| one.at_s >= from && one.at_s <= end).cloned().collect();
    let seen = |value: Option<f64>| Measured::or_missing(value, NEVER_SAMPLED);
    let mean = |of: fn(&Sample) -> Option<f64>| seen(sample::mean(&window, of));
    let most = |of: fn(&Sample) -> Option<f64>| seen(sample::largest(&result.samples, of));
    let count = |of: fn(&Sample) -> Option<u64>| {
        Measured::or_missing(result.samples.iter().filter_map(of).max(), NEVER_SAMPLED)
    };
    let (generator_rss, service_rss) = (most(|one| one.generator_rss_mb), most(|one| one.service_rss_mb));
    let connections = count(|one| one.db_connections);
    let (active, waits) = (count(|one| one.db_active), count(|one| one.db_lock_waits));
    let lag_max = Measured::or_missing(result.samples.iter().filter_map(|one| one.lag).max(), NEVER_SAMPLED);
    let mut control: Vec<_> = window.iter().filter_map(|one| one.control_ms).collect();
    control.sort_by(f64::total_cmp);
    let lag: Vec<_> = window.iter().filter_map(|one| Some((one.at_s, one.lag? as f64))).collect();
    let short = guard::GeneratorBounds { cpu_pct: 0.0, offered_share: 0.9, rate_per_cpu: 0.0 };
    let short: Vec<_> = window.iter().filter_map(|one| guard::short(one, short)).collect();
    result.generator.cpu_pct = mean(|one| one.generator_cpu_pct);
    result.generator.wait_pct = mean(|one| one.generator_wait_pct);
    result.generator.rss_mb = generator_rss;
    result.generator.control_p95_ms = seen(control.get(control.len() * 95 / 100).copied());
    let short_seconds = (!short.is_empty()).then(|| short.iter().filter(|one| **one).count() as u64);
    result.generator.short_seconds = Measured::or_missing(short_seconds, NEVER_SAMPLED);
    result.service.cpu_pct = mean(|one| one.service_cpu_pct);
    result.service.rss_mb = service_rss;
    result.db.connections_max = connections;
    (result.db.active_max, result.db.lock_waits_max) = (active, waits);
    result.kafka.lag_max = lag_max;
    result.kafka.lag_slope_per_s =
        Measured::or_missing(trend::slope(&lag).map(|slope| slope.0), "there are too few samples");
}

/// Requests of the measured time that could not be started. The generator counts them over the whole
/// level; the measured time cannot lack more than was planned for it.
fn dropped(offer: &Offer, summary: &GeneratorSummary) -> u64 {
    let planned: Option<u64> = offer
        .windows
        .iter()
        .filter(|window| window.measured)
        .map(|window| window.rate.map(|rate| u64::from(rate) * window.seconds))
        .sum();
    planned.map_or(0, |planned| planned.saturating_sub(summary.measured.requests).min(summary.dropped))
}

/// What was counted in each slice of the measured time.
fn slices(offer: &Offer, summary: &GeneratorSummary, began_s: f64) -> Vec<Slice> {
    let Some(cut) = Slicing::of(&offer.windows) else { return Vec::new() };
    let slice = |(index, counts): (usize, &SliceCounts)| Slice {
        from_s: began_s + (cut.start_s + index as u64 * cut.length_s) as f64,
        seconds: cut.length_of(index),
        counts: counts.clone(),
    };
    summary.slices.iter().enumerate().map(slice).collect()
}

fn stages(level: &Level, offer: &Offer, summary: &GeneratorSummary, began_s: f64) -> Vec<StageResult> {
    if level.stages.is_empty() {
        return Vec::new();
    }
    let stage = |window: &crate::domain::level::Window| {
        let found = summary.windows.get(&window.name).cloned().unwrap_or_default();
        let rate = window.rate.unwrap_or_default();
        let planned = u64::from(rate) * window.seconds;
        StageResult {
            stage: Stage { name: window.name.clone(), rate, seconds: window.seconds },
            from_s: began_s + window.start_s as f64,
            requests: found.requests,
            throughput_rps: found.requests as f64 / window.seconds.max(1) as f64,
            error_rate: found.error_rate(),
            latency_ms: found.due.latency,
            success_ms: found.succeeded.latency,
            dropped_iterations: planned.saturating_sub(found.requests).min(summary.dropped),
        }
    };
    offer.windows.iter().filter(|window| window.measured).map(stage).collect()
}

/// What Prometheus knows of the measured time.
pub(super) fn fill_window(result: &mut LevelResult, seen: PrometheusWindow) {
    result.service.p50_ms = seen.p50_ms;
    result.service.p95_ms = seen.p95_ms;
    result.service.p99_ms = seen.p99_ms;
    result.service.delivery_p95_ms = seen.delivery_p95_ms;
    result.service.failed_per_s = seen.failed_per_s;
    result.service.shed_per_s = seen.shed_per_s;
    result.db.query_p95_ms = seen.query_p95_ms;
    result.db.pool_wait_p95_ms = seen.pool_wait_p95_ms;
    result.kafka.published_per_s = seen.published_per_s;
    result.kafka.consumed_per_s = seen.consumed_per_s;
    result.cache.hit_rate = seen.hit_rate;
}

/// What follows from the whole series: largest values that Prometheus told, the response to a spike,
/// what grew during a soak.
pub(super) fn derive(result: &mut LevelResult, level: &Level, scenario: Scenario) {
    let most = |of: fn(&Sample) -> Option<f64>| {
        Measured::or_missing(sample::largest(&result.samples, of), NEVER_SAMPLED)
    };
    let (in_flight, pool_active, pool_size) =
        (most(|one| one.in_flight), most(|one| one.pool_active), most(|one| one.pool_size));
    result.service.in_flight_max = in_flight;
    (result.db.pool_active_max, result.db.pool_limit) = (pool_active, pool_size);
    if let [_, spike, _] = result.stages.as_slice() {
        let span = spike::SpikeSpan {
            from_s: spike.from_s,
            to_s: spike.from_s + spike.stage.seconds as f64,
            rate: f64::from(spike.stage.rate),
        };
        let from = result.steady_from_s;
        let watched: Vec<_> = result.samples.iter().filter(|one| one.at_s >= from).cloned().collect();
        result.spike = Some(spike::response(&watched, span));
    }
    if scenario == Scenario::Soak && level.stages.is_empty() {
        result.trends = trends(result);
    }
}

fn trends(result: &LevelResult) -> Vec<Trend> {
    let end = result.steady_from_s + result.steady_s as f64;
    let window: Vec<_> =
        result.samples.iter().filter(|one| one.at_s >= result.steady_from_s && one.at_s <= end).collect();
    let of = |name: &str, waver: f64, read: fn(&Sample) -> Option<f64>| {
        let points: Vec<_> = window.iter().filter_map(|one| Some((one.at_s, read(one)?))).collect();
        trend::trend(name, &points, waver)
    };
    // What always waits: what is consumed in a tenth of a second.
    let waits = result.throughput_rps / 10.0;
    vec![
        of(trend::SERVICE_MEMORY, 5.0, |one| one.service_rss_mb),
        of("pool_active", 1.0, |one| one.pool_active),
        of("db_connections", 1.0, |one| one.db_connections.map(|count| count as f64)),
        of("p95_ms", 5.0, |one| one.client_p95_ms.or(one.p95_ms)),
        of("service_files", 5.0, |one| one.service_files.map(|count| count as f64)),
        of("redis_memory_mb", 5.0, |one| one.redis_memory_mb),
        of("lag", waits, |one| one.lag.map(|lag| lag as f64)),
    ]
}

/// Ages of the service's youngest and oldest process at an instant; none where a start is not known.
pub(super) fn ages(parts: Result<Vec<Record>>, at_s: f64) -> (Measured<f64>, Measured<f64>) {
    let ages = Measured::from(parts).and_then(|parts: Vec<Record>| {
        let service = parts.iter().filter(|part| part.role().is_some());
        let ages: Option<Vec<_>> =
            service.map(|part| (part.started_s > 0).then_some(at_s - part.started_s as f64)).collect();
        Measured::or_missing(ages, "the runtime does not tell when they started")
    });
    let of = |pick: fn(f64, f64) -> f64| {
        ages.clone().and_then(|ages| {
            Measured::or_missing(ages.into_iter().reduce(pick), "no replica of the service runs")
        })
    };
    (of(f64::min), of(f64::max))
}

/// Keeps at most [`MOST_SAMPLES`], evenly.
pub(super) fn thin(samples: &mut Vec<Sample>) {
    let step = samples.len().div_ceil(MOST_SAMPLES).max(1);
    if step > 1 {
        *samples = samples.iter().step_by(step).cloned().collect();
    }
}

/// The level in one line.
pub(super) fn sentence(result: &LevelResult) -> String {
    let stopped = result.stopped_by.as_ref().map(|rule| format!(", stopped by {rule}")).unwrap_or_default();
    format!(
        "{}: {}, p50 {}, p95 {}, p99 {}, errors {}{stopped}",
        result.verdict.as_str(),
        format::rate(result.throughput_rps),
        format::or_missing(result.latency_ms.p50, format::millis),
        format::or_missing(result.latency_ms.p95, format::millis),
        format::or_missing(result.latency_ms.p99, format::millis),
        format::measured(&result.error_rate, format::percent),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_level_keeps_few_samples_from_its_whole_length() {
        let at = |second: u32| Sample { at_s: f64::from(second), ..Sample::default() };
        let mut samples: Vec<_> = (0..3_600).map(at).collect();
        thin(&mut samples);
        assert_eq!(samples.len(), 900);
        assert_eq!((samples[0].at_s, samples[899].at_s), (0.0, 3_596.0));
    }
}
