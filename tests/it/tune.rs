//! Changes on the real stack: planned, proved, journaled, taken back; and the days when they go wrong.

use crate::support::{Place, kill_9, text};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const INDEX: &str = "idx_notifications_correlation";

fn psql(place: &Place) -> Command {
    let secret = std::fs::read_to_string(place.dir.path().join("state/test/secrets/postgres")).unwrap();
    let mut command = Command::new("psql");
    command.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "nsys", "-d", "notifications"]);
    command.arg("-p").arg((5_432 + place.offset).to_string()).env("PGPASSWORD", secret);
    command
}

fn sql(place: &Place, statement: &str) -> String {
    let output = psql(place).args(["-c", statement]).output().unwrap();
    assert!(output.status.success(), "{statement}: {}", text(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A session that holds something until it is killed.
fn hold(place: &Place, statement: &str) -> Child {
    let script = format!("SET application_name = 'holder'; BEGIN; {statement}; SELECT pg_sleep(120)");
    let child =
        psql(place).args(["-c", &script]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let asleep =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holder' AND wait_event = 'PgSleep'";
    wait(|| sql(place, asleep) == "1", "the holder does not hold");
    child
}

fn release(place: &Place, mut child: Child) {
    sql(place, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holder'");
    child.wait().unwrap();
}

fn wait(done: impl Fn() -> bool, otherwise: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "{otherwise}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn ok(place: &Place, args: &[&str]) -> String {
    let output = place.run(args);
    assert!(output.status.success(), "{args:?}: {}", text(&output));
    text(&output)
}

fn refused(place: &Place, args: &[&str], code: i32) -> String {
    let output = place.run(args);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", text(&output));
    text(&output)
}

fn schema(place: &Place) -> String {
    sql(
        place,
        "SELECT string_agg(indexdef, E'\n' ORDER BY indexname) FROM pg_indexes WHERE schemaname = 'public'",
    )
}

#[test]
fn changes_are_proved_and_taken_back() {
    let place = Place::new();
    ok(&place, &["up"]);
    sql(
        &place,
        "INSERT INTO notifications (id, user_id, channel, type, priority, status, payload, correlation_id, created_at, updated_at)
         SELECT gen_random_uuid(), 'u' || n % 50, 'EMAIL', 'SYSTEM', 'MEDIUM', 'DELIVERED', '{}', 'c' || n / 10, now(), now()
         FROM generate_series(1, 20000) n",
    );
    indexes(&place);
    bad_days_of_a_build(&place);
    configuration(&place);
    partitions(&place);
    cache(&place);
}

fn indexes(place: &Place) {
    let first = schema(place);
    ok(place, &["tune", "db", "--indexes", "--dry-run"]);
    assert_eq!(schema(place), first, "a dry run changed the schema");
    let said = refused(place, &["tune", "db", "--indexes"], 4);
    assert!(said.contains("--yes"), "{said}");
    let said = ok(place, &["tune", "db", "--indexes", "--yes"]);
    assert!(said.contains("Seq Scan") && said.contains(&format!("Index Scan ({INDEX})")), "no proof: {said}");
    assert!(ok(place, &["tune", "db", "--indexes", "--yes"]).contains("nothing to do"));
    ok(place, &["undo", "--yes"]);
    assert_eq!(schema(place), first, "undo left another schema");
    let history = place.json(&["history"]);
    assert_eq!(history["changes"][0]["outcome"], "undone");
    assert_eq!(history["changes"][1]["undoes"], "c1");
    assert!(refused(place, &["undo", "c1", "--yes"], 4).contains("already"));
    assert!(refused(place, &["undo", "c99", "--yes"], 2).contains("c99"));
}

fn bad_days_of_a_build(place: &Place) {
    let build = ["tune", "db", "--indexes", "--only", INDEX, "--yes"];

    // Somebody holds the table: named, and nothing is made.
    let first = schema(place);
    let holder = hold(place, "LOCK TABLE notifications IN SHARE MODE");
    let said = refused(place, &build, 4);
    assert!(said.contains("(holder) holds ShareLock"), "{said}");
    release(place, holder);
    assert_eq!(schema(place), first);

    // An old transaction keeps the build waiting until its budget is spent; the leftover is rebuilt.
    let holder = hold(
        place,
        "INSERT INTO notifications SELECT gen_random_uuid(), 'x', channel, type, priority, status, payload FROM notifications WHERE false",
    );
    let output = place.command(&build).env("NSYS_TUNE__BUILD_TIMEOUT", "2s").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("waits for pid"), "{}", text(&output));
    release(place, holder);
    ok(place, &build);
    ok(place, &["undo", "--yes"]);

    // nsys is killed in the middle of a build: the next one says so and finishes it.
    let holder = hold(
        place,
        "UPDATE notifications SET updated_at = updated_at WHERE id = (SELECT id FROM notifications LIMIT 1)",
    );
    let mut child = place.command(&build).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let waits = "SELECT count(*) FROM pg_stat_progress_create_index";
    wait(|| sql(place, waits) == "1", "the build did not begin");
    let second = refused(place, &build, 4);
    assert!(second.contains("another nsys"), "{second}");
    kill_9(i32::try_from(child.id()).unwrap());
    child.wait().unwrap();
    release(place, holder);
    wait(|| sql(place, waits) == "0", "the build goes on without its nsys");
    sql(place, &format!("UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass('{INDEX}')"));
    let listed = ok(place, &["db", "indexes"]);
    if sql(place, &format!("SELECT to_regclass('{INDEX}') IS NOT NULL")) == "t" {
        assert!(listed.contains("INVALID"), "{listed}");
    }
    let said = ok(place, &build);
    assert!(said.contains("done in"), "{said}");
    let valid = format!("SELECT indisvalid FROM pg_index WHERE indexrelid = '{INDEX}'::regclass");
    assert_eq!(sql(place, &valid), "t");
    let history = place.json(&["history"]);
    let outcomes: Vec<_> = history["changes"].as_array().unwrap().iter().map(|one| &one["outcome"]).collect();
    assert!(outcomes.iter().any(|outcome| *outcome == "interrupted"), "{outcomes:?}");

    // An index that was replaced since is not dropped; one of that name with another shape is not touched.
    sql(place, &format!("DROP INDEX {INDEX}; CREATE INDEX {INDEX} ON notifications (causation_id)"));
    assert!(refused(place, &["undo", "--yes"], 4).contains("causation_id"));
    assert!(refused(place, &build, 4).contains("another definition"));
    sql(place, &format!("DROP INDEX {INDEX}"));
}

fn configuration(place: &Place) {
    let overlay = place.dir.path().join("state/test/tuned.toml");
    let before = place.json(&["config", "show"]);
    ok(place, &["tune", "db", "--pool-size", "20", "--yes"]);
    let shown = place.json(&["config", "show", "db.pool_size"]);
    assert_eq!(shown["settings"][0]["value"], 20);
    assert!(shown["settings"][0]["origin"].as_str().unwrap().starts_with("tuned"), "{shown}");
    assert!(ok(place, &["tune", "db", "--pool-size", "20", "--yes"]).contains("nothing to do"));

    // Changed by hand since: undo shows both and touches nothing.
    let text_before = std::fs::read_to_string(&overlay).unwrap();
    std::fs::write(&overlay, text_before.replace("20", "30")).unwrap();
    let said = refused(place, &["undo", "--yes"], 4);
    assert!(said.contains("db.pool_size = 20") && said.contains("db.pool_size = 30"), "{said}");
    std::fs::write(&overlay, text_before).unwrap();

    ok(place, &["undo", "--yes"]);
    assert!(!overlay.exists(), "undo left an overlay");
    assert_eq!(place.json(&["config", "show"]), before);

    let output = place
        .command(&["tune", "kafka", "--linger", "5ms", "--yes"])
        .env("NSYS_KAFKA__LINGER", "1ms")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    let protected = place
        .command(&["tune", "kafka", "--linger", "5ms", "--yes"])
        .env("NSYS_STACK__PROTECTED", "true")
        .output()
        .unwrap();
    assert!(text(&protected).contains("--confirm test"), "{}", text(&protected));
}

fn partitions(place: &Place) {
    assert!(refused(place, &["tune", "kafka", "--partitions", "2", "--yes"], 4).contains("cannot take"));
    assert!(ok(place, &["tune", "kafka", "--partitions", "3", "--yes"]).contains("nothing to do"));
    ok(place, &["tune", "kafka", "--partitions", "5", "--yes"]);
    let lag = place.json(&["lag"]);
    let topic = lag["topics"].as_array().unwrap().iter().find(|one| one["topic"] == "notifications").unwrap();
    let partitions = topic["partitions"].as_array().unwrap();
    assert_eq!(partitions.len(), 5);
    assert!(partitions.iter().all(|one| one["owner"].is_string() && one["lag_seconds"] == 0.0), "{lag}");
    assert!(partitions[4]["committed"].is_null(), "{lag}");
    assert!(refused(place, &["undo", "--yes"], 4).contains("cannot take"));
}

fn cache(place: &Place) {
    let cli = |args: &[&str]| {
        let output = Command::new("redis-cli")
            .args(["-p", &(6_379 + place.offset).to_string()])
            .args(args)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    for key in ["notification:1", "user:1", "idempotency:-:k", "lease:x"] {
        cli(&["SET", key, "v"]);
    }
    ok(place, &["cache", "flush", "--yes"]);
    assert_eq!(cli(&["EXISTS", "notification:1", "user:1"]), "0");
    assert_eq!(cli(&["EXISTS", "idempotency:-:k", "lease:x"]), "2", "protected keys are gone");
    assert_eq!(place.json(&["cache", "keys"])["prefixes"]["lease:"], 1);
    assert!(ok(place, &["flush", "--all", "--yes"]).contains("not copies of rows"));
    assert_eq!(cli(&["DBSIZE"]), "0");
}

#[test]
fn the_loop_from_diagnosis_to_comparison_closes() {
    let place = Place::new();
    ok(&place, &["up"]);
    let measure = |rates: &str| {
        let output = place
            .command(&["loadtest", "incremental", "--rates", rates])
            .env("NSYS_LOADTEST__SEED_NOTIFICATIONS", "20000")
            .output()
            .unwrap();
        assert!(matches!(output.status.code(), Some(0 | 10 | 11)), "{}", text(&output));
    };
    let scans = || {
        let found = place.json(&["diagnose"]);
        let rules = found["findings"].as_array().unwrap().clone();
        assert_eq!(rules.len(), 10);
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
        (found["status"].as_str(), found["mend"].as_str()),
        (Some("fail"), Some("nsys tune db --indexes"))
    );
    ok(&place, &["tune", "db", "--indexes", "--yes"]);
    // The server reports the last scans up to ten seconds late.
    std::thread::sleep(Duration::from_secs(11));
    measure("80/s:20s");
    assert_eq!(scans()["status"], "pass");

    let compared = place.json(&["compare", "latest~1", "latest"]);
    assert!(compared["changes"][0].as_str().unwrap().contains("c1 indexes"), "{compared}");
    let metrics = compared["levels"][0]["metrics"].as_array().unwrap();
    let p95 = metrics.iter().find(|one| one["name"] == "p95_ms").unwrap();
    assert!(p95["before"].is_number() && p95["after"].is_number() && p95["interval"].is_array(), "{p95}");
    let same = place.json(&["compare", "latest", "latest", "--fail-on-regression"]);
    let changed =
        same["levels"][0]["metrics"].as_array().unwrap().iter().any(|one| one["verdict"] == "regressed");
    assert!(!changed, "a run against itself: {same}");

    measure("40/s:10s");
    assert!(refused(&place, &["compare", "latest~1", "latest"], 4).contains("level 1: 80/s"));
    assert!(refused(&place, &["compare", "latest~9"], 1).contains("latest~9"));
    assert!(refused(&place, &["diagnose", "--explain", "nonsense"], 2).contains("cache-misses"));
}
