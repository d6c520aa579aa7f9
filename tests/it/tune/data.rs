//! Accounts, tokens and single notifications.

use super::*;

pub(super) fn accounts_and_notifications(place: &Place) {
    let sent = place.json(&["send", "--channel", "email", "--wait", "--idempotency-key", "test-1"]);
    assert_eq!(sent["status"], "DELIVERED", "{sent}");
    let again = place.json(&["send", "--channel", "email", "--idempotency-key", "test-1"]);
    assert_eq!(
        (again["id"].clone(), again["duplicate"].as_bool()),
        (sent["id"].clone(), Some(true)),
        "{again}"
    );
    let said = refused(place, &["send", "--payload", "{}"], 2);
    assert!(said.contains("/payload"), "{said}");

    let token = ok(place, &["token"]);
    assert!(token.lines().any(|line| line.split('.').count() == 3), "{token}");
    assert!(refused(place, &["token", "--user", "nobody@example.com"], 4).contains("password"));
}
