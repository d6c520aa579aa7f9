//! Credentials: API keys, rates, signing keys; and what a read costs.

use super::client::{Api, inbox};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Row;
use std::time::{Duration, Instant};

pub(super) async fn an_api_key_works_until_it_is_revoked(api: &Api) {
    let operator = api.account("OPERATOR", "keys").await;
    let issue =
        async |body: Value| api.call(Method::POST, "/admin/api-keys", Some(&operator), Some(&body)).await;
    issue(json!({"name": "too much", "role": "ADMIN"})).await.expect(403);
    issue(json!({"name": "past", "expiresAt": "2000-01-01T00:00:00Z"})).await.expect(422);
    let issued = issue(json!({"name": "a program"})).await.expect(201);
    let (secret, id) =
        (issued["secret"].as_str().expect("a secret"), issued["key"]["id"].as_str().expect("an id"));
    let sent = api.call(Method::POST, "/notifications", Some(secret), Some(&inbox("keys"))).await.expect(201);
    assert_eq!(sent["tenantId"], "keys");
    let by_header = api.request(Method::GET, "/notifications?userId=keys").header("x-api-key", secret);
    assert_eq!(by_header.send().await.expect("an answer").status().as_u16(), 200);
    api.call(Method::GET, "/dlq", Some(secret), None).await.expect(403);
    let bent = format!("{}0", &secret[..secret.len() - 1]);
    if bent != secret {
        api.call(Method::GET, "/notifications", Some(&bent), None).await.expect(401);
    }
    let list = api.call(Method::GET, "/admin/api-keys", Some(&operator), None).await.expect(200).to_string();
    assert!(list.contains(id) && !list.contains(secret) && !list.contains("hash"), "{list}");
    api.call(Method::DELETE, &format!("/admin/api-keys/{id}"), Some(&operator), None).await.expect(204);
    api.call(Method::GET, "/notifications", Some(secret), None).await.expect(401);
    api.call(Method::DELETE, &format!("/admin/api-keys/{id}"), Some(&operator), None).await.expect(404);

    // A disabled account is out, with the token it has.
    let user = api.account("USER", "keys").await;
    let me = api.call(Method::GET, "/auth/me", Some(&user), None).await.expect(200);
    let path = format!("/admin/users/{}", me["id"].as_str().expect("an id"));
    let set =
        async |body: Value| api.call(Method::PATCH, &path, Some(&api.admin), Some(&body)).await.expect(200);
    set(json!({"disabled": true})).await;
    api.call(Method::GET, "/auth/me", Some(&user), None).await.expect(401);
    set(json!({"disabled": false, "role": "OPERATOR"})).await;
    assert_eq!(api.call(Method::GET, "/auth/me", Some(&user), None).await.expect(200)["role"], "OPERATOR");
    api.call(Method::GET, "/dlq", Some(&user), None).await.expect(200);
}

