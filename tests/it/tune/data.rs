//! Accounts, tokens and single notifications.

use super::*;

pub(super) fn accounts_and_notifications(place: &Place) {
    let sent = place.json(&["send", "--channel", "email", "--wait", "--idempotency-key", "test-1"]);
    assert!(matches!(sent["status"].as_str(), Some("SENT" | "DELIVERED")), "{sent}");
    let again = place.json(&["send", "--channel", "email", "--idempotency-key", "test-1"]);
    assert_eq!(
        (again["id"].clone(), again["duplicate"].as_bool()),
        (sent["id"].clone(), Some(true)),
        "{again}"
    );
    let traced = place.json(&["trace"]);
    let stations: Vec<_> = traced["stations"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert!(stations.contains(&&serde_json::json!("attempted")), "the only attempt is not told: {traced}");
    let said = refused(place, &["send", "--payload", "{}"], 2);
    assert!(said.contains("/payload"), "{said}");

    let token = place.ok(&["token"]);
    assert!(token.lines().any(|line| line.split('.').count() == 3), "{token}");
    assert!(refused(place, &["token", "--user", "nobody@example.com"], 4).contains("password"));

    let add = ["user", "add", "ops@example.com", "--role", "operator", "--yes"];
    place.ok(&add);
    assert!(place.ok(&add).contains("there already"));
    place.ok(&["token", "--user", "ops@example.com"]);
    place.ok(&["user", "role", "ops@example.com", "user", "--yes"]);
    let role = || {
        let users = place.json(&["user", "list"]);
        let found = users.as_array().unwrap().iter().find(|one| one["email"] == "ops@example.com").cloned();
        found.unwrap()
    };
    assert_eq!(role()["role"], "USER");
    place.ok(&["undo", "--yes"]);
    assert_eq!(role()["role"], "OPERATOR");
    // A name is a stranger's text: it makes no row and sends nothing to the terminal.
    sql(
        place,
        "UPDATE users SET name = E'a\\nroot@example.com  ADMIN\\x1b]0;owned\\x07' WHERE email = 'ops@example.com'",
    );
    let list = place.ok(&["user", "list"]);
    assert!(!list.lines().any(|line| line.starts_with("root@")), "{list}");
    assert!(
        !list.contains('\u{1b}') && list.contains("a\\nroot@example.com  ADMIN\\u{1b}]0;owned"),
        "{list}"
    );
    place.ok(&["undo", "--yes"]);
    assert!(role()["disabledAt"].is_string(), "an account that was taken back may still sign in: {}", role());
    assert!(
        refused(place, &["user", "role", "nobody@example.com", "admin"], 2).contains("nobody@example.com")
    );

    let exported = place.run(&["export", "notifications", "-o", "csv"]);
    assert!(exported.status.success(), "{}", text(&exported));
    let lines = String::from_utf8_lossy(&exported.stdout).lines().count();
    let rows: usize = sql(place, "SELECT count(*) FROM notifications").parse().unwrap();
    assert_eq!(lines, rows + 1, "a head line and one line a notification");
    dead_letters(place);
}

/// A message that nobody can read becomes a dead letter, is shown, and is deleted only for good.
fn dead_letters(place: &Place) {
    let producer: rdkafka::producer::BaseProducer = client(place).create().unwrap();
    let record = rdkafka::producer::BaseRecord::<str, str>::to("notifications").payload("not JSON").key("k");
    producer.send(record).unwrap();
    rdkafka::producer::Producer::flush(&producer, Duration::from_secs(20)).unwrap();
    let list = || place.json(&["dlq", "list", "--reason", "undecodable"]);
    wait(|| list().as_array().is_some_and(|all| all.len() == 1), "the message is no dead letter");
    let id = list()[0]["id"].as_i64().unwrap().to_string();
    assert!(place.ok(&["dlq", "show", &id]).contains("undecodable"));
    assert!(
        place.ok(&["dlq", "redrive", "--reason", "exhausted", "--yes"]).contains("no dead letter matches")
    );
    assert!(place.ok(&["dlq", "purge", "--dry-run"]).contains("cannot be undone"));
    assert_eq!(list().as_array().unwrap().len(), 1);
    place.ok(&["dlq", "purge", "--reason", "undecodable", "--yes"]);
    assert_eq!(list().as_array().unwrap().len(), 0);
    assert!(refused(place, &["undo", "--yes"], 4).contains("cannot be restored"));
}
