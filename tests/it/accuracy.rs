//! Known bottlenecks on the real stack, one at a time and in pairs: the first cause named must be the
//! one that was injected. Heavy, so it runs only where NSYS_ACCURACY names cases, or `all`
//! (`make diagnose-accuracy`).

#![allow(clippy::print_stderr)] // Its table is what it is run for.

mod inject;

use crate::support::{Place, text};
use inject::{Held, Injection};
use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant};

/// One known truth about a run.
struct Case {
    /// What `NSYS_ACCURACY` calls it.
    name: &'static str,
    /// For each injected bottleneck the rules that name it; empty: nothing may be blamed.
    causes: &'static [&'static [&'static str]],
    /// Settings of the stack and of the load.
    settings: &'static [(&'static str, &'static str)],
    /// What is offered.
    rates: &'static str,
    /// What is done to the stack.
    inject: fn(&Place) -> Vec<Injection>,
}

const fn case(name: &'static str, causes: &'static [&'static [&'static str]]) -> Case {
    Case { name, causes, settings: &[], rates: "60/s:25s", inject: |_| Vec::new() }
}

/// What a commit takes where partition workers are to have a ceiling: three of them manage what is offered, one does not.
const COMMIT: Duration = Duration::from_millis(6);

/// One message a transaction, so that a partition worker has a ceiling that a small load reaches.
const ONE_BY_ONE: &[(&str, &str)] = &[
    ("NSYS_WORKER__BATCH_SIZE", "1"),
    ("NSYS_LOADTEST__MIX_CREATE", "1.0"),
    ("NSYS_LOADTEST__MIX_GET", "0"),
    ("NSYS_LOADTEST__MIX_LIST", "0"),
    ("NSYS_LOADTEST__MIX_CORRELATION", "0"),
];

/// Nothing but new notifications.
const WRITES: &[(&str, &str)] = &[
    ("NSYS_LOADTEST__MIX_CREATE", "1.0"),
    ("NSYS_LOADTEST__MIX_GET", "0"),
    ("NSYS_LOADTEST__MIX_LIST", "0"),
    ("NSYS_LOADTEST__MIX_CORRELATION", "0"),
];

