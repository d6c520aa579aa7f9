//! Changes on the real stack: planned, proved, journaled, taken back; and the days when they go wrong.

mod cache;
mod configuration;
mod data;
mod database;
mod groups;
mod indexes;
mod lag;
mod partitions;
mod replica;
mod secrets;
mod stacks;

use crate::support::{Disk, Place, in_containers, kill_9, text};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const INDEX: &str = "idx_notifications_correlation";

pub(crate) fn psql(place: &Place) -> Command {
    let secret = place.secret("postgres");
    let mut command = Command::new("psql");
    command.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "nsys", "-d", "notifications"]);
    command.arg("-p").arg((5_432 + place.offset).to_string()).env("PGPASSWORD", secret);
    command
}

pub(crate) fn sql(place: &Place, statement: &str) -> String {
    let output = psql(place).args(["-c", statement]).output().unwrap();
    assert!(output.status.success(), "{statement}: {}", text(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A session that holds something until it is killed.
pub(crate) fn hold(place: &Place, statement: &str) -> Child {
    let script = format!("SET application_name = 'holder'; BEGIN; {statement}; SELECT pg_sleep(120)");
    let child =
        psql(place).args(["-c", &script]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let asleep =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holder' AND wait_event = 'PgSleep'";
    wait(|| sql(place, asleep) == "1", "the holder does not hold");
    child
}

pub(crate) fn release(place: &Place, mut child: Child) {
    sql(place, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holder'");
    child.wait().unwrap();
}

fn wait(done: impl Fn() -> bool, otherwise: &str) {
    crate::support::wait(Duration::from_secs(120), done, otherwise);
}

fn refused(place: &Place, args: &[&str], code: i32) -> String {
    let output = place.run(args);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", text(&output));
    text(&output)
}

fn client(place: &Place) -> rdkafka::ClientConfig {
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", format!("127.0.0.1:{}", 9_092 + place.offset));
    config
}

/// nsys that only knows the addresses of this stack.
pub(crate) fn elsewhere(place: &Place, args: &[&str]) -> Command {
    let secret = place.secret("postgres");
    let at = |port: u16| format!("127.0.0.1:{}", port + place.offset);
    let mut command = place.command(args);
    command
        .env("NSYS_STACK__RUNTIME", "external")
        .env("NSYS_EXTERNAL__API_URL", format!("http://{}", at(3_000)));
    command.env("NSYS_DB__URL", format!("postgres://nsys:{secret}@{}/notifications", at(5_432)));
    command.env("NSYS_CACHE__URL", format!("redis://{}/0", at(6_379))).env("NSYS_KAFKA__BROKERS", at(9_092));
    command
}

fn schema(place: &Place) -> String {
    sql(
        place,
        "SELECT string_agg(indexdef, E'\n' ORDER BY indexname) FROM pg_indexes WHERE schemaname = 'public'",
    )
}

/// Rows of the table that everything is about, without the service.
fn fill(place: &Place) {
    sql(
        place,
        "INSERT INTO notifications (id, user_id, channel, type, priority, status, payload, correlation_id, created_at, updated_at)
         SELECT gen_random_uuid(), 'u' || n % 50, 'EMAIL', 'SYSTEM', 'MEDIUM', 'DELIVERED', '{}', 'c' || n / 10, now(), now()
         FROM generate_series(1, 20000) n",
    );
}

/// Neither 0 errors nor a lag of 0 where nobody counts and nobody reads.
fn without_a_service_nothing_of_it_is_measured(place: &Place) {
    for name in ["throughput", "error-rate", "success-rate", "publish-errors", "query-errors"] {
        assert_eq!(place.json(&["metrics", "get", name]), serde_json::json!([]), "{name}");
    }
    assert!(text(&place.run(&["metrics", "get", "error-rate"])).contains("no series"));
    let said = refused(place, &["lag"], 2);
    assert!(said.contains("there is no consumer group notification-workers"), "{said}");
    assert!(said.contains("nsys kafka groups"), "{said}");
    let found = place.json(&["diagnose", "--live", "--seconds", "5s"]);
    assert!(found["summary"].as_str().unwrap().contains("rules were not measured"), "{found}");
    for rule in [
        "kafka-lag",
        "worker-bound",
        "kafka-consumption",
        "http-errors",
        "requests-shed",
        "cache-slow",
        "service-cpu",
        "service-memory",
    ] {
        let findings = found["findings"].as_array().unwrap();
        let finding = findings.iter().find(|one| one["rule"] == rule).unwrap();
        assert_eq!(finding["status"], "unknown", "{finding}");
    }
}

#[test]
fn indexes_are_proved_and_taken_back_whatever_happens() {
    let place = Place::new();
    place.ok(&["up", "--only", "postgres,redis,kafka,prometheus"]);
    without_a_service_nothing_of_it_is_measured(&place);
    fill(&place);
    indexes::are_built_and_taken_back(&place);
    indexes::bad_days_of_a_build(&place);
    indexes::without_the_table_the_right_the_disk_or_the_server(&place);
    database::looks_with_deltas(&place);
    database::suggests_what_the_statements_ask_for(&place);
    database::knows_every_table_by_its_name(&place);
    cache::is_flushed_with_care(&place);
    cache::of_a_cluster_is_refused(&place);
}

#[test]
fn changes_of_a_running_service_are_proved_and_taken_back() {
    let place = Place::new();
    place.ok(&["up"]);
    fill(&place);
    configuration::is_tuned_and_taken_back(&place);
    configuration::what_changed_at_the_prompt_is_refused(&place);
    configuration::everything_reversible_goes_back_to_the_first_state(&place);
    data::accounts_and_notifications(&place);
    secrets::are_in_no_output(&place);
    stacks::see_only_their_own_runs(&place);
    if !in_containers() {
        // The replica is a part of the local runtime.
        replica::takes_reads_and_gives_them_back(&place);
    }
    database::resets(&place);
}

#[test]
fn partitions_grow_and_lag_is_that_of_the_brokers_own_tool() {
    let place = Place::new();
    place.ok(&["up"]);
    partitions::grow_and_never_shrink(&place);
    partitions::survive_a_broker_that_dies_half_way(&place);
    lag::is_that_of_the_brokers_own_tool(&place);
    groups::of_every_type_are_told(&place);
    crate::truth::topologies::are_told_as_they_were_made(&place, 8, u64::from(std::process::id()));
    partitions::of_a_topic_that_is_gone(&place);
}

#[test]
fn the_loop_from_diagnosis_to_comparison_closes() {
    let place = Place::new();
    place.ok(&["up"]);
    let measure = |rates: &str| {
        let output = place
            .command(&["loadtest", "incremental", "--rates", rates])
            .env("NSYS_LOADTEST__SEED_NOTIFICATIONS", "20000")
            .output()
            .unwrap();
        assert!(matches!(output.status.code(), Some(0 | 10 | 11)), "{}", text(&output));
    };
    let ids = |rules: &serde_json::Value| {
        let all = rules.as_array().unwrap().iter().map(|one| one["rule"].as_str().unwrap().to_owned());
        all.collect::<std::collections::BTreeSet<_>>()
    };
    let explained = place.json(&["diagnose", "--explain", "list"]);
    let scans = || {
        let found = place.json(&["diagnose"]);
        let rules = found["findings"].as_array().unwrap().clone();
        assert_eq!(ids(&found["findings"]), ids(&explained), "a rule without its answer");
        assert_eq!(rules.len(), explained.as_array().unwrap().len(), "a rule that answers twice");
        rules.into_iter().find(|one| one["rule"] == "db-sequential-scans").unwrap()
    };
    let mut watch =
        place.command(&["watch", "-o", "json"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    measure("80/s:20s");
    kill_9(i32::try_from(watch.id()).unwrap());
    let mut seen = String::new();
    std::io::Read::read_to_string(&mut watch.stdout.take().unwrap(), &mut seen).unwrap();
    watch.wait().unwrap();
    let rates = seen
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()?["service"]["rate"].as_f64());
    assert!(rates.fold(0.0, f64::max) > 40.0, "the dashboard saw no load: {seen}");
    let found = scans();
    assert_eq!(
        (found["status"].as_str(), found["remedies"][0]["text"].as_str()),
        (Some("fail"), Some("nsys tune db --indexes"))
    );
    place.ok(&["tune", "db", "--indexes", "--yes"]);
    // The server reports the last scans up to ten seconds late.
    std::thread::sleep(Duration::from_secs(11));
    let before = place.json(&["report"])["id"].as_str().unwrap().to_owned();
    let after = verified(&place, &before);
    assert_eq!(scans()["status"], "pass");

    let compared = place.json(&["compare", &before, "latest"]);
    assert_eq!(compared["after"], after.as_str());
    assert!(compared["changes"][0].as_str().unwrap().contains("c1 indexes"), "{compared}");
    let metrics = compared["levels"][0]["metrics"].as_array().unwrap();
    let p95 = metrics.iter().find(|one| one["name"] == "p95_ms").unwrap();
    assert!(p95["before"].is_number() && p95["after"].is_number(), "{p95}");
    // On a busy machine a short level may tell nothing; then it says why.
    assert!(p95["interval"].is_array() || p95["reason"].is_string(), "{p95}");
    let same = place.json(&["compare", "latest", "latest", "--fail-on-regression"]);
    let changed =
        same["levels"][0]["metrics"].as_array().unwrap().iter().any(|one| one["verdict"] == "regressed");
    assert!(!changed, "a run against itself: {same}");

    a_changed_number_is_found(&place, compared["after"].as_str().unwrap());

    measure("40/s:10s");
    assert!(refused(&place, &["compare", "latest~1", "latest"], 4).contains("level 1: 80/s"));
    assert!(refused(&place, &["compare", "latest~9"], 1).contains("latest~9"));
    assert!(
        refused(&place, &["diagnose", "--explain", "cache-miss"], 2).contains("did you mean cache-misses?")
    );
    assert!(
        refused(&place, &["diagnose", "--explain", "zzz"], 2).contains("hint: nsys diagnose --explain list")
    );
}

/// The whole sequence after a change: restart, smoke test, the same load, compare. Returns the new run.
fn verified(place: &Place, before: &str) -> String {
    let started = place.pid("app-1");
    let output = place
        .command(&["verify", "--against", before, "-o", "json"])
        .env("NSYS_LOADTEST__SEED_NOTIFICATIONS", "20000")
        // How fast this machine is today is not asked here.
        .envs([("NSYS_OBJECTIVES__P95_MS", "5000"), ("NSYS_OBJECTIVES__P99_MS", "5000")])
        .output()
        .unwrap();
    assert!(matches!(output.status.code(), Some(0 | 20)), "{}", text(&output));
    assert_ne!(place.pid("app-1"), started, "the service was not restarted");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let comparison = &said["comparisons"][0];
    assert_eq!(comparison["before"], before, "{comparison}");
    assert!(comparison["changes"][0].as_str().unwrap().contains("c1 indexes"), "{comparison}");
    let after = comparison["after"].as_str().unwrap().to_owned();
    let runs = place.json(&["loadtest", "list"]).to_string();
    assert!(runs.contains("smoke-") && runs.contains(&after), "{runs}");
    // Other users make other load, and that is known before any of it is offered.
    let mut other = place.command(&["verify", "--against", before, "--no-restart"]);
    let refused = other.env("NSYS_LOADTEST__SEED_USERS", "77").output().unwrap();
    assert_eq!(refused.status.code(), Some(4), "{}", text(&refused));
    assert!(text(&refused).contains("load script"), "{}", text(&refused));
    after
}

/// `report --verify` holds, until one raw value is another, or one value of the report.
fn a_changed_number_is_found(place: &Place, run: &str) {
    let verify = ["report", run, "--verify"];
    assert!(place.ok(&verify).contains("everything is as measured"));
    let dir = place.dir.path().join("home/nsys/load-tests/results").join(run);
    for (file, value, place_of) in [
        ("level-1-k6-summary.json", "\"p(95)\":", "level-1-k6-summary.json"),
        ("results.json", "\"p95\":", "results.json: level 1"),
        ("SUMMARY.md", "ms", "SUMMARY.md, line"),
    ] {
        let path = dir.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        let at = text.find(value).unwrap_or_else(|| panic!("{file} has no {value}"));
        // Its first digit becomes another.
        let after = at + value.len();
        let (from, digit) = text[after..].char_indices().find(|(_, sign)| sign.is_ascii_digit()).unwrap();
        let from = after + from;
        let other = if digit == '7' { "3" } else { "7" };
        std::fs::write(&path, format!("{}{other}{}", &text[..from], &text[from + 1..])).unwrap();
        let said = refused(place, &verify, 1);
        assert!(said.contains(place_of), "{file} was changed: {said}");
        std::fs::write(&path, text).unwrap();
    }
    assert!(place.ok(&verify).contains("everything is as measured"));
}
