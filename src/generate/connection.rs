//! One connection: opened when it is needed, kept while it works.

use super::record::{Ending, Expected};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::io::ErrorKind;
use std::time::Duration;
use tokio::net::TcpStream;

/// A connection of one virtual user.
#[derive(Debug)]
pub(super) struct Connection {
    address: String,
    timeout: Duration,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// A connection that is not open yet; no request on it takes longer than `timeout`.
    pub(super) fn new(address: &str, timeout: Duration) -> Self {
        Self { address: address.to_owned(), timeout, sender: None }
    }

    /// Sends one request and reads its answer to the end; `expected` says what its status means.
    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>, expected: &Expected) -> Ending {
        let answer = tokio::time::timeout(self.timeout, self.exchange(request)).await;
        let failed = |cause: &str| Ending::Failed(cause.to_owned());
        match answer {
            Ok(Ok(status)) => expected.ending(status.as_u16()),
            Ok(Err(cause)) => {
                self.sender = None;
                failed(cause)
            }
            Err(_) => {
                // The answer may still come; nobody could tell which request it belongs to.
                self.sender = None;
                failed("timeout")
            }
        }
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<StatusCode, &'static str> {
        let sender = self.open().await?;
        let answer = sender.send_request(request).await.map_err(|cause| cause_of(&cause))?;
        let status = answer.status();
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            // A length was promised and not kept.
            frame.map_err(|cause| match cause_of(&cause) {
                "reset" | "other" => "incomplete",
                cause => cause,
            })?;
        }
        Ok(status)
    }

    async fn open(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, &'static str> {
        // A server that closes an idle connection, as it may, costs no request.
        let usable = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            self.sender = Some(self.connect().await?);
        }
        self.sender.as_mut().ok_or("other")
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, &'static str> {
        let stream = TcpStream::connect(&self.address).await.map_err(|cause| match cause.kind() {
            ErrorKind::ConnectionRefused => "refused",
            ErrorKind::TimedOut => "timeout",
            ErrorKind::ConnectionReset => "reset",
            _ => "tcp",
        })?;
        // Small requests must not wait for more to send.
        let _ = stream.set_nodelay(true);
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|_| "tcp")?;
        tokio::task::spawn_local(async move {
            // How it ended is told to whoever waits for an answer on it.
            let _ = connection.await;
        });
        Ok(sender)
    }
}

/// The name of what went wrong.
fn cause_of(error: &hyper::Error) -> &'static str {
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() || is_reset(error) {
        "reset"
    } else if error.is_timeout() {
        "timeout"
    } else {
        "other"
    }
}

/// Whether the socket below says that its connection was cut, for which hyper has no name.
fn is_reset(error: &(dyn std::error::Error + 'static)) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let socket = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    matches!(socket, Some(BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof))
        || error.source().is_some_and(is_reset)
}
