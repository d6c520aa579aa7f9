//! What the machine shows of a window: who used its CPU, whom a limit stopped, memory, logs.

use crate::clients::{cgroup, machine, process};
use crate::domain::cores::{Cores, usable};
use crate::domain::facts::Facts;
use crate::measured::Measured;
use crate::stack::Stack;
use crate::stack::layout::log_aside;
use std::collections::BTreeMap;

/// Why there is no share of processors.
const UNKNOWN_CORES: &str = "how many processors it may use is not known";
/// The facts that need processes to look at.
const OF_PROCESSES: [&str; 12] = [
    "service_throttled_share",
    "cpu_wait_ms",
    "machine_cpu_pct",
    "parts_cpu_pct",
    "service_cpu_pct",
    "service_memory_mb",
    "memory_limit_share",
    "memory_stall_share",
    "restarts",
    "log_bytes_per_s",
    "log_bytes_per_request",
    "db_cpu_pct",
];

/// One process at one instant.
#[derive(Clone, Debug, Default)]
struct Use {
    cpu_s: f64,
    cores: Option<Cores>,
    rss_bytes: u64,
    /// Limit of its control group, and what counts against it.
    memory_limit: Option<(u64, u64)>,
    throttling: Option<cgroup::Throttling>,
    waits: Option<(f64, u64)>,
    restarts: u32,
    log_bytes: Option<u64>,
    /// Size and time of the log that was moved aside last.
    log_aside: Option<(u64, std::time::SystemTime)>,
}

/// Every process of the stack, and the machine, at one instant.
#[derive(Clone, Debug, Default)]
pub(super) struct ProcessCounters {
    parts: BTreeMap<String, Use>,
    /// Why the parts are not known, where they are not.
    problem: Option<String>,
    memory_stalled_s: Option<f64>,
    machine_memory: Option<u64>,
    machine_cpu: Option<(f64, f64)>,
    /// Processors of this machine, where all parts of the stack run on it.
    processors: Option<f64>,
}

pub(super) async fn counters(stack: &Stack) -> ProcessCounters {
    let (records, problem) = match stack.records().await {
        Ok(records) => (records, None),
        Err(error) => (Vec::new(), Some(format!("what runs could not be read: {}", error.message))),
    };
    let usages = stack.usage(&records).await;
    let parts = records.into_iter().zip(usages).filter_map(|(record, usage)| {
        let usage = usage?;
        let pid = record.process.as_ref().map(|process| process.pid);
        let log = stack.layout.log(&record.name);
        let one = Use {
            cpu_s: usage.cpu_s,
            cores: usage.cores,
            rss_bytes: usage.memory_bytes,
            memory_limit: pid.and_then(|pid| Some((cgroup::memory_limit(pid)?, cgroup::memory_used(pid)?))),
            throttling: pid.and_then(cgroup::throttling),
            waits: pid.and_then(process::waits_for_cpu),
            restarts: record.restarts,
            log_bytes: std::fs::metadata(&log).ok().map(|file| file.len()),
            log_aside: std::fs::metadata(log_aside(&log))
                .and_then(|file| Ok((file.len(), file.modified()?)))
                .ok(),
        };
        Some((record.name, one))
    });
    ProcessCounters {
        parts: parts.collect(),
        problem,
        memory_stalled_s: cgroup::memory_stalled_s(),
        machine_memory: process::machine_memory(),
        machine_cpu: machine::cpu_time_s(),
        processors: stack.runtime.is_here().then(machine::processors).flatten().map(|count| count as f64),
    }
}

