//! Everything that a level found, in words and numbers. Results are taken apart field by field, without a
//! rest: one that is measured and shown nowhere does not compile.

use crate::domain::run::{
    CacheResult, Condition, Db, GeneratorResult, Kafka, Latency, LevelResult, Measuring, PartUse,
    PartitionLoad, Reconciliation, Service, Spike, StageResult, Statement, Trend,
};
use crate::render::format::{self, measured, or_missing};
use crate::render::table::Table;
use std::collections::BTreeMap;

/// Names and values of one part.
struct Section {
    part: &'static str,
    rows: Vec<(String, String)>,
}

/// One row for each number of a level that its line and its objectives do not hold.
pub(super) fn details_table(level: &LevelResult) -> Table {
    let mut table = Table::new(["Part", "Number", "Value"]);
    for section in sections(level) {
        for (name, value) in section.rows {
            table.row([section.part.to_owned(), name, value]);
        }
    }
    table
}

fn sections(level: &LevelResult) -> Vec<Section> {
    let LevelResult {
        // The table of levels and the heading of each.
        level: _,
        vus: _,
        target_rps: _,
        steady_s: _,
        throughput_rps: _,
        error_rate: _,
        verdict: _,
        // The whole length is that of the plan.
        duration_s: _,
        // The objectives, and every number with its question, have tables of their own.
        checks: _,
        facts: _,
        // Charts.
        steady_from_s: _,
        samples: _,
        // What is compared between runs; their sum is in the percentiles.
        slices: _,
        // Remarks.
        problems: _,
        stopped_by: _,
        stages,
        requests,
        errors,
        latency_ms,
        success_ms,
        dropped_iterations,
        generator,
        service,
        db,
        kafka,
        cache,
        containers,
        cpu_division,
        log_errors,
        reconciliation,
        spike,
        trends,
        stabilised,
        measuring,
    } = level;
    let load = [
        ("requests".to_owned(), format::count(*requests)),
        ("dropped, never started".to_owned(), format::count(*dropped_iterations)),
    ];
    let load =
        load.into_iter().chain(latency("all requests", latency_ms)).chain(latency("successes", success_ms));
    let load =
        load.chain(errors.iter().map(|(cause, count)| (format!("failed: {cause}"), format::count(*count))));
    let section = |part, rows| Section { part, rows };
    let mut sections = vec![
        section("Load", load.collect()),
        section("Stages", stages.iter().flat_map(stage).collect()),
        section("Spike", spike.iter().flat_map(response).collect()),
        section("Growth", trends.iter().map(|one| (one.metric.clone(), growth(one))).collect()),
        section("Generator", generator_rows(generator)),
        section("Service", service_rows(service)),
        section("Reconciliation", reconciliation_rows(reconciliation)),
        section("PostgreSQL", db_rows(db)),
        section("Kafka", kafka_rows(kafka)),
        section("Cache", cache_rows(cache)),
        section("Parts", containers.iter().flat_map(part).collect()),
        section("CPU of the machine", shares(cpu_division)),
        section("Errors in logs", counts(log_errors)),
        section("Measuring itself", measuring_rows(measuring)),
        section("After the load", stabilised.iter().map(condition).collect()),
    ];
    sections.retain(|one| !one.rows.is_empty());
    sections
}

fn ms(value: impl Into<Option<f64>>) -> String {
    or_missing(value.into(), format::millis)
}

fn number(value: impl Into<Option<f64>>) -> String {
    or_missing(
        value.into(),
        |value| if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") },
    )
}

fn whole<T: Into<i128>>(value: Option<T>) -> String {
    or_missing(value, |value| value.into().to_string())
}

fn pct(value: impl Into<Option<f64>>) -> String {
    or_missing(value.into(), |value| format!("{value:.0} %"))
}

fn mib(value: impl Into<Option<f64>>) -> String {
    or_missing(value.into(), |value| format!("{value:.0} MiB"))
}

fn seconds(value: impl Into<Option<f64>>) -> String {
    or_missing(value.into(), |value| format!("{value:.1} s"))
}

