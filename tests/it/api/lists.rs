//! Lists among many tenants: what a page costs does not depend on the others, and lists that take long, or that
//! nobody waits for any more, take nothing from anybody.

use super::client::Api;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, Row};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Rows beside those of the largest tenant; every two-hundredth is of the one that is looked at.
const OTHERS: i64 = 240_000;
/// Rows of the tenant that has the most.
const LARGE: i64 = 60_000;
/// Rows that a page looks at where it sorts them out.
const WALKED: i64 = 20_000;
/// Blocks of a page of a list. A scan of the table reads ten times as many.
const PAGE_BLOCKS: i64 = 400;
/// Blocks of a page for which all of the tenant's rows are looked at.
const TENANT_BLOCKS: i64 = 2_000;

async fn fill(database: &mut PgConnection) {
    let notifications = format!(
        "INSERT INTO notifications (id, user_id, tenant_id, channel, type, priority, status, payload, correlation_id,
             created_at, updated_at, sent_at, event_id)
         SELECT gen_random_uuid(), 'user-' || n % 40, CASE WHEN n % 200 = 0 THEN 'list-own' WHEN n % 5 = 1 THEN 'list-large'
                 ELSE 'list-' || n % 97 END,
             'IN_APP', 'SYSTEM', 'MEDIUM', CASE WHEN n % 10000 = 1 THEN 'FAILED' ELSE 'DELIVERED' END,
             '{{\"title\": \"a list among many\", \"text\": \"as long as such texts are, which is not very long\"}}'::jsonb,
             'cause-' || n / 20, now() - make_interval(secs => n), now(), now(), nextval('events_id_seq')
         FROM generate_series(1, {}) AS n",
        OTHERS + LARGE
    );
    let others = [
        notifications.as_str(),
        "INSERT INTO dead_letters (tenant_id, user_id, channel, reason, error, raw, published_at)
         SELECT 'list-' || n % 97, 'u', 'EMAIL', 'exhausted', 'no', decode(repeat('00', 200), 'hex'), now()
         FROM generate_series(1, 60000) AS n",
        "INSERT INTO dead_letters (tenant_id, user_id, channel, reason, error, raw, published_at)
         SELECT 'list-own', 'u', 'EMAIL', 'exhausted', 'no', '', now() FROM generate_series(1, 10)",
        "INSERT INTO audit_log (actor_id, actor, tenant_id, action, target)
         SELECT 'a', 'a', 'list-' || n % 97, 'user.update', 'somebody with a name that is long' FROM generate_series(1, 60000) AS n",
        "INSERT INTO users (id, email, name, password_hash, tenant_id)
         SELECT gen_random_uuid(), 'listed-' || n || '@example.com', 'Somebody', 'no hash of any password at all', 'list-' || n % 97
         FROM generate_series(1, 30000) AS n",
        "INSERT INTO api_keys (id, name, hash, role, tenant_id, created_by)
         SELECT 'listed-' || n, 'somebody', decode(repeat('00', 32), 'hex'), 'USER', 'list-' || n % 97, 'nobody'
         FROM generate_series(1, 30000) AS n",
        "VACUUM ANALYZE notifications",
        "VACUUM ANALYZE dead_letters",
        "VACUUM ANALYZE audit_log",
        "VACUUM ANALYZE users",
        "VACUUM ANALYZE api_keys",
    ];
    for sql in others {
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut *database).await;
        done.unwrap_or_else(|cause| panic!("{sql}: {cause}"));
    }
}

/// The blocks that the service's statements on a table have touched since the last call.
async fn blocks(database: &mut PgConnection, table: &str) -> i64 {
    let row = sqlx::query(
        "SELECT coalesce(sum(shared_blks_hit + shared_blks_read), 0)::int8 AS blocks FROM pg_stat_statements
         WHERE query ~ $1 AND query !~ '^(INSERT|UPDATE|DELETE|VACUUM)|next_attempt_at|pg_stat_statements'",
    )
    .bind(format!("FROM {table}( |$)"))
    .fetch_one(&mut *database)
    .await
    .expect("statements");
    sqlx::query("SELECT pg_stat_statements_reset()").execute(&mut *database).await.expect("a reset");
    row.get("blocks")
}