/// Facts of the window between two readings; `known` holds the service's request rate.
pub(super) fn facts(before: &ProcessCounters, after: &ProcessCounters, known: &Facts, seconds: f64) -> Facts {
    let mut facts = Facts::default();
    let problem = before.problem.as_deref().or(after.problem.as_deref());
    let problem = problem.or(after.parts.is_empty().then_some("no process of the stack runs here"));
    if let Some(why) = problem {
        for name in OF_PROCESSES {
            facts.miss(name, "/proc", "processes of the stack", why);
        }
        return facts;
    }
    let db = pair(before, after, |name| name == "postgres").next();
    facts.put(
        "db_cpu_pct",
        Measured::or_missing(db, "no process of PostgreSQL was seen here").and_then(|(_, one, two)| {
            let share = |cores| (two.cpu_s - one.cpu_s) / seconds / cores * 100.0;
            Measured::or_missing(usable([two.cores]).map(share), UNKNOWN_CORES)
        }),
        "/proc",
        "CPU time of postgres and its backends, of all cores that it may use",
    );
    facts.put(
        "service_throttled_share",
        Measured::or_missing(throttled(before, after), "no control group of the service tells it"),
        "control group",
        "nr_throttled over nr_periods of cpu.stat, of the replica that was stopped least, the worse role",
    );
    facts.put(
        "cpu_wait_ms",
        Measured::or_missing(cpu_wait(before, after), "no thread of the service was seen here"),
        "/proc/PID/task/TID/schedstat",
        "time on the run queue for each time slice of the service's threads",
    );
    shared(&mut facts, before, after, seconds);
    // Where no replica was seen, the sum of none is no 0 that was measured.
    let seen = pair(before, after, is_service).next().is_some();
    let service: f64 =
        pair(before, after, is_service).map(|(_, one, two)| (two.cpu_s - one.cpu_s).max(0.0)).sum();
    let cores = usable(after.parts.iter().filter(|(name, _)| is_service(name)).map(|(_, one)| one.cores));
    let seen = |value: f64| Measured::or_missing(seen.then_some(value), "no replica was seen here");
    facts.put(
        "service_cpu_pct",
        seen(service).and_then(|used| {
            Measured::or_missing(cores.map(|cores| used / seconds / cores * 100.0), UNKNOWN_CORES)
        }),
        "/proc",
        "CPU time of all replicas, of all cores that they may use",
    );
    let memory: u64 =
        after.parts.iter().filter(|(name, _)| is_service(name)).map(|(_, one)| one.rss_bytes).sum();
    facts.put(
        "service_memory_mb",
        seen(memory as f64 / f64::from(1 << 20)),
        "/proc",
        "resident memory of all replicas",
    );
    let near = after.parts.iter().filter(|(name, _)| is_service(name)).filter_map(|(_, one)| {
        let (limit, used) = one.memory_limit.or(Some((after.machine_memory?, one.rss_bytes)))?;
        Some(used as f64 / limit as f64)
    });
    facts.put(
        "memory_limit_share",
        Measured::or_missing(near.reduce(f64::max), "no limit and no replica was seen here"),
        "control group",
        "used memory of the control group over its limit, or resident memory over the machine's, the worst replica",
    );
    let stalled = before.memory_stalled_s.zip(after.memory_stalled_s);
    match stalled {
        Some((one, two)) => facts.put(
            "memory_stall_share",
            ((two - one) / seconds).clamp(0.0, 1.0),
            "/proc/pressure/memory",
            "some, total: difference over the window",
        ),
        None => facts.skip("memory_stall_share", "/proc/pressure/memory", "this kernel does not count it"),
    }
    let restarts = of_all(before, after, |one, two| f64::from(two.restarts.saturating_sub(one.restarts)));
    facts.put("restarts", restarts, "supervisor", "restarts of all parts");
    logs(&mut facts, before, after, known, seconds);
    facts
}

/// A sum over the parts that were there at both ends of the window; a sum of none is not measured.
fn of_all(
    before: &ProcessCounters,
    after: &ProcessCounters,
    grown: impl Fn(&Use, &Use) -> f64,
) -> Measured<f64> {
    let all: Vec<f64> = pair(before, after, |_| true).map(|(_, one, two)| grown(one, two)).collect();
    let sum = (!all.is_empty()).then(|| all.iter().sum());
    Measured::or_missing(sum, "no part was seen at both ends of the window")
}

/// How this machine's processors were used. Where parts run elsewhere, they say nothing of the stack.
fn shared(facts: &mut Facts, before: &ProcessCounters, after: &ProcessCounters, seconds: f64) {
    let Some(cores) = after.processors else {
        for name in ["machine_cpu_pct", "parts_cpu_pct"] {
            facts.miss(
                name,
                "/proc",
                "processors of this machine",
                "the stack does not run on this machine alone",
            );
        }
        return;
    };
    let read =
        Measured::or_missing(before.machine_cpu.zip(after.machine_cpu), "/proc/stat could not be read");
    let busy = read.and_then(|(one, two)| {
        let (busy, all) = (two.0 - one.0, two.1 - one.1);
        Measured::or_missing((all > 0.0).then(|| busy / all * 100.0), "no time passed in this window")
    });
    facts.put("machine_cpu_pct", busy, "/proc/stat", "busy over all time, difference over the window");
    let own = of_all(before, after, |one, two| (two.cpu_s - one.cpu_s).max(0.0));
    let own = own.map(|cpu_s| cpu_s / seconds / cores * 100.0);
    facts.put("parts_cpu_pct", own, "/proc", "CPU time of all parts of the stack, of all cores");
}

