//! The requests that are offered: many users, four channels, payloads of a usual size.

use crate::client::{Make, connect, read_answer};
use crate::stack::Stack;
use anyhow::Context;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::AsyncWriteExt;

const CHANNELS: [(&str, &str); 4] = [
    (
        "IN_APP",
        r#"{"title":"Your parcel is on its way","body":"It will be with you tomorrow between 9 and 12."}"#,
    ),
    (
        "EMAIL",
        r#"{"to":"somebody@example.org","subject":"Your parcel","body":"It will be with you tomorrow."}"#,
    ),
    ("SMS", r#"{"to":"+4915112345678","message":"Your parcel will be with you tomorrow between 9 and 12."}"#),
    ("PUSH", r#"{"deviceToken":"0123456789abcdef","title":"Your parcel","body":"It comes tomorrow."}"#),
];
const USERS: u64 = 10_000;

/// Keys are never used twice, in whatever phase.
static KEYS: AtomicU64 = AtomicU64::new(0);

/// User, channel and payload of a notification, spread so that neighbours are of different ones.
pub(crate) fn content(number: u64) -> (u64, &'static str, &'static str) {
    let spread = number.wrapping_mul(2_654_435_761);
    let (channel, payload) = CHANNELS[(spread >> 8) as usize % CHANNELS.len()];
    (spread % USERS, channel, payload)
}

/// One notification as JSON.
fn write_notification(into: &mut Vec<u8>, number: u64, key: Option<u64>) {
    let (user, channel, payload) = content(number);
    // Writing into memory does not fail.
    let _ = write!(
        into,
        r#"{{"userId":"user-{user}","channel":"{channel}","type":"TRANSACTIONAL","payload":{payload}"#
    );
    if let Some(key) = key {
        let _ = write!(into, r#","idempotencyKey":"bench-{key}""#);
    }
    into.push(b'}');
}

fn head(method: &str, path: &str, token: &str, kind: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\ncontent-type: {kind}\r\n"
    )
}

/// Writes head and body; the body's length is known only when it is written.
fn with_body(into: &mut Vec<u8>, head: &str, body: impl FnOnce(&mut Vec<u8>)) {
    const WIDTH: usize = 8;
    into.extend_from_slice(head.as_bytes());
    into.extend_from_slice(b"content-length: ");
    let place = into.len();
    into.extend_from_slice(b"00000000\r\n\r\n");
    let start = into.len();
    body(into);
    let length = format!("{:0WIDTH$}", into.len() - start);
    into[place..place + WIDTH].copy_from_slice(length.as_bytes());
}

/// One notification a request, with an idempotency key or without.
pub(crate) fn create(token: &str, keys: bool) -> Make {
    let head = head("POST", "/notifications", token, "application/json");
    Arc::new(move |number, into| {
        let key = keys.then(|| KEYS.fetch_add(1, Ordering::Relaxed));
        with_body(into, &head, |body| write_notification(body, number, key));
    })
}

/// `size` notifications a request.
pub(crate) fn batch(token: &str, size: u64) -> Make {
    let head = head("POST", "/notifications/batch", token, "application/json");
    Arc::new(move |number, into| {
        with_body(into, &head, |body| {
            body.extend_from_slice(br#"{"notifications":["#);
            for one in 0..size {
                if one > 0 {
                    body.push(b',');
                }
                write_notification(body, number * size + one, None);
            }
            body.extend_from_slice(b"]}");
        });
    })
}

/// One of these ids a request.
pub(crate) fn read(token: &str, ids: Vec<uuid::Uuid>) -> Make {
    let end = format!(" HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\r\n");
    Arc::new(move |number, into| {
        let id = ids[number as usize % ids.len()];
        let _ = write!(into, "GET /notifications/{id}{end}");
    })
}

/// The head of a stream, and groups of its lines.
pub(crate) fn lines(token: &str, groups: u64, size: u64) -> (String, Vec<Vec<u8>>) {
    let group = |group: u64| {
        let mut text = Vec::new();
        for one in 0..size {
            write_notification(&mut text, group * size + one, None);
            text.push(b'\n');
        }
        text
    };
    (head("POST", "/notifications/stream", token, "application/x-ndjson"), (0..groups).map(group).collect())
}

/// Creates notifications one by one, so that they are cached, and answers their ids, for reads.
pub(crate) async fn some_ids(stack: &Stack, count: u64) -> anyhow::Result<Vec<uuid::Uuid>> {
    const ID: &[u8] = br#""id":""#;
    let make = create(&stack.token, false);
    let mut stream = connect(stack.api).await?;
    let (mut request, mut input, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..count {
        request.clear();
        make(number, &mut request);
        stream.write_all(&request).await?;
        read_answer(&mut stream, &mut input).await?;
        let place = memchr::memmem::find(&input, ID).context("an answer without an id")? + ID.len();
        let id = input.get(place..place + 36).context("a cut id")?;
        ids.push(uuid::Uuid::try_parse_ascii(id)?);
    }
    Ok(ids)
}
