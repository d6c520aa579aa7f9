//! One notification, answered when the log has it.

use super::super::endpoint::JSON;
use super::super::error::Problem;
use super::super::extract::{bytes, expect_type, read_json};
use super::super::gate::Caller;
use super::intake;
use super::lookup::{self, Found};
use crate::domain::draft::{Accepted, Draft};
use crate::domain::identity::Identity;
use crate::domain::view::NotificationView;
use crate::http::app::App;
use crate::http::idempotency::{self, Claim, KeyVerdict, Known, Underway};
use crate::queue::{Receipt, SendError, published};
use crate::telemetry::trace;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use nsys_contract::api::{Notification, paths};
use std::sync::Arc;
use uuid::Uuid;

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const CORRELATION_ID: &str = "x-correlation-id";
const PREFER: &str = "prefer";
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    mut request: Request,
) -> Result<Response, Problem> {
    expect_type(&request, "application/json", |kind| kind == "application/json" || kind.ends_with("+json"))?;
    let headers = std::mem::take(request.headers_mut());
    let body = bytes(request, &app).await?;
    let mut draft: Draft<'_> = read_json(&body)?;
    take_headers(&headers, &mut draft)?;
    intake::assign_tenant(&app, &caller, &mut draft)?;
    match draft.identify() {
        Some(identity) => Box::pin(keyed(&app, draft, identity, prefers_async(&headers))).await,
        None => plain(&app, draft, prefers_async(&headers)).await,
    }
}

/// Takes a notification without an idempotency key.
async fn plain(app: &Arc<App>, draft: Draft<'_>, answers_first: bool) -> Result<Response, Problem> {
    let accepted = intake::prepare(app, draft, now_ms()).await?;
    if answers_first {
        let parent = trace::current_traceparent();
        let sent = app.parts.producer.enqueue(&accepted, parent.as_deref(), false);
        sent.map_err(|cause| intake::not_sent(app, &cause))?;
        return Ok(accepted_async(&accepted));
    }
    app.parts.producer.send(&accepted).await.map_err(|cause| intake::not_sent(app, &cause))?;
    let view = Arc::new(NotificationView::new(&accepted.view()));
    app.parts.cache.remember(&view, None).await;
    Ok(respond(StatusCode::CREATED, &view))
}

/// Takes a notification with an idempotency key, or repeats the answer to the first one.
async fn keyed(
    app: &Arc<App>,
    draft: Draft<'_>,
    identity: Identity,
    answers_first: bool,
) -> Result<Response, Problem> {
    let (id, request_hash) = (identity.id, identity.request_hash.clone());
    let known = idempotency::look_up(&app.parts, &app.stored_requests, vec![identity]).await.pop();
    let verdict = known.as_ref().map_or(KeyVerdict::Accept, |known| known.judge(&draft, &request_hash));
    app.parts.metrics.idempotency(verdict.outcome());
    let repeats = matches!(verdict, KeyVerdict::Repeat(_));
    match verdict {
        KeyVerdict::Accept => {}
        KeyVerdict::Repeat(Some(earlier)) => return Ok(replayed(*earlier)),
        // Acknowledged, but not stored yet: it is found, or sent once more under the same id.
        KeyVerdict::Repeat(None) => {
            if let Some(earlier) = acknowledged(app, id).await {
                return Ok(replayed(earlier));
            }
        }
        KeyVerdict::InFlight => {
            return Err(Problem::in_flight("a request with this idempotency key is in progress"));
        }
        KeyVerdict::Mismatch => return Err(intake::mismatch()),
    }
    let claim = match known {
        Some(Known::Free(claim)) => Some(claim),
        _ => None,
    };
    let sent = async {
        let accepted = intake::prepare(app, draft, now_ms()).await?;
        let receipt = app.parts.producer.enqueue(&accepted, trace::current_traceparent().as_deref(), true);
        Ok((accepted, receipt.map_err(|cause| intake::not_sent(app, &cause))?))
    };
    let (accepted, receipt) = match sent.await {
        Ok(sent) => sent,
        // Its first answer is not known yet; that it would be refused today is not the answer.
        Err(_) if repeats => {
            return Err(Problem::unavailable("the first request with this key is not stored yet"));
        }
        Err(problem) => {
            idempotency::release(&app.parts, claim.into_iter().collect()).await;
            return Err(problem);
        }
    };
    let view = Arc::new(NotificationView::new(&accepted.view()));
    let on_log = on_log(Arc::clone(app), receipt, claim, Arc::clone(&view), accepted.claimed());
    if answers_first {
        tokio::spawn(on_log);
        return Ok(accepted_async(&accepted));
    }
    published(on_log).await.map_err(|cause| intake::not_sent(app, &cause))?;
    Ok(respond(StatusCode::CREATED, &view))
}