/// How often a limit stopped a whole role. One of several replicas that is held back is not the
/// service that is: then that replica differs from the others, which is another finding.
fn throttled(before: &ProcessCounters, after: &ProcessCounters) -> Option<f64> {
    let share = |(_, one, two): (&str, &Use, &Use)| {
        let (one, two) = (one.throttling?, two.throttling?);
        let periods = two.periods.saturating_sub(one.periods);
        let stopped = two.throttled.saturating_sub(one.throttled) as f64;
        // Without a quota there are no periods, and nothing stops it.
        Some(if periods == 0 { 0.0 } else { stopped / periods as f64 })
    };
    let of = |role: &'static str| {
        pair(before, after, move |name| name.starts_with(role)).filter_map(share).reduce(f64::min)
    };
    [of("app-"), of("worker-")].into_iter().flatten().reduce(f64::max)
}

/// How long a thread of the service waits on average until it gets a processor, in ms.
fn cpu_wait(before: &ProcessCounters, after: &ProcessCounters) -> Option<f64> {
    let waits = pair(before, after, is_service).filter_map(|(_, one, two)| {
        let (one, two) = (one.waits?, two.waits?);
        // Threads that ended in between took their count with them.
        Some(((two.0 - one.0).max(0.0), two.1.saturating_sub(one.1)))
    });
    let (waited_ms, slices) = waits.reduce(|sum, one| (sum.0 + one.0, sum.1 + one.1))?;
    (slices > 0).then(|| waited_ms / slices as f64)
}

fn logs(facts: &mut Facts, before: &ProcessCounters, after: &ProcessCounters, known: &Facts, seconds: f64) {
    let written = pair(before, after, is_service).map(|(_, one, two)| Some(log_growth(one, two)? as f64));
    let written = written.reduce(|sum, one| Some(sum? + one?)).flatten();
    let written = Measured::or_missing(written, "no log file of the service is here");
    let per_s = written.map(|bytes| bytes / seconds);
    let query = "growth of the service's log files";
    facts.put("log_bytes_per_s", per_s.clone(), "log files", query);
    let rate = known.measured("request_rate").map(|rate| rate.max(1.0));
    facts.put(
        "log_bytes_per_request",
        per_s.zip(rate).map(|(bytes, rate)| bytes / rate),
        "log files",
        format!("{query}, over the rate of requests"),
    );
}

/// Bytes written to a log. One that was moved aside in between began anew, and what it had grown to lies
/// beside it; of several such logs only the last is there.
fn log_growth(before: &Use, after: &Use) -> Option<u64> {
    let (one, two) = (before.log_bytes?, after.log_bytes?);
    let moved = before.log_aside != after.log_aside || two < one;
    if !moved {
        return Some(two - one);
    }
    let aside = after.log_aside.map_or(0, |(bytes, _)| bytes.saturating_sub(one));
    Some(aside + two)
}

fn is_service(name: &str) -> bool {
    name.starts_with("app-") || name.starts_with("worker-")
}