pub(super) async fn callers_are_held_to_their_rate(api: &Api) {
    let user = api.account("USER", "rates").await;
    let first = api.call(Method::GET, "/auth/me", Some(&user), None).await;
    assert_eq!(first.header("ratelimit-policy"), "\"default\";q=2000;w=2");
    assert!(first.header("ratelimit").starts_with("\"default\";r="), "{:?}", first.headers);
    let items: Vec<_> = (0..1_000).map(|_| inbox("rates")).collect();
    let batch = json!({ "notifications": items });
    let deadline = Instant::now() + Duration::from_secs(60);
    let refused = loop {
        let send = || api.call(Method::POST, "/notifications/batch", Some(&user), Some(&batch));
        let (one, two, three, four) = tokio::join!(send(), send(), send(), send());
        if let Some(refused) = [one, two, three, four].into_iter().find(|answer| answer.status == 429) {
            break refused;
        }
        assert!(Instant::now() < deadline, "4,000 notifications at once were never too many");
    };
    assert!(refused.header("retry-after").parse::<u64>().is_ok_and(|wait| wait >= 1));
    assert!(
        refused.body["type"].as_str().is_some_and(|kind| kind.ends_with("#quota-exceeded")),
        "{}",
        refused.body
    );
    // An exempt caller has no such fields.
    assert_eq!(api.get("/auth/me").await.header("ratelimit"), "");
    let email = format!("{}@example.com", uuid::Uuid::new_v4().simple());
    let guess = json!({"email": email, "password": "guess"});
    // Guesses at one password, all at once: most do not even reach it.
    let guesses = (0..60).map(|_| api.call(Method::POST, "/auth/login", None, Some(&guess)));
    let statuses: Vec<_> =
        futures::future::join_all(guesses).await.into_iter().map(|answer| answer.status).collect();
    assert!(statuses.contains(&429) && !statuses.contains(&200), "{statuses:?}");
    // Another spelling of the same address has no guesses of its own: what passes now was given back by
    // guesses that were shed before their password was looked at.
    let shed = statuses.iter().filter(|status| **status == 503).count();
    let guess =
        json!({"email": email.replace("example", "EXAMPLE").replace(".com", ".COM"), "password": "guess"});
    let mut respelled = Vec::new();
    while respelled.last() != Some(&429) {
        assert!(respelled.len() <= shed, "{statuses:?}, then {respelled:?}");
        respelled.push(api.call(Method::POST, "/auth/login", None, Some(&guess)).await.status);
    }
    let taken = json!({"email": "LoadTest@example.com", "password": "correct horse", "name": "Somebody"});
    let taken = api.call(Method::POST, "/auth/register", None, Some(&taken)).await;
    assert_eq!(taken.status, 403, "{}", taken.body);
}

/// How often statements like this one ran.
async fn calls(pool: &sqlx::PgPool, like: &str) -> i64 {
    let sql = "SELECT coalesce(sum(calls), 0)::bigint AS calls FROM pg_stat_statements WHERE query LIKE $1";
    sqlx::query(sql).bind(like).fetch_one(pool).await.expect("statements").get("calls")
}

pub(super) async fn a_read_costs_one_statement_once(api: &Api) {
    let pool = sqlx::PgPool::connect(&api.postgres).await.expect("the database");
    let (one, list, users) = (
        "SELECT id, user_id, tenant_id, channel%FROM notifications WHERE id = $1",
        // Constants are not kept as they were written.
        "SELECT id, user_id, tenant_id, channel%FROM notifications WHERE % AND user_id = %",
        "SELECT id, email%FROM users WHERE id = %",
    );
    let page = api.get("/notifications?userId=stream-7&limit=2").await.expect(200);
    let id = page["data"][1]["id"].as_str().expect("an id").to_owned();
    let before = (calls(&pool, one).await, calls(&pool, list).await, calls(&pool, users).await);
    for _ in 0..50 {
        api.get(&format!("/notifications/{id}")).await.expect(200);
    }
    let reads = calls(&pool, one).await - before.0;
    assert!((0..=3).contains(&reads), "50 reads of one notification took {reads} statements");
    for _ in 0..5 {
        api.get("/notifications?userId=stream-7&limit=2").await.expect(200);
    }
    assert_eq!(calls(&pool, list).await - before.1, 5);
    let looked = calls(&pool, users).await - before.2;
    assert!(looked <= 2, "the account was looked up {looked} times for 55 requests");
}