/// Waits until the log has a notification with a key, and remembers both. Goes on by itself when whoever
/// waits goes away.
fn on_log(
    app: Arc<App>,
    receipt: Receipt,
    claim: Option<Claim>,
    view: Arc<NotificationView>,
    claimed: Option<(&str, &str)>,
) -> impl Future<Output = Result<(), SendError>> + Send + 'static {
    let claimed = claimed.map(|(key, hash)| (key.to_owned(), hash.to_owned()));
    let hash = claimed.as_ref().map(|(_, hash)| hash.clone()).unwrap_or_default();
    let underway = Underway::new(claim, receipt, hash);
    async move {
        let mut underway = underway;
        underway.delivered(&app.parts).await?;
        app.parts
            .cache
            .remember(&view, claimed.as_ref().map(|(key, hash)| (key.as_str(), hash.as_str())))
            .await;
        underway.settled();
        Ok(())
    }
}

/// An acknowledged notification, wherever it is by now.
async fn acknowledged(app: &App, id: Uuid) -> Option<Notification> {
    match lookup::notification(app, id).await {
        Ok(Found::Yes(view)) => view.notification().ok(),
        Ok(Found::No | Found::NotYet) | Err(_) => None,
    }
}

/// The first answer, again.
fn replayed(earlier: Notification) -> Response {
    let mut answer =
        respond(StatusCode::CREATED, &NotificationView::new(&Notification { duplicate: true, ..earlier }));
    answer.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    answer
}

/// The answer to somebody who does not wait for the log.
fn accepted_async(accepted: &Accepted<'_>) -> Response {
    let mut answer = respond(StatusCode::ACCEPTED, &NotificationView::new(&accepted.view()));
    answer.headers_mut().insert(PREFERENCE_APPLIED, HeaderValue::from_static("respond-async"));
    answer
}

fn now_ms() -> i64 {
    crate::clock::now().as_millisecond()
}

/// What the headers say about the notification.
fn take_headers(headers: &HeaderMap, draft: &mut Draft<'_>) -> Result<(), Problem> {
    if draft.correlation_id.is_none()
        && let Some(id) = headers.get(CORRELATION_ID).and_then(|id| id.to_str().ok())
    {
        draft.correlation_id = Some(id.to_owned().into());
    }
    let mut sent = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(header) = sent.next() else { return Ok(()) };
    if sent.next().is_some() {
        return Err(Problem::bad_request("send at most one Idempotency-Key field"));
    }
    let text = header.to_str().map_err(|_| Problem::bad_request("the idempotency key is not text"))?;
    // Formally a quoted string; most clients send it bare.
    let key = text.trim().trim_matches('"').to_owned();
    match &draft.idempotency_key {
        Some(body) if **body != key => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "the idempotency keys of header and body differ",
        )),
        _ => {
            draft.idempotency_key = Some(key.into());
            Ok(())
        }
    }
}

/// Whether the caller does not want to wait (RFC 7240).
fn prefers_async(headers: &HeaderMap) -> bool {
    let wanted = |text: &str| text.split(',').any(|one| one.trim().eq_ignore_ascii_case("respond-async"));
    headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok()).any(wanted)
}

fn respond(status: StatusCode, view: &NotificationView) -> Response {
    let kind = [(CONTENT_TYPE, HeaderValue::from_static(JSON))];
    let mut response = (status, kind, view.text()).into_response();
    let path = paths::one(paths::NOTIFICATION, view.id());
    if let Ok(location) = HeaderValue::try_from(path) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_idempotency_keys_neither_is_taken() {
        let draft = || {
            let text = r#"{"userId": "u", "channel": "IN_APP", "type": "SYSTEM"}"#;
            serde_json::from_str::<Draft<'_>>(text).unwrap()
        };
        let mut headers = HeaderMap::new();
        headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static("a"));
        let mut one = draft();
        assert!(take_headers(&headers, &mut one).is_ok());
        assert_eq!(one.idempotency_key.as_deref(), Some("a"));
        headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static("b"));
        let two = take_headers(&headers, &mut draft()).unwrap_err();
        assert_eq!(two.status(), StatusCode::BAD_REQUEST);
    }
}