fn cases() -> Vec<Case> {
    vec![
        case("clean-1", &[]),
        Case {
            inject: |place| vec![inject::without_indexes(place)],
            ..case("missing-index", &[&["db-sequential-scans"]])
        },
        Case {
            settings: &[
                ("NSYS_DB__POOL_SIZE", "2"),
                ("NSYS_LOADTEST__MIX_CREATE", "0"),
                ("NSYS_LOADTEST__MIX_GET", "0"),
                ("NSYS_LOADTEST__MIX_LIST", "1.0"),
                ("NSYS_LOADTEST__MIX_CORRELATION", "0"),
            ],
            rates: "300/s:25s",
            // Two connections are enough for any load where the database is near: a third of what is too far.
            inject: |place| vec![inject::slow_network(place, 5_432, Duration::from_millis(8))],
            ..case("pool-of-2", &[&["db-pool-wait"]])
        },
        Case { inject: |place| vec![inject::table_lock(place)], ..case("lock", &[&["db-locks"]]) },
        Case {
            settings: WRITES,
            rates: "120/s:25s",
            inject: |place| vec![inject::cpu_quota(place, &["worker-2"], 1)],
            ..case("slow-worker", &[&["worker-uneven"]])
        },
        Case {
            settings: ONE_BY_ONE,
            rates: "250/s:25s",
            inject: |place| vec![inject::one_partition(place), inject::slow_commits(place, COMMIT)],
            ..case("one-partition", &[&["kafka-partitions"]])
        },
        Case {
            settings: &[
                ("NSYS_WORKER__BATCH_SIZE", "1"),
                ("NSYS_LOADTEST__SEED_USERS", "1"),
                ("NSYS_LOADTEST__MIX_CREATE", "1.0"),
                ("NSYS_LOADTEST__MIX_GET", "0"),
                ("NSYS_LOADTEST__MIX_LIST", "0"),
                ("NSYS_LOADTEST__MIX_CORRELATION", "0"),
            ],
            rates: "250/s:25s",
            inject: |place| vec![inject::slow_commits(place, COMMIT)],
            ..case("skewed-keys", &[&["kafka-key-skew"]])
        },
        Case {
            inject: |place| vec![inject::broker_quota(place, 4_000)],
            ..case("broker-quota", &[&["kafka-quota", "kafka-publish-slow"]])
        },
        Case {
            inject: |place| vec![inject::stop_and_go(place, "redis", 150, 30)],
            ..case("slow-redis", &[&["cache-slow"]])
        },
        Case {
            inject: |place| vec![inject::small_redis(place)],
            ..case("evicting-redis", &[&["cache-evictions"]])
        },
        Case {
            settings: &[("NSYS_CACHE__TTL_NOTIFICATION", "1s"), ("NSYS_CACHE__LOCAL_TTL", "1s")],
            ..case("ttl-of-1s", &[&["cache-ttl"]])
        },
        Case {
            settings: &[
                ("NSYS_CHANNELS__SIMULATED_LATENCY", "2s"),
                ("NSYS_WORKER__CHANNEL_CONCURRENCY", "2"),
            ],
            ..case("slow-provider", &[&["provider-slow"]])
        },
        Case {
            inject: |place| vec![inject::cpu_quota(place, &["app-1"], 10)],
            ..case("cpu-limit", &[&["service-throttled"]])
        },
        Case {
            inject: |place| vec![inject::memory_limit(place, "app-1", 1.1)],
            ..case("memory-pressure", &[&["memory-limit", "memory-stalls"]])
        },
        Case { settings: &[("NSYS_TELEMETRY__LOG", "trace")], ..case("log-flood", &[&["log-flood"]]) },
        Case {
            inject: |place| vec![inject::starved_generator(place, 3)],
            ..case("pinned-generator", &[&["generator-limited"]])
        },
        Case {
            inject: |place| vec![inject::slow_network(place, 5_432, Duration::from_millis(60))],
            ..case("network-delay", &[&["db-network"]])
        },
        case("clean-2", &[]),
        Case {
            settings: &[
                ("NSYS_CHANNELS__SIMULATED_LATENCY", "2s"),
                ("NSYS_WORKER__CHANNEL_CONCURRENCY", "2"),
            ],
            inject: |place| vec![inject::without_indexes(place)],
            ..case("missing-index+slow-provider", &[&["db-sequential-scans"], &["provider-slow"]])
        },
        Case {
            inject: |place| {
                vec![inject::stop_and_go(place, "redis", 150, 30), inject::broker_quota(place, 4_000)]
            },
            ..case("slow-redis+broker-quota", &[&["cache-slow"], &["kafka-quota", "kafka-publish-slow"]])
        },
        Case {
            settings: &[("NSYS_TELEMETRY__LOG", "trace")],
            inject: |place| vec![inject::table_lock(place)],
            ..case("lock+log-flood", &[&["db-locks"], &["log-flood"]])
        },
        case("clean-3", &[]),
    ]
}

#[test]
fn the_injected_bottleneck_is_named_first() {
    let Ok(wanted) = std::env::var("NSYS_ACCURACY") else {
        eprintln!("skipped: it takes half an hour of a quiet machine, as root: make diagnose-accuracy");
        return;
    };
    assert!(rustix::process::geteuid().is_root(), "control groups and packet filters need root");
    let cases = chosen(&wanted);
    inject::forget_stale_rules();
    let place = Place::new();
    let base = || {
        let mut command = place.command(&["up", "--scale", "worker=3"]);
        command.env("NSYS_LOADTEST__SEED_NOTIFICATIONS", SEEDED);
        command
    };
    run(base());
    // The first load of a broker and a database tells of their start, not of a bottleneck.
    load(&place, &[], "60/s:30s").expect("a stack without an injection takes it");
    run(place.command(&["tune", "db", "--indexes", "--yes"]));
    let mut rows = Vec::new();
    for case in &cases {
        rows.push(measure(&place, case));
        eprintln!("{}", rows.last().expect("one was added").line());
    }
    let table: Vec<_> = rows.iter().map(Row::line).collect();
    eprintln!("| Injected | Named, first to last | Right |\n|---|---|---|\n{}", table.join("\n"));
    let wrong: Vec<_> = rows.iter().filter(|row| !row.right).map(|row| row.name).collect();
    assert!(wrong.is_empty(), "not named first: {wrong:?}");
}

