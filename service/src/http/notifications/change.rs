//! What is done to a notification by hand: cancelled, rescheduled, tried again; and its history.

use super::super::admin::audit;
use super::super::error::Problem;
use super::super::extract::{Body, Id};
use super::super::gate::Caller;
use super::read::owned;
use super::{TaggedView, etag, tagged};
use crate::auth::Principal;
use crate::db::{Change, DbError};
use crate::domain::view::NotificationView;
use crate::domain::{Violation, payload};
use crate::http::app::App;
use axum::Json;
use axum::extract::State;
use axum::http::header::IF_MATCH;
use axum::http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use nsys_contract::api::{AttemptList, EventList, Notification, Reschedule};
use std::sync::Arc;

pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    id: Id,
) -> Result<TaggedView, Problem> {
    let view = owned(&app, &caller, &id).await?;
    let change = app.parts.db.cancel(view.id(), &by(&caller)).await;
    let changed = settle(&app, &view, "cancelled", change).await?;
    audit(&app, &caller, "notification.cancel", &id.0, serde_json::json!({})).await;
    Ok(tagged(&changed))
}

pub(super) async fn reschedule(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    id: Id,
    headers: HeaderMap,
    Body(wanted): Body<Reschedule>,
) -> Result<TaggedView, Problem> {
    let view = owned(&app, &caller, &id).await?;
    let before = view.notification().map_err(|cause| Problem::internal(cause.to_string()))?;
    let wrong = violations(&wanted, &before, app.parts.config.limits.max_payload_bytes, Timestamp::now());
    if !wrong.is_empty() {
        return Err(Problem::invalid(wrong));
    }
    let seen = seen(&headers)?;
    let change = app.parts.db.reschedule(view.id(), &wanted, seen, &by(&caller)).await;
    let changed = settle(&app, &view, "rescheduled", change).await?;
    Ok(tagged(&changed))
}

pub(super) async fn retry(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    id: Id,
) -> Result<(StatusCode, TaggedView), Problem> {
    let view = owned(&app, &caller, &id).await?;
    let change = app.parts.db.retry(view.id(), &by(&caller)).await;
    let changed = settle(&app, &view, "tried again", change).await?;
    audit(&app, &caller, "notification.retry", &id.0, serde_json::json!({})).await;
    Ok((StatusCode::ACCEPTED, tagged(&changed)))
}

pub(super) async fn events(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    id: Id,
) -> Result<Json<EventList>, Problem> {
    let view = owned(&app, &caller, &id).await?;
    Ok(Json(EventList { data: app.parts.db.list_events(view.id()).await? }))
}

pub(super) async fn attempts(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    id: Id,
) -> Result<Json<AttemptList>, Problem> {
    let view = owned(&app, &caller, &id).await?;
    Ok(Json(AttemptList { data: app.parts.db.list_attempts(view.id()).await? }))
}

fn by(caller: &Principal) -> String {
    format!("by {}", caller.name)
}

/// Tells what became of a change; cached copies of what changed are forgotten.
async fn settle(
    app: &App,
    view: &NotificationView,
    what: &str,
    change: Result<Change, DbError>,
) -> Result<NotificationView, Problem> {
    match change? {
        Change::Made(changed) => {
            app.parts.cache.forget(&[view.id()]).await;
            Ok(NotificationView::new(&changed))
        }
        // It is accepted, or `owned` had not found it; its row comes with the next batch.
        Change::Absent => Err(Problem::unavailable("the notification is not stored yet")),
        Change::WrongState(status) => {
            app.parts.cache.forget(&[view.id()]).await;
            Err(Problem::conflict(format!("a notification that is {status} cannot be {what}")))
        }
        Change::Stale(changed_at) => Err(Problem::new(
            StatusCode::PRECONDITION_FAILED,
            format!("the notification changed at {changed_at}; its ETag is {}", etag(changed_at)),
        )),
    }
}

/// The state that the caller saw, from `If-Match`.
fn seen(headers: &HeaderMap) -> Result<Option<Timestamp>, Problem> {
    let text = headers.get(IF_MATCH).and_then(|tag| tag.to_str().ok()).map(str::trim);
    let Some(tag) = text.filter(|tag| *tag != "*") else { return Ok(None) };
    let micros = tag.trim_matches('"').parse().ok();
    micros.and_then(|micros| Timestamp::from_microsecond(micros).ok()).map(Some).ok_or_else(|| {
        Problem::new(StatusCode::PRECONDITION_FAILED, "If-Match is not an ETag of a notification")
    })
}

fn violations(
    wanted: &Reschedule,
    view: &Notification,
    max_payload: usize,
    now: Timestamp,
) -> Vec<Violation> {
    let mut wrong = Vec::new();
    if *wanted == Reschedule::default() {
        wrong.push(Violation::new("", "must change at least one of scheduledFor, payload and priority"));
    }
    if wanted.scheduled_for.is_some_and(|at| at <= now) {
        wrong.push(Violation::new("/scheduledFor", "must be in the future"));
    }
    if let (Some(due), Some(expiry)) = (wanted.scheduled_for, view.expires_at)
        && due >= expiry
    {
        wrong.push(Violation::new("/scheduledFor", format!("must be before expiresAt, {expiry}")));
    }
    if let Some(content) = &wanted.payload {
        let text = serde_json::to_string(content).unwrap_or_default();
        wrong.extend(payload::violation(view.channel, &text, max_payload));
    }
    wrong
}
