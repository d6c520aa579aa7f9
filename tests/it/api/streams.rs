//! What flows: lines in, exports and events out.

use super::client::{Api, inbox};
use futures::StreamExt;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Connection;
use std::collections::HashMap;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Lines of the stream test: more than any buffer between holds.
const LINES: usize = 10_000;

pub(super) async fn lines_go_in_and_results_come_out(api: &Api) {
    let lines = futures::stream::iter(0..LINES / 100).map(|group| {
        let text: String = (0..100)
            .map(|place| match group * 100 + place {
                500 => "{\"userId\": broken\n".to_owned(),
                501 => "\n".to_owned(),
                number => format!("{}\n", inbox(&format!("stream-{}", number % 50))),
            })
            .collect();
        Ok::<_, std::io::Error>(text)
    });
    let request = api.request(Method::POST, "/notifications/stream").bearer_auth(&api.admin);
    let request = request.header("content-type", "application/x-ndjson").timeout(Duration::from_secs(300));
    let answer = request.body(reqwest::Body::wrap_stream(lines)).send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 200);
    let text = answer.text().await.expect("results");
    let results: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let (summary, results) = results.split_last().expect("a summary");
    // One blank line has no result, one broken line has a problem.
    assert_eq!(results.len(), LINES - 1);
    assert_eq!(*summary, json!({"accepted": LINES - 2, "refused": 1, "complete": true}));
    assert!(results.iter().enumerate().all(|(place, one)| one["index"] == place));
    assert_eq!(results[500]["status"], 400);
    let ids: std::collections::HashSet<_> = results.iter().filter_map(|one| one["id"].as_str()).collect();
    assert_eq!(ids.len(), LINES - 2);
    let last = format!("/notifications/{}", results[LINES - 2]["id"].as_str().expect("an id"));
    api.until(&last, &api.admin, |answer| answer.body["status"] == "DELIVERED").await;
    let sent: Vec<_> = results.iter().filter_map(|one| one["id"].as_str().map(str::to_owned)).collect();
    tokio::task::block_in_place(|| each_user_s_lines_are_in_their_order(&api.brokers, &sent));

    // A last line without its end counts, one that is too large does not, and the next is read.
    let long = format!("{{\"x\": \"{}\"}}\n{}", "y".repeat(300_000), inbox("stream-1"));
    let request = api.request(Method::POST, "/notifications/stream").bearer_auth(&api.admin);
    let answer =
        request.header("content-type", "application/x-ndjson").body(long).send().await.expect("an answer");
    let text = answer.text().await.expect("results");
    assert!(text.contains("must be at most") && text.contains("\"accepted\":1,\"refused\":1"), "{text}");
}

/// On the log the notifications of a user come as they were sent.
fn each_user_s_lines_are_in_their_order(brokers: &str, sent: &[String]) {
    let places: HashMap<&str, usize> =
        sent.iter().enumerate().map(|(place, id)| (id.as_str(), place)).collect();
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "order").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let metadata = consumer.fetch_metadata(Some("notifications"), TIMEOUT).expect("an answer");
    let mut all = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        all.add_partition_offset("notifications", partition.id(), Offset::Beginning).expect("an offset");
    }
    consumer.assign(&all).expect("partitions");
    let (mut seen, mut last) = (0, HashMap::new());
    while seen < sent.len() {
        let message = consumer.poll(TIMEOUT).expect("the lines are on the log").expect("a message");
        let value: Value = serde_json::from_slice(message.payload().unwrap_or_default()).unwrap_or_default();
        let Some(place) = value["id"].as_str().and_then(|id| places.get(id)) else { continue };
        seen += 1;
        let before = last.insert(message.key().unwrap_or_default().to_vec(), *place);
        assert!(before < Some(*place), "{value} came after line {before:?}");
    }
}

pub(super) async fn an_export_is_whole_in_both_forms(api: &Api) {
    // Everything of the stream is stored before it is counted.
    let last = "/notifications?userId=stream-7&limit=200";
    api.until(last, &api.admin, |answer| {
        answer.body["data"].as_array().is_some_and(|data| data.len() == 200)
    })
    .await;
    let export = async |format: &str| {
        let path = format!("/notifications/export?format={format}&userId=stream-7");
        let answer = api.request(Method::GET, &path).bearer_auth(&api.admin).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200);
        answer.text().await.expect("a whole body")
    };
    let (lines, csv) = (export("ndjson").await, export("csv").await);
    assert_eq!(lines.lines().count(), LINES / 50, "of the user's notifications");
    assert!(
        lines
            .lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok_and(|one| one["userId"] == "stream-7"))
    );
    assert!(csv.starts_with("id,userId,tenantId,") && csv.lines().count() == 1 + LINES / 50);
    // More than one page.
    let path = "/notifications/export?channel=IN_APP";
    let answer = api.request(Method::GET, path).bearer_auth(&api.admin).send().await.expect("an answer");
    let all = answer.text().await.expect("a whole body");
    let ids: std::collections::HashSet<&str> = all.lines().map(|line| &line[..45]).collect();
    assert!(
        ids.len() >= LINES - 2 && ids.len() == all.lines().count(),
        "{} of {}",
        ids.len(),
        all.lines().count()
    );
}

