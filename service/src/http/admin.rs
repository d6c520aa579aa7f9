//! What operators ask the service itself, and the record of what they change.

pub(super) mod page;

use super::audit::{self, Action};
use super::endpoint::{Endpoint, get, post};
use super::error::Problem;
use super::extract::{Body, Query};
use super::gate::{Access, Caller};
use crate::auth::Principal;
use crate::db::AuditFilter;
use crate::domain::scope::Scope;
use crate::http::app::App;
use axum::Json;
use axum::extract::State;
use nsys_contract::api::{
    AuditEntry, AuditPage, AuditQuery, DrainState, LagReport, QueueStats, Stats, paths,
};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let mut endpoints = vec![
        get(paths::ADMIN_STATS, Access::Admin, "Counts by status, queues and limits")
            .notes("The counts are of every tenant and up to 10 seconds old; the queues are this replica's.")
            .gives::<Stats>(200, "The counts")
            .by(stats),
        get(paths::ADMIN_LAG, Access::Admin, "How far the workers are behind")
            .gives::<LagReport>(200, "Messages that wait, by partition")
            .by(lag),
        get(paths::ADMIN_AUDIT, Access::Operator, "Who changed what")
            .notes("Operators see what was done in their tenant, whoever did it; admins see everything.")
            .query::<AuditQuery>()
            .gives::<AuditPage>(200, "One page, newest first")
            .by(acts),
    ];
    endpoints.extend(own_endpoints());
    endpoints
}

/// What is about one replica only, and so is served on its own listener too.
pub(super) fn own_endpoints() -> Vec<Endpoint> {
    vec![
        get(paths::ADMIN_CONFIG, Access::Admin, "The effective configuration of this replica")
            .notes("Secrets, and addresses that may hold passwords, are left out.")
            .gives_plain(200, "The configuration", super::endpoint::JSON)
            .by(config),
        super::profile::endpoint(),
        get(paths::ADMIN_DRAIN, Access::Admin, "Whether this replica takes traffic")
            .gives::<DrainState>(200, "The state")
            .by(drain_state),
        post(paths::ADMIN_DRAIN, Access::Admin, "Take this replica out of traffic, or put it back")
            .notes(
                "A draining replica answers 503 on `/health/readiness` and serves every request that still \
                 comes. Replicas that share a socket are told apart by their metrics listener, where this is \
                 served too.",
            )
            .takes::<DrainState>()
            .gives::<DrainState>(200, "The state now")
            .audited(Action::ReplicaDrain)
            .by(drain),
    ]
}

/// The scope of a request that names a tenant.
pub(super) fn narrowed(caller: &Principal, tenant: Option<&str>) -> Result<Scope, Problem> {
    caller.scope().narrowed(tenant).ok_or_else(foreign)
}

/// The tenant a request is about: the one it names, else the caller's.
pub(super) fn tenant_of(caller: &Principal, named: Option<String>) -> Result<Option<String>, Problem> {
    let tenant = named.or_else(|| caller.tenant.clone());
    if caller.may_use_tenant(tenant.as_deref()) { Ok(tenant) } else { Err(foreign()) }
}

fn foreign() -> Problem {
    Problem::forbidden("the caller belongs to another tenant")
}

async fn stats(State(app): State<Arc<App>>) -> Result<Json<Stats>, Problem> {
    let counts = app.counts.current(&app.parts.db).await?;
    let (active, _, size) = app.parts.db.pool_state();
    Ok(Json(Stats {
        notifications: counts.notifications.clone(),
        dead_letters: counts.dead_letters,
        counted_at: counts.counted_at,
        queues: QueueStats {
            requests: app.concurrency.in_progress() as u64,
            max_requests: app.concurrency.size() as u64,
            producer: app.parts.producer.waiting().unsigned_abs(),
            max_producer: u64::from(app.parts.config.kafka.queue_messages),
            db_connections: active as u64,
            max_db_connections: u64::from(size),
        },
        draining: app.is_draining(),
    }))
}

async fn lag(State(app): State<Arc<App>>) -> Result<Json<LagReport>, Problem> {
    app.ingestion.lag().await.map(Json).ok_or_else(|| Problem::unavailable("the broker does not answer"))
}

async fn acts(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Query(query): Query<AuditQuery>,
) -> Result<Json<AuditPage>, Problem> {
    let before = query.cursor.as_deref().map(|text| page::read_cursor(text).and_then(|id| id.parse().ok()));
    let limit = page::limit(query.limit);
    let filter = AuditFilter {
        scope: caller.scope(),
        actor: query.actor,
        action: query.action,
        before: before.map(|id| id.ok_or_else(bad_cursor)).transpose()?,
        limit: limit + 1,
    };
    let (data, next_cursor) =
        page::cut(app.parts.db.list_acts(&filter).await?, limit, |entry: &AuditEntry| entry.id.to_string());
    Ok(Json(AuditPage { has_more: next_cursor.is_some(), data, next_cursor }))
}

/// The answer to a cursor that is not one of ours.
pub(super) fn bad_cursor() -> Problem {
    Problem::bad_request("the cursor is invalid")
}

async fn drain_state(State(app): State<Arc<App>>) -> Json<DrainState> {
    Json(DrainState { draining: app.is_draining() })
}

async fn drain(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Body(wanted): Body<DrainState>,
) -> Result<Json<DrainState>, Problem> {
    app.set_draining(wanted.draining);
    // A replica is nobody's: the entry is in no tenant, and admins see it.
    let replica = format!("pid {}", std::process::id());
    audit::record(&app, &*caller, None, Action::ReplicaDrain, &replica, json!(wanted)).await;
    Ok(Json(wanted))
}

async fn config(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    let mut value = serde_json::to_value(&app.parts.config)
        .map_err(|_| Problem::internal("the configuration could not be serialized"))?;
    for pointer in [
        "/db/url",
        "/db/read_url",
        "/cache/url",
        "/kafka/sasl_password",
        "/channels/smtp_url",
        "/channels/webhook_secret",
        "/endpoints/encryption_keys",
        "/channels/sms_token",
        "/channels/push_token",
    ] {
        if let Some(secret) = value.pointer_mut(pointer) {
            *secret = json!("***");
        }
    }
    Ok(Json(value))
}
