//! Routes and layers: one file per resource, each with its own router.

mod auth;
mod error;
mod health;
mod layers;
mod notifications;

use crate::app::App;
use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode, Uri};
use error::Problem;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The API.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .merge(auth::router())
        .merge(notifications::router())
        .merge(health::router())
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&app), layers::measure))
        .layer(axum::extract::DefaultBodyLimit::max(app.config.service.max_body_bytes))
        .layer(tower_http::catch_panic::CatchPanicLayer::new())
        .with_state(app)
}

/// Metrics and this replica's own health, on a listener of their own.
pub(crate) fn metrics_router(app: Arc<App>) -> Router {
    health::router().fallback(unknown_route).with_state(app)
}

async fn unknown_route(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is no {}", uri.path()))
}

async fn wrong_method(method: Method, request: Request) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{} does not take {method}", request.uri().path()))
}

/// Serves the API until `stopping`, then finishes what is in progress.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    stopping: CancellationToken,
) -> anyhow::Result<()> {
    use axum::serve::ListenerExt;
    let listener = listener.tap_io(|stream| {
        if let Err(cause) = stream.set_nodelay(true) {
            tracing::debug!(%cause, "TCP_NODELAY could not be set.");
        }
    });
    axum::serve(listener, router(app)).with_graceful_shutdown(stopping.cancelled_owned()).await?;
    Ok(())
}

/// Serves until aborted.
pub(crate) async fn serve_plain(listener: TcpListener, router: Router) {
    if let Err(cause) = axum::serve(listener, router).await {
        tracing::error!(%cause, "The metrics listener ended.");
    }
}
