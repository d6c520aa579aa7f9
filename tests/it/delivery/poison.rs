//! What cannot be read back from the table: it is a dead letter by itself, and nobody waits for it.

use crate::client::Client;
use serde_json::json;

/// A row as an earlier version of the service, or somebody by hand, may have left it: PostgreSQL takes the
/// number, and writes it out with more digits than any reader has.
const POISON: &str = "INSERT INTO notifications (id, user_id, tenant_id, channel, type, priority, status, payload,
        next_attempt_at, created_at, updated_at)
    SELECT ('00000000-0000-4000-8000-00000000b' || lpad(n::text, 3, '0'))::uuid, 'poisoner', 'acme', 'EMAIL', 'SYSTEM',
        'LOW', 'SCHEDULED', '{\"to\": \"a@example.org\", \"n\": 1.7976931348623157e308}', date_trunc('second', now()) + interval '3 s',
        now(), now() FROM generate_series(1, 3) AS n";

/// The same of healthy ones, of another tenant, due in the same moment; and of one whose priority this
/// version does not know.
const HEALTHY: &str = "INSERT INTO notifications (id, user_id, tenant_id, channel, type, priority, status, payload,
        next_attempt_at, created_at, updated_at)
    SELECT ('00000000-0000-4000-8000-00000000c' || lpad(n::text, 3, '0'))::uuid, 'healthy-' || n, 'globex', 'EMAIL',
        'SYSTEM', CASE n WHEN 0 THEN 'SOMEDAY' ELSE 'LOW' END, 'SCHEDULED', '{\"to\": \"b@example.org\"}',
        date_trunc('second', now()) + interval '3 s', now(), now() FROM generate_series(0, 10) AS n";

