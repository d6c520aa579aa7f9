//! What the log keeps: nothing acknowledged is deleted unread, and what is missing all the same is told.

use super::{healthy, running};
use crate::client::{Answer, Client, TIMEOUT};
use crate::support::Place;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Bytes of each partition that the topic is made to keep: little, so that a moment without workers is enough.
const KEPT: usize = 64 << 20;
/// Bytes of one notification, and notifications of one batch: below the largest body.
const SIZE: usize = 20_000;
const BATCH: usize = 45;
const TOPIC: &str = "notifications";
/// One user's notifications lie on one partition.
const USER: &str = "somebody";

#[tokio::test(flavor = "multi_thread")]
async fn the_log_loses_nothing_that_was_acknowledged() {
    let place = Place::new();
    place.configure("[stack]\nrestart_limit = 100\n[service]\nrequest_timeout = \"60s\"\n");
    place.ok(&["up"]);
    let client = Client::of(&place).await;
    topics_are_kept_by_time_alone(&place).await;
    let mut acknowledged = 0;
    more_than_the_topic_keeps_is_refused(&client, &place, &mut acknowledged).await;
    what_grows_too_old_is_refused(&client, &mut acknowledged).await;
    everything_acknowledged_is_stored(&client, &place, acknowledged).await;
    up_corrects_its_own_topics(&client, &place);
    a_hole_is_told(&client, &place).await;
    accepting_goes_on_without_postgresql(&client, &place).await;
}

/// Every process of a part, the ones it started too.
fn processes(place: &Place, part: &str) -> Vec<Pid> {
    let pid = running(place, part);
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
    std::iter::once(pid).chain(children).filter_map(Pid::from_raw).collect()
}

fn signal_all(place: &Place, part: &str, signal: Signal) {
    for pid in processes(place, part) {
        // A child may end meanwhile.
        let _ = kill_process(pid, signal);
    }
}

/// A part that stands still with all its processes, until this goes: also when the test fails meanwhile,
/// since a process that is stopped outlives its stack.
struct Frozen(Vec<Pid>);

impl Frozen {
    fn new(place: &Place, part: &str) -> Self {
        let pids = processes(place, part);
        for pid in &pids {
            let _ = kill_process(*pid, Signal::STOP);
        }
        Self(pids)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            // A child may have ended meanwhile.
            let _ = kill_process(*pid, Signal::CONT);
        }
    }
}

/// The component of this name in `nsys health`.
fn component(place: &Place, name: &str) -> Value {
    let health = place.json(&["health"]);
    let all = health["parts"].as_array().unwrap();
    all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name}: {health}")).clone()
}

async fn log_of(client: &Client) -> Value {
    client.get("/health").await.unwrap().body["info"]["log"].clone()
}

