//! Delivery on real parts: channels, retries, dead letters, schedules, preferences, and the honest 404.

mod endpoints;
mod fence;
mod poison;

use crate::client::{Client, TIMEOUT};
use crate::sink::{HttpSink, MailSink};
use crate::support::{Place, this_machine};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A stack whose channels lead to the sinks.
fn stack(mail: &MailSink, web: &HttpSink) -> Place {
    let place = Place::new();
    let machine = this_machine();
    let config = format!(
        "[channels]\nemail = \"smtp\"\nsmtp_url = \"smtp://{machine}:{}\"\nsms = \"http\"\nsms_url = \"{}\"\n\
         sms_token = \"sesame\"\nwebhook = \"http\"\nwebhook_allow = [\"{machine}\"]\nsms_retries = [\"200ms\", \"300ms\"]\n\
         [worker]\nretry_base = \"200ms\"\nmax_attempts = 3\nbreaker_failures = 4\nbreaker_cooldown = \"1s\"\n\
         scheduler_interval = \"100ms\"\n[stack]\nworker = 2\n[service]\nrequest_timeout = \"60s\"\n\
         [endpoints]\ndisable_after = \"2s\"\nattempts_kept = 5\n",
        mail.port,
        web.url("/sms")
    );
    place.configure(&config);
    place.ok(&["up"]);
    place
}