/// Reads events until `count` are there; answers their ids and statuses.
async fn events(api: &Api, after: Option<&str>, count: usize) -> Vec<(i64, Value)> {
    let mut request =
        api.request(Method::GET, "/notifications/events?userId=followed").bearer_auth(&api.admin);
    if let Some(after) = after {
        request = request.header("last-event-id", after);
    }
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 200);
    let (mut body, mut text, mut found) = (answer.bytes_stream(), String::new(), Vec::new());
    while found.len() < count {
        let chunk = tokio::time::timeout(Duration::from_secs(60), body.next()).await.expect("events in time");
        text.push_str(&String::from_utf8_lossy(&chunk.expect("more").expect("bytes")));
        while let Some((event, rest)) =
            text.split_once("\n\n").map(|(event, rest)| (event.to_owned(), rest.to_owned()))
        {
            text = rest;
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            if let (Some(id), Some(data)) = (field("id:"), field("data:")) {
                found.push((id.parse().expect("a number"), serde_json::from_str(data).expect("JSON")));
            }
        }
    }
    found
}

pub(super) async fn events_are_resumed_without_a_gap(api: &Api) {
    let send = async |count: usize| {
        let items: Vec<_> = (0..count).map(|_| inbox("followed")).collect();
        api.post("/notifications/batch", &json!({ "notifications": items })).await.expect(200);
    };
    let (live, ()) = tokio::join!(events(api, None, 20), async {
        // The client is there before anything happens.
        tokio::time::sleep(Duration::from_secs(3)).await;
        send(20).await;
    });
    assert!(live.windows(2).all(|pair| pair[0].0 < pair[1].0), "events are out of order");
    let first = &live[0].1;
    assert_eq!((&first["status"], &first["payload"]["title"]), (&json!("DELIVERED"), &json!("Hello")));

    // What happened while the client was away comes when it is back.
    send(30).await;
    let after = live[9].0;
    let missed = events(api, Some(&after.to_string()), 40).await;
    assert_eq!(
        missed[..10].iter().map(|one| one.0).collect::<Vec<_>>(),
        live[10..].iter().map(|one| one.0).collect::<Vec<_>>()
    );
    let distinct: std::collections::BTreeSet<_> =
        missed.iter().map(|one| one.1["notificationId"].to_string()).collect();
    assert_eq!(distinct.len(), 40);
    let bad = api
        .request(Method::GET, "/notifications/events")
        .bearer_auth(&api.admin)
        .header("last-event-id", "x");
    assert_eq!(bad.send().await.expect("an answer").status().as_u16(), 400);
}

/// A transaction takes a number, others take later ones and end before it: whoever follows gets them all.
pub(super) async fn an_event_of_a_slow_transaction_is_not_left_out(api: &Api) {
    let mut slow = sqlx::PgConnection::connect(&api.postgres).await.expect("PostgreSQL answers");
    let send = async || {
        let answer = api.post("/notifications", &inbox("followed")).await.expect(201);
        answer["id"].as_str().expect("an id").to_owned()
    };
    let id = send().await;
    api.until(&format!("/notifications/{id}"), &api.admin, |answer| answer.body["status"] == "DELIVERED")
        .await;
    let (seen, ()) = tokio::join!(events(api, None, 5), async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        // It has a number and has written nothing yet: it is not even among those that write.
        let mut transaction = slow.begin().await.expect("a transaction");
        let number: i64 = sqlx::query_scalar("SELECT nextval('events_id_seq')")
            .fetch_one(&mut *transaction)
            .await
            .expect("a number");
        for _ in 0..2 {
            send().await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        sqlx::query(
            "INSERT INTO events (id, notification_id, status, detail) OVERRIDING SYSTEM VALUE
             VALUES ($1, $2::uuid, 'LATE', 'late')",
        )
        .bind(number)
        .bind(&id)
        .execute(&mut *transaction)
        .await
        .expect("an event");
        transaction.commit().await.expect("it is there");
        for _ in 0..2 {
            send().await;
        }
    });
    assert!(seen.iter().any(|(_, event)| event["status"] == "LATE"), "it was left out: {seen:?}");
    assert!(seen.windows(2).all(|pair| pair[0].0 < pair[1].0), "events are out of order: {seen:?}");
}