fn named<const N: usize>(rows: [(&str, String); N]) -> Vec<(String, String)> {
    rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn counts(all: &BTreeMap<String, u64>) -> Vec<(String, String)> {
    all.iter().map(|(name, count)| (name.clone(), format::count(*count))).collect()
}

fn shares(all: &BTreeMap<String, f64>) -> Vec<(String, String)> {
    all.iter().map(|(name, share)| (name.clone(), pct(Some(*share)))).collect()
}

fn latency(whose: &str, latency: &Latency) -> Vec<(String, String)> {
    let Latency { min, p50, p90, p95, p99, p999, max } = latency;
    let rows = [
        ("fastest", min),
        ("p50", p50),
        ("p90", p90),
        ("p95", p95),
        ("p99", p99),
        ("p99.9", p999),
        ("slowest", max),
    ];
    rows.map(|(name, value)| (format!("{name}, {whose}"), ms(*value))).into()
}

fn stage(stage: &StageResult) -> Vec<(String, String)> {
    let StageResult {
        stage,
        from_s: _,
        requests,
        throughput_rps,
        error_rate,
        latency_ms,
        success_ms,
        dropped_iterations,
    } = stage;
    let name = &stage.name;
    let mut rows = vec![
        (format!("{name}: planned"), format!("{}/s for {} s", stage.rate, stage.seconds)),
        (format!("{name}: achieved"), format::rate(*throughput_rps)),
        (format!("{name}: requests"), format::count(*requests)),
        (format!("{name}: errors"), measured(error_rate, format::percent)),
        (format!("{name}: dropped"), format::count(*dropped_iterations)),
    ];
    rows.extend(latency(&format!("{name}, all requests"), latency_ms));
    rows.extend(latency(&format!("{name}, successes"), success_ms));
    rows
}

fn response(spike: &Spike) -> Vec<(String, String)> {
    let Spike {
        served_after_s,
        p95_max_ms,
        error_share_max,
        lag_max,
        latency_recovered_s,
        errors_recovered_s,
        lag_recovered_s,
    } = spike;
    let back = |seconds: &Option<f64>, measured: bool| recovery(*seconds, measured);
    named([
        ("back to 90 % of the rate after", back(served_after_s, true)),
        ("highest p95 of any second", ms(*p95_max_ms)),
        ("highest error share of any second", or_missing(*error_share_max, format::percent)),
        ("largest lag", whole(*lag_max)),
        ("p95 back after", back(latency_recovered_s, p95_max_ms.is_some())),
        ("errors back after", back(errors_recovered_s, error_share_max.is_some())),
        ("lag back after", back(lag_recovered_s, lag_max.is_some())),
    ])
}

fn recovery(after_s: Option<f64>, measured: bool) -> String {
    match after_s {
        Some(_) => seconds(after_s),
        None if measured => "not within the observed time".into(),
        None => "not measured".into(),
    }
}

/// The growth of one metric with its interval.
fn growth(trend: &Trend) -> String {
    let Trend { metric: _, median, per_hour, low, high, bound, direction } = trend;
    let Some(per_hour) = per_hour else { return format!("{}: too few seconds to tell", direction.as_str()) };
    format!(
        "{}: {per_hour:+.2} an hour (95 %: {} to {}), up to {} is none; median {}",
        direction.as_str(),
        number(*low),
        number(*high),
        number(*bound),
        number(*median)
    )
}

fn generator_rows(generator: &GeneratorResult) -> Vec<(String, String)> {
    let GeneratorResult {
        engine,
        cpu_pct,
        rss_mb,
        cpus,
        wait_pct,
        late_p99_ms,
        control_p95_ms,
        busy_vus,
        short_seconds,
        standstill_s,
        // Remarks.
        limited: _,
        reasons: _,
        exit,
    } = generator;
    named([
        ("engine", if engine.is_empty() { "k6".into() } else { engine.clone() }),
        ("CPU of a core", pct(cpu_pct)),
        ("memory", mib(rss_mb)),
        ("processors allowed", number(cpus)),
        ("waited for a processor", pct(wait_pct)),
        ("late although a user was idle, p99", ms(late_p99_ms)),
        ("requests beside the load, p95", ms(control_p95_ms)),
        ("users busy on average", number(busy_vus)),
        ("seconds below 90 % of the planned rate", whole(short_seconds.value())),
        ("longest standstill", seconds(standstill_s)),
        ("exit code", whole(*exit)),
    ])
}

fn service_rows(service: &Service) -> Vec<(String, String)> {
    let Service {
        cpu_pct,
        rss_mb,
        p50_ms,
        p95_ms,
        p99_ms,
        in_flight_max,
        delivery_p95_ms,
        failed_per_s,
        shed_per_s,
        youngest_s,
        oldest_s,
    } = service;
    named([
        ("CPU of all cores", pct(cpu_pct)),
        ("memory", mib(rss_mb)),
        ("p50 by its own clock", ms(p50_ms)),
        ("p95 by its own clock", ms(p95_ms)),
        ("p99 by its own clock", ms(p99_ms)),
        ("peak requests in progress", number(in_flight_max)),
        ("acceptance to final state, p95", ms(delivery_p95_ms)),
        ("notifications failed", measured(failed_per_s, format::rate)),
        ("requests shed", measured(shed_per_s, format::rate)),
        ("age of its youngest process", seconds(youngest_s)),
        ("age of its oldest process", seconds(oldest_s)),
    ])
}

fn measuring_rows(found: &Measuring) -> Vec<(String, String)> {
    let Measuring { cpu_pct, queries_per_s } = found;
    named([
        ("CPU of nsys, of one core", measured(cpu_pct, |pct| format!("{pct:.1} %"))),
        ("statements asked of PostgreSQL", measured(queries_per_s, format::rate)),
    ])
}

fn reconciliation_rows(found: &Reconciliation) -> Vec<(String, String)> {
    let missing = found.missing();
    let Reconciliation {
        acknowledged,
        stored,
        unacknowledged,
        acknowledged_stored,
        lost,
        r#final,
        succeeded,
        served,
    } = found;
    let mut rows = named([
        ("acknowledged with 201", whole(acknowledged.value())),
        ("sent without a seen 201", whole(unacknowledged.value())),
        ("rows stored", whole(stored.value())),
        ("rows stored of the acknowledged", whole(acknowledged_stored.value())),
        ("acknowledged and not stored", whole(missing.value())),
        ("final", whole(r#final.value())),
        ("successes the generator counted", whole(succeeded.value())),
        ("successes the service counted", whole(served.value())),
    ]);
    rows.extend(lost.iter().map(|id| ("lost".to_owned(), id.clone())));
    rows
}

fn db_rows(db: &Db) -> Vec<(String, String)> {
    let Db {
        connections_max,
        pool_size,
        query_p95_ms,
        top,
        seq_scans,
        seq_rows_read,
        active_max,
        lock_waits_max,
        pool_active_max,
        pool_limit,
        pool_wait_p95_ms,
        commits_per_s,
        block_hit_rate,
        temp_bytes,
        deadlocks,
    } = db;
    let mut rows = named([
        ("most connections", whole(connections_max.value())),
        ("pool of each process", pool_size.to_string()),
        ("peak connections in use of all pools", number(pool_active_max)),
        ("connections of all pools", number(pool_limit)),
        ("wait for a connection, p95", ms(pool_wait_p95_ms)),
        ("query time, p95", ms(query_p95_ms)),
        ("peak concurrent statements", whole(active_max.value())),
        ("peak sessions waiting for a lock", whole(lock_waits_max.value())),
        ("commits", measured(commits_per_s, format::rate)),
        ("block hit rate", measured(block_hit_rate, format::percent)),
        ("sequential scans of notifications", whole(seq_scans.value())),
        ("rows read by them", whole(seq_rows_read.value())),
        ("bytes in temporary files", whole(temp_bytes.value())),
        ("deadlocks", whole(deadlocks.value())),
    ]);
    rows.extend(top.iter().map(|one| {
        let Statement { query, calls, total_ms, mean_ms } = one;
        (query.clone(), format!("{calls} calls, {mean_ms:.2} ms each, {total_ms:.0} ms in all"))
    }));
    rows
}

fn kafka_rows(kafka: &Kafka) -> Vec<(String, String)> {
    let Kafka { lag_max, lag_end, drain_s, published_per_s, consumed_per_s, lag_slope_per_s, partitions } =
        kafka;
    let mut rows = named([
        ("largest lag", whole(lag_max.value())),
        ("lag when the load ended", whole(lag_end.value())),
        ("drained after", measured(drain_s, |seconds| format!("{seconds:.1} s"))),
        ("published", measured(published_per_s, format::rate)),
        ("consumed", measured(consumed_per_s, format::rate)),
        ("growth of the lag a second", number(lag_slope_per_s)),
    ]);
    rows.extend(partitions.iter().map(|one| {
        let PartitionLoad { topic, partition, lag_max, lag_end, written } = one;
        (
            format!("{topic}/{partition}"),
            format!("{written} written, lag at most {lag_max}, {lag_end} at the end"),
        )
    }));
    rows
}

fn cache_rows(cache: &CacheResult) -> Vec<(String, String)> {
    let CacheResult { hit_rate, redis_hit_rate, memory_mb, memory_limit_mb, keys, evicted, ops_per_s } =
        cache;
    named([
        ("hit rate of the service's reads", measured(hit_rate, format::percent)),
        ("hit rate of Redis", measured(redis_hit_rate, format::percent)),
        ("memory", mib(memory_mb)),
        ("peak memory", mib(*memory_limit_mb)),
        ("keys", whole(keys.value())),
        ("evicted", whole(evicted.value())),
        ("commands", measured(ops_per_s, format::rate)),
    ])
}

fn part(part: &PartUse) -> Vec<(String, String)> {
    let PartUse { name, cpu_pct, cpu_pct_max, memory_mb, disk_read_mb, disk_written_mb } = part;
    let value = format!(
        "CPU {} of a core (at most {}), {}, {} read, {} written",
        pct(cpu_pct),
        pct(cpu_pct_max),
        mib(memory_mb),
        mib(disk_read_mb),
        mib(disk_written_mb)
    );
    vec![(name.clone(), value)]
}

fn condition(condition: &Condition) -> (String, String) {
    let Condition { name, value, target, met } = condition;
    let met = if *met { "settled" } else { "not settled" };
    (name.clone(), format!("{} (at most {target}): {met}", measured(value, |value| format!("{value:.0}"))))
}

/// What a scenario was made to find out, and what went wrong, a sentence each: how a spike was taken, what
/// grew, what was lost.
pub(super) fn findings(level: &LevelResult) -> Vec<String> {
    let mut findings: Vec<String> = level.problems.clone();
    if let Some(rule) = &level.stopped_by {
        findings.push(format!("stopped by the rule {rule}"));
    }
    let missing = level.reconciliation.missing().value().filter(|missing| *missing > 0);
    findings.extend(missing.map(|missing| {
        let ids = level.reconciliation.lost.join(", ");
        let ids = if ids.is_empty() { ids } else { format!(": {ids}") };
        format!("{} acknowledged notifications are not stored{ids}", format::count(missing))
    }));
    findings.extend(level.stages.iter().map(|one| {
        format!(
            "{} ({}/s for {} s): achieved {}, p95 {}, errors {}",
            one.stage.name,
            one.stage.rate,
            one.stage.seconds,
            format::rate(one.throughput_rps),
            ms(one.latency_ms.p95),
            measured(&one.error_rate, format::percent)
        )
    }));
    findings.extend(level.spike.iter().map(|spike| {
        let rows = response(spike).into_iter().map(|(name, value)| format!("{name} {value}"));
        format!("the spike: {}", rows.collect::<Vec<_>>().join(", "))
    }));
    findings.extend(level.trends.iter().map(|one| format!("{} {}", one.metric, growth(one))));
    findings.into_iter().map(|one| format!("level {}: {one}", level.level)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::run::test_run;
    use crate::domain::trend::trend;

    #[test]
    fn what_a_spike_and_a_soak_found_is_said_in_words_and_numbers() {
        let mut level = test_run(&[20.0]).levels.remove(0);
        level.spike = Some(Spike {
            served_after_s: Some(2.0),
            p95_max_ms: Some(900.0),
            lag_max: Some(5_000),
            latency_recovered_s: Some(8.0),
            ..Spike::default()
        });
        let points: Vec<_> = (0..3_600).map(|s| (f64::from(s), 100.0 + 0.14 * f64::from(s))).collect();
        level.trends = vec![trend("service_memory_mb", &points, 5.0)];
        let said = findings(&level).join("\n");
        for wanted in [
            "p95 back after 8.0 s",
            "lag back after not within the observed time",
            "errors back after not measured",
            "service_memory_mb growing: +504.00 an hour",
        ] {
            assert!(said.contains(wanted), "{wanted} is missing in {said}");
        }
    }

    #[test]
    fn what_is_lost_is_counted_and_named() {
        let mut level = test_run(&[20.0]).levels.remove(0);
        let found = &mut level.reconciliation;
        (found.acknowledged, found.stored, found.acknowledged_stored) = (10.into(), 12.into(), 8.into());
        found.lost = vec!["run-L1.0-0-0-3".into()];
        let said = findings(&level);
        assert_eq!(said, ["level 1: 2 acknowledged notifications are not stored: run-L1.0-0-0-3"]);
        let table = details_table(&level).text();
        assert!(table.contains("acknowledged and not stored"), "{table}");
    }

    #[test]
    fn what_was_not_measured_is_a_dash() {
        let level = test_run(&[20.0]).levels.remove(0);
        let (_, rows) = details_table(&level).cells();
        let evicted = rows.iter().find(|row| row[1] == "evicted").unwrap();
        assert_eq!(evicted[2], "–");
    }
}
