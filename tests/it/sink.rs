//! Small receivers on this machine: an HTTP server that answers as told, and a mail server.

use crate::support::{listen, this_machine};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

/// One request that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
    pub(crate) at: std::time::Instant,
}

type Answering = dyn Fn(&Received, usize) -> String + Send + Sync;

/// An HTTP server. The answer to a request is made from it and the number of requests before it with
/// the same path: a status line and headers, and after an empty line a body.
pub(crate) struct HttpSink {
    pub(crate) port: u16,
    received: Arc<Mutex<Vec<Received>>>,
}

impl HttpSink {
    pub(crate) fn start(answer: impl Fn(&Received, usize) -> String + Send + Sync + 'static) -> Self {
        let listener = listen();
        let port = listener.local_addr().unwrap().port();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (log, answer): (_, Arc<Answering>) = (Arc::clone(&received), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                std::thread::spawn(move || serve(&stream, &log, &*answer));
            }
        });
        Self { port, received }
    }

    /// The requests to a path so far, in their order.
    pub(crate) fn to(&self, path: &str) -> Vec<Received> {
        self.received.lock().unwrap().iter().filter(|one| one.path == path).cloned().collect()
    }

    /// By name, so that a test can allow the name without the address.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}:{}{path}", this_machine(), self.port)
    }
}

fn serve(stream: &TcpStream, log: &Mutex<Vec<Received>>, answer: &Answering) {
    let mut reader = BufReader::new(stream);
    while let Some(one) = read_request(&mut reader) {
        let before = {
            let mut log = log.lock().unwrap();
            let before = log.iter().filter(|other| other.path == one.path).count();
            log.push(one.clone());
            before
        };
        let head = answer(&one, before);
        let (head, body) = head.split_once("\r\n\r\n").unwrap_or((&head, ""));
        let mut writer = stream;
        if write!(writer, "HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).is_err() {
            return;
        }
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<Received> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8_lossy(&body).into_owned();
    Some(Received { path, headers, body, at: std::time::Instant::now() })
}

/// A mail server that takes everything.
pub(crate) struct MailSink {
    pub(crate) port: u16,
    mails: Arc<Mutex<Vec<String>>>,
}

impl MailSink {
    pub(crate) fn start() -> Self {
        let listener = listen();
        let port = listener.local_addr().unwrap().port();
        let mails = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&mails);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let log = Arc::clone(&log);
                std::thread::spawn(move || converse(&stream, &log));
            }
        });
        Self { port, mails }
    }

    pub(crate) fn mails(&self) -> Vec<String> {
        self.mails.lock().unwrap().clone()
    }
}

fn converse(mut stream: &TcpStream, log: &Mutex<Vec<String>>) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    write!(stream, "220 sink\r\n").ok()?;
    while let Some(Ok(line)) = lines.next() {
        let verb = line.get(..4).unwrap_or_default().to_uppercase();
        match verb.as_str() {
            "EHLO" => write!(stream, "250-sink\r\n250 8BITMIME\r\n").ok()?,
            "DATA" => {
                write!(stream, "354 go on\r\n").ok()?;
                let mail: Vec<_> =
                    lines.by_ref().map_while(Result::ok).take_while(|line| line != ".").collect();
                log.lock().unwrap().push(mail.join("\n"));
                write!(stream, "250 taken\r\n").ok()?;
            }
            "QUIT" => return write!(stream, "221 bye\r\n").ok(),
            _ => write!(stream, "250 ok\r\n").ok()?,
        }
    }
    Some(())
}