pub(super) async fn a_page_costs_the_same_whatever_others_have_stored(api: &Api) {
    let mut database = PgConnection::connect(&api.postgres).await.expect("the database");
    fill(&mut database).await;
    let operator = api.account("OPERATOR", "list-own").await;
    let (own, admin) = (operator.as_str(), api.admin.as_str());
    let routes = [
        ("notifications", own, "/notifications?limit=50", PAGE_BLOCKS),
        ("notifications", own, "/notifications?userId=user-0&limit=50", PAGE_BLOCKS),
        ("notifications", own, "/notifications?userId=nobody", PAGE_BLOCKS),
        ("notifications", own, "/notifications?correlationId=nothing", PAGE_BLOCKS),
        ("notifications", own, "/notifications?correlationId=cause-10", PAGE_BLOCKS),
        ("notifications", own, "/notifications?from=2100-01-01T00:00:00Z", PAGE_BLOCKS),
        ("notifications", own, "/notifications?to=2000-01-01T00:00:00Z", PAGE_BLOCKS),
        ("notifications", own, "/notifications?status=FAILED", TENANT_BLOCKS),
        ("notifications", own, "/notifications?channel=SMS&type=MARKETING&priority=LOW", TENANT_BLOCKS),
        ("notifications", own, "/notifications?skip=1000", TENANT_BLOCKS),
        ("notifications", own, "/notifications/export", TENANT_BLOCKS),
        ("notifications", own, "/notifications/export?status=FAILED", TENANT_BLOCKS),
        ("notifications", admin, "/notifications?tenantId=list-own", PAGE_BLOCKS),
        ("notifications", admin, "/notifications", 12 * PAGE_BLOCKS),
        ("dead_letters", own, "/dlq", PAGE_BLOCKS),
        ("dead_letters", own, "/dlq?redriven=true&reason=no", PAGE_BLOCKS),
        ("audit_log", own, "/admin/audit", PAGE_BLOCKS),
        ("audit_log", own, "/admin/audit?action=nothing", PAGE_BLOCKS),
        ("api_keys k", own, "/admin/api-keys", PAGE_BLOCKS),
        ("users", admin, "/admin/users?tenantId=list-own", PAGE_BLOCKS),
    ];
    let mut wrong = Vec::new();
    for (table, token, path, most) in routes {
        blocks(&mut database, table).await;
        let answer = api.request(Method::GET, path).bearer_auth(token).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        answer.bytes().await.expect("a whole answer");
        let touched = blocks(&mut database, table).await;
        if touched == 0 || touched > most {
            wrong.push(format!("{path} touched {touched} blocks, at most {most}"));
        }
    }
    let dry_run = json!({"dry_run": true});
    let counted = api.call(Method::POST, "/dlq/redrive", Some(own), Some(&dry_run)).await.expect(200);
    assert_eq!(counted["matched"], 10);
    let touched = blocks(&mut database, "dead_letters").await;
    assert!(wrong.is_empty() && touched <= PAGE_BLOCKS, "{touched} for a count; {wrong:#?}");
    pages_of_a_rare_status_end_early_and_go_on(api).await;
    skipping_is_bounded(api, own).await;
    an_export_has_every_row(api, own).await;
}

/// The page's data and the cursor of the next.
async fn page(api: &Api, token: &str, path: &str) -> (Vec<Value>, Option<String>) {
    let mut page = api.call(Method::GET, path, Some(token), None).await.expect(200);
    let cursor = page["next_cursor"].as_str().map(str::to_owned);
    assert_eq!(page["has_more"], cursor.is_some(), "{path}");
    let Value::Array(data) = page["data"].take() else { panic!("{path} has no data") };
    (data, cursor)
}

async fn pages_of_a_rare_status_end_early_and_go_on(api: &Api) {
    let token = api.account("USER", "list-large").await;
    for (filter, wanted) in [("status=FAILED", (OTHERS + LARGE) / 10_000), ("channel=SMS", 0)] {
        let (mut found, mut pages, mut next) = (BTreeSet::new(), 0, Some(String::new()));
        while let Some(cursor) = next {
            let path = format!("/notifications?{filter}&limit=4{cursor}");
            let (data, cursor) = page(api, &token, &path).await;
            for one in data {
                assert!(found.insert(one["id"].to_string()), "{filter}: {one} came twice");
            }
            pages += 1;
            next = cursor.map(|cursor| format!("&cursor={cursor}"));
        }
        assert_eq!(i64::try_from(found.len()).unwrap(), wanted, "{filter}");
        assert!(pages > LARGE / WALKED, "{filter}: {pages} pages for {LARGE} rows");
    }
}

