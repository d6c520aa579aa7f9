//! The listening side: connections, their time limits, and a stop that drops nothing.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::body_drain::DrainedBody;
use super::client_address::Peer;
use super::header_read_timeout::HeaderReadTimer;
use crate::telemetry::Metrics;

/// Longest wait for the next request's head on a connection that has made one: an idle one is let go.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(75);
/// Longest wait for the first head of a new connection: who opens many and says nothing, or sends heads
/// byte by byte, does not hold them for long.
const FIRST_HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Wait after a connection could not be taken because descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stopping`, then finishes what is in progress.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    metrics: Metrics,
    stopping: CancellationToken,
) -> anyhow::Result<()> {
    let open = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stopping.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let counted = metrics.connection();
                let served = connection(stream, peer, router.clone(), stopping.clone());
                open.spawn(async move {
                    served.await;
                    drop(counted);
                });
            }
            Err(cause) if is_of_one_connection(&cause) => {
                tracing::debug!(%cause, "A connection was closed before it was accepted.");
            }
            Err(cause) => {
                tracing::warn!(%cause, "Connections cannot be accepted right now.");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    open.close();
    open.wait().await;
    Ok(())
}

fn is_of_one_connection(cause: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(cause.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Serves one connection. When the service stops, the request in progress is its last.
async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, stopping: CancellationToken) {
    if let Err(cause) = stream.set_nodelay(true) {
        tracing::debug!(%cause, "TCP_NODELAY could not be set.");
    }
    let asked = Arc::new(AtomicBool::new(false));
    let asking = Arc::clone(&asked);
    let service = tower::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        asking.store(true, Ordering::Relaxed);
        let (mut head, body) = request.into_parts();
        head.extensions.insert(Peer(peer.ip()));
        let body = DrainedBody::new(body, &head.headers);
        router.clone().call(hyper::Request::from_parts(head, body))
    });
    let mut served = std::pin::pin!(
        http1::Builder::new()
            .timer(HeaderReadTimer::new(HEADER_READ_TIMEOUT))
            .header_read_timeout(HEADER_READ_TIMEOUT)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
    );
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = never_asked(&asked) => return,
        () = stopping.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(cause) = ended {
        tracing::debug!(%cause, "A connection was closed early.");
    }
}

/// Resolves when the first request of a connection did not come in time.
async fn never_asked(asked: &AtomicBool) {
    tokio::time::sleep(FIRST_HEADER_TIMEOUT).await;
    if asked.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}