/// Waits until `/health` says of the log what is wanted.
async fn until_log(client: &Client, what: &str, wanted: impl Fn(&Value) -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let log = log_of(client).await;
        if wanted(&log) {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: {log}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The broker's own default would bound them: each says itself that it is not.
async fn topics_are_kept_by_time_alone(place: &Place) {
    for topic in [TOPIC, "notifications-retry", "notifications-dlq"] {
        let described = place.json(&["kafka", "describe", topic]);
        let settings = &described["settings"];
        assert_eq!(settings["retention.bytes"], "-1", "{described}");
        assert_eq!(settings["retention.ms"], "604800000", "{described}");
        assert_eq!(settings["cleanup.policy"], "delete", "{described}");
    }
    assert_eq!(component(place, "log")["status"], "ok");
}

fn notification(title: &str) -> Value {
    json!({"userId": USER, "channel": "IN_APP", "type": "SYSTEM", "payload": {"title": title}})
}

/// Sends a batch; how many of it were acknowledged. The others were refused for now, with the reason.
async fn send_batch(client: &Client, title: &str) -> usize {
    let all: Vec<_> = (0..BATCH).map(|_| notification(title)).collect();
    let answer = client.post("/notifications/batch", &json!({"notifications": all})).await.unwrap();
    let results = answer.body["results"].as_array().unwrap_or_else(|| panic!("{answer:?}"));
    for refused in results.iter().filter(|one| one["status"] != 201) {
        assert_eq!(refused["status"], 503, "{refused}");
    }
    results.iter().filter(|one| one["status"] == 201).count()
}

/// Whoever bounds the topic by bytes, what comes is refused before the broker deletes what waits.
async fn more_than_the_topic_keeps_is_refused(client: &Client, place: &Place, acknowledged: &mut usize) {
    client
        .configure_topic(TOPIC, &[("retention.bytes", &KEPT.to_string()), ("segment.bytes", "4194304")])
        .await;
    until_log(client, "the risk is never told", |log| !log["risks"][0].is_null()).await;
    assert!(log_of(client).await["risks"][0].as_str().unwrap().contains("retention.bytes = 67108864"));
    assert_eq!(component(place, "log")["status"], "degraded");
    let checks = place.json(&["doctor"]);
    let check = checks["checks"].as_array().unwrap().iter().find(|one| one["id"] == "NSYS-D010").unwrap();
    assert_eq!((&check["ok"], &check["remedy"]), (&json!(false), &json!("nsys up")), "{check}");

    signal_all(place, "worker-1", Signal::STOP);
    let title = "x".repeat(SIZE);
    loop {
        let taken = send_batch(client, &title).await;
        *acknowledged += taken;
        if taken == 0 {
            break;
        }
        assert!(*acknowledged * SIZE < KEPT, "{acknowledged} acknowledged, and nobody has stored one");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let log = log_of(client).await;
    assert!(log["refuses"].as_str().is_some_and(|why| why.contains("too much of the log")), "{log}");
    assert_eq!(log["lost"], 0, "{log}");
    // Reading goes on.
    assert_eq!(client.get("/notifications?limit=1").await.unwrap().status, 200);
}

/// What has waited for half of the time that the topic keeps it stops more from coming.
async fn what_grows_too_old_is_refused(client: &Client, acknowledged: &mut usize) {
    client.configure_topic(TOPIC, &[("retention.bytes", "-1"), ("retention.ms", "604800000")]).await;
    let accepted = async |wanted: bool| {
        let deadline = Instant::now() + TIMEOUT;
        let mut taken = 0;
        loop {
            let answer = client.post("/notifications", &notification("t")).await.unwrap();
            taken += usize::from(answer.status == 201);
            if (answer.status == 201) == wanted {
                return (taken, answer);
            }
            assert!(Instant::now() < deadline, "{answer:?}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    // 64 MiB are not too much any more.
    *acknowledged += accepted(true).await.0;
    client.configure_topic(TOPIC, &[("retention.bytes", "-1"), ("retention.ms", "30000")]).await;
    let (taken, Answer { body, retry_after, .. }) = accepted(false).await;
    client.configure_topic(TOPIC, &[("retention.bytes", "-1"), ("retention.ms", "604800000")]).await;
    *acknowledged += taken;
    assert!(retry_after.is_some());
    assert!(body["detail"].as_str().unwrap().contains("for too long"), "{body}");
}

async fn everything_acknowledged_is_stored(client: &Client, place: &Place, acknowledged: usize) {
    signal_all(place, "worker-1", Signal::CONT);
    healthy(client).await;
    let stored = format!("SELECT count(*) >= {acknowledged} FROM notifications WHERE user_id = '{USER}'");
    client.until(&stored, "true").await;
    let stored = format!("SELECT count(*) FROM notifications WHERE user_id = '{USER}'");
    assert_eq!(client.ask(&stored).await, acknowledged.to_string());
    assert_eq!(client.ask("SELECT count(*) FROM log_gaps").await, "0");
}

/// Topics of an older nsys, or that somebody has changed.
async fn bound(client: &Client) {
    client.configure_topic(TOPIC, &[("retention.bytes", "1048576"), ("segment.bytes", "4194304")]).await;
}

fn up_corrects_its_own_topics(client: &Client, place: &Place) {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(bound(client)));
    place.ok(&["up"]);
    let settings = place.json(&["kafka", "describe", TOPIC])["settings"].clone();
    assert_eq!(settings["retention.bytes"], "-1", "{settings}");
    assert_eq!(settings["segment.bytes"], "4194304", "what else it says stays: {settings}");
}

/// Somebody deletes records that no worker has read.
async fn a_hole_is_told(client: &Client, place: &Place) {
    until_log(client, "all is well before", |log| log["status"] == "up" && log["waiting"] == 0).await;
    signal_all(place, "worker-1", Signal::STOP);
    let (user, count) = ("unlucky", 200_usize);
    let mut body = notification("t");
    body["userId"] = json!(user);
    for _ in 0..count {
        client.notify(body.clone()).await;
    }
    client.delete_records(TOPIC, 10).await;
    until_log(client, "the hole is never told", |log| log["lost"].as_u64().is_some_and(|lost| lost > 0))
        .await;
    let told = component(place, "log");
    assert_eq!(told["status"], "degraded", "{told}");
    assert!(told["detail"].as_str().unwrap().contains("deleted before a worker read them"), "{told}");

    signal_all(place, "worker-1", Signal::CONT);
    // What the worker had read already is stored all the same.
    let waiting = "SELECT (SELECT coalesce(sum(next_offset - first_offset), 0) FROM log_gaps)
         + (SELECT count(*) FROM notifications WHERE user_id = 'unlucky')";
    client.until(waiting, &count.to_string()).await;
    let lost: usize =
        client.ask("SELECT sum(next_offset - first_offset) FROM log_gaps").await.parse().unwrap();
    assert!((count - 100..=count - 10).contains(&lost), "{lost} of {count}");
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let counted = place.json(&["metrics", "query", "sum(kafka_messages_lost_total)"]);
        if counted[0]["points"][0][1].as_f64() == Some(lost as f64) {
            break;
        }
        assert!(Instant::now() < deadline, "{lost} are lost: {counted}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let told = component(place, "log");
    assert!(told["detail"].as_str().unwrap().starts_with(&format!("{lost} accepted")), "{told}");
    until_log(client, "what was lost is told", |log| log["lost"] == lost && log["waiting"] == 0).await;
}

/// What the balancers ask does not ask PostgreSQL.
async fn accepting_goes_on_without_postgresql(client: &Client, place: &Place) {
    let frozen = Frozen::new(place, "postgres");
    for _ in 0..5 {
        let ready = client.get("/health/readiness").await.unwrap();
        assert_eq!(ready.status, 200, "{ready:?}");
        client.notify(notification("without")).await;
    }
    let health = client.get("/health").await.unwrap();
    assert_eq!(
        (health.status, &health.body["info"]["database"]["status"]),
        (503, &json!("down")),
        "{health:?}"
    );
    drop(frozen);
    client.until("SELECT count(*) FROM notifications WHERE payload ->> 'title' = 'without'", "5").await;
}
