//! A small service with other paths, statuses and headers than the notification service, which keeps a record of
//! what it was asked.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// The key that callers must show.
const KEY: &str = "k-1234";

/// A creation that it took.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) body: Value,
    pub(super) shop: String,
    pub(super) content_type: String,
}

#[derive(Default)]
struct Record {
    orders: Mutex<Vec<Order>>,
    reads: AtomicUsize,
    refused: AtomicUsize,
    refuses: AtomicBool,
    over: AtomicBool,
}

/// The service; it ends with its owner.
pub(super) struct ForeignService {
    pub(super) port: u16,
    record: Arc<Record>,
}

impl ForeignService {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let record = Arc::new(Record::default());
        let serving = Arc::clone(&record);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if serving.over.load(Ordering::Relaxed) {
                    return;
                }
                let record = Arc::clone(&serving);
                std::thread::spawn(move || serve(&record, client).ok());
            }
        });
        Self { port, record }
    }

    pub(super) fn orders(&self) -> Vec<Order> {
        self.record.orders.lock().expect("no holder panics").clone()
    }

    pub(super) fn reads(&self) -> usize {
        self.record.reads.load(Ordering::SeqCst)
    }

    pub(super) fn refused(&self) -> usize {
        self.record.refused.load(Ordering::SeqCst)
    }

    /// From now on creations are answered with 200 instead of 202.
    pub(super) fn refuse(&self, refuses: bool) {
        self.record.refuses.store(refuses, Ordering::SeqCst);
    }

    pub(super) fn forget(&self) {
        self.record.orders.lock().expect("no holder panics").clear();
        self.record.reads.store(0, Ordering::SeqCst);
        self.record.refused.store(0, Ordering::SeqCst);
    }
}

impl Drop for ForeignService {
    fn drop(&mut self) {
        self.record.over.store(true, Ordering::Relaxed);
        // Wakes the one that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(record: &Record, client: TcpStream) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut writer = client.try_clone()?;
    let mut reader = BufReader::new(client);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let (mut headers, mut length) = (Vec::new(), 0);
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.trim().split_once(':') else { break };
            let (name, value) = (name.to_lowercase(), value.trim().to_owned());
            if name == "content-length" {
                length = value.parse().unwrap_or(0);
            }
            headers.push((name, value));
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let status = answer(record, line.trim(), &headers, &body);
        write!(
            writer,
            "HTTP/1.1 {status} Said\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{{}}"
        )?;
    }
}

fn answer(record: &Record, line: &str, headers: &[(String, String)], body: &[u8]) -> u16 {
    let header =
        |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map_or("", |(_, value)| value);
    let target = line.split(' ').nth(1).unwrap_or_default();
    if target == "/base/healthz" {
        return 200;
    }
    if header("x-api-key") != KEY {
        return 401;
    }
    if line.starts_with("POST /base/api/v1/orders ") {
        if record.refuses.load(Ordering::SeqCst) {
            record.refused.fetch_add(1, Ordering::SeqCst);
            return 200;
        }
        let Ok(body) = serde_json::from_slice(body) else { return 400 };
        let (shop, content_type) = (header("x-shop").to_owned(), header("content-type").to_owned());
        record.orders.lock().expect("no holder panics").push(Order { body, shop, content_type });
        return 202;
    }
    if line.starts_with("GET /base/api/v1/orders?customer=c") {
        record.reads.fetch_add(1, Ordering::SeqCst);
        return 200;
    }
    404
}
