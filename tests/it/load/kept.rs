//! What was measured is kept, whatever fails afterwards.

use super::{newest, results};
use crate::support::{Place, text};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::time::{Duration, Instant};

fn phase(place: &Place, level: u64, phase: &str) -> bool {
    let stream = std::fs::read_to_string(place.state().join("run/loadtest.ndjson")).unwrap_or_default();
    let events = stream.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.into_iter().any(|one| one["event"] == "phase" && one["phase"] == phase && one["level"] == level)
}

/// Stands still until it goes.
struct Frozen(Vec<Pid>);

impl Frozen {
    fn new(place: &Place, parts: &[&str]) -> Self {
        let pids = parts.iter().map(|part| Pid::from_raw(place.pid(part)).expect("a pid"));
        let frozen = Self(pids.collect());
        for pid in &frozen.0 {
            kill_process(*pid, Signal::STOP).expect("it runs");
        }
        frozen
    }

    /// PostgreSQL to nsys: it lets nobody in, and the sessions that nsys keeps stand still.
    fn database_of_nsys(place: &Place) -> Self {
        let own = "SELECT pid FROM pg_stat_activity WHERE application_name = 'nsys'";
        let own = crate::tune::sql(place, own);
        let mut frozen = Self::new(place, &["postgres"]);
        for pid in own.lines().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
            // A session may have ended by itself.
            if kill_process(pid, Signal::STOP).is_ok() {
                frozen.0.push(pid);
            }
        }
        frozen
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            // One that has ended meanwhile needs no wake-up.
            let _ = kill_process(*pid, Signal::CONT);
        }
    }
}

/// PostgreSQL takes no connection when the load of the first level has ended, and the API answers nobody
/// when the second one shall begin.
pub(super) fn when_the_database_and_the_next_level_fail(place: &Place) {
    let args = ["loadtest", "incremental", "-q", "--engine", "native", "--rates", "20/s:6s,20/s:6s"];
    let mut load = place.command(&args);
    let load = load.args(["--stabilise", "8s"]).stdout(std::process::Stdio::piped());
    let mut load = load.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while !phase(place, 1, "steady") {
        assert!(load.try_wait().unwrap().is_none() && Instant::now() < deadline, "level 1 never began");
        std::thread::sleep(Duration::from_millis(50));
    }
    let parts = place.json(&["ps"]);
    let apps = parts["parts"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str());
    let apps: Vec<_> = apps.filter(|name| name.starts_with("app-")).collect();
    // The service goes on; nsys gets no answer, so that the rows cannot be counted.
    let database = Frozen::database_of_nsys(place);
    while !phase(place, 1, "stabilise") {
        assert!(Instant::now() < deadline, "level 1 never ended");
        std::thread::sleep(Duration::from_millis(10));
    }
    let api = Frozen::new(place, &apps);
    let output = load.wait_with_output().unwrap();
    drop((api, database));
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    let run = newest(place, &output);
    let broken = run["broken_off"].as_str().unwrap_or_else(|| panic!("{run}"));
    assert!(broken.starts_with("level 2 could not be measured"), "{broken}");
    let level = &run["levels"][0];
    assert_eq!(run["levels"].as_array().unwrap().len(), 1, "{run}");
    assert!(
        level["requests"].as_u64().unwrap() > 60 && !level["checks"].as_array().unwrap().is_empty(),
        "{level}"
    );
    let problems = level["problems"].as_array().unwrap();
    assert!(problems[0].as_str().unwrap().starts_with("PostgreSQL did not answer for "), "{level}");
    let found = &level["reconciliation"];
    assert!(found["acknowledged"].as_u64().is_some() && found["stored"].is_null(), "{found}");
    let dir = results(place).join(run["id"].as_str().unwrap());
    let summary = std::fs::read_to_string(dir.join("SUMMARY.md")).unwrap();
    for wanted in ["PostgreSQL did not answer for ", "level 2 could not be measured"] {
        assert!(summary.contains(wanted), "{wanted} is not in {summary}");
    }
}

/// Sessions of a stranger on every connection that the server still admits, until they are dropped.
struct Crowd(Vec<sqlx::PgConnection>, tokio::runtime::Runtime);

impl Crowd {
    fn new(place: &Place) -> Self {
        use sqlx::ConnectOptions;
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let options = sqlx::postgres::PgConnectOptions::new()
            .host("127.0.0.1")
            .port(5_432 + place.offset)
            .username("nsys")
            .password(&place.secret("postgres"))
            .database("notifications")
            .application_name("crowd");
        let mut held = Vec::new();
        // What others give back is taken too.
        for _ in 0..3 {
            while let Ok(one) = runtime.block_on(options.connect()) {
                held.push(one);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        assert!(held.len() > 20, "{} connections were left", held.len());
        Self(held, runtime)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        use sqlx::Connection;
        for one in self.0.drain(..) {
            let _ = self.1.block_on(one.close());
        }
    }
}

/// With every connection held by somebody else nsys still looks, counts the rows, and names who holds them.
pub(super) fn and_who_holds_every_connection_is_named(place: &Place) {
    let args = ["loadtest", "incremental", "-q", "--engine", "native", "--rates", "20/s:12s"];
    let mut load = place.command(&args);
    let load = load.args(["--stabilise", "8s"]).stdout(std::process::Stdio::piped());
    let mut load = load.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while !phase(place, 1, "warmup") {
        assert!(load.try_wait().unwrap().is_none() && Instant::now() < deadline, "level 1 never began");
        std::thread::sleep(Duration::from_millis(50));
    }
    let crowd = Crowd::new(place);
    let output = load.wait_with_output().unwrap();
    let run = newest(place, &output);
    let level = &run["levels"][0];
    let found = place.json(&["diagnose"]);
    let live = place.json(&["diagnose", "--live", "--seconds", "3s"]);
    drop(crowd);
    assert!(level["reconciliation"]["stored"].as_u64().is_some(), "{level}");
    for (what, said) in [("run", &found), ("live", &live)] {
        let findings = said["findings"].as_array().unwrap();
        let first = findings.iter().find(|one| one["role"] == "cause" && one["status"] == "fail");
        let first = first.unwrap_or_else(|| panic!("{what}: nothing is blamed: {}", said["summary"]));
        assert_eq!(first["rule"], "db-connections", "{what}: {}", said["summary"]);
    }
    let summary = found["summary"].as_str().unwrap();
    assert!(summary.contains("it admits no more: ") && summary.contains("by crowd"), "{summary}");
}