/// The cases that are named, with commas, or all of them.
fn chosen(wanted: &str) -> Vec<Case> {
    let names: Vec<_> = wanted.split(',').collect();
    let chosen: Vec<_> =
        cases().into_iter().filter(|case| wanted == "all" || names.contains(&case.name)).collect();
    assert!(wanted == "all" || chosen.len() == names.len(), "there is no such case: {wanted}");
    chosen
}

/// Notifications in the table that reads go to.
const SEEDED: &str = "100000";

/// What a case came to.
struct Row {
    name: &'static str,
    named: Vec<String>,
    right: bool,
}

impl Row {
    fn line(&self) -> String {
        let named = if self.named.is_empty() { "nothing".to_owned() } else { self.named.join(", ") };
        format!("| {} | {named} | {} |", self.name, if self.right { "yes" } else { "**no**" })
    }
}

fn measure(place: &Place, case: &Case) -> Row {
    let mut up = place.command(&["up", "--scale", "worker=3"]);
    up.envs(case.settings.iter().copied());
    run(up);
    settle(place);
    // Of a cold cache and new connections tells this one, which is not judged.
    if case.causes.is_empty() || !case.settings.is_empty() {
        load(place, case.settings, "60/s:10s").expect("a stack without an injection takes it");
    }
    let held: Vec<Held> = (case.inject)(place).into_iter().map(Injection::hold).collect();
    let offered = load(place, case.settings, case.rates);
    drop(held);
    if let Err(why) = offered {
        eprintln!("{}: {why}", case.name);
        return Row { name: case.name, named: vec!["not offered".into()], right: false };
    }
    let found = place.json(&["diagnose"]);
    let named = causes(&found);
    let right = is_right(case, &named);
    if !right {
        eprintln!("{}: {}", case.name, text(&place.run(&["diagnose"])));
    }
    Row { name: case.name, named, right }
}

/// Everything injected is among as many causes as were injected; on a clean run nothing is blamed.
fn is_right(case: &Case, named: &[String]) -> bool {
    let first = &named[..named.len().min(case.causes.len())];
    let found = |rules: &&[&str]| first.iter().any(|name| rules.contains(&name.as_str()));
    if case.causes.is_empty() { named.is_empty() } else { case.causes.iter().all(found) }
}

/// The rules that failed and that nothing explains. What is said of the machine is no blame.
fn causes(found: &Value) -> Vec<String> {
    let findings = found["findings"].as_array().expect("findings");
    let blamed = |one: &&Value| {
        let doubt = one["role"] == "measurement" && one["rule"] != "generator-limited";
        one["status"] == "fail" && one["explained_by"].is_null() && !doubt
    };
    let names = findings.iter().filter(blamed).filter_map(|one| one["rule"].as_str());
    names.map(str::to_owned).collect()
}

fn load(place: &Place, settings: &[(&str, &str)], rates: &str) -> Result<(), String> {
    let mut command =
        place.command(&["loadtest", "incremental", "--rates", rates, "--stabilise", "10s", "-q"]);
    command.env("NSYS_LOADTEST__SEED_NOTIFICATIONS", SEEDED).envs(settings.iter().copied());
    let output = command.output().expect("nsys starts");
    let fine = matches!(output.status.code(), Some(0 | 1 | 10 | 11));
    if fine { Ok(()) } else { Err(text(&output)) }
}

/// Waits until nothing of the case before is left over.
fn settle(place: &Place) {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let lag = place.json(&["lag"])["total_lag"].as_i64();
        if lag == Some(0) || Instant::now() > deadline {
            return;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn run(mut command: Command) {
    let output = command.output().expect("nsys starts");
    assert!(output.status.success(), "{}", text(&output));
}
