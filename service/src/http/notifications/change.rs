//! What is done to a notification by hand: cancelled, rescheduled, tried again; and its history.

use super::super::audit::{self, Action};
use super::super::error::Problem;
use super::super::etag::{self, Expected};
use super::super::extract::{Body, Id};
use super::super::gate::Caller;
use super::intake::require_sender;
use super::read::owned;
use super::{TaggedView, tag, tagged};
use crate::auth::Principal;
use crate::db::{Change, DbError};
use crate::domain::draft::too_far_ahead;
use crate::domain::view::NotificationView;
use crate::domain::{Violation, payload};
use crate::http::app::App;
use axum::Json;
use axum::extract::State;
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
    let detail = serde_json::json!({});
    audit::record(&app, &*caller, view.tenant(), Action::NotificationCancel, &id.0, detail).await;
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
    let max_payload = app.parts.config.limits.max_payload_bytes;
    let sender = check(&wanted, &before, max_payload, crate::clock::now()).map_err(Problem::invalid)?;
    if let Some(sender) = sender {
        require_sender(&app, before.tenant_id.as_deref(), before.channel, &sender).await?;
    }
    let seen = match etag::expected(&headers, |text| Timestamp::from_microsecond(text.parse().ok()?).ok()) {
        Expected::Any => None,
        Expected::OneOf(states) => Some(states),
    };
    let change = app.parts.db.reschedule(view.id(), &wanted, seen.as_deref(), &by(&caller)).await;
    let changed = settle(&app, &view, "rescheduled", change).await?;
    // Not the payload: it is what the notification says, and to whom.
    let detail = serde_json::json!({
        "scheduledFor": wanted.scheduled_for, "priority": wanted.priority, "payload": wanted.payload.is_some(),
    });
    audit::record(&app, &*caller, view.tenant(), Action::NotificationReschedule, &id.0, detail).await;
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
    let detail = serde_json::json!({});
    audit::record(&app, &*caller, view.tenant(), Action::NotificationRetry, &id.0, detail).await;
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
            format!("the notification changed at {changed_at}; its ETag is {}", tag(changed_at)),
        )),
    }
}

/// What is wrong with a change; else in whose name the new content asks to be sent, if not in ours.
fn check(
    wanted: &Reschedule,
    view: &Notification,
    max_payload: usize,
    now: Timestamp,
) -> Result<Option<String>, Vec<Violation>> {
    let (mut wrong, mut sender) = (Vec::new(), None);
    if *wanted == Reschedule::default() {
        wrong.push(Violation::new("", "must change at least one of scheduledFor, payload and priority"));
    }
    if wanted.scheduled_for.is_some_and(|at| at <= now) {
        wrong.push(Violation::new("/scheduledFor", "must be in the future"));
    }
    if let Some(detail) = wanted.scheduled_for.and_then(|at| too_far_ahead(at, now.as_millisecond())) {
        wrong.push(Violation::new("/scheduledFor", detail));
    }
    if let (Some(due), Some(expiry)) = (wanted.scheduled_for, view.expires_at)
        && due >= expiry
    {
        wrong.push(Violation::new("/scheduledFor", format!("must be before expiresAt, {expiry}")));
    }
    if let Some(content) = &wanted.payload {
        let text = serde_json::to_string(content).unwrap_or_default();
        match payload::inspect(view.channel, &text, max_payload) {
            Ok(named) => sender = named,
            Err(violation) => wrong.push(violation),
        }
    }
    if wrong.is_empty() { Ok(sender) } else { Err(wrong) }
}
