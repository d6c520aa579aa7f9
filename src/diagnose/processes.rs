//! What the machine shows of a window: who used its CPU, whom a limit stopped, memory, logs.

use crate::clients::{cgroup, process};
use crate::domain::facts::Facts;
use crate::stack::Stack;
use std::collections::BTreeMap;

/// One process at one instant.
#[derive(Clone, Debug, Default)]
struct Use {
    cpu_s: f64,
    rss_bytes: u64,
    memory_limit: Option<u64>,
    throttling: Option<cgroup::Throttling>,
    restarts: u32,
    log_bytes: Option<u64>,
}

/// Every process of the stack, and the machine, at one instant.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    parts: BTreeMap<String, Use>,
    memory_stalled_s: Option<f64>,
    machine_memory: Option<u64>,
}

pub(super) async fn counters(stack: &Stack) -> Counters {
    let records = stack.records().await.unwrap_or_default();
    let looks = stack.usage(&records).await;
    let parts = records.into_iter().zip(looks).filter_map(|(record, look)| {
        let look = look?;
        let pid = record.process.as_ref().map(|process| process.pid);
        let one = Use {
            cpu_s: look.cpu_s,
            rss_bytes: look.memory_bytes,
            memory_limit: pid.and_then(cgroup::memory_limit),
            throttling: pid.and_then(cgroup::throttling),
            restarts: record.restarts,
            log_bytes: std::fs::metadata(stack.layout.log(&record.name)).ok().map(|file| file.len()),
        };
        Some((record.name, one))
    });
    Counters {
        parts: parts.collect(),
        memory_stalled_s: cgroup::memory_stalled_s(),
        machine_memory: process::machine_memory(),
    }
}

/// Facts of the window between two readings; `known` holds the service's request rate.
pub(super) fn facts(before: &Counters, after: &Counters, known: &Facts, seconds: f64) -> Facts {
    let mut facts = Facts::default();
    if after.parts.is_empty() {
        for name in
            ["service_throttled_share", "memory_limit_share", "restarts", "log_bytes_per_s", "db_cpu_pct"]
        {
            facts.miss(name, "/proc", "processes of the stack", "no process of the stack runs here");
        }
        return facts;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let db = pair(before, after, |name| name == "postgres").next();
    facts.put(
        "db_cpu_pct",
        db.map(|(_, one, two)| (two.cpu_s - one.cpu_s) / seconds / cores * 100.0),
        "/proc",
        "CPU time of postgres and its backends, of all cores",
    );
    let throttled = pair(before, after, is_service).filter_map(|(_, one, two)| {
        let (one, two) = (one.throttling?, two.throttling?);
        let periods = two.periods.saturating_sub(one.periods);
        // Without a quota there are no periods, and nothing stops it.
        Some(if periods == 0 {
            0.0
        } else {
            two.throttled.saturating_sub(one.throttled) as f64 / periods as f64
        })
    });
    facts.put(
        "service_throttled_share",
        throttled.reduce(f64::max),
        "control group",
        "nr_throttled over nr_periods of cpu.stat, the worst replica",
    );
    let near = after.parts.iter().filter(|(name, _)| is_service(name)).filter_map(|(_, one)| {
        let limit = one.memory_limit.or(after.machine_memory)?;
        Some(one.rss_bytes as f64 / limit as f64)
    });
    facts.put(
        "memory_limit_share",
        near.reduce(f64::max),
        "control group",
        "resident memory over the memory limit, or the machine's memory, the worst replica",
    );
    let stalled = before.memory_stalled_s.zip(after.memory_stalled_s);
    match stalled {
        Some((one, two)) => facts.put(
            "memory_stall_share",
            Some(((two - one) / seconds).clamp(0.0, 1.0)),
            "/proc/pressure/memory",
            "some, total: difference over the window",
        ),
        None => facts.skip("memory_stall_share", "/proc/pressure/memory", "this kernel does not count it"),
    }
    let restarts: u32 =
        pair(before, after, |_| true).map(|(_, one, two)| two.restarts.saturating_sub(one.restarts)).sum();
    facts.put("restarts", Some(f64::from(restarts)), "supervisor", "restarts of all parts");
    logs(&mut facts, before, after, known, seconds);
    facts
}

fn logs(facts: &mut Facts, before: &Counters, after: &Counters, known: &Facts, seconds: f64) {
    let written = pair(before, after, is_service).map(|(_, one, two)| {
        let (one, two) = (one.log_bytes?, two.log_bytes?);
        // A log that was moved aside in between began anew.
        Some(if two >= one { two - one } else { two } as f64)
    });
    let per_s = written.sum::<Option<f64>>().map(|bytes| bytes / seconds);
    let query = "growth of the service's log files";
    facts.put("log_bytes_per_s", per_s, "log files", query);
    let rate = known.value("request_rate").map(|rate| rate.max(1.0));
    facts.put(
        "log_bytes_per_request",
        per_s.zip(rate).map(|(bytes, rate)| bytes / rate),
        "log files",
        format!("{query}, over the rate of requests"),
    );
}

fn is_service(name: &str) -> bool {
    name.starts_with("app-") || name.starts_with("worker-")
}

fn pair<'a>(
    before: &'a Counters,
    after: &'a Counters,
    wanted: impl Fn(&str) -> bool + 'a,
) -> impl Iterator<Item = (&'a str, &'a Use, &'a Use)> {
    after
        .parts
        .iter()
        .filter(move |(name, _)| wanted(name))
        .filter_map(|(name, two)| Some((name.as_str(), before.parts.get(name)?, two)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(of: impl Fn(&mut Use)) -> Counters {
        let mut one = Use {
            memory_limit: Some(100),
            throttling: Some(cgroup::Throttling::default()),
            ..Use::default()
        };
        of(&mut one);
        Counters {
            parts: [("app-1".to_owned(), one)].into(),
            memory_stalled_s: Some(0.0),
            machine_memory: Some(1_000),
        }
    }

    #[test]
    fn a_quota_that_stops_the_service_is_a_share_of_periods() {
        let after = counters(|one| one.throttling = Some(cgroup::Throttling { periods: 100, throttled: 60 }));
        let facts = facts(&counters(|_| ()), &after, &Facts::default(), 10.0);
        assert_eq!(facts.value("service_throttled_share"), Some(0.6));
        let idle = super::facts(&counters(|_| ()), &counters(|_| ()), &Facts::default(), 10.0);
        assert_eq!(idle.value("service_throttled_share"), Some(0.0));
    }

    #[test]
    fn a_log_that_was_moved_aside_counts_from_its_new_beginning() {
        let mut known = Facts::default();
        known.put("request_rate", Some(10.0), "Prometheus", "");
        let before = counters(|one| one.log_bytes = Some(20_000));
        let found = facts(&before, &counters(|one| one.log_bytes = Some(5_000)), &known, 10.0);
        assert_eq!(found.value("log_bytes_per_s"), Some(500.0));
        assert_eq!(found.value("log_bytes_per_request"), Some(50.0));
    }

    #[test]
    fn without_processes_nothing_is_claimed() {
        let found = facts(&Counters::default(), &Counters::default(), &Facts::default(), 10.0);
        assert!(found.value("service_throttled_share").is_none() && found.value("restarts").is_none());
    }
}
