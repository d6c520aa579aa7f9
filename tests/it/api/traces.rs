//! One request's trace through HTTP, the log and the worker, as a collector gets it.

use super::client::{Api, inbox};
use crate::support::{listen, this_machine};
use reqwest::Method;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Takes what is exported over OTLP/HTTP and keeps the bytes.
#[derive(Clone, Default)]
pub(super) struct Collector(Arc<Mutex<Vec<u8>>>);

impl Collector {
    /// Listens; answers its address.
    pub(super) async fn start(&self) -> String {
        let listener = listen();
        listener.set_nonblocking(true).expect("a socket");
        let listener = TcpListener::from_std(listener).expect("a socket");
        let port = listener.local_addr().expect("an address").port();
        let collector = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(collector.clone().take(stream));
            }
        });
        format!("http://{}:{port}", this_machine())
    }

    async fn take(self, mut stream: TcpStream) -> Option<()> {
        let mut head = Vec::new();
        loop {
            head.clear();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.ok()?);
            }
            let text = String::from_utf8_lossy(&head).to_lowercase();
            let length =
                text.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse().ok()?;
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.ok()?;
            self.0.lock().expect("no panic").extend(body);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.ok()?;
        }
    }

    fn has(&self, bytes: &[u8]) -> bool {
        self.0.lock().expect("no panic").windows(bytes.len()).any(|window| window == bytes)
    }
}

pub(super) async fn a_trace_goes_through_http_the_log_and_the_worker(api: &Api, collector: &Collector) {
    // Without a caller that asks for it nothing is traced here: the share is 0.
    api.post("/notifications", &inbox("untraced")).await.expect(201);
    let trace = uuid::Uuid::new_v4();
    let parent = format!("00-{}-00f067aa0ba902b7-01", trace.simple());
    let request = api.request(Method::POST, "/notifications").bearer_auth(&api.admin).json(&inbox("traced"));
    let answer = request.header("traceparent", parent).send().await.expect("an answer");
    let told = answer.headers()["traceparent"].to_str().expect("text").to_owned();
    assert!(told.starts_with(&format!("00-{}-", trace.simple())) && told.ends_with("-01"), "{told}");
    assert!(!told.contains("00f067aa0ba902b7"), "the server's span is not the caller's");
    let deadline = Instant::now() + Duration::from_secs(60);
    let names: [&[u8]; 6] = [
        trace.as_bytes(),
        b"POST /notifications",
        b"publish",
        b"process notifications",
        b"store",
        b"notification-system",
    ];
    while !names.iter().all(|name| collector.has(name)) {
        let missing: Vec<_> = names.iter().filter(|name| !collector.has(name)).collect();
        assert!(Instant::now() < deadline, "not exported: {missing:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(!collector.has(b"untraced") && !collector.has(b"Hello"), "a payload is in a trace");
}
