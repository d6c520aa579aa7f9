//! The local stack and a load test on it, with parts killed on purpose.

use crate::support::{Place, in_containers, kill_9, text};
use serde_json::Value;
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// The only level of the newest run.
fn newest_level(place: &Place) -> Value {
    place.json(&["loadtest", "show"])["levels"][0].clone()
}

fn gone(pid: i32) -> bool {
    !std::path::Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn the_stack_survives_kills_and_nothing_acknowledged_is_lost() {
    let place = Place::new();
    place.ok(&["up"]);
    place.ok(&["health", "--wait", "60s"]);

    // Again: the same processes.
    let before = place.pid("postgres");
    place.ok(&["up"]);
    assert_eq!(place.pid("postgres"), before);

    let output = place.run(&["doctor"]);
    assert!(output.status.success(), "{}", text(&output));

    // Two api replicas share one socket; both and the worker are killed under load.
    let scaled = place.run(&["scale", "app=2"]);
    assert!(scaled.status.success(), "{}", text(&scaled));
    let mut load = place.command(&["loadtest", "incremental", "--rates", "150/s:15s"]).spawn().unwrap();
    for part in ["worker-1", "app-1", "app-2"] {
        std::thread::sleep(Duration::from_secs(4));
        kill_9(place.pid(part));
    }
    load.wait().unwrap();
    let level = newest_level(&place);
    let found = &level["reconciliation"];
    let (said, kept) = (found["acknowledged"].as_u64().unwrap(), found["stored"].as_u64().unwrap());
    assert!(said > 500, "too few were acknowledged to prove anything: {found}");
    assert!(kept >= said, "acknowledged, but not stored: {found}");
    assert!(found["final"].as_u64().unwrap() >= said, "stored, but never delivered: {found}");

    // Every named query gives a value on a stack that was just under load.
    let catalogue = place.json(&["metrics", "list"]);
    for query in catalogue.as_array().unwrap() {
        let series = place.json(&["metrics", "get", query["name"].as_str().unwrap()]);
        let value = &series[0]["points"][0][1];
        assert!(value.as_f64().is_some_and(f64::is_finite), "{query}: {series}");
    }
    crate::dashboards::every_panel_has_series(&place, in_containers());
    assert!(!place.json(&["db", "slow"]).as_array().unwrap().is_empty());
    assert!(!place.json(&["db", "pool"]).as_array().unwrap().is_empty());
    let sizes = place.json(&["db", "size"]);
    assert!(sizes.as_array().unwrap().iter().any(|one| one["table"] == "notifications"), "{sizes}");
    assert_eq!(place.json(&["db", "locks"]).as_array().unwrap().len(), 0);

    // A part that does not answer is named, with what it breaks.
    let signal = |pid: i32, signal| {
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
    };
    for (part, breaks) in [("redis", "reads go to PostgreSQL"), ("kafka", "no notification is accepted")] {
        signal(place.pid(part), rustix::process::Signal::STOP);
        let output = place.run(&["health"]);
        signal(place.pid(part), rustix::process::Signal::CONT);
        assert_eq!(output.status.code(), Some(3), "{}", text(&output));
        let said = text(&output);
        let line = said.lines().find(|line| line.starts_with(part)).unwrap();
        assert!(line.contains("down") && line.contains(breaks), "{said}");
    }

    // A killed part comes back.
    let scaled = place.run(&["scale", "app=1"]);
    assert!(scaled.status.success(), "{}", text(&scaled));
    let redis = place.pid("redis");
    kill_9(redis);
    healthy_again(&place, redis);

    // A kill of the supervisor leaves nothing behind that the next `up` does not put in order.
    if !in_containers() {
        kill_9(supervisor_of(place.pid("redis")));
    }
    let orphan = before;
    place.ok(&["up"]);
    assert!(gone(orphan) || place.pid("postgres") == orphan);
    place.ok(&["health", "--wait", "60s"]);

    let pids: Vec<_> =
        ["postgres", "redis", "kafka", "prometheus", "app-1", "worker-1"].map(|part| place.pid(part)).into();
    let output = place.run(&["down"]);
    assert!(output.status.success(), "{}", text(&output));
    for pid in pids {
        assert!(gone(pid), "{pid} still runs after down");
    }
    let output = place.run(&["health"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
}

/// The supervisor brings a killed part back as another process.
fn healthy_again(place: &Place, killed: i32) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let ps = place.json(&["ps"]);
        let back = ps["parts"].as_array().unwrap().iter().any(|one| {
            one["name"] == "redis"
                && one["state"] == "running"
                && one["pid"].as_i64() != Some(i64::from(killed))
        });
        if back {
            return;
        }
        assert!(Instant::now() < deadline, "redis did not come back: {ps}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn supervisor_of(part: i32) -> i32 {
    let status = std::fs::read_to_string(format!("/proc/{part}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    parent.trim().parse().unwrap()
}

#[test]
fn an_interrupted_load_test_keeps_what_it_has_and_leaves_no_generator() {
    let place = Place::new();
    place.ok(&["up"]);
    let start = || place.command(&["loadtest", "incremental", "--rates", "50/s:60s"]).spawn().unwrap();
    let claim = place.state().join("run/loadtest.json");
    let generator = || {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let text = std::fs::read_to_string(&claim).unwrap_or_default();
            let claim: Value = serde_json::from_str(&text).unwrap_or_default();
            if let Some(pid) = claim["generator"]["pid"].as_i64() {
                return i32::try_from(pid).unwrap();
            }
            assert!(Instant::now() < deadline, "no generator was started");
            std::thread::sleep(Duration::from_millis(50));
        }
    };

    // Ctrl-C.
    let mut load = start();
    let k6 = generator();
    std::thread::sleep(Duration::from_secs(3));
    let pid = rustix::process::Pid::from_raw(i32::try_from(load.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(load.wait().unwrap().code(), Some(130));
    assert!(gone(k6), "k6 still runs after Ctrl-C");
    let run = place.json(&["loadtest", "show"]);
    assert_eq!((run["state"].as_str(), run["verdict"].as_str()), (Some("interrupted"), Some("interrupted")));
    assert!(run["levels"][0]["samples"].as_array().unwrap().len() >= 2, "what was measured is gone");

    // A kill of nsys: the next command ends the generator and marks the run.
    let mut load = start();
    let k6 = generator();
    kill_9(i32::try_from(load.id()).unwrap());
    load.wait().unwrap();
    assert!(!gone(k6), "k6 was expected to outlive its nsys");
    place.run(&["ps"]);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !gone(k6) {
        assert!(Instant::now() < deadline, "k6 still runs after the next command");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(place.json(&["loadtest", "show"])["state"], "interrupted");
}

#[test]
fn a_stack_comes_up_right_after_it_went_down() {
    let place = Place::new();
    for _ in 0..3 {
        place.ok(&["up", "--only", "redis"]);
        place.ok(&["down"]);
    }
}

#[test]
fn a_taken_port_names_its_holder_and_starts_nothing() {
    let place = Place::new();
    let taken = TcpListener::bind(("127.0.0.1", 6_379 + place.offset)).unwrap();
    let output = place.run(&["up"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("port {} for redis is taken", 6_379 + place.offset)), "{said}");
    assert!(said.contains(&format!("pid {}", std::process::id())), "{said}");
    assert_eq!(place.json(&["ps"])["parts"].as_array().unwrap().len(), 0);
    drop(taken);
}