async fn skipping_is_bounded(api: &Api, token: &str) {
    let (first, _) = page(api, token, "/notifications?limit=11").await;
    let (later, _) = page(api, token, "/notifications?limit=1&skip=10").await;
    assert_eq!(first[10]["id"], later[0]["id"]);
    let (sifted, _) = page(api, token, "/notifications?limit=1&skip=10&status=DELIVERED").await;
    assert_eq!(first[10]["id"], sifted[0]["id"]);
    let deep = api.call(Method::GET, "/notifications?skip=4000000000", Some(token), None).await.expect(400);
    assert!(deep["detail"].as_str().expect("a detail").contains("cursor"), "{deep}");
}

async fn an_export_has_every_row(api: &Api, token: &str) {
    let text = async |path: &str| {
        let answer = api.request(Method::GET, path).bearer_auth(token).send().await.expect("an answer");
        answer.text().await.expect("a whole body")
    };
    let lines = text("/notifications/export").await;
    let ids: BTreeSet<_> = lines.lines().map(|line| line[..44].to_owned()).collect();
    // Every two-hundredth of the rows, as `fill` deals them.
    assert_eq!((ids.len(), lines.lines().count()), ((OTHERS + LARGE) as usize / 200, ids.len()));
    assert_eq!(text("/notifications/export?status=CANCELLED").await, "");
    assert_eq!(text("/notifications/export?userId=user-0").await.lines().count() % 2, 0);
}

/// How many of the service's lists wait for the table.
async fn waiting(database: &mut PgConnection) -> i64 {
    let row = sqlx::query(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'notification-service' AND state = 'active'
             AND wait_event_type = 'Lock' AND query LIKE 'SELECT id, user_id, tenant_id, channel%ORDER BY%'",
    );
    row.fetch_one(database).await.expect("activity").get(0)
}

/// Sessions that the server ended by itself, as it does when it finds that a client is gone. A statement
/// that takes too long ends no session.
async fn ended(database: &mut PgConnection) -> i64 {
    let sql =
        "SELECT sessions_abandoned + sessions_fatal FROM pg_stat_database WHERE datname = current_database()";
    sqlx::query(sql).fetch_one(database).await.expect("statistics").get(0)
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(super) async fn lists_that_take_long_hold_up_nobody(api: &Api) {
    let mut database = PgConnection::connect(&api.postgres).await.expect("the database");
    let (slow, other) = (api.account("USER", "list-slow").await, api.account("OPERATOR", "list-other").await);
    let mut holder = PgConnection::connect(&api.postgres).await.expect("the database");
    let mut held = holder.begin().await.expect("a transaction");
    sqlx::raw_sql("LOCK TABLE notifications IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *held)
        .await
        .expect("the lock");
    let before = ended(&mut database).await;
    let mut lists = tokio::task::JoinSet::new();
    for _ in 0..12 {
        lists.spawn(api.request(Method::GET, "/notifications").bearer_auth(&slow).send());
    }
    until("no list waits", async || waiting(&mut database).await > 0).await;
    // Of ten connections five are for lists, and of these one tenant gets three.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let taken = waiting(&mut database).await;
    assert!(taken <= 3, "one tenant's lists hold {taken} connections");
    assert!(!api.admin_token().await.is_empty(), "nobody can sign in");
    api.call(Method::GET, "/health/database", None, None).await.expect(200);
    api.call(Method::GET, "/templates", Some(&other), None).await.expect(200);
    api.call(Method::GET, "/admin/audit", Some(&other), None).await.expect(200);

    // Their clients go away: so do their statements, although the table is locked still.
    lists.shutdown().await;
    until("abandoned lists go on", async || waiting(&mut database).await == 0).await;
    until("they ended for another reason", async || ended(&mut database).await - before >= taken).await;
    held.rollback().await.expect("the lock is given back");
    api.call(Method::GET, "/notifications", Some(&slow), None).await.expect(200);
}
