//! What a run says, as the facts that rules look at.

use super::Observation;
use crate::domain::facts::Facts;
use crate::domain::run::{LevelResult, Run, Sample};
use crate::domain::usl::{self, Point};
use crate::domain::verdict::Verdict;
use crate::measured::Measured;

/// A level counts as growth from the one before when this much more was offered.
const MORE_OFFERED: f64 = 1.1;
/// And requests pile up when this many times more are in progress.
const MORE_IN_PROGRESS: f64 = 1.2;
/// Shorter windows do not tell a slope from a wobble.
const SLOPE_SECONDS: u64 = 300;

/// One look for each level that ran to its end.
pub(super) fn observations(run: &Run) -> Vec<Observation> {
    let measured: Vec<_> = run.levels.iter().filter(|level| level.verdict != Verdict::Interrupted).collect();
    measured
        .iter()
        .enumerate()
        .map(|(index, level)| observation_of(run, level, index.checked_sub(1).map(|before| measured[before])))
        .collect()
}

/// What one level says.
#[must_use]
pub fn observation_of(run: &Run, level: &LevelResult, before: Option<&LevelResult>) -> Observation {
    let mut facts = level.facts.clone();
    load(&mut facts, level, before);
    service(&mut facts, level);
    stores(&mut facts, level);
    machine(&mut facts, run, level);
    derive(&mut facts);
    Observation { level: level.level, facts, series: series(level) }
}

/// What follows from other facts.
pub fn derive(facts: &mut Facts) {
    let query = "|in_flight - request_rate × request_mean| / in_flight";
    let three = facts.measured("in_flight").zip(facts.measured("request_rate"));
    let error = three.zip(facts.measured("request_mean_ms")).and_then(|((in_flight, rate), mean_ms)| {
        let said = rate * mean_ms / 1_000.0;
        // A gauge that is looked at once a second tells little about a handful of requests.
        if in_flight.max(said) < 3.0 {
            return Measured::not_applicable("fewer than three requests were in progress");
        }
        Measured::Value((in_flight - said).abs() / in_flight.max(said))
    });
    facts.put("little_error", error, "nsys", query);
}

fn load(facts: &mut Facts, level: &LevelResult, before: Option<&LevelResult>) {
    let limited = level.verdict == Verdict::GeneratorLimited || level.generator.limited;
    let why = level.generator.reasons.join("; ");
    facts.put("generator_limited", f64::from(u8::from(limited)), "nsys", why);
    let k6 = "steady window";
    facts.put("error_rate", level.error_rate.clone(), "k6", k6);
    facts.put("p95_ms", answered(level.latency_ms.p95), "k6", k6);
    let query = "median of k6, less the median of the service";
    if limited {
        facts.skip("outside_ms", query, "the generator was the limit");
    } else {
        let both = answered(level.latency_ms.p50).zip(facts.measured("request_p50_ms"));
        facts.put("outside_ms", both.map(|(all, own)| (all - own).max(0.0)), "k6", query);
    }
    growth(facts, level, before);
    let query = "slope of the service's resident memory (Theil and Sen)";
    if level.steady_s < SLOPE_SECONDS {
        facts.skip("memory_growth_mb_per_min", query, "the level is shorter than five minutes");
    } else {
        let points: Vec<_> = steady(level).filter_map(|one| Some((one.at_s, one.service_rss_mb?))).collect();
        let growth = Measured::or_missing(slope(&points), "no memory of the service was seen");
        facts.put("memory_growth_mb_per_min", growth.map(|per_s| per_s * 60.0), "/proc", query);
    }
}

/// A percentile of the answers, of which there may be none.
fn answered(percentile: Option<f64>) -> Measured<f64> {
    Measured::or_missing(percentile, "no request was answered")
}

/// How much more was answered than on the level before, where more was offered and more was under way.
fn growth(facts: &mut Facts, level: &LevelResult, before: Option<&LevelResult>) {
    let query = "throughput over that of the level before, less one";
    let Some(before) = before else {
        return facts.skip("flat_growth", query, "there is no level before it");
    };
    let offered = |one: &LevelResult| one.target_rps.map_or(f64::from(one.vus), f64::from);
    let under_way = |one: &LevelResult| concurrency(one);
    let more = offered(level) > offered(before) * MORE_OFFERED;
    let piled =
        under_way(level).zip(under_way(before)).is_some_and(|(now, then)| now > then * MORE_IN_PROGRESS);
    if before.throughput_rps > 0.0 && more && piled && !level.generator.limited {
        facts.put("flat_growth", level.throughput_rps / before.throughput_rps - 1.0, "k6", query);
    } else {
        facts.skip("flat_growth", query, "no more was offered, or no more was in progress");
    }
}

fn service(facts: &mut Facts, level: &LevelResult) {
    let process = "mean of the steady window, of all cores";
    facts.put("service_cpu_pct", level.service.cpu_pct.clone(), "/proc", process);
    facts.put("service_memory_mb", level.service.rss_mb.clone(), "/proc", "resident memory, largest");
}

