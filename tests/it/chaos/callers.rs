//! Callers that mean no good, or are too many: what they cost, and that the others are served.

use crate::client::{Client, TIMEOUT};
use crate::support::{Place, in_containers};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Connections that are open at once, where the system allows as many files.
const MANY: u64 = 10_000;
/// Most memory that one open connection may cost.
const BYTES_A_CONNECTION: u64 = 48 * 1024;
/// Callers that send byte by byte.
const SLOW: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_are_slow_or_too_many_do_not_stand_in_the_way() {
    let place = Place::new();
    place.ok(&["up"]);
    let client = Client::of(&place).await;
    let address = format!("127.0.0.1:{}", 3_000 + place.offset);
    slow_callers_are_let_go(&client, &address).await;
    thousands_of_open_connections_are_held_in_bounded_memory(&client, &place, &address).await;
}

async fn is_served(client: &Client) {
    let body = json!({"userId": "u", "channel": "IN_APP", "type": "SYSTEM", "payload": {"title": "t"}});
    let id = client.notify(body).await;
    client.until_status(&id, "DELIVERED").await;
}

/// Sends a beginning, then one byte after the other, until the server has had enough; what it said.
async fn drip(address: String, beginning: &'static str) -> String {
    let mut stream = TcpStream::connect(&address).await.expect("it listens");
    stream.write_all(beginning.as_bytes()).await.expect("it reads");
    let (mut from, mut to) = stream.split();
    let mut said = String::new();
    let dripping = async {
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            if to.write_all(b"a").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        // A connection that is reset while we write has ended too.
        _ = from.read_to_string(&mut said) => said,
        () = dripping => unreachable!("it drips until it is stopped"),
    }
}

async fn slow_callers_are_let_go(client: &Client, address: &str) {
    let began = Instant::now();
    // The balancer before containers has a word for it, the service hangs up.
    let head_is_late = if in_containers() { "408" } else { "" };
    let all = [
        ("GET /health HTTP/1.1\r\nhost: here\r\nx-slow: ", head_is_late),
        (
            "POST /auth/login HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{",
            "408",
        ),
    ];
    let mut dripping = Vec::new();
    for (beginning, wanted) in all {
        for _ in 0..SLOW {
            dripping.push((wanted, tokio::spawn(drip(address.to_owned(), beginning))));
        }
    }
    is_served(client).await;
    for (wanted, one) in dripping {
        let said = tokio::time::timeout(TIMEOUT, one).await.expect("it is let go").unwrap();
        let status = said.split(' ').nth(1).unwrap_or_default();
        assert_eq!(status, wanted, "{said}");
    }
    // Far from the wait of an idle connection (75 s): they were told apart from it.
    assert!(began.elapsed() < Duration::from_secs(60), "it took {:?}", began.elapsed());
}

/// Memory of a process that is its own, in bytes.
fn memory(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("memory");
    1_024 * line.trim().trim_end_matches(" kB").parse::<u64>().expect("kilobytes")
}

/// Opens a connection, asks once and keeps it.
async fn open(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(b"GET /health/liveness HTTP/1.1\r\nhost: here\r\n\r\n").await.expect("it reads");
    let mut answer = [0; 512];
    let read = tokio::time::timeout(TIMEOUT, stream.read(&mut answer)).await.expect("an answer");
    let answer = String::from_utf8_lossy(&answer[..read.expect("bytes")]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
    stream
}

async fn thousands_of_open_connections_are_held_in_bounded_memory(
    client: &Client,
    place: &Place,
    address: &str,
) {
    nsys::clients::process::raise_file_limit(u64::MAX);
    let allowed = nsys::clients::process::file_limit_hard().unwrap_or(u64::MAX);
    // The engine's proxy, under the limit of the engine, has two descriptors for each.
    let share = if in_containers() { 4 } else { 1 };
    let count = MANY.min(allowed.saturating_sub(1_000)) / share;
    let pid = place.pid("app-1");
    let before = memory(pid);
    let mut held = Vec::new();
    while (held.len() as u64) < count {
        held.extend(futures::future::join_all((0..200).map(|_| open(address))).await);
    }
    let grown = memory(pid).saturating_sub(before);
    is_served(client).await;
    assert!(grown < held.len() as u64 * BYTES_A_CONNECTION, "{} connections cost {grown} bytes", held.len());
    // They still are connections: the last one is asked again.
    let last = held.last_mut().expect("one");
    last.write_all(b"GET /health/liveness HTTP/1.1\r\nhost: here\r\n\r\n").await.expect("it reads");
    assert!(last.read(&mut [0; 512]).await.expect("an answer") > 0);
    drop(held);
    is_served(client).await;
}
