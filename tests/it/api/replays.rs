//! One key, one notification: whatever Redis still knows, however the requests come.

use super::client::{Answer, Api, inbox, told};
use jiff::{SignedDuration, Timestamp};
use nsys_contract::keys;
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(45);

fn keyed(key: &str, title: &str) -> Value {
    let mut one = inbox("replays");
    one["idempotencyKey"] = key.into();
    one["payload"] = json!({ "title": title });
    one
}

/// What Redis says to an inline command, up to the end of its last line.
fn redis(api: &Api, command: &str) -> String {
    let mut redis = TcpStream::connect(api.redis).expect("Redis");
    redis.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).expect("a command");
    let mut answer = String::new();
    redis.read_to_string(&mut answer).expect("an answer");
    answer
}

/// Takes everything from Redis.
fn flush(api: &Api) {
    assert!(redis(api, "FLUSHALL").starts_with("+OK"));
}

fn id(answer: &Answer) -> String {
    answer.body["id"].as_str().expect("an id").to_owned()
}

/// Waits for the row: until then nobody but Redis and the log can know.
async fn until_stored(api: &Api, id: &str) {
    let mut database = PgConnection::connect(&api.postgres).await.expect("the database");
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let sql = "SELECT count(*) FROM notifications WHERE id = $1::uuid";
        let rows: i64 = sqlx::query_scalar(sql).bind(id).fetch_one(&mut database).await.expect("a count");
        if rows == 1 {
            return;
        }
        assert!(Instant::now() < deadline, "{id} is not stored");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The first answer comes again, and no other request gets one.
async fn holds(api: &Api, key: &str, first: &str, what: &str) {
    let other = api.post("/notifications", &keyed(key, "another")).await;
    assert_eq!(other.status, 422, "{what}: {}", other.body);
    let again = api.post("/notifications", &keyed(key, "first")).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"), "{what}: {}", again.body);
    assert_eq!((again.body["id"].as_str(), &again.body["duplicate"]), (Some(first), &json!(true)), "{what}");
}

/// Sends a batch; the statuses and ids of its results.
async fn batch(api: &Api, items: &[Value]) -> Vec<(u64, Option<String>)> {
    let answer = api.post("/notifications/batch", &json!({ "notifications": items })).await.expect(200);
    results(answer["results"].as_array().expect("results"))
}

async fn stream(api: &Api, items: &[Value]) -> Vec<(u64, Option<String>)> {
    let lines: String = items.iter().map(|item| format!("{item}\n")).collect();
    let request = api.request(Method::POST, "/notifications/stream").bearer_auth(&api.admin);
    let answer = request.header("content-type", "application/x-ndjson").body(lines).send().await;
    let text = answer.expect("an answer").text().await.expect("results");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    results(&lines[..lines.len() - 1])
}

fn results(results: &[Value]) -> Vec<(u64, Option<String>)> {
    let told =
        |one: &Value| (one["status"].as_u64().expect("a status"), one["id"].as_str().map(str::to_owned));
    results.iter().map(told).collect()
}

pub(super) async fn a_key_stands_for_one_request_whatever_redis_knows(api: &Api) {
    let first = id(&api.post("/notifications", &keyed("single", "first")).await);
    holds(api, "single", &first, "at once").await;
    until_stored(api, &first).await;
    for what in ["after a flush", "after the row restored the record"] {
        holds(api, "single", &first, what).await;
        flush(api);
    }
    many_at_once_decide_among_themselves(api).await;
    what_came_later_does_not_refuse_a_repeat(api).await;
    a_claim_ends_with_its_request(api).await;
    what_nobody_knew_of_is_kept_as_a_dead_letter(api).await;
}

async fn many_at_once_decide_among_themselves(api: &Api) {
    for (way, name) in [(true, "batch"), (false, "stream")] {
        let send =
            async |items: &[Value]| if way { batch(api, items).await } else { stream(api, items).await };
        let key = |number: u32| format!("{name}-{number}");
        let items =
            [keyed(&key(1), "first"), keyed(&key(1), "another"), keyed(&key(1), "first"), inbox("replays")];
        let told = send(&items).await;
        let statuses: Vec<_> = told.iter().map(|(status, _)| *status).collect();
        assert_eq!(statuses, [201, 422, 201, 201], "{name}");
        assert_eq!(told[0].1, told[2].1, "{name}: one key, one id");
        let first = told[0].1.clone().expect("an id");
        holds(api, &key(1), &first, name).await;
        until_stored(api, &first).await;
        for what in ["with its record", "after a flush"] {
            let told = send(&[keyed(&key(1), "another"), keyed(&key(1), "first")]).await;
            assert_eq!(told[0].0, 422, "{name} {what}");
            assert_eq!(told[1], (201, Some(first.clone())), "{name} {what}");
            flush(api);
        }
        // A key under which nothing was accepted is free, for the next item and for the next request.
        let mut wrong = keyed(&key(2), "");
        wrong["payload"] = json!({});
        let told = send(&[wrong.clone(), keyed(&key(2), "first")]).await;
        assert_eq!((told[0].0, told[1].0), (422, 201), "{name}");
        wrong["idempotencyKey"] = key(3).into();
        assert_eq!(send(&[wrong]).await[0].0, 422);
        assert_eq!(send(&[keyed(&key(3), "first")]).await[0].0, 201, "{name}");
    }
}

async fn what_came_later_does_not_refuse_a_repeat(api: &Api) {
    let mut short = keyed("short", "first");
    short["expiresAt"] = (Timestamp::now() + SignedDuration::from_millis(1_500)).to_string().into();
    let template = json!({"id": "replayed", "channel": "IN_APP", "payload": {"title": "Hello"}});
    api.post("/templates", &template).await.expect(201);
    let mut filled = keyed("filled", "first");
    filled["templateId"] = "replayed".into();
    let first =
        [id(&api.post("/notifications", &short).await), id(&api.post("/notifications", &filled).await)];
    for first in &first {
        until_stored(api, first).await;
    }
    api.call(Method::DELETE, "/templates/replayed", Some(&api.admin), None).await.expect(204);
    tokio::time::sleep(Duration::from_secs(2)).await;
    for what in ["with its record", "after a flush"] {
        for (body, first) in [&short, &filled].into_iter().zip(&first) {
            let again = api.post("/notifications", body).await;
            assert_eq!(again.header("idempotency-replayed"), "true", "{what}: {}", again.body);
            assert_eq!(&id(&again), first, "{what}");
        }
        flush(api);
    }
}

/// A claim that nobody settles ends by itself, and then there is no record: here it becomes one.
async fn a_claim_ends_with_its_request(api: &Api) {
    // On a busy machine Redis may be given up for a moment; who has no record then comes again.
    let deadline = Instant::now() + TIMEOUT;
    let first = loop {
        let request = api.request(Method::POST, "/notifications").bearer_auth(&api.admin);
        let request = request.json(&keyed("async", "first")).header("prefer", "respond-async");
        let answer = told(request.send().await.expect("an answer")).await;
        let tenant = answer.body["tenantId"].as_str();
        if claimed(api, tenant, "async", Duration::from_secs(5)).await.is_some() {
            break answer.body;
        }
        assert!(Instant::now() < deadline, "async was never claimed: {} {}", answer.status, answer.body);
    };
    let tenant = first["tenantId"].as_str();
    let body = keyed("gone", "first").to_string();
    let address = api.base.strip_prefix("http://").expect("an address");
    let head = format!(
        "POST /notifications HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        api.admin,
        body.len()
    );
    // As soon as it is taken, its caller is gone. One that was refused comes again.
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let mut caller = TcpStream::connect(address).expect("the API");
        caller.write_all(head.as_bytes()).expect("a request");
        if claimed(api, tenant, "gone", Duration::from_secs(5)).await.is_some() {
            break;
        }
        caller.set_read_timeout(Some(Duration::from_secs(1))).expect("a socket");
        let mut said = [0; 500];
        let length = caller.read(&mut said).unwrap_or(0);
        let said = String::from_utf8_lossy(&said[..length]);
        assert!(Instant::now() < deadline, "gone was never claimed: {said}");
    }
    for key in ["async", "gone"] {
        let deadline = Instant::now() + TIMEOUT;
        let record = || redis(api, &format!("GET {}", keys::idempotency(tenant, key)));
        while record().contains("\r\np:") {
            assert!(Instant::now() < deadline, "{key} is still in progress");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // It was settled, unless Redis was given up when it was to be: then the row tells.
        let now = record();
        assert!(now.contains("\r\nd:") || now.starts_with("$-1"), "{key} was not settled: {now}");
        let again = api.post("/notifications", &keyed(key, "first")).await;
        assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"), "{}", again.body);
        holds(api, key, &id(&again), key).await;
    }
}

/// The record of a key, once there is one.
async fn claimed(api: &Api, tenant: Option<&str>, key: &str, timeout: Duration) -> Option<String> {
    let deadline = Instant::now() + timeout;
    while Instant::now() < deadline {
        let record = redis(api, &format!("GET {}", keys::idempotency(tenant, key)));
        if !record.starts_with("$-1") {
            return Some(record);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    None
}

async fn what_nobody_knew_of_is_kept_as_a_dead_letter(api: &Api) {
    let worker = Pid::from_raw(api.worker).expect("a process");
    kill_process(worker, Signal::STOP).expect("a signal");
    let first = api.post("/notifications", &keyed("lost", "first")).await;
    flush(api);
    let second = api.post("/notifications", &keyed("lost", "another")).await;
    kill_process(worker, Signal::CONT).expect("a signal");
    // Nobody knew of the first one: both are acknowledged, and neither may be lost.
    assert_eq!((first.status, second.status), (201, 201), "{} {}", first.body, second.body);
    let found = api.until("/dlq?reason=key_conflict", &api.admin, |answer| {
        answer.body["data"].as_array().is_some_and(|letters| letters.len() == 1)
    });
    let letter = &found.await["data"][0];
    assert_eq!((&letter["userId"], &letter["channel"]), (&json!("replays"), &json!("IN_APP")));
    let shown = api.get(&format!("/dlq/{}", letter["id"])).await.expect(200);
    assert_eq!(shown["message"]["payload"]["title"], "another", "{shown}");
    holds(api, "lost", &id(&first), "after the conflict").await;
}
