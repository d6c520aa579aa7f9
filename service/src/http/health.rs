//! Health, readiness, metrics and the effective configuration.

use super::error::Problem;
use super::layers::Caller;
use crate::app::App;
use crate::worker::ChannelState;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use nsys_contract::api::paths;
use nsys_contract::status::Role;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route(paths::HEALTH, get(health))
        .route(paths::HEALTH_WORKER, get(worker))
        .route(paths::HEALTH_DATABASE, get(database))
        .route(paths::LIVENESS, get(async || Json(json!({"status": "ok"}))))
        .route(paths::READINESS, get(readiness))
        .route(paths::METRICS, get(metrics))
        .route(paths::ADMIN_CONFIG, get(config))
}

fn status(ok: bool) -> (StatusCode, &'static str) {
    if ok { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "error") }
}

/// Redis away makes the service slower, not wrong: health stays 200 and says so.
async fn health(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let (database, cache) = tokio::join!(app.db.ping(), app.cache.ping());
    let (code, word) = status(database.is_ok());
    let body = json!({
        "status": word,
        "timestamp": jiff::Timestamp::now(),
        "version": env!("CARGO_PKG_VERSION"),
        "info": {
            "database": {"status": if database.is_ok() { "up" } else { "down" }, "detail": database.err().map(|e| e.to_string())},
            "cache": {"status": if cache { "up" } else { "down" }},
            "producer": {"waiting": app.producer.waiting()},
        },
    });
    (code, Json(body))
}

async fn worker(State(app): State<Arc<App>>) -> Json<Value> {
    let state = &app.worker;
    let load = |value: &std::sync::atomic::AtomicU64| value.load(Ordering::Relaxed);
    let (processed, errors, busy_us) = (load(&state.processed), load(&state.errors), load(&state.busy_us));
    let last_ms = state.last_processed_ms.load(Ordering::Relaxed);
    let channels: serde_json::Map<_, _> = state.channels().into_iter().map(channel).collect();
    let per_message_ms = (processed > 0).then(|| busy_us as f64 / 1_000.0 / processed as f64);
    Json(json!({
        "status": "ok",
        "timestamp": jiff::Timestamp::now(),
        "worker": {
            "isProcessing": load(&state.in_progress) > 0,
            "processedCount": processed,
            "errorCount": errors,
            "lastProcessedAt": (last_ms > 0).then(|| jiff::Timestamp::from_millisecond(last_ms).ok()),
            "performance": {"avgProcessingTime": per_message_ms, "totalProcessingTime": busy_us as f64 / 1_000.0},
            "channels": channels,
            "leftAlone": state.left_alone(),
            "consumerLag": {"totalLag": state.total_lag.load(Ordering::Relaxed)},
        },
    }))
}

/// One channel as the workers' health shows it.
fn channel(state: ChannelState) -> (String, Value) {
    let shown = json!({"provider": state.provider, "waiting": state.waiting, "running": state.running});
    (state.channel.to_string(), shown)
}

async fn database(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let answer = app.db.ping().await;
    let (active, open, size) = app.db.pool_state();
    let (code, word) = status(answer.is_ok());
    let body = json!({
        "status": word,
        "timestamp": jiff::Timestamp::now(),
        "database": {"connected": answer.is_ok(), "detail": answer.err().map(|e| e.to_string()),
            "pool": {"active": active, "open": open, "size": size}},
    });
    (code, Json(body))
}

async fn readiness(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let ready = !app.is_draining() && app.db.ping().await.is_ok();
    let (code, word) = status(ready);
    (code, Json(json!({"status": word, "draining": app.is_draining()})))
}

async fn metrics(State(app): State<Arc<App>>) -> Result<impl IntoResponse, Problem> {
    app.metrics.queue_depth("producer", app.producer.waiting());
    let text = app
        .metrics
        .encode()
        .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written"))?;
    Ok(([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text))
}

/// What this process really runs with. Addresses may hold passwords, so they are left out.
async fn config(State(app): State<Arc<App>>, Caller(claims): Caller) -> Result<Json<Value>, Problem> {
    if claims.role == Role::User {
        return Err(Problem::new(StatusCode::FORBIDDEN, "only operators may see the configuration"));
    }
    let mut value = serde_json::to_value(&app.config)
        .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the configuration cannot be shown"))?;
    for pointer in [
        "/db/url",
        "/db/read_url",
        "/cache/url",
        "/kafka/sasl_password",
        "/channels/smtp_url",
        "/channels/webhook_secret",
        "/channels/sms_token",
        "/channels/push_token",
    ] {
        if let Some(secret) = value.pointer_mut(pointer) {
            *secret = json!("***");
        }
    }
    Ok(Json(value))
}