fn pair<'a>(
    before: &'a ProcessCounters,
    after: &'a ProcessCounters,
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

    const CORES: Option<Cores> =
        Some(Cores { machine: 1, of_machine: 4.0, set: 0, in_set: 4.0, quota: None });

    #[test]
    fn a_part_elsewhere_is_measured_by_its_own_processors_and_not_by_this_machine() {
        let at = |cpu_s: f64, cores| ProcessCounters {
            parts: [("app-1".to_owned(), Use { cpu_s, cores, ..Use::default() })].into(),
            machine_cpu: Some((cpu_s, cpu_s * 2.0)),
            ..ProcessCounters::default()
        };
        let found = facts(&at(0.0, CORES), &at(20.0, CORES), &Facts::default(), 10.0);
        assert_eq!(found.value("service_cpu_pct"), Some(50.0));
        assert_eq!((found.value("machine_cpu_pct"), found.value("parts_cpu_pct")), (None, None));
        let found = facts(&at(0.0, None), &at(20.0, None), &Facts::default(), 10.0);
        assert_eq!(found.value("service_cpu_pct"), None);
    }

    fn counters(of: impl Fn(&mut Use)) -> ProcessCounters {
        let mut one = Use {
            memory_limit: Some((100, 50)),
            throttling: Some(cgroup::Throttling::default()),
            ..Use::default()
        };
        of(&mut one);
        ProcessCounters {
            parts: [("app-1".to_owned(), one)].into(),
            memory_stalled_s: Some(0.0),
            machine_memory: Some(1_000),
            machine_cpu: Some((0.0, 1.0)),
            processors: Some(2.0),
            problem: None,
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
    fn one_worker_of_several_under_a_quota_is_not_the_service() {
        let stopped =
            Use { throttling: Some(cgroup::Throttling { periods: 100, throttled: 90 }), ..Use::default() };
        let free = Use { throttling: Some(cgroup::Throttling::default()), ..Use::default() };
        let of = |first: &Use| ProcessCounters {
            parts: [("worker-1".to_owned(), first.clone()), ("worker-2".to_owned(), free.clone())].into(),
            ..ProcessCounters::default()
        };
        assert_eq!(throttled(&of(&free), &of(&stopped)), Some(0.0));
    }

    #[test]
    fn waits_for_a_processor_are_told_by_slice() {
        let before = counters(|one| one.waits = Some((100.0, 1_000)));
        let after = counters(|one| one.waits = Some((160.0, 1_020)));
        assert_eq!(cpu_wait(&before, &after), Some(3.0));
    }

    #[test]
    fn a_log_that_was_moved_aside_counts_from_its_new_beginning() {
        let mut known = Facts::default();
        known.put("request_rate", 10.0, "Prometheus", "");
        let before = counters(|one| one.log_bytes = Some(20_000));
        let found = facts(&before, &counters(|one| one.log_bytes = Some(5_000)), &known, 10.0);
        assert_eq!(found.value("log_bytes_per_s"), Some(500.0));
        assert_eq!(found.value("log_bytes_per_request"), Some(50.0));
        // However large it has become since.
        let moved = counters(|one| {
            (one.log_bytes, one.log_aside) = (Some(25_000), Some((30_000, std::time::UNIX_EPOCH)));
        });
        assert_eq!(facts(&before, &moved, &known, 10.0).value("log_bytes_per_s"), Some(3_500.0));
    }

    #[test]
    fn of_no_replica_there_is_no_cpu_and_no_memory() {
        let of = |name: &str| ProcessCounters {
            parts: [(name.to_owned(), Use { rss_bytes: 1 << 20, cores: CORES, ..Use::default() })].into(),
            ..ProcessCounters::default()
        };
        for (name, is_measured) in [("postgres", false), ("app-1", true)] {
            let found = facts(&of(name), &of(name), &Facts::default(), 10.0);
            for fact in ["service_cpu_pct", "service_memory_mb", "log_bytes_per_s"] {
                // No log of it lies here, of either.
                let expected = is_measured && fact != "log_bytes_per_s";
                assert_eq!(found.value(fact).is_some(), expected, "{name}: {fact}");
            }
        }
    }

    #[test]
    fn without_processes_nothing_is_claimed() {
        let found = facts(&ProcessCounters::default(), &ProcessCounters::default(), &Facts::default(), 10.0);
        assert!(found.value("service_throttled_share").is_none() && found.value("restarts").is_none());
    }

    #[test]
    fn what_was_seen_at_one_end_alone_has_not_grown_by_nothing() {
        let counters = |names: &[&str]| ProcessCounters {
            parts: names
                .iter()
                .map(|name| ((*name).to_owned(), Use { cores: CORES, ..Use::default() }))
                .collect(),
            processors: Some(2.0),
            machine_cpu: Some((1.0, 2.0)),
            ..ProcessCounters::default()
        };
        let sums = ["restarts", "parts_cpu_pct", "machine_cpu_pct"];
        let found = facts(&counters(&[]), &counters(&["app-1"]), &Facts::default(), 10.0);
        for fact in sums {
            assert_eq!(found.value(fact), None, "{fact}");
        }
        // Who runs the parts did not answer: that is why, not that nothing runs.
        let unknown =
            ProcessCounters { problem: Some("docker is silent".into()), ..ProcessCounters::default() };
        let found = facts(&unknown, &counters(&["app-1"]), &Facts::default(), 10.0);
        for fact in sums {
            let why = found.measured(fact).reason().map(ToString::to_string);
            assert_eq!(why.as_deref(), Some("docker is silent"), "{fact}");
        }
    }
}
