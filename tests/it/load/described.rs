//! The running service as somebody else's: described by a profile, with its topic, its group and a ledger of its own.

use crate::support::{Place, text};
use crate::tune::sql;

/// Counts, lag and stored ids by a profile are those of the parts.
pub(super) fn by_a_profile_is_counted_as_by_its_own(place: &Place) {
    let token = place.ok(&["token", "-q"]);
    let token = token.lines().find(|line| line.starts_with("ey")).expect("a token").to_owned();
    let toml = format!(
        r#"name = "post"
url = "http://127.0.0.1:{api}"
ready = "/health/readiness"

[auth]
kind = "bearer"
env = "POST_TOKEN"

[[request]]
name = "send"
path = "/notifications"
body = '{{"userId":"u-{{{{rand 50}}}}","channel":"EMAIL","type":"TRANSACTIONAL","priority":"MEDIUM","payload":{{"to":"a@example.com","subject":"s","body":"b"}},"correlationId":"{{{{id}}}}"}}'
success = [200, 201]
acknowledged = [201]

[[flow]]
topic = "notifications"
group = "notification-workers"

[ledger]
stored = "SELECT correlation_id FROM notifications WHERE starts_with(correlation_id, $1)"
final = "SELECT correlation_id FROM notifications WHERE starts_with(correlation_id, $1) AND status IN ('DELIVERED', 'SENT', 'FAILED')"

[postgres]
url = "postgres://nsys:{password}@127.0.0.1:{postgres}/notifications"

[kafka]
brokers = "127.0.0.1:{kafka}"
"#,
        api = 3_000 + place.offset,
        password = place.secret("postgres"),
        postgres = 5_432 + place.offset,
        kafka = 9_092 + place.offset,
    );
    let path = place.dir.path().join("post.toml");
    std::fs::write(&path, toml).expect("a profile");
    let profile = path.to_string_lossy().into_owned();
    let run = |args: &[&str]| {
        let mut command = place.command(&[args, &["--profile", &profile]].concat());
        command.env("POST_TOKEN", &token).output().expect("nsys starts")
    };
    let checked = run(&["profile", "check"]);
    assert!(checked.status.success(), "{}", text(&checked));
    for engine in ["native", "k6"] {
        let offered = ["loadtest", "incremental", "-q", "--yes", "--engine", engine, "--rates", "50/s:6s"];
        let output = run(&offered);
        let shown = run(&["loadtest", "show", "-o", "json"]);
        let run: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("a run");
        let (level, told) = (&run["levels"][0], text(&output));
        let found = &level["reconciliation"];
        let count = |name: &str| {
            found[name].as_u64().unwrap_or_else(|| panic!("{engine}: no {name}: {found}\n{told}"))
        };
        let id = run["id"].as_str().expect("an id");
        let rows = sql(
            place,
            &format!("SELECT count(*) FROM notifications WHERE starts_with(correlation_id, '{id}')"),
        );
        assert_eq!(count("stored").to_string(), rows, "{engine}: {found}");
        let acknowledged = count("acknowledged");
        assert!(acknowledged > 200, "{engine}: {found}\n{told}");
        assert_eq!(
            (count("acknowledged_stored"), count("final")),
            (acknowledged, acknowledged),
            "{engine}: {found}"
        );
        assert!(
            level["kafka"]["lag_max"].is_u64() && level["kafka"]["lag_end"].is_u64(),
            "{}",
            level["kafka"]
        );
        assert!(level["kafka"]["drain_s"].is_number(), "{engine}: {}", level["kafka"]);
        assert!(level["db"]["connections_max"].as_u64() > Some(0), "{}", level["db"]);
        assert!(level["service"]["cpu_pct"].is_null() && level["cache"]["memory_mb"].is_null(), "{engine}");
        let checks = level["checks"].as_array().expect("checks");
        let status =
            |metric: &str| checks.iter().find(|one| one["metric"] == metric).map(|one| &one["status"]);
        assert_eq!(status("acknowledged_not_stored"), Some(&"pass".into()), "{engine}: {checks:?}");
        assert_eq!(status("service_cpu_pct"), Some(&"skipped".into()), "{engine}");
    }
    a_lost_row_is_named(place, &run);
}

/// What the ledger does not give and was acknowledged is lost, by its id: rows go while they are counted.
fn a_lost_row_is_named(place: &Place, run: &dyn Fn(&[&str]) -> std::process::Output) {
    let path = place.dir.path().join("post.toml");
    let toml = std::fs::read_to_string(&path).expect("the profile");
    // A ledger that does not know one id of ten.
    let blind = toml.replace(
        "WHERE starts_with(correlation_id, $1)\"",
        "WHERE starts_with(correlation_id, $1) AND correlation_id NOT LIKE '%-7'\"",
    );
    assert_ne!(blind, toml);
    std::fs::write(&path, blind).expect("a profile");
    let offered = ["loadtest", "incremental", "-q", "--yes", "--engine", "native", "--rates", "50/s:4s"];
    let output = run(&offered);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(10), "{said}");
    let shown = run(&["loadtest", "show", "-o", "json"]);
    let run: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("a run");
    let lost = run["levels"][0]["reconciliation"]["lost"].as_array().expect("lost ids").clone();
    assert!(
        !lost.is_empty() && lost.iter().all(|id| id.as_str().is_some_and(|id| id.ends_with("-7"))),
        "{lost:?}"
    );
}
