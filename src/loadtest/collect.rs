//! What the parts have counted at one instant, and what lies between two instants.

use super::sampler;
use crate::clients::machine;
use crate::clients::redis::Redis;
use crate::domain::cache::CacheStats;
use crate::domain::database::{self, Activity, StatementCount};
use crate::domain::lag::PartitionLag;
use crate::domain::profile::ProfilePart;
use crate::domain::run::{LevelResult, PartUse, PartitionLoad, sample};
use crate::domain::usage::Usage;
use crate::measured::Measured;
use crate::stack::Stack;
use nsys_contract::schema;
use std::collections::BTreeMap;
use std::time::Duration;

/// Statements that a level keeps.
const STATEMENTS: usize = 10;

/// Counters of every part at one instant; what could not be had is absent.
#[derive(Clone, Debug, Default)]
pub struct PartCounters {
    at_s: f64,
    statements: Measured<Vec<StatementCount>>,
    scans: Measured<(i64, i64)>,
    activity: Measured<Activity>,
    cache: Measured<CacheStats>,
    used: BTreeMap<String, Usage>,
}

/// Asks every part.
pub async fn count(stack: &Stack) -> PartCounters {
    let (database, cache, parts) = tokio::join!(
        async {
            // Why nobody is asked is said of the whole level.
            if stack.unnamed(ProfilePart::Postgres).is_some() {
                return Default::default();
            }
            let mut database = match sampler::connect(stack).await {
                Ok(database) => database,
                Err(error) => {
                    let why = error.message;
                    let (one, two) = (Measured::missing(why.clone()), Measured::missing(why.clone()));
                    return (one, two, Measured::missing(why));
                }
            };
            let statements = Measured::from(database.statement_counts().await);
            let scans = if stack.profile().is_companion() {
                Measured::from(database.sequential_scans(schema::NOTIFICATIONS).await)
            } else {
                Measured::default()
            };
            (statements, scans, Measured::from(database.activity().await))
        },
        async {
            let asked = async {
                Redis::connect(&stack.endpoints.redis_url(), Duration::from_secs(2)).await?.stats().await
            };
            stack.if_named(ProfilePart::Redis, async { Measured::from(asked.await) }).await
        },
        async {
            let parts = stack.records().await.unwrap_or_default();
            let usages = stack.usage(&parts).await;
            parts.into_iter().zip(usages).filter_map(|(part, usage)| Some((part.name, usage?))).collect()
        },
    );
    PartCounters {
        at_s: crate::clock::now_s(),
        statements: database.0,
        scans: database.1,
        activity: database.2,
        cache,
        used: parts,
    }
}

/// Fills in what was counted between two instants.
pub fn fill(level: &mut LevelResult, before: &PartCounters, after: &PartCounters) {
    let elapsed = (after.at_s - before.at_s).max(1e-3);
    if let Measured::Value((then, now)) = before.statements.as_ref().zip(after.statements.as_ref()) {
        level.db.top = database::top_between(then, now, STATEMENTS);
    }
    let scans = before.scans.clone().zip(after.scans.clone());
    level.db.seq_scans = scans.clone().map(|(then, now)| (now.0 - then.0).max(0));
    level.db.seq_rows_read = scans.map(|(then, now)| (now.1 - then.1).max(0));
    let activity = before.activity.clone().zip(after.activity.clone()).map(|(then, now)| now.since(&then));
    level.db.commits_per_s = activity.clone().map(|between| between.commits as f64 / elapsed);
    level.db.block_hit_rate = activity
        .clone()
        .and_then(|between| Measured::or_missing(between.block_hit_rate(), "no block was read"));
    level.db.temp_bytes = activity.clone().map(|between| between.temp_bytes);
    level.db.deadlocks = activity.map(|between| between.deadlocks);
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let cache = before.cache.clone().zip(after.cache.clone()).map(|(then, now)| now.since(&then));
    level.cache.redis_hit_rate =
        cache.clone().and_then(|between| Measured::or_missing(between.hit_rate(), "nothing was read"));
    level.cache.ops_per_s = cache.clone().map(|between| between.commands as f64 / elapsed);
    level.cache.evicted = cache.clone().map(|between| between.evicted);
    level.cache.keys = cache.clone().map(|now| now.keys);
    level.cache.memory_mb = cache.clone().map(|now| mib(now.memory_bytes));
    level.cache.memory_limit_mb =
        cache.value().map(|now| now.max_memory_bytes).filter(|most| *most > 0).map(mib);
    fill_parts(level, before, after);
}

fn fill_parts(level: &mut LevelResult, before: &PartCounters, after: &PartCounters) {
    let window = steady(level);
    let mut names: Vec<String> = window.iter().flat_map(|one| one.rss_mb.keys().cloned()).collect();
    names.sort();
    names.dedup();
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let use_of = |name: String| {
        let cpu = |one: &sample::Sample| one.cpu_pct.get(&name).copied();
        let usages = after.used.get(&name).zip(before.used.get(&name));
        // Less than before: it was restarted in between.
        let disk = |of: fn(&Usage) -> Option<u64>| {
            let written = || {
                let (now, then) = usages?;
                Some(mib(of(now)?.checked_sub(of(then)?)?))
            };
            Measured::or_missing(written(), "its counters were not seen at both ends")
        };
        let seen = |value: Option<f64>| Measured::or_missing(value, "no sample of the level holds it");
        PartUse {
            cpu_pct: seen(sample::mean(window.iter().copied(), cpu)),
            cpu_pct_max: seen(sample::largest(window.iter().copied(), cpu)),
            memory_mb: seen(sample::largest(window.iter().copied(), |one| one.rss_mb.get(&name).copied())),
            disk_read_mb: disk(|usage| usage.disk_read_bytes),
            disk_written_mb: disk(|usage| usage.disk_write_bytes),
            name,
        }
    };
    let parts: Vec<_> = names.into_iter().map(use_of).collect();
    level.cpu_division = division(level, &parts, &after.used);
    level.containers = parts;
}

