//! Health and readiness.

use super::endpoint::{Endpoint, get};
use super::gate::Access;
use crate::domain::backlog::Excess;
use crate::http::app::App;
use crate::http::app::concurrency::RequestClass;
use crate::worker::ChannelState;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use nsys_contract::api::paths;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let json = super::endpoint::JSON;
    vec![
        get(paths::HEALTH, Access::Public, "Whether the service works")
            .notes(
                "Also 200 without Redis: the service is slower then, not wrong. `log` shows the backlog, \
                 what it has lost, and whether its topics may lose something; `registration` whether anybody may \
                 make an account.",
            )
            .gives_plain(200, "It works", json)
            .class(RequestClass::Vital)
            .by(health),
        get(paths::HEALTH_WORKER, Access::Public, "Show the state of the workers of this process")
            .gives_plain(200, "Their figures", json)
            .diagnostic()
            .class(RequestClass::Vital)
            .by(worker),
        get(paths::HEALTH_DATABASE, Access::Public, "Whether PostgreSQL answers, and the pool")
            .gives_plain(200, "It answers", json)
            .diagnostic()
            .class(RequestClass::Vital)
            .by(database),
        get(paths::LIVENESS, Access::Public, "Whether the process is alive")
            .gives_plain(200, "It is", json)
            .class(RequestClass::Vital)
            .by(async || Json(json!({"status": "ok"}))),
        get(paths::READINESS, Access::Public, "Whether the process should receive traffic")
            .notes(
                "503 while draining, and when the producer has failed for good. PostgreSQL is not checked: \
                 without it notifications are accepted all the same.",
            )
            .gives_plain(200, "It should", json)
            .class(RequestClass::Vital)
            .by(readiness),
        super::metrics::endpoint(),
    ]
}

fn status(ok: bool) -> (StatusCode, &'static str) {
    if ok { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "error") }
}

/// Redis away makes the service slower, not wrong: health stays 200 and says so.
async fn health(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let (database, cache, lost) =
        tokio::join!(app.parts.db.ping(), app.parts.cache.ping(), app.parts.db.lost_messages());
    let (code, word) = status(database.is_ok());
    let body = json!({
        "status": word,
        "timestamp": crate::clock::now(),
        "version": env!("CARGO_PKG_VERSION"),
        "info": {
            // What it says is for `/health/database`: this is shown to everybody.
            "database": {"status": if database.is_ok() { "up" } else { "down" }},
            "cache": {"status": if cache { "up" } else { "down" }},
            "producer": {"waiting": app.parts.producer.waiting()},
            "log": log(&app, lost.ok()),
            "registration": if app.parts.config.auth.open_registration.is_on() { "open" } else { "closed" },
        },
    });
    (code, Json(body))
}

/// What is known of the log. What is unknown is null.
fn log(app: &App, recorded: Option<u64>) -> Value {
    let state = app.ingestion.state();
    let excess = app.ingestion.excess();
    let well = state.gone == 0 && recorded == Some(0) && state.risks.as_ref().is_some_and(Vec::is_empty);
    json!({
        "status": if well { "up" } else { "degraded" },
        "waiting": state.waiting,
        "refuses": excess.map(Excess::detail),
        "lost": recorded.map(|recorded| recorded + state.gone),
        "risks": state.risks,
    })
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
        "timestamp": crate::clock::now(),
        "worker": {
            "isProcessing": load(&state.in_progress) > 0,
            "processedCount": processed,
            "errorCount": errors,
            "lastProcessedAt": (last_ms > 0).then(|| jiff::Timestamp::from_millisecond(last_ms).ok()),
            "performance": {"avgProcessingTime": per_message_ms, "totalProcessingTime": busy_us as f64 / 1_000.0},
            "channels": channels,
            "openCircuits": state.open_circuits(),
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
    let answer = app.parts.db.ping().await;
    let (active, open, size) = app.parts.db.pool_state();
    let (code, word) = status(answer.is_ok());
    let body = json!({
        "status": word,
        "timestamp": crate::clock::now(),
        "database": {"connected": answer.is_ok(), "detail": answer.err().map(|e| e.to_string()),
            "pool": {"active": active, "open": open, "size": size},
            "replica": app.parts.db.replica().map(|one| json!({"used": one.used, "reason": one.reason,
                "lagSeconds": one.lag.map(|lag| lag.as_secs_f64())}))},
    });
    (code, Json(body))
}

async fn readiness(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let (draining, failed) = (app.is_draining(), app.parts.producer.fatal());
    let (code, word) = status(!draining && failed.is_none());
    let overloaded = app.ingestion.excess().is_some();
    (code, Json(json!({"status": word, "draining": draining, "overloaded": overloaded, "producer": failed})))
}
