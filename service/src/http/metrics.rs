//! `/metrics`: the gauges of the moment, then everything that was counted.

use super::app::App;
use super::app::concurrency::RequestClass;
use super::endpoint::{Endpoint, get};
use super::error::Problem;
use super::gate::Access;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use nsys_contract::api::paths;
use nsys_contract::metrics::REQUESTS_IN_PROGRESS;
use std::sync::Arc;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn endpoint() -> Endpoint {
    get(paths::METRICS, Access::Public, "Metrics for Prometheus")
        .gives_plain(200, "OpenMetrics text", OPENMETRICS)
        .diagnostic()
        .class(RequestClass::Vital)
        .by(metrics)
}

async fn metrics(State(app): State<Arc<App>>) -> Result<impl IntoResponse, Problem> {
    app.parts.metrics.queue_depth("producer", app.parts.producer.waiting());
    let count = |requests: usize| i64::try_from(requests).unwrap_or(i64::MAX);
    let waiting = app.concurrency.waiting();
    // Queued ones too: their answer times count from there, as Little's law wants it.
    app.parts.metrics.queue_depth(REQUESTS_IN_PROGRESS, count(app.concurrency.in_progress() + waiting));
    app.parts.metrics.queue_depth("requests_waiting", count(waiting));
    app.parts.metrics.accept_queue(app.parts.producer.waiting());
    let text =
        app.parts.metrics.encode().map_err(|_| Problem::internal("the metrics could not be encoded"))?;
    Ok(([(CONTENT_TYPE, OPENMETRICS)], text))
}
