//! What comes too late changes nothing, and what is old goes when it is time.

use super::webhook;
use crate::client::{Client, TIMEOUT};
use crate::sink::HttpSink;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// The answer to the first request is held back until this has a permit.
static HELD: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(0));

/// The answer of the receiver whose first attempt ends late.
pub(super) fn late(before: usize) -> String {
    let deadline = Instant::now() + TIMEOUT;
    while before == 0 && HELD.available_permits() == 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    if before == 0 { "500 Late".to_owned() } else { "204 Fine".to_owned() }
}

/// A worker whose lease ran out while it waited for the receiver; another one has claimed the row meanwhile.
pub(super) async fn a_late_end_changes_nothing(client: &Client, web: &HttpSink) {
    let id = client.notify(webhook(&web.url("/late"))).await;
    let deadline = Instant::now() + TIMEOUT;
    while web.to("/late").is_empty() {
        assert!(Instant::now() < deadline, "it is never tried");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let claim = |due: &str| {
        format!("UPDATE notifications SET claims = claims + 1, next_attempt_at = {due} WHERE id = '{id}'")
    };
    client.execute(&claim("now() + interval '1 hour'")).await;
    HELD.add_permits(1);
    // The first worker has time to say that it failed.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let row = format!("SELECT status || ' ' || retry_count FROM notifications WHERE id = '{id}'");
    assert_eq!(client.ask(&row).await, "PROCESSING 0", "the row is another worker's");
    client.execute(&claim("now()")).await;
    client.until_status(&id, "SENT").await;
    assert_eq!(web.to("/late").len(), 2);
    let history = format!(
        "SELECT string_agg(status, ' ' ORDER BY created_at, id) FROM notification_events WHERE notification_id = '{id}'"
    );
    assert_eq!(client.ask(&history).await, "PENDING SENT");
}

/// Retention counts from the ending: what was accepted long before its time is kept as long as any other.
pub(super) async fn what_ended_lately_is_kept(client: &Client) {
    let row = |user: &str, ended: &str| {
        format!(
            "INSERT INTO notifications (id, user_id, channel, type, priority, status, payload, created_at, updated_at)
             VALUES (gen_random_uuid(), '{user}', 'IN_APP', 'SYSTEM', 'LOW', 'DELIVERED', '{{}}',
                 now() - interval '200 days', now() - interval '{ended}')"
        )
    };
    client.execute(&row("retention-late", "1 day")).await;
    client.execute(&row("retention-old", "100 days")).await;
    client.execute("UPDATE jobs SET next_run_at = now() WHERE name = 'retention'").await;
    let left = "SELECT string_agg(user_id, ' ') FROM notifications WHERE user_id LIKE 'retention-%'";
    client.until(left, "retention-late").await;
}