/// How the machine's processors were divided, per cent of all cores.
/// Parts on other machines take none of it.
fn division(level: &LevelResult, parts: &[PartUse], used: &BTreeMap<String, Usage>) -> BTreeMap<String, f64> {
    let window = steady(level);
    let (Some(cpus), own) = (machine::processors(), machine::id()) else { return BTreeMap::new() };
    let cpus = cpus as f64;
    let is_here = |part: &&PartUse| {
        used.get(&part.name).and_then(|usage| usage.cores).is_some_and(|cores| Some(cores.machine) == own)
    };
    if parts.iter().filter(is_here).count() == 0 {
        return BTreeMap::new();
    }
    let mut shares = BTreeMap::new();
    let mut add = |name: &str, pct: &Measured<f64>| {
        if let Measured::Value(pct) = pct {
            *shares.entry(name.to_owned()).or_insert(0.0) += pct / cpus;
        }
    };
    add("generator", &level.generator.cpu_pct);
    for part in parts.iter().filter(is_here) {
        add(if sampler::is_service(&part.name) { "service" } else { &part.name }, &part.cpu_pct);
    }
    let known: f64 = shares.values().sum();
    if let Some(busy) = sample::mean(window.iter().copied(), |one| one.machine_cpu_pct) {
        shares.insert("other".into(), (busy - known).max(0.0));
        shares.insert("idle".into(), (100.0 - busy).max(0.0));
    }
    shares
}

/// The samples of the measured time.
#[must_use]
pub fn steady(level: &LevelResult) -> Vec<&sample::Sample> {
    let end = level.steady_from_s + level.steady_s as f64;
    level.samples.iter().filter(|one| one.at_s >= level.steady_from_s && one.at_s <= end).collect()
}

/// The partitions at the end of the load against those at its beginning; `most` is the largest lag seen.
#[must_use]
pub fn partitions(
    begin: &Measured<Vec<PartitionLag>>,
    end: &Measured<Vec<PartitionLag>>,
    most: &BTreeMap<(String, i32), i64>,
) -> Vec<PartitionLoad> {
    // Without both ends nothing is known of what was written in between.
    let Measured::Value((begin, end)) = begin.as_ref().zip(end.as_ref()) else { return Vec::new() };
    let load = |one: &PartitionLag| {
        let then = begin.iter().find(|then| then.topic == one.topic && then.partition == one.partition);
        let key = (one.topic.clone(), one.partition);
        PartitionLoad {
            lag_max: most.get(&key).copied().unwrap_or(one.lag).max(one.lag),
            lag_end: one.lag,
            // A partition that was not there before was written from its beginning.
            written: (one.end - then.map_or(0, |then| then.end)).max(0),
            topic: key.0,
            partition: key.1,
        }
    };
    let mut loads: Vec<_> = end.iter().map(load).collect();
    loads.sort_by(|one, two| (&one.topic, one.partition).cmp(&(&two.topic, two.partition)));
    loads
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cores::Cores;

    #[test]
    fn a_partition_counts_what_was_written_meanwhile() {
        let at =
            |end, lag| PartitionLag { topic: "t".into(), partition: 0, committed: None, end, lag, lost: 0 };
        let most = [(("t".to_owned(), 0), 40)].into();
        let found = partitions(&vec![at(100, 0)].into(), &vec![at(350, 7)].into(), &most);
        assert_eq!((found[0].written, found[0].lag_max, found[0].lag_end), (250, 40, 7));
    }

    #[test]
    fn processors_are_divided_among_all_that_is_known() {
        let mut level = crate::domain::run::test_run(&[10.0]).levels.remove(0);
        for one in &mut level.samples {
            one.machine_cpu_pct = Some(90.0);
            one.rss_mb = [("app-1".to_owned(), 50.0), ("kafka".to_owned(), 400.0)].into();
            one.cpu_pct = [("app-1".to_owned(), 60.0), ("kafka".to_owned(), 20.0)].into();
        }
        let here =
            Cores { machine: machine::id().unwrap(), of_machine: 2.0, set: 0, in_set: 2.0, quota: None };
        let usage = |cores| Usage { cores: Some(cores), ..Usage::default() };
        let used = |cores| PartCounters {
            used: [("app-1".to_owned(), usage(cores)), ("kafka".to_owned(), usage(here))].into(),
            ..PartCounters::default()
        };
        // A replica on another machine takes nothing of this one.
        fill_parts(&mut level, &PartCounters::default(), &used(Cores { machine: 7, ..here }));
        assert!(!level.cpu_division.contains_key("service") && level.cpu_division.contains_key("kafka"));
        fill_parts(&mut level, &PartCounters::default(), &used(here));
        let cpus = machine::processors().unwrap() as f64;
        assert_eq!(level.cpu_division["service"], 60.0 / cpus);
        assert_eq!(level.cpu_division["idle"], 10.0);
        let sum: f64 = level.cpu_division.values().sum();
        assert!(sum >= 99.9, "{:?}", level.cpu_division);
        assert_eq!(level.containers[1].memory_mb.value(), Some(400.0));
    }
}
