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
    let place = Place::awkward();
    place.ok(&["up"]);
    place.ok(&["health", "--wait", "60s"]);
    nothing_lies_beside(&place);

    // Again, from another shell: the same processes.
    let before = place.pid("postgres");
    let all = pids(&place);
    let output = from_another_shell(&place, &["up"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(pids(&place), all, "{}", text(&output));

    let output = place.run(&["doctor"]);
    assert!(output.status.success(), "{}", text(&output));

    // Two api replicas share one socket; both and the worker are killed under load.
    let scaled = place.run(&["scale", "app=2"]);
    assert!(scaled.status.success(), "{}", text(&scaled));
    // What k6 finds in the shell and in the user's home is not the plan.
    let mut load =
        of_a_user_of_k6(&place, &["loadtest", "incremental", "--rates", "150/s:15s"]).spawn().unwrap();
    for part in ["worker-1", "app-1", "app-2"] {
        std::thread::sleep(Duration::from_secs(4));
        kill_9(place.pid(part));
    }
    load.wait().unwrap();
    let level = newest_level(&place);
    for percentile in ["p50", "p95", "p99", "max"] {
        assert!(level["latency_ms"][percentile].as_f64().is_some(), "{percentile}: {level}");
    }
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

    there_and_back(&place);
    if !in_containers() {
        a_restart_of_data_is_asked_for(&place);
    }

    // A kill of the supervisor leaves nothing behind that the next `up` does not put in order.
    if !in_containers() {
        kill_9(supervisor_of(place.pid("redis")));
    }
    let orphan = before;
    if !in_containers() {
        let output = place.run(&["ps"]);
        assert!(text(&output).contains("was killed"), "{}", text(&output));
    }
    place.ok(&["up"]);
    assert!(gone(orphan) || place.pid("postgres") == orphan);
    place.ok(&["health", "--wait", "60s"]);

    let pids = pids(&place);
    let output = place.run(&["down"]);
    assert!(output.status.success(), "{}", text(&output));
    for pid in pids {
        assert!(gone(pid), "{pid} still runs after down");
    }
    let output = place.run(&["health"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
}

const PARTS: [&str; 6] = ["postgres", "redis", "kafka", "prometheus", "app-1", "worker-1"];

fn pids(place: &Place) -> Vec<i32> {
    PARTS.map(|part| place.pid(part)).into()
}

/// As somebody calls nsys whose PATH, language, zone and home are other ones.
fn from_another_shell(place: &Place, args: &[&str]) -> std::process::Command {
    let mut command = place.command(args);
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("/opt/nowhere:{path}:/usr/bin")).env("HOME", place.dir.path());
    command.env("LANG", "C").env("LC_ALL", "POSIX").env("TZ", "Asia/Tokyo");
    command
}

/// As somebody calls nsys who has set k6 up for scripts of their own.
fn of_a_user_of_k6(place: &Place, args: &[&str]) -> std::process::Command {
    let mut command = place.command(args);
    for dir in ["none/k6", "none/loadimpact/k6"] {
        let dir = place.dir.path().join(dir);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("config.json"), r#"{"rps": 1, "noConnectionReuse": true}"#).unwrap();
    }
    command.env("K6_ITERATIONS", "3").env("K6_DURATION", "2s").env("K6_VUS", "1").env("K6_RPS", "2");
    command.env("K6_SUMMARY_TREND_STATS", "avg,p(99.99)").env("K6_NO_SUMMARY", "true");
    command
}

/// Every file of the stack is where it was asked to be.
fn nothing_lies_beside(place: &Place) {
    let found: Vec<_> =
        std::fs::read_dir(place.dir.path()).unwrap().map(|one| one.unwrap().file_name()).collect();
    let state = place.state();
    let own = state.parent().and_then(std::path::Path::file_name).unwrap();
    assert!(found.iter().all(|name| name == own || name == "home" || name == "none"), "{found:?}");
    if !in_containers() {
        assert!(state.join("data/kafka/meta.properties").is_file());
    }
}

/// No replica at all is a state that a stack comes back from.
fn there_and_back(place: &Place) {
    place.ok(&["scale", "app=0"]);
    if !in_containers() {
        let api = ("127.0.0.1", 3_000 + place.offset);
        assert!(std::net::TcpStream::connect(api).is_err(), "nobody is there, and callers wait");
    }
    place.ok(&["scale", "worker=0"]);
    place.ok(&["scale", "worker=1,app=1"]);
    place.ok(&["scale", "app=0"]);
    place.ok(&["up"]);
    place.ok(&["health", "--wait", "60s"]);
}

/// Other settings of a part that holds data: shown, and not made unless it is allowed.
fn a_restart_of_data_is_asked_for(place: &Place) {
    let before = pids(place);
    let up =
        |args: &[&str]| place.command(args).env("NSYS_STACK__REDIS_MAX_MEMORY_MB", "99").output().unwrap();
    let output = up(&["up"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("restarts redis") && said.contains("99mb instead of"), "{said}");
    let output = up(&["up", "--dry-run"]);
    assert!(output.status.success() && text(&output).contains("restarts redis"), "{}", text(&output));
    // What does not ask leaves it alone.
    assert!(up(&["scale", "worker=1"]).status.success());
    assert_eq!(pids(place), before);
    let output = up(&["up", "--yes"]);
    assert!(output.status.success(), "{}", text(&output));
    let after = pids(place);
    let changed = PARTS.iter().zip(before.iter().zip(&after)).filter(|(_, (one, other))| one != other);
    assert_eq!(changed.map(|(part, _)| *part).collect::<Vec<_>>(), ["redis"]);
    place.ok(&["up", "--yes"]);
    place.ok(&["health", "--wait", "60s"]);
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
    assert!(!place.state().join("run/supervisor.sock").exists(), "a supervisor without parts is left");
    drop(taken);
}

#[test]
fn an_up_that_never_began_is_not_remembered() {
    let place = Place::new();
    let run = |args: &[&str]| {
        let mut command = place.command(args);
        command.env_remove("NSYS_STACK__RUNTIME").env("DOCKER_HOST", "unix:///nowhere/docker.sock").output()
    };
    let output = run(&["up", "--runtime", "docker"]).unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    for args in [&["ps"][..], &["down"], &["down", "--volumes", "--yes"]] {
        let output = run(args).unwrap();
        assert!(output.status.success(), "{args:?}: {}", text(&output));
    }
}

#[test]
fn a_machine_that_cannot_carry_the_parts_is_told_before_anything_starts() {
    if in_containers() {
        return;
    }
    let place = Place::new();
    let refused = |output: &std::process::Output, why: &str| {
        let said = text(output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(why) && !said.contains("Exception"), "{said}");
        assert!(!place.state().join("run/supervisor.sock").exists(), "{said}");
        assert_eq!(place.json(&["ps"])["parts"].as_array().unwrap().len(), 0);
    };
    let like = place.command(&["up", "--only", "kafka"]);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "ulimit -n 64; exec \"$@\"", "sh"]).arg(like.get_program()).args(like.get_args());
    for (name, value) in like.get_envs() {
        shell.env(name, value.unwrap());
    }
    shell.current_dir(place.dir.path());
    refused(&shell.output().unwrap(), "64 files");

    // The state directory itself is a disk of 40 KiB; with it goes its parent, where nothing else is.
    std::fs::write(place.dir.path().join("kept"), "").unwrap();
    let state = place.state().parent().unwrap().to_owned();
    if let Some(_disk) = crate::support::Disk::mount(state, "40k") {
        refused(&place.run(&["up", "--only", "kafka"]), "0 MiB are free");
    }
}