pub(super) async fn a_row_that_cannot_be_read_is_its_own_dead_letter(client: &Client) {
    client.execute(&format!("{POISON}; {HEALTHY}")).await;
    let sent = "SELECT count(*) FROM notifications WHERE tenant_id = 'globex' AND user_id LIKE 'healthy-%' AND status = 'SENT'";
    client.until(sent, "10").await;
    let failed =
        "SELECT count(*) FROM notifications WHERE user_id IN ('poisoner', 'healthy-0') AND status = 'FAILED'
        AND next_attempt_at IS NULL AND error_message LIKE 'it cannot be read: %'";
    client.until(failed, "4").await;
    let letters = "SELECT count(*) FROM dead_letters WHERE user_id IN ('poisoner', 'healthy-0')
        AND reason = 'undecodable' AND notification_id IS NOT NULL AND convert_from(raw, 'UTF8')::jsonb ? 'userId'";
    assert_eq!(client.ask(letters).await, "4");
    client.until(&letters.replace("reason =", "published_at IS NOT NULL AND reason ="), "4").await;
    // Sent again it is found again, and nothing else happens.
    let filter = json!({"filter": {"tenantId": "acme", "reason": "undecodable"}});
    assert_eq!(client.post("/dlq/redrive", &filter).await.unwrap().body["done"], 3);
    let again = "SELECT count(*) FROM dead_letters WHERE user_id = 'poisoner' AND redriven_at IS NULL";
    client.until(again, "3").await;

    // A template by hand, a row with a status of another version, and an inbox message with such a number.
    client
        .execute(
            "INSERT INTO templates (tenant_id, id, channel, payload) VALUES ('acme', 'poison', 'EMAIL', '{\"n\": 1.7976931348623157e308}'),
                 ('acme', 'sound', 'EMAIL', '{\"subject\": \"s\"}');
             UPDATE notifications SET status = 'SOMEWHERE' WHERE user_id = 'healthy-1';
             INSERT INTO notifications (id, user_id, tenant_id, channel, type, priority, status, payload, created_at,
                 updated_at, sent_at, event_id) VALUES ('00000000-0000-4000-8000-00000000d001', 'poisoner', 'acme',
                 'IN_APP', 'SYSTEM', 'LOW', 'DELIVERED', '{\"title\": \"t\", \"n\": 1.7976931348623157e308}', now(), now(), now(),
                 nextval('events_id_seq'))",
        )
        .await;
    let get = async |path: &str| client.get(path).await.unwrap();
    let templates = get("/templates?tenantId=acme").await;
    assert_eq!((templates.status, &templates.body["data"][0]["id"]), (200, &json!("sound")), "{templates:?}");
    assert_eq!(templates.body["unreadable"][0]["id"], "poison", "{templates:?}");
    assert_eq!(get("/templates").await.status, 200);
    let one = get("/templates/poison?tenantId=acme").await;
    assert!(
        one.status == 409 && one.body["detail"].as_str().unwrap().contains("replace or delete it"),
        "{one:?}"
    );
    let from_it = json!({"userId": "u", "tenantId": "acme", "channel": "EMAIL", "type": "SYSTEM",
        "payload": {"to": "a@example.org"}, "templateId": "poison"});
    let answer = client.post("/notifications", &from_it).await.unwrap();
    assert_eq!(
        (answer.status, &answer.body["errors"][0]["pointer"]),
        (422, &json!("/templateId")),
        "{answer:?}"
    );

    let listed = get("/notifications?tenantId=globex&limit=200").await;
    assert_eq!((listed.status, listed.body["data"].as_array().unwrap().len()), (200, 9), "{listed:?}");
    assert_eq!(listed.body["unreadable"].as_array().unwrap().len(), 2, "{listed:?}");
    let (mut cursor, mut pages, mut seen) = (String::new(), 0, 0);
    while pages < 20 {
        let page = get(&format!("/notifications?tenantId=globex&limit=1{cursor}")).await;
        assert_eq!(page.status, 200, "{page:?}");
        let count = |field: &str| page.body[field].as_array().map_or(0, Vec::len);
        (pages, seen) = (pages + 1, seen + count("data") + count("unreadable"));
        let Some(next) = page.body["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!((pages, seen), (11, 11), "pages go on behind what cannot be read");
    let letters = get("/dlq?tenantId=acme").await;
    assert_eq!((letters.status, letters.body["data"].as_array().unwrap().len()), (200, 3), "{letters:?}");
    for format in ["ndjson", "csv"] {
        let export = client.text(&format!("/notifications/export?tenantId=globex&format={format}")).await;
        let told = if format == "csv" { "UNREADABLE: " } else { r#"{"unreadable":{"# };
        let told = export.lines().filter(|line| line.contains(told)).count();
        assert_eq!((export.lines().count() - usize::from(format == "csv"), told), (11, 2), "{export}");
    }
    let first = client.first_event("/notifications/events?tenantId=acme&channel=IN_APP", "0").await;
    assert!(first.contains("17976931348623157000000") && first.contains("\"title\": \"t\""), "{first}");
}

/// What is large goes by pieces, and what is too large is left out: neither stops what stands behind it.
pub(super) async fn what_is_large_goes_by_pieces(client: &Client) {
    // More than one claim brings, and more than one page of a list.
    client
        .execute(
            "INSERT INTO notifications (id, user_id, tenant_id, channel, type, priority, status, payload, next_attempt_at,
                 created_at, updated_at)
             SELECT ('00000000-0000-4000-8000-00000000e' || lpad(n::text, 3, '0'))::uuid, 'large-' || n, 'large', 'EMAIL',
                 'SYSTEM', 'LOW', 'SCHEDULED', jsonb_build_object('to', 'c@example.org', 'body', repeat('x', 60000)),
                 now(), now(), now() FROM generate_series(1, 60) AS n;
             INSERT INTO templates (tenant_id, id, channel, payload)
             SELECT 'large', 'page-' || lpad(n::text, 3, '0'), 'EMAIL', jsonb_build_object('body', repeat('x', 60000))
             FROM generate_series(1, 150) AS n;
             INSERT INTO notifications (id, user_id, tenant_id, channel, type, priority, status, payload, next_attempt_at,
                 created_at, updated_at)
             SELECT '00000000-0000-4000-8000-00000000f001', 'huge', 'large', 'EMAIL', 'SYSTEM', 'LOW', 'SCHEDULED',
                 jsonb_build_object('to', 'c@example.org', 'body', repeat('x', 5000000)), now() - interval '1 h', now(), now();
             INSERT INTO dead_letters (tenant_id, reason, error, raw)
             SELECT 'large', 'permanent', 'by hand', convert_to(repeat('x', bytes), 'UTF8')
             FROM (VALUES (2000000), (999990), (10)) AS sizes(bytes)",
        )
        .await;
    let count = |what: &str| format!("SELECT count(*) FROM {what}");
    client.until(&count("notifications WHERE tenant_id = 'large' AND status = 'SENT'"), "60").await;
    let huge = "notifications WHERE user_id = 'huge' AND status = 'FAILED' AND error_message LIKE '%bytes are more than%'";
    client.until(&count(huge), "1").await;
    let published = "dead_letters WHERE tenant_id = 'large' AND published_at IS NOT NULL";
    client.until(&count(published), "4").await;
    client.execute("UPDATE dead_letters SET redrive_at = now() WHERE tenant_id = 'large' AND error = 'by hand' AND octet_length(raw) <> 999990").await;
    let back = "dead_letters WHERE tenant_id = 'large' AND error = 'by hand' AND redriven_at IS NOT NULL";
    client.until(&count(back), "1").await;
    let kept = "dead_letters WHERE tenant_id = 'large' AND redrive_at IS NULL AND redriven_at IS NULL";
    client.until(&count(kept), "3").await;

    let (mut cursor, mut names, mut pages) = (String::new(), std::collections::BTreeSet::new(), 0);
    loop {
        let page = client.get(&format!("/templates?tenantId=large{cursor}")).await.unwrap();
        assert!(page.status == 200 && page.body.to_string().len() < 5_000_000, "{}", page.status);
        let data = page.body["data"].as_array().unwrap().iter();
        names.extend(data.map(|one| one["id"].to_string()));
        pages += 1;
        let Some(next) = page.body["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert!(names.len() == 150 && (2..5).contains(&pages), "{} in {pages}", names.len());
}