fn stores(facts: &mut Facts, level: &LevelResult) {
    facts.put(
        "query_p95_ms",
        level.db.query_p95_ms.clone(),
        "Prometheus",
        "db_query_duration_seconds, steady window",
    );
    let scans = level.db.seq_scans.clone().zip(level.db.seq_rows_read.clone()).map(|(scans, rows)| {
        // A few scans are housekeeping, or the last of the time before: the server counts late.
        let few = (level.requests as f64 * 0.03).max(10.0);
        if (scans as f64) < few { 0.0 } else { rows as f64 / scans as f64 }
    });
    let query = "seq_tup_read over seq_scan of notifications in pg_stat_user_tables, difference of the level";
    facts.put("rows_per_sequential_scan", scans, "PostgreSQL", query);
    let query = "largest mean_exec_time of pg_stat_statements, difference of the level, five calls and more";
    let often = level.db.top.iter().filter(|one| one.calls >= 5).map(|one| one.mean_ms);
    let slowest = Measured::or_missing(often.reduce(f64::max), "no statement ran five times and more");
    facts.put("slowest_statement_ms", slowest, "PostgreSQL", query);
    let lag = level.kafka.lag_end.clone().map(|lag| lag as f64);
    facts.put("lag_end", lag, "Kafka", "offsets when the load ended");
    let consumed = level.kafka.published_per_s.clone().and_then(|published| {
        if published <= 0.0 {
            return Measured::Value(1.0);
        }
        level.kafka.consumed_per_s.clone().map(|consumed| consumed / published)
    });
    let query = "kafka_messages_consumed_total over kafka_messages_published_total, steady window";
    facts.put("consumed_share", consumed, "Prometheus", query);
    let query = "cache_hits_total over hits and misses, steady window";
    facts.put("hit_rate", level.cache.hit_rate.clone(), "Prometheus", query);
}

/// How the machine's processors were divided between stack, generator and everything else.
fn machine(facts: &mut Facts, run: &Run, level: &LevelResult) {
    let cores = run.environment.cpus.max(1) as f64;
    let generator = level.generator.cpu_pct.clone().map(|pct| pct / cores);
    // A generator elsewhere takes nothing from this machine.
    let generator = if run.environment.shared_machine { generator } else { Measured::Value(0.0) };
    let parts = facts.measured("parts_cpu_pct");
    let own = parts.zip(generator).map(|(parts, generator)| parts + generator);
    facts.put(
        "own_cpu_pct",
        own.clone(),
        "/proc",
        "CPU of all parts of the stack and of the generator, of all cores",
    );
    let other = facts.measured("machine_cpu_pct").zip(own).map(|(busy, own)| (busy - own).max(0.0));
    facts.put("other_cpu_pct", other, "/proc", "machine_cpu_pct less own_cpu_pct");
}

/// The seconds of the steady window.
fn steady(level: &LevelResult) -> impl Iterator<Item = &Sample> {
    let (from, to) = (level.steady_from_s, level.steady_from_s + level.steady_s as f64);
    level.samples.iter().filter(move |one| one.at_s >= from && one.at_s <= to)
}

type SampleField = fn(&Sample) -> Option<f64>;

/// Every series that a rule looks at, with where a sample holds it.
const SERIES: [(&str, SampleField); 15] = [
    ("lag", |one| one.lag.map(|lag| lag as f64)),
    ("behind_s", |one| one.lag.zip(one.published_per_s).map(|(lag, rate)| lag as f64 / rate.max(1.0))),
    ("service_cpu_pct", |one| one.service_cpu_pct),
    ("machine_cpu_pct", |one| one.machine_cpu_pct),
    ("service_memory_mb", |one| one.service_rss_mb),
    ("p95_ms", |one| one.client_p95_ms.or(one.p95_ms)),
    ("error_rate", |one| {
        one.client_errors_per_s.zip(one.client_rps).map(|(errors, all)| errors / all.max(1.0))
    }),
    ("lock_waiters", |one| one.db_lock_waits.map(|waits| waits as f64)),
    ("query_p95_ms", |one| one.query_p95_ms),
    ("pool_wait_ms", |one| one.pool_wait_p95_ms),
    ("pool_used_share", |one| {
        one.pool_active.zip(one.pool_size.filter(|all| *all > 0.0)).map(|(used, all)| used / all)
    }),
    ("publish_ms", |one| one.publish_ms),
    ("cache_ms", |one| one.cache_ms),
    ("hit_rate", |one| one.hit_rate),
    ("evicted_per_s", |one| one.redis_evicted_per_s),
];

/// The series of the steady window, each value with the second of the level that it was seen in.
pub(super) fn series(level: &LevelResult) -> std::collections::BTreeMap<&'static str, Vec<(f64, f64)>> {
    let began_s = level.samples.first().map_or(level.steady_from_s, |one| one.at_s);
    let of =
        |read: SampleField| steady(level).filter_map(|one| Some((one.at_s - began_s, read(one)?))).collect();
    let all = SERIES.iter().map(|(name, read)| (*name, of(*read)));
    all.filter(|(_, values): &(_, Vec<_>)| !values.is_empty()).collect()
}

/// Median slope over all pairs (Theil and Sen): a few outliers do not bend it.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    // A hundred points have five thousand pairs; more say nothing new.
    let step = (points.len() / 100).max(1);
    let thin: Vec<_> = points.iter().step_by(step).collect();
    let pairs = thin.iter().enumerate().flat_map(|(index, one)| {
        thin[index + 1..].iter().filter(|two| two.0 > one.0).map(move |two| (two.1 - one.1) / (two.0 - one.0))
    });
    crate::domain::statistics::median(&pairs.collect::<Vec<_>>())
}

/// Requests in progress on average, by Little's law from what the generator saw.
fn concurrency(level: &LevelResult) -> Option<f64> {
    let mean_ms = level.facts.value("request_mean_ms").or(level.latency_ms.p50)?;
    Some(level.throughput_rps * mean_ms / 1_000.0)
}

/// The Universal Scalability Law of the levels that were fully offered.
pub(super) fn scalability(run: &Run) -> usl::FitOutcome {
    let points: Vec<_> = run
        .levels
        .iter()
        .filter(|level| !matches!(level.verdict, Verdict::Interrupted | Verdict::GeneratorLimited))
        .filter_map(|level| {
            Some(Point { concurrency: concurrency(level)?, throughput_rps: level.throughput_rps })
        })
        .collect();
    usl::fit(&points)
}
