//! One notification, answered when the log has it.

use super::super::endpoint::JSON;
use super::super::error::Problem;
use super::super::extract::{bytes, expect_type, read_json};
use super::super::gate::Caller;
use super::intake;
use crate::app::App;
use crate::domain::draft::{Accepted, Draft};
use crate::domain::shown::Shown;
use crate::lookup::{self, Verdict};
use crate::queue::SendError;
use crate::telemetry::trace;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use nsys_contract::api::{Notification, paths};
use std::sync::Arc;

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
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let accepted = intake::prepare(&app, &caller, draft, now_ms).await?;
    if let Some(earlier) = claim(&app, &accepted).await? {
        let repeated = Shown::new(&Notification { duplicate: true, ..*earlier });
        let mut answer = told(StatusCode::CREATED, &repeated);
        answer.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        return Ok(answer);
    }
    if prefers_async(&headers) {
        return Box::pin(respond_async(&app, &accepted)).await;
    }
    if let Err(cause) = app.producer.send(&accepted).await {
        return Err(Box::pin(unsent(&app, &accepted, &cause)).await);
    }
    let shown = Arc::new(Shown::new(&accepted.view()));
    app.cache.remember(&shown, accepted.claimed()).await;
    Ok(told(StatusCode::CREATED, &shown))
}

/// Claims the idempotency key. When it stands for this very request already: the earlier answer.
async fn claim(app: &App, accepted: &Accepted<'_>) -> Result<Option<Box<Notification>>, Problem> {
    let Some((key, hash)) = accepted.claimed() else { return Ok(None) };
    match Box::pin(lookup::claim(app, accepted.id, accepted.tenant_id.as_deref(), key, hash)).await {
        Verdict::Accept => Ok(None),
        Verdict::Repeat(earlier) => Ok(Some(earlier)),
        Verdict::InFlight => Err(Problem::in_flight("a request with this idempotency key is in progress")),
        Verdict::Mismatch => {
            let detail = "the idempotency key was used for another request";
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail))
        }
    }
}

/// Answers before the log has it.
async fn respond_async(app: &App, accepted: &Accepted<'_>) -> Result<Response, Problem> {
    if let Err(cause) = app.producer.enqueue(accepted, trace::current_traceparent().as_deref(), false) {
        return Err(unsent(app, accepted, &cause).await);
    }
    let mut response = told(StatusCode::ACCEPTED, &Shown::new(&accepted.view()));
    response.headers_mut().insert(PREFERENCE_APPLIED, HeaderValue::from_static("respond-async"));
    Ok(response)
}

/// The answer to a notification that could not be put on the log; its key is free again.
async fn unsent(app: &App, accepted: &Accepted<'_>, cause: &SendError) -> Problem {
    if let Some(key) = accepted.idempotency_key.as_deref() {
        app.cache.release(accepted.tenant_id.as_deref(), key).await;
    }
    intake::not_sent(app, cause)
}

/// What the headers say about the notification.
fn take_headers(headers: &HeaderMap, draft: &mut Draft<'_>) -> Result<(), Problem> {
    if draft.correlation_id.is_none()
        && let Some(id) = headers.get(CORRELATION_ID).and_then(|id| id.to_str().ok())
    {
        draft.correlation_id = Some(id.to_owned().into());
    }
    let Some(header) = headers.get(IDEMPOTENCY_KEY) else { return Ok(()) };
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

fn told(status: StatusCode, shown: &Shown) -> Response {
    let kind = [(CONTENT_TYPE, HeaderValue::from_static(JSON))];
    let mut response = (status, kind, shown.text()).into_response();
    let path = paths::one(paths::NOTIFICATION, shown.id());
    if let Ok(location) = HeaderValue::try_from(path) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}