fn webhook(url: &str) -> Value {
    json!({"userId": "user-1", "channel": "WEBHOOK", "type": "ALERT", "payload": {"url": url, "payload": {"a": 1}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_reach_their_receivers_and_what_cannot_is_kept() {
    let mail = MailSink::start();
    let web = HttpSink::start(|one, before| match (one.path.as_str(), before) {
        ("/twice", 0) => "503 Busy\r\nRetry-After: 2".to_owned(),
        ("/sms", 0) => "429 Slow down".to_owned(),
        ("/never", _) => "500 No".to_owned(),
        ("/late", before) => fence::late(before),
        ("/refused", _) => "410 Gone".to_owned(),
        ("/failing", _) => "500 No\r\n\r\nno capacity here".to_owned(),
        ("/gone", _) => "410 Gone".to_owned(),
        ("/moved", _) => "302 Found\r\nLocation: http://169.254.169.254/".to_owned(),
        _ => "204 Fine".to_owned(),
    });
    let place = stack(&mail, &web);
    let client = Client::of(&place).await;

    every_channel_delivers(&client, &mail, &web).await;
    failures_are_tried_again_or_kept(&client, &web).await;
    webhooks_stay_outside(&client, &web).await;
    endpoints::every_endpoint_has_a_secret_of_its_own(&client, &web).await;
    endpoints::an_old_secret_signs_until_its_overlap_ends(&client, &web).await;
    endpoints::attempts_are_logged_and_what_fails_is_disabled(&client, &web).await;
    messages_that_are_none_do_not_stop_the_log(&client).await;
    poison::a_row_that_cannot_be_read_is_its_own_dead_letter(&client).await;
    poison::what_is_large_goes_by_pieces(&client).await;
    fence::a_late_end_changes_nothing(&client, &web).await;
    fence::what_ended_lately_is_kept(&client).await;
    preferences_are_kept(&client).await;
    due_ones_go_out_once_with_two_workers(&client, &web).await;
    an_outage_fails_nothing_that_is_old(&client).await;
    an_acknowledged_id_is_never_unknown(&client, &place).await;
    keys_hold_in_batches(&client).await;
    keys_hold_without_redis(&client, &place).await;
    endpoints::a_new_key_encrypts_what_an_old_one_did(&client, &place, &web).await;
}

async fn every_channel_delivers(client: &Client, mail: &MailSink, web: &HttpSink) {
    let to = json!({"to": "somebody@example.org", "subject": "Hello", "body": "World"});
    let mail_id =
        client.notify(json!({"userId": "u", "channel": "EMAIL", "type": "SYSTEM", "payload": to})).await;
    let hook_id = client.notify(webhook(&web.url("/hook"))).await;
    let inbox = json!({"userId": "u", "channel": "IN_APP", "type": "SYSTEM", "payload": {"title": "t"}});
    let inbox_id = client.notify(inbox).await;
    client.until_status(&mail_id, "SENT").await;
    client.until_status(&hook_id, "SENT").await;
    client.until_status(&inbox_id, "DELIVERED").await;

    let mails = mail.mails();
    assert_eq!(mails.len(), 1);
    assert!(mails[0].contains(&format!("Message-ID: <{mail_id}@example.com>")), "{}", mails[0]);
    assert!(mails[0].contains("Subject: Hello") && mails[0].trim_end().ends_with("World"), "{}", mails[0]);
    let hook = &web.to("/hook")[0];
    assert_eq!(hook.headers["webhook-id"], hook_id);
    assert!(hook.headers["webhook-signature"].starts_with("v1,"));
    assert_eq!(serde_json::from_str::<Value>(&hook.body).unwrap()["data"], json!({"a": 1}));
    let one = |table: &str, id: &str| format!("SELECT count(*) FROM {table} WHERE notification_id = '{id}'");
    for id in [&mail_id, &hook_id, &inbox_id] {
        assert_eq!(client.ask(&one("notification_attempts", id)).await, "1");
        assert_eq!(client.ask(&one("notification_events", id)).await, "2", "accepted, delivered");
    }
}

async fn failures_are_tried_again_or_kept(client: &Client, web: &HttpSink) {
    let twice = client.notify(webhook(&web.url("/twice"))).await;
    let sms =
        json!({"userId": "u", "channel": "SMS", "type": "SYSTEM", "payload": {"to": "+1", "message": "m"}});
    let sms = client.notify(sms).await;
    let never = client.notify(webhook(&web.url("/never"))).await;
    let refused = client.notify(webhook(&web.url("/refused"))).await;
    client.until_status(&twice, "SENT").await;
    client.until_status(&sms, "SENT").await;
    client.until_status(&never, "FAILED").await;
    client.until_status(&refused, "FAILED").await;

    let tries = web.to("/twice");
    assert_eq!(tries.len(), 2);
    let waited = tries[1].at - tries[0].at;
    assert!(waited >= Duration::from_millis(1_900), "Retry-After was 2 s: {waited:?}");
    assert_eq!(tries[0].headers["webhook-id"], tries[1].headers["webhook-id"], "a repeat can be told");
    assert_eq!(web.to("/sms")[0].headers["authorization"], "Bearer sesame");
    assert_eq!(web.to("/sms")[1].headers["idempotency-key"], sms);
    assert_eq!(web.to("/never").len(), 3, "max_attempts");
    assert_eq!(web.to("/refused").len(), 1, "what is refused is not tried again");
    let attempts = format!(
        "SELECT string_agg(attempt || outcome, ' ' ORDER BY attempt) FROM notification_attempts WHERE notification_id = '{never}'"
    );
    assert_eq!(client.ask(&attempts).await, "1RETRYING 2RETRYING 3FAILED");
    for (id, reason) in [(&never, "exhausted"), (&refused, "permanent")] {
        let letter = format!(
            "SELECT count(*) FROM dead_letters WHERE notification_id = '{id}' AND reason = '{reason}'"
        );
        assert_eq!(client.ask(&letter).await, "1");
        let published =
            format!("SELECT published_at IS NOT NULL FROM dead_letters WHERE notification_id = '{id}'");
        client.until(&published, "true").await;
    }
}

/// What is old already, as after a redrive or a night of quiet hours, is held back by a breaker like the rest.
async fn an_outage_fails_nothing_that_is_old(client: &Client) {
    // A destination of its own, which works after the failures that open its breaker.
    let web = HttpSink::start(|_, before| if before < 4 { "500 No" } else { "204 Fine" }.to_owned());
    let send = async || client.notify(webhook(&web.url("/outage"))).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(send().await);
    }
    let deadline = Instant::now() + TIMEOUT;
    while web.to("/outage").len() < 4 {
        assert!(Instant::now() < deadline, "the receiver is never called");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for _ in 0..8 {
        ids.push(send().await);
    }
    let of_outage = "payload ->> 'url' LIKE '%/outage'";
    let all = format!("SELECT count(*) FROM notifications WHERE {of_outage}");
    client.until(&all, "12").await;
    let aged = format!(
        "UPDATE notifications SET created_at = created_at - interval '9 hours', next_attempt_at = now()
         WHERE {of_outage} AND status = 'RETRYING'"
    );
    client.execute(&aged).await;
    for id in &ids {
        client.until_status(id, "SENT").await;
    }
}

async fn webhooks_stay_outside(client: &Client, web: &HttpSink) {
    let inside = [
        "http://169.254.169.254/latest/meta-data".to_owned(),
        format!("http://127.0.0.1:{}/inside", web.port),
        format!("http://2130706433:{}/inside", web.port),
        format!("http://[::ffff:127.0.0.1]:{}/inside", web.port),
        "http://10.0.0.1/".to_owned(),
        "gopher://example.com/".to_owned(),
    ];
    for url in inside {
        let id = client.notify(webhook(&url)).await;
        client.until_status(&id, "FAILED").await;
        assert_eq!(
            client.ask(&format!("SELECT retry_count FROM notifications WHERE id = '{id}'")).await,
            "0"
        );
    }
    assert!(web.to("/inside").is_empty(), "an inner address was called");
    let moved = client.notify(webhook(&web.url("/moved"))).await;
    client.until_status(&moved, "FAILED").await;
    let why = client.ask(&format!("SELECT error_message FROM notifications WHERE id = '{moved}'")).await;
    assert!(why.contains("redirects are not followed"), "{why}");
}

/// A message as another producer would write it.
fn message(id: &str, channel: &str, payload: &str) -> String {
    format!(
        r#"{{"id":"{id}","version":"1.0.0","timestamp":1700000000000,"userId":"foreign","type":"SYSTEM",
        "channel":"{channel}","priority":"LOW","status":"PENDING","payload":{payload},"retryCount":0}}"#
    )
}

async fn messages_that_are_none_do_not_stop_the_log(client: &Client) {
    let id = |n: u32| format!("00000000-0000-4000-8000-{n:012}");
    client.produce("notifications", "foreign", b"\xff\x00 no json", None);
    // PostgreSQL would take this number, and give it back with more digits than a reader has.
    let huge = r#"{"n":1.7976931348623157e308}"#;
    client.produce("notifications", "foreign", message(&id(1), "IN_APP", huge).as_bytes(), None);
    client.produce(
        "notifications",
        "foreign",
        message(&id(2), "IN_APP", r#"{"title":"ok"}"#).as_bytes(),
        None,
    );
    client.until_status(&id(2), "DELIVERED").await;
    client.until("SELECT count(*) FROM dead_letters WHERE reason = 'undecodable'", "2").await;
    let raw = "SELECT encode(raw, 'hex') FROM dead_letters WHERE reason = 'undecodable' ORDER BY id LIMIT 1";
    assert_eq!(client.ask(raw).await, "ff00206e6f206a736f6e", "the bytes are kept");

    // The topic for another attempt is read too, and its delay is kept.
    let started = Instant::now();
    let retry = message(&id(3), "IN_APP", r#"{"title":"later"}"#);
    client.produce("notifications-retry", "foreign", retry.as_bytes(), Some(("backoff-delay", "1500")));
    client.until_status(&id(3), "DELIVERED").await;
    assert!(started.elapsed() >= Duration::from_millis(1_400));
}

async fn preferences_are_kept(client: &Client) {
    let now = jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC);
    let clock = |hours: u64| (&now + Duration::from_secs(3_600 * hours)).strftime("%H:%M").to_string();
    let night = json!({"from": clock(23), "to": clock(2)});
    client.put("/users/sleeper/preferences", &json!({"timezone": "UTC", "quietHours": night})).await;
    client.put("/users/quiet/preferences", &json!({"muted": [{"type": "MARKETING"}]})).await;
    let mail = |user: &str, kind: &str, priority: &str| {
        json!({"userId": user, "channel": "EMAIL", "type": kind, "priority": priority,
            "payload": {"to": "a@example.org", "body": "b"}})
    };
    let waits = client.notify(mail("sleeper", "MARKETING", "HIGH")).await;
    let urgent = client.notify(mail("sleeper", "ALERT", "URGENT")).await;
    let muted = client.notify(mail("quiet", "MARKETING", "LOW")).await;
    client.until_status(&urgent, "SENT").await;
    client.until_status(&muted, "CANCELLED").await;
    client.until_status(&waits, "SCHEDULED").await;
    let due = format!(
        "SELECT next_attempt_at > now() + interval '100 minutes' FROM notifications WHERE id = '{waits}'"
    );
    assert_eq!(client.ask(&due).await, "true");
    // What waits for the morning was not tried; its history says why it waits.
    let tried = format!("SELECT count(*) FROM notification_attempts WHERE notification_id = '{waits}'");
    assert_eq!(client.ask(&tried).await, "0");
    let history = format!(
        "SELECT string_agg(status || coalesce(': ' || detail, ''), ', ' ORDER BY id) FROM notification_events
         WHERE notification_id = '{waits}'"
    );
    let said = "PENDING, SCHEDULED: deferred until the end of the user's quiet hours";
    let history = client.ask(&history).await;
    let until = history.strip_prefix(said).and_then(|rest| rest.strip_prefix(", "));
    let until: jiff::Timestamp = until.unwrap_or_else(|| panic!("{history}")).parse().expect("until when");
    assert!(until > jiff::Timestamp::now(), "{until}");
    let due = jiff::Timestamp::now() + Duration::from_millis(1_200);
    let late = json!({"userId": "u", "channel": "EMAIL", "type": "SYSTEM", "payload": {"to": "a@example.org"},
        "scheduledFor": due, "expiresAt": due + Duration::from_millis(1)});
    let late = client.notify(late).await;
    client.until_status(&late, "EXPIRED").await;
}

async fn due_ones_go_out_once_with_two_workers(client: &Client, web: &HttpSink) {
    let at = jiff::Timestamp::now() + Duration::from_secs(6);
    let mut ids = Vec::new();
    for number in 0..60 {
        let mut one = webhook(&web.url("/due"));
        one["scheduledFor"] = json!(at);
        one["userId"] = json!(format!("user-{number}"));
        ids.push(client.notify(one).await);
    }
    let list = ids.join("','");
    client
        .until(
            &format!("SELECT count(*) FROM notifications WHERE status = 'SENT' AND id IN ('{list}')"),
            "60",
        )
        .await;
    let mut times = HashMap::new();
    for one in web.to("/due") {
        *times.entry(one.headers["webhook-id"].clone()).or_insert(0) += 1;
    }
    assert_eq!(times.len(), 60);
    assert!(times.values().all(|count| *count == 1), "{times:?}");
}

async fn an_acknowledged_id_is_never_unknown(client: &Client, place: &Place) {
    let stop = rustix::process::Signal::STOP;
    let cont = rustix::process::Signal::CONT;
    let workers = [place.pid("worker-1"), place.pid("worker-2")];
    let all = |signal| {
        for pid in workers {
            rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
        }
    };
    // Unknown ids are unknown while the workers keep up.
    let unknown = client.get("/notifications/01900000-0000-7000-8000-000000000001").await.unwrap();
    assert_eq!(unknown.status, 404, "{unknown:?}");
    all(stop);
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(client.notify(webhook("http://127.0.0.1:1/")).await);
    }
    assert!(place.run(&["cache", "flush", "--yes"]).status.success());
    for id in &ids {
        let answer = client.get(&format!("/notifications/{id}")).await.unwrap();
        assert!(matches!(answer.status, 200 | 503), "{answer:?}");
    }
    // With the row on the log alone, nobody can say of another id that it does not exist.
    let unknown = client.get("/notifications/01900000-0000-7000-8000-000000000002").await.unwrap();
    assert_eq!((unknown.status, unknown.retry_after.is_some()), (503, true), "{unknown:?}");
    all(cont);
    let deadline = Instant::now() + TIMEOUT;
    for id in &ids {
        while client.get(&format!("/notifications/{id}")).await.unwrap().status != 200 {
            assert!(Instant::now() < deadline, "{id} does not come back");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn keys_hold_without_redis(client: &Client, place: &Place) {
    let body = |title: &str| json!({"userId": "u", "channel": "IN_APP", "type": "SYSTEM", "payload": {"title": title}, "idempotencyKey": "one"});
    let signal = |signal| {
        let pid = rustix::process::Pid::from_raw(place.pid("redis")).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    };
    signal(rustix::process::Signal::STOP);
    let first = client.post("/notifications", &body("a")).await.unwrap();
    assert_eq!(first.status, 201, "{first:?}");
    let id = first.body["id"].as_str().unwrap().to_owned();
    client.until_status(&id, "DELIVERED").await;
    let again = client.post("/notifications", &body("a")).await.unwrap();
    let other = client.post("/notifications", &body("b")).await.unwrap();
    signal(rustix::process::Signal::CONT);
    assert_eq!((again.status, again.body["id"].as_str()), (201, Some(id.as_str())), "{again:?}");
    assert_eq!(again.body["duplicate"], true);
    assert_eq!(other.status, 422, "{other:?}");
    assert_eq!(client.ask("SELECT count(*) FROM notifications WHERE idempotency_key = 'one'").await, "1");
}

async fn keys_hold_in_batches(client: &Client) {
    let one = |key: &str, title: &str| json!({"userId": "u", "channel": "IN_APP", "type": "SYSTEM", "payload": {"title": title}, "idempotencyKey": key});
    let send = async |all: [Value; 3]| {
        let answer = client.post("/notifications/batch", &json!({"notifications": all})).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        let results = answer.body["results"].as_array().unwrap().clone();
        results.iter().map(|one| one["id"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let first = send([one("b-1", "a"), one("b-2", "a"), one("b-3", "a")]).await;
    for id in &first {
        client.until_status(id.as_ref().unwrap(), "DELIVERED").await;
    }
    // The first again, the second with other contents, and two that are new, one of them twice.
    let again = send([one("b-1", "a"), one("b-4", "a"), one("b-2", "b")]).await;
    let last = send([one("b-5", "a"), one("b-5", "a"), one("b-3", "a")]).await;
    assert_eq!((&again[0], &again[2], &last[2]), (&first[0], &None, &first[2]));
    assert_eq!(last[0], last[1], "one key, one id");
    for id in [&again[1], &last[0]] {
        client.until_status(id.as_ref().unwrap(), "DELIVERED").await;
    }
    assert_eq!(client.ask("SELECT count(*) FROM notifications WHERE idempotency_key LIKE 'b-_'").await, "5");
}
