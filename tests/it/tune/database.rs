//! `nsys db` and suggestions: looks with deltas, indexes that the statements ask for, a new start.

use super::*;

pub(super) fn looks_with_deltas(place: &Place) {
    place.ok(&["db", "snapshot", "before"]);
    assert!(refused(place, &["db", "snapshot", "before"], 4).contains("already"));
    for _ in 0..5 {
        sql(place, "SELECT count(*) AS marked_by_test FROM notifications WHERE correlation_id = 'c7'");
    }
    let slow = place.json(&["db", "slow", "--since", "before", "--limit", "100"]);
    let marked =
        slow.as_array().unwrap().iter().find(|one| one["query"].as_str().unwrap().contains("marked_by_test"));
    assert_eq!(marked.unwrap()["calls"], 5, "{slow}");
    assert!(refused(place, &["db", "slow", "--since", "never"], 2).contains("before"));
    let sizes = place.json(&["db", "size", "--since", "latest"]);
    let table = sizes.as_array().unwrap().iter().find(|one| one["table"] == "notifications").unwrap();
    assert!(table["bloat_bytes"].is_i64() && table["grown_bytes"].is_i64(), "{table}");
    let status = place.json(&["db", "status"]);
    assert!(status["migrations"].as_array().unwrap().iter().all(|one| one["state"] == "applied"), "{status}");
    assert!(place.ok(&["db", "migrate", "--yes"]).contains("nothing to do"));

    let exported =
        place.run(&["metrics", "export", "throughput", "--start", "1m", "--step", "5s", "-o", "csv"]);
    let csv = String::from_utf8_lossy(&exported.stdout);
    assert!(csv.starts_with("time,name,labels,value\n"), "{}", text(&exported));
    assert_eq!(place.run(&["ps", "-o", "csv"]).status.code(), Some(2));
}

pub(super) fn suggests_what_the_statements_ask_for(place: &Place) {
    sql(place, "ANALYZE notifications; SELECT pg_stat_statements_reset()");
    for user in 0..5 {
        sql(
            place,
            &format!(
                "SELECT id FROM notifications WHERE user_id = 'u{user}' AND status = 'DELIVERED' ORDER BY created_at DESC LIMIT 20"
            ),
        );
    }
    let plan = place.json(&["tune", "db", "--suggest", "--dry-run"]);
    let builds: Vec<_> =
        plan["steps"].as_array().unwrap().iter().filter_map(|step| step["exact"].as_str()).collect();
    let wanted = "CREATE INDEX CONCURRENTLY \"idx_notifications_user_id";
    let guide = "CREATE INDEX CONCURRENTLY \"idx_notifications_user_status_created\"";
    assert!(builds.iter().any(|sql| sql.starts_with(wanted) || sql.starts_with(guide)), "{plan}");
    let first = schema(place);
    let said = place.ok(&["tune", "db", "--suggest", "--yes"]);
    assert!(said.contains("Index Scan"), "no proof: {said}");
    assert_eq!(
        sql(place, "SELECT count(*) FROM pg_extension WHERE extname = 'hypopg'"),
        "0",
        "the extension stayed"
    );
    assert!(place.ok(&["tune", "db", "--suggest", "--yes"]).contains("nothing to do"));
    place.ok(&["undo", "--yes"]);
    assert_eq!(schema(place), first);
}

/// Names with capitals and tables of other schemas are seen, and built as they are spelled; what nobody used
/// is dropped only when that is known for long enough.
pub(super) fn knows_every_table_by_its_name(place: &Place) {
    sql(
        place,
        "CREATE SCHEMA shop; CREATE TABLE shop.\"UserEvents\" (id bigserial PRIMARY KEY, kind text, \"userId\" text);
         INSERT INTO shop.\"UserEvents\" (kind, \"userId\") SELECT md5(i::text), md5((i * 7)::text) FROM generate_series(1, 20000) i;
         ANALYZE shop.\"UserEvents\"; SELECT pg_stat_statements_reset()",
    );
    for number in 0..5 {
        sql(place, &format!("SELECT * FROM shop.\"UserEvents\" WHERE kind = 'k{number}'"));
        sql(place, &format!("SELECT * FROM shop.\"UserEvents\" WHERE \"userId\" = 'u{number}'"));
    }
    let said = place.ok(&["tune", "db", "--suggest", "--yes"]);
    let built = "SELECT string_agg(pg_get_indexdef(indexrelid), ';') FROM pg_index
                 WHERE indrelid = 'shop.\"UserEvents\"'::regclass AND NOT indisprimary";
    let built = sql(place, built);
    assert!(built.contains("(\"userId\")") && built.contains("(kind)"), "{built}: {said}");
    let listed = place.ok(&["db", "indexes"]);
    assert!(listed.contains("shop.\"UserEvents\""), "{listed}");

    // Seconds old, and of the schema itself: nothing goes, and it is said why.
    sql(place, "CREATE INDEX by_hand ON notifications (channel)");
    let plan = place.json(&["tune", "db", "--drop-unused", "--dry-run"]);
    assert_eq!(plan["steps"].as_array().unwrap().len(), 0, "{plan}");
    assert!(plan["notes"].to_string().contains("by_hand stays: its use is known for 0 of 168 h"), "{plan}");
    let plan = place.json(&["tune", "db", "--drop-unused", "--unused-for", "0s", "--dry-run"]);
    assert!(plan["steps"].to_string().contains("by_hand"), "{plan}");
    assert!(!plan["steps"].to_string().contains("created_at_brin"), "the schema's own index: {plan}");
    place.ok(&["undo", "--yes"]);
    sql(place, "DROP INDEX by_hand; DROP SCHEMA shop CASCADE");
}

pub(super) fn resets(place: &Place) {
    let holder = hold(place, "LOCK TABLE notifications IN SHARE MODE");
    assert!(refused(place, &["db", "reset", "--yes"], 4).contains("(holder) holds ShareLock"));
    release(place, holder);
    assert_ne!(sql(place, "SELECT count(*) FROM notifications"), "0");
    place.ok(&["db", "reset", "--yes"]);
    assert_eq!(sql(place, "SELECT count(*) FROM notifications"), "0");
    place.ok(&["send", "--wait"]);
    assert!(refused(place, &["undo", "--yes"], 4).contains("cannot be restored"));
}
