//! What is offered: as planned or refused, to the end also after a kill, by two engines that are compared.

use super::{newest, results};
use crate::support::{Place, kill_9, text};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::time::{Duration, Instant};

pub(super) fn or_refused_with_the_arithmetic(place: &Place) {
    let plan = place.json(&["loadtest", "plan", "incremental", "--levels", "10000:5s"]);
    let check = |name: &str| {
        let found = plan["checks"].as_array().unwrap().iter().find(|one| one["name"] == name);
        found.unwrap_or_else(|| panic!("no {name}: {plan}")).clone()
    };
    assert!(check("memory")["detail"].as_str().unwrap().contains("10000 virtual users × 0.6 MiB"), "{plan}");
    assert!(check("open files")["detail"].as_str().unwrap().contains("10064"), "{plan}");
    let ceiling = check("concurrency")["detail"].as_str().unwrap().to_owned();
    assert!(ceiling.contains("1000000 /s at 10 ms") && ceiling.contains("100000 /s at 100 ms"), "{ceiling}");

    let mut command = place.command(&["loadtest", "incremental", "--levels", "10000:5s"]);
    let output = command.env("NSYS_LOADTEST__K6_USER_MB", "100").output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    let said = text(&output);
    assert!(said.contains("1000080 MiB (80 + 10000 virtual users × 100 MiB) are needed"), "{said}");
    assert!(said.contains("--engine native"), "{said}");
    // Beyond what can be made, but not impossible: said before.
    let plan =
        place.json(&["loadtest", "plan", "incremental", "--rates", "1000000/s:5s", "--engine", "native"]);
    let rate = plan["checks"].as_array().unwrap().iter().find(|one| one["name"] == "rate").unwrap();
    assert!(rate["detail"].as_str().unwrap().contains("will say generator-limited"), "{rate}");
}

/// The process of the generator and the events of the run in progress.
fn generator(place: &Place) -> Option<i32> {
    let path = place.state().join("run/loadtest.json");
    let claim: Value = serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()?;
    i32::try_from(claim["generator"]["pid"].as_i64()?).ok()
}

/// Whether a process runs; what has ended and was not yet asked for by its parent does not.
fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

/// What the run in progress told so far.
pub(super) fn events(place: &Place) -> Vec<Value> {
    let path = place.state().join("run/loadtest.ndjson");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn measures(place: &Place, level: u64) -> bool {
    events(place)
        .iter()
        .any(|one| one["event"] == "phase" && one["phase"] == "steady" && one["level"] == level)
}

pub(super) fn goes_on_after_a_kill_where_it_stopped(place: &Place) {
    let rates = "20/s:4s,30/s:30s,20/s:4s,30/s:4s";
    let mut load = place.command(&["loadtest", "incremental", "-q", "--rates", rates]).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(180);
    while !measures(place, 2) {
        assert!(load.try_wait().unwrap().is_none() && Instant::now() < deadline, "level 2 never began");
        std::thread::sleep(Duration::from_millis(50));
    }
    let orphan = generator(place).expect("a generator at work");
    kill_9(i32::try_from(load.id()).unwrap());
    load.wait().unwrap();
    let runs: Vec<_> = std::fs::read_dir(results(place)).unwrap().map(|one| one.unwrap().path()).collect();
    let dir = runs.iter().max_by_key(|dir| dir.metadata().unwrap().modified().unwrap()).unwrap();
    let read = || -> Value {
        serde_json::from_str(&std::fs::read_to_string(dir.join("results.json")).unwrap()).unwrap()
    };
    let before = read();
    assert_eq!((before["state"].as_str(), before["levels"].as_array().unwrap().len()), (Some("running"), 1));

    // Other settings are other measurements.
    let mut other = place.command(&["loadtest", "resume"]);
    let refused = other.env("NSYS_DB__POOL_SIZE", "17").output().unwrap();
    assert_eq!(refused.status.code(), Some(4), "{}", text(&refused));
    assert!(text(&refused).contains("db.pool_size: was 10, is 17"), "{}", text(&refused));
    let deadline = Instant::now() + Duration::from_secs(120);
    while lives(orphan) {
        assert!(Instant::now() < deadline, "the orphan still offers load");
        std::thread::sleep(Duration::from_millis(50));
    }

    // Interrupted once more, it can be held against its raw data, whatever was cut short in it.
    std::fs::remove_file(place.state().join("run/loadtest.ndjson")).unwrap();
    let mut resumed = place.command(&["loadtest", "resume", "-q"]).spawn().unwrap();
    while !measures(place, 2) {
        assert!(
            resumed.try_wait().unwrap().is_none() && Instant::now() < deadline,
            "level 2 never began again"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    kill_process(Pid::from_child(&resumed), Signal::INT).unwrap();
    assert_eq!(resumed.wait().unwrap().code(), Some(130));
    let said = place.ok(&["report", "--verify"]);
    assert!(said.contains("1 levels computed again") && said.contains("level 2 was cut short"), "{said}");

    let resumed = place.run(&["loadtest", "resume", "-q"]);
    assert!(place.ok(&["report", "--verify"]).contains("4 levels computed again"));
    let after = read();
    assert_eq!(after["state"], "finished", "{}", text(&resumed));
    let levels = after["levels"].as_array().unwrap();
    assert_eq!(levels.len(), 4, "{}", text(&resumed));
    assert_eq!(levels[0], before["levels"][0], "the first level was touched");
    assert!(levels.iter().all(|one| one["requests"].as_u64().unwrap() > 0), "{after}");
    assert_eq!(
        (after["resume_points"][0]["level"].as_u64(), after["resume_points"].as_array().unwrap().len()),
        (Some(2), 2)
    );
    let report = std::fs::read_to_string(dir.join("PERFORMANCE_REPORT.md")).unwrap();
    assert!(report.to_lowercase().contains("interrupted"), "the seam is not in the report");
    let again = place.run(&["loadtest", "resume"]);
    assert!(text(&again).contains("is finished, not interrupted"), "{}", text(&again));
}

pub(super) fn engines_are_calibrated(place: &Place) {
    let args =
        ["loadtest", "calibrate", "-q", "--rate", "50", "--duration", "5s", "--rounds", "1", "--runs", "2"];
    let output = place.run(&[&args[..], &["-o", "json"]].concat());
    // Whether they agree is a matter of time, and not judged on a machine that does other things.
    assert!(matches!(output.status.code(), Some(0 | 10)), "{}", text(&output));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    for turn in found["turns"].as_array().unwrap() {
        assert!(turn["requests"].as_u64().unwrap() > 100 && turn["error_rate"] == 0.0, "{turn}");
        assert!(turn["latency_ms"]["p99"].as_f64().unwrap() > 0.0, "{turn}");
    }
    let names: Vec<_> =
        found["agreement"].as_array().unwrap().iter().map(|one| one["percentile"].clone()).collect();
    assert_eq!(names, ["p50", "p95", "p99"]);
    for one in found["agreement"].as_array().unwrap() {
        let both = one["ms"]["k6"].as_f64().zip(one["ms"]["native"].as_f64());
        assert!(both.is_some_and(|(k6, native)| k6 > 0.0 && native > 0.0), "{one}");
    }
    let runs = found["runs"].as_array().unwrap();
    let compared = place.json(&["compare", runs[0].as_str().unwrap(), runs[1].as_str().unwrap()]);
    assert_eq!(compared["noise"], "measured by 2 equal runs", "{compared}");
    let last = newest(place, &output);
    assert_eq!(last["id"], runs[1]);
}
