//! A prescribed HTTP server: a script says how each request ends, and what really happened is recorded.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Longest header that is read.
const LONGEST_HEAD: usize = 16_384;
/// How often somebody who waits for nothing looks whether it is over.
const PERIOD: Duration = Duration::from_millis(20);

/// A request as the script sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Counted from 0 over all connections.
    pub(super) number: u64,
    /// Since the first request.
    pub(super) at: Duration,
}

/// How a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// A whole answer with this status.
    Status(u16),
    /// None, and the connection stays open.
    Never,
    /// The connection is reset before the first byte.
    Reset,
    /// The connection is reset in the middle of the head.
    ResetInHead,
    /// The connection is closed before the first byte.
    Close,
    /// A body that is shorter than was promised.
    CutBody,
    /// A head, the beginning of a body, and nothing more.
    StalledBody,
}

/// What a script says of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    /// From when it was read.
    pub(super) after: Duration,
    pub(super) end: End,
}

/// How a server behaves.
#[derive(Clone, Copy)]
pub(super) struct Script {
    pub(super) answer: fn(Seen) -> Answer,
    /// Whether a connection serves more than one request. Where requests end with their connection it must
    /// not: a client repeats a request on another connection by itself when an old one turns out closed.
    pub(super) keep_alive: bool,
    /// So long the next connection waits in line before it is served. A client cannot tell that from one that
    /// waits to be accepted, and here it is known when it came.
    pub(super) accept_every: Duration,
}

/// One request as it really went.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    /// When it was read, or, where it came with its connection, when that was there.
    pub(super) came: Instant,
    /// When it was answered, or the client of one that never is gave it up; absent while neither happened.
    pub(super) ended: Option<Instant>,
    pub(super) end: End,
}

struct Shared {
    script: Script,
    first: Mutex<Option<Instant>>,
    count: AtomicU64,
    over: AtomicBool,
    records: Mutex<Vec<Record>>,
}

/// The server; it ends with its owner.
pub(super) struct Server {
    pub(super) port: u16,
    shared: Arc<Shared>,
}

impl Server {
    pub(super) fn start(script: Script) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            script,
            first: Mutex::new(None),
            count: AtomicU64::new(0),
            over: AtomicBool::new(false),
            records: Mutex::new(Vec::new()),
        });
        let (to, waiting) = std::sync::mpsc::channel();
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.over.load(Ordering::Relaxed) || to.send((client, Instant::now())).is_err() {
                    return;
                }
            }
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for (client, came) in waiting {
                std::thread::sleep(serving.script.accept_every);
                let shared = Arc::clone(&serving);
                // A client that goes away in the middle is part of the play.
                std::thread::spawn(move || serve(&shared, client, came).ok());
            }
        });
        Self { port, shared }
    }

    /// What happened, in the order in which requests came.
    pub(super) fn records(&self) -> Vec<Record> {
        let mut records = self.shared.records.lock().expect("no holder panics").clone();
        records.sort_by_key(|one| one.came);
        records
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // Wakes the one that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Serves one connection until it ends.
fn serve(shared: &Shared, mut client: TcpStream, came: Instant) -> std::io::Result<()> {
    // Where connections last, clients may open them before there is a request.
    let lasts = shared.script.keep_alive && shared.script.accept_every.is_zero();
    let mut came = (!lasts).then_some(came);
    client.set_nodelay(true)?;
    client.set_read_timeout(Some(PERIOD))?;
    let mut unread = Vec::new();
    while read_request(shared, &mut client, &mut unread)? {
        let read = Instant::now();
        let number = shared.count.fetch_add(1, Ordering::Relaxed);
        let first = *shared.first.lock().expect("no holder panics").get_or_insert(read);
        let at = read.saturating_duration_since(first);
        let answer = (shared.script.answer)(Seen { number, at });
        let index = {
            let mut records = shared.records.lock().expect("no holder panics");
            records.push(Record { came: came.take().unwrap_or(read), ended: None, end: answer.end });
            records.len() - 1
        };
        std::thread::sleep(answer.after.saturating_sub(read.elapsed()));
        // A client that has gone has gone now.
        let goes_on = end(shared, &mut client, answer.end).unwrap_or(false);
        shared.records.lock().expect("no holder panics")[index].ended = Some(Instant::now());
        if !goes_on {
            return Ok(());
        }
    }
    Ok(())
}

/// Ends one request; false when the connection has ended with it.
fn end(shared: &Shared, client: &mut TcpStream, end: End) -> std::io::Result<bool> {
    let keep_alive = shared.script.keep_alive;
    match end {
        End::Status(status) => {
            let body = if status == 204 { "" } else { "{}" };
            let connection = if keep_alive { "keep-alive" } else { "close" };
            let length =
                if status == 204 { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
            write!(client, "HTTP/1.1 {status} Told\r\nConnection: {connection}\r\n{length}\r\n{body}")?;
            return Ok(keep_alive);
        }
        End::Never => wait_for_the_end(shared, client),
        End::Reset => reset(client)?,
        End::ResetInHead => {
            client.write_all(b"HTTP/1.1 200 To")?;
            reset(client)?;
        }
        End::Close => {}
        End::CutBody => client.write_all(b"HTTP/1.1 200 Told\r\nContent-Length: 100\r\n\r\nshort")?,
        End::StalledBody => {
            client.write_all(b"HTTP/1.1 200 Told\r\nContent-Length: 100\r\n\r\nshort")?;
            wait_for_the_end(shared, client);
        }
    }
    Ok(false)
}

/// A close without lingering is a reset.
fn reset(client: &TcpStream) -> std::io::Result<()> {
    rustix::net::sockopt::set_socket_linger(client, Some(Duration::ZERO)).map_err(Into::into)
}

/// Until the client gives up, or the server ends.
fn wait_for_the_end(shared: &Shared, client: &mut TcpStream) {
    let mut byte = [0];
    while !shared.over.load(Ordering::Relaxed) {
        match client.read(&mut byte) {
            Ok(0) => return,
            Err(cause) if cause.kind() != std::io::ErrorKind::WouldBlock => return,
            _ => {}
        }
    }
}

/// Reads one request to the end of its body; false when the client has no more.
fn read_request(shared: &Shared, client: &mut TcpStream, unread: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut bytes = [0; 4_096];
    loop {
        if let Some(head) = unread.windows(4).position(|four| four == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&unread[..head]).to_lowercase();
            let length =
                text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            let whole = head + 4 + length.unwrap_or(0);
            if unread.len() >= whole {
                unread.drain(..whole);
                return Ok(true);
            }
        }
        match client.read(&mut bytes) {
            Ok(0) => return Ok(false),
            Ok(count) if unread.len() < LONGEST_HEAD => unread.extend_from_slice(&bytes[..count]),
            Ok(_) => return Ok(false),
            Err(cause) if cause.kind() == std::io::ErrorKind::WouldBlock => {
                if shared.over.load(Ordering::Relaxed) {
                    return Ok(false);
                }
            }
            Err(cause) => return Err(cause),
        }
    }
}