/// Sends as much as `count` notifications ask for, waits until they are stored, and tells how many
/// statements looked for notifications, looked for an account, and inserted.
async fn cost_of(
    api: &Api,
    pool: &sqlx::PgPool,
    user: &str,
    count: usize,
    batch: bool,
    keyed: bool,
) -> [i64; 3] {
    let counted = async || {
        [
            calls(pool, "SELECT id, user_id, tenant_id, channel%FROM notifications WHERE id = %").await,
            calls(pool, "SELECT id, email%FROM users WHERE id = %").await,
            calls(pool, "INSERT INTO notifications%").await,
        ]
    };
    let before = counted().await;
    let items: Vec<Value> = (0..count)
        .map(|number| {
            let mut item = inbox(user);
            if keyed {
                item["idempotencyKey"] = format!("{user}-{number}").into();
            }
            item
        })
        .collect();
    if batch {
        api.post("/notifications/batch", &json!({ "notifications": items })).await.expect(200);
    } else {
        for item in &items {
            api.post("/notifications", item).await.expect(201);
        }
    }
    let stored = async || -> i64 {
        let sql = "SELECT count(*) AS count FROM notifications WHERE user_id = $1";
        sqlx::query(sql).bind(user).fetch_one(pool).await.expect("a count").get("count")
    };
    let deadline = Instant::now() + Duration::from_secs(90);
    while stored().await < i64::try_from(count).expect("a number") {
        assert!(Instant::now() < deadline, "only {} of {count} are stored", stored().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let after = counted().await;
    [after[0] - before[0], after[1] - before[1], after[2] - before[2]]
}

pub(super) async fn accepting_asks_the_database_for_keys_only(api: &Api) {
    let pool = sqlx::PgPool::connect(&api.postgres).await.expect("the database");
    let [looked, accounts, inserted] = cost_of(api, &pool, "cost-single", 100, false, false).await;
    assert_eq!(looked, 0, "100 requests looked for a notification {looked} times");
    assert!(accounts <= 2 && inserted <= 100, "{accounts} looks at the account, {inserted} inserts");
    let [looked, accounts, inserted] = cost_of(api, &pool, "cost-batch", 1_000, true, false).await;
    assert_eq!(looked, 0, "a batch looked for a notification {looked} times");
    assert!(accounts <= 1 && inserted <= 100, "{accounts} looks at the account, {inserted} inserts");
    let [looked, _, _] = cost_of(api, &pool, "cost-keyed", 1_000, true, true).await;
    assert_eq!(looked, 1, "a batch of keys is looked up in one statement");
}

pub(super) async fn signing_keys_are_rotated_with_overlap_and_revoked_at_once(api: &Api) {
    let old = api.admin.clone();
    let kids = async || -> Vec<Value> {
        let set = api.call(Method::GET, "/.well-known/jwks.json", None, None).await.expect(200);
        set["keys"].as_array().expect("keys").iter().map(|key| key["kid"].clone()).collect()
    };
    assert_eq!(kids().await.len(), 1);
    let keys = api.call(Method::POST, "/admin/keys/rotate", Some(&old), None).await.expect(200);
    assert_eq!(keys["data"].as_array().expect("keys").len(), 2);
    assert_eq!((&keys["data"][0]["signing"], &keys["data"][1]["signing"]), (&json!(false), &json!(true)));
    assert_eq!(kids().await.len(), 2, "the new key is published before it signs");
    api.call(Method::GET, "/auth/me", Some(&old), None).await.expect(200);

    let revoke = json!({"revokeOld": true});
    let keys = api.call(Method::POST, "/admin/keys/rotate", Some(&old), Some(&revoke)).await.expect(200);
    assert_eq!(keys["data"].as_array().expect("keys").len(), 1, "{keys}");
    assert_eq!(keys["data"][0]["signing"], true);
    api.call(Method::GET, "/auth/me", Some(&old), None).await.expect(401);
    let new = api.admin_token().await;
    api.call(Method::GET, "/auth/me", Some(&new), None).await.expect(200);
    assert_eq!(kids().await, [keys["data"][0]["kid"].clone()]);
    let acts =
        api.call(Method::GET, "/admin/audit?action=signing_key.rotate", Some(&new), None).await.expect(200);
    assert_eq!(acts["data"].as_array().expect("acts").len(), 2);
}
