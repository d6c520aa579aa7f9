//! Creating, reading and listing notifications.

use super::error::{Body, Problem};
use super::layers::Caller;
use crate::app::App;
use crate::cache::{Claim, Lookup};
use crate::db::{DbError, ListFilter};
use crate::domain;
use crate::queue::SendError;
use axum::extract::{Path, Query, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nsys_contract::api::{CreateNotification, Notification, NotificationPage, paths};
use nsys_contract::status::{Channel, Role, Status};
use serde::Deserialize;
use std::sync::Arc;
use uuid::Uuid;

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const MAX_LIMIT: i64 = 200;

pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route(paths::NOTIFICATIONS, post(create).get(list))
        .route("/notifications/{id}", axum::routing::get(show))
}

async fn create(
    State(app): State<Arc<App>>,
    Caller(claims): Caller,
    headers: HeaderMap,
    Body(mut request): Body<CreateNotification>,
) -> Result<Response, Problem> {
    request.tenant_id = request.tenant_id.or_else(|| claims.tenant.clone());
    if !claims.may_use_tenant(request.tenant_id.as_deref()) {
        return Err(Problem::new(StatusCode::FORBIDDEN, "the token is for another tenant"));
    }
    take_header_key(&headers, &mut request)?;
    let envelope =
        domain::accept(request, jiff::Timestamp::now().as_millisecond()).map_err(Problem::invalid)?;

    let tenant = envelope.tenant_id.as_deref();
    if let (Some(key), Some(hash)) = (envelope.idempotency_key.as_deref(), envelope.request_hash.as_deref()) {
        match app.cache.claim(tenant, key, hash).await {
            Claim::New => app.metrics.idempotency("new"),
            // Ids are derived from the key, so a doubled acceptance still is one notification.
            Claim::Unknown => app.metrics.idempotency("unknown"),
            Claim::Taken { request_hash } if request_hash != hash => {
                app.metrics.idempotency("mismatch");
                let detail = "the idempotency key was used for another request";
                return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
            }
            Claim::Taken { .. } => {
                app.metrics.idempotency("replay");
                if let Some(earlier) = find(&app, envelope.id).await? {
                    let mut answer = Notification::clone(&earlier);
                    answer.duplicate = true;
                    return Ok(created(&answer));
                }
                // Claimed, but nothing is known of it: the earlier request is still in flight or died
                // before its answer. Sending again is harmless, the id is the same.
            }
        }
    }
    match app.producer.send(&envelope).await {
        Ok(()) => {}
        Err(cause) => {
            if let Some(key) = envelope.idempotency_key.as_deref() {
                app.cache.release(tenant, key).await;
            }
            if matches!(cause, SendError::Full) {
                app.metrics.shed("queue_full");
            }
            return Err(Problem::unavailable(format!("the notification could not be stored: {cause}")));
        }
    }
    let answer = Arc::new(domain::view(&envelope, false));
    app.cache.remember(&answer).await;
    Ok(created(&answer))
}

/// The key may stand in the header or in the body; when in both, they must agree.
fn take_header_key(headers: &HeaderMap, request: &mut CreateNotification) -> Result<(), Problem> {
    let Some(header) = headers.get(IDEMPOTENCY_KEY) else { return Ok(()) };
    let text = header
        .to_str()
        .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the idempotency key is not text"))?;
    // Formally a quoted string; most clients send it bare.
    let key = text.trim().trim_matches('"').to_owned();
    match &request.idempotency_key {
        Some(body) if *body != key => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "the idempotency keys of header and body differ",
        )),
        _ => {
            request.idempotency_key = Some(key);
            Ok(())
        }
    }
}

fn created(notification: &Notification) -> Response {
    let mut response = (StatusCode::CREATED, Json(notification)).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("{}/{}", paths::NOTIFICATIONS, notification.id)) {
        response.headers_mut().insert(LOCATION, location);
    }
    if notification.duplicate {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

async fn find(app: &App, id: Uuid) -> Result<Option<Arc<Notification>>, Problem> {
    let found = Box::pin(app.cache.notification::<DbError>(id, app.db.fetch_notification(id))).await;
    found.map_err(|failure| match &*failure {
        Lookup::Failed(cause) => cause.clone().into(),
        Lookup::Absent => Problem::new(StatusCode::NOT_FOUND, "there is no such notification"),
    })
}

async fn show(
    State(app): State<Arc<App>>,
    Caller(claims): Caller,
    Path(id): Path<String>,
) -> Result<Json<Notification>, Problem> {
    let absent = || Problem::new(StatusCode::NOT_FOUND, format!("there is no notification {id}"));
    let parsed = id.parse().map_err(|_| absent())?;
    let found = find(&app, parsed).await?.ok_or_else(absent)?;
    // Another tenant's notification does not exist for this caller.
    if !claims.may_use_tenant(found.tenant_id.as_deref()) {
        return Err(absent());
    }
    Ok(Json(Notification::clone(&found)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListQuery {
    user_id: Option<String>,
    status: Option<Status>,
    channel: Option<Channel>,
    correlation_id: Option<String>,
    cursor: Option<String>,
    #[serde(alias = "take")]
    limit: Option<i64>,
    skip: Option<i64>,
}

async fn list(
    State(app): State<Arc<App>>,
    Caller(claims): Caller,
    query: Result<Query<ListQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<NotificationPage>, Problem> {
    let Query(query) = query.map_err(|cause| Problem::new(StatusCode::BAD_REQUEST, cause.body_text()))?;
    let limit = query.limit.unwrap_or(50).clamp(1, MAX_LIMIT);
    let after = query.cursor.as_deref().map(read_cursor).transpose()?;
    if claims.role == Role::User
        && claims.tenant.is_none()
        && query.user_id.as_deref() != Some(&claims.sub.to_string())
    {
        let detail = "without a tenant only the own notifications can be listed (userId = your id)";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    let filter = ListFilter {
        tenant_id: if claims.role == Role::User { claims.tenant.clone() } else { None },
        user_id: query.user_id,
        status: query.status,
        channel: query.channel,
        correlation_id: query.correlation_id,
        after,
        // One more than asked tells whether there is a next page.
        limit: limit + 1,
        skip: query.skip.unwrap_or(0).max(0),
    };
    let mut data = app.db.list_notifications(&filter).await?;
    let has_more = data.len() as i64 > limit;
    data.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next_cursor = data.last().filter(|_| has_more).map(cursor);
    Ok(Json(NotificationPage { data, next_cursor, has_more }))
}

/// The place of a notification in the order of lists, opaque to callers.
fn cursor(last: &Notification) -> String {
    URL_SAFE_NO_PAD.encode(format!("{} {}", last.created_at.as_microsecond(), last.id))
}

fn read_cursor(text: &str) -> Result<(jiff::Timestamp, Uuid), Problem> {
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (instant, id) = std::str::from_utf8(&bytes).ok()?.split_once(' ')?;
        Some((jiff::Timestamp::from_microsecond(instant.parse().ok()?).ok()?, id.parse().ok()?))
    };
    read().ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "the cursor is not one of ours"))
}
