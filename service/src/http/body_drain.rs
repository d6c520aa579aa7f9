//! Drains request bodies that nobody reads to their end.
//!
//! Who refuses a request before it has come in whole and then closes the connection may destroy its own
//! answer: the bytes that still arrive are answered with a reset, and a reset throws away what the caller,
//! or a proxy before it, has not read yet (RFC 9112, section 9.6). So the rest is read and thrown away, in
//! bounds, and the connection goes on.

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::http::header::EXPECT;
use futures::StreamExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Most that is read of a body nobody wants, in bytes. Who sends more is cut off.
const MAX_DRAINED_BYTES: usize = 16 << 20;
/// Longest that it is read.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// A request's body. What is unread when it is dropped is drained.
pub(super) struct DrainedBody {
    /// Taken when it is dropped.
    body: Option<Incoming>,
    /// The caller waits for a word before it sends the body, and gets the answer instead.
    asks_first: bool,
}

impl DrainedBody {
    pub(super) fn new(body: Incoming, headers: &HeaderMap) -> Self {
        Self { body: Some(body), asks_first: headers.contains_key(EXPECT) }
    }
}

impl Body for DrainedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.body.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Incoming::size_hint)
    }
}

impl Drop for DrainedBody {
    fn drop(&mut self) {
        let Some(body) = self.body.take() else { return };
        if body.is_end_stream() || self.asks_first {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(DRAIN_TIMEOUT, drain(body)));
        }
    }
}

/// Reads to the end, to an error or to the limit.
async fn drain(body: Incoming) {
    let (mut rest, mut read) = (axum::body::Body::new(body).into_data_stream(), 0);
    while read < MAX_DRAINED_BYTES
        && let Some(Ok(part)) = rest.next().await
    {
        read += part.len();
    }
}

#[cfg(test)]
mod tests {
    use super::super::server;
    use crate::telemetry::Metrics;
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::post;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_util::sync::CancellationToken;

    /// A caller that reads nothing before it has sent everything, as a proxy may do.
    async fn answers(head: &str, sent: usize) -> std::io::Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let refuse = Router::new().route("/", post(async || (StatusCode::FORBIDDEN, "no")));
        let stopping = CancellationToken::new();
        let server = tokio::spawn(server::serve(listener, refuse, Metrics::default(), stopping.clone()));
        let mut caller = TcpStream::connect(address).await?;
        caller.write_all(head.as_bytes()).await?;
        caller.write_all(&vec![b'x'; sent]).await?;
        // On the same connection once more.
        caller.write_all(b"POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await?;
        let mut said = String::new();
        caller.read_to_string(&mut said).await?;
        stopping.cancel();
        server.await.unwrap().unwrap();
        Ok(said)
    }

    #[tokio::test]
    async fn a_refused_body_is_read_so_that_the_refusal_arrives() {
        let length = 9 << 20;
        let head = format!("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n");
        let said = answers(&head, length).await.expect("no reset");
        assert_eq!(said.matches("403 Forbidden").count(), 2, "{said}");
    }

    #[tokio::test]
    async fn a_body_without_end_is_cut_off() {
        let head = "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 90000000000\r\n\r\n";
        assert!(answers(head, 60 << 20).await.is_err());
    }
}
