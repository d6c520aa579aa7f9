//! Errors as RFC 9457 problem+json, everywhere.

use crate::db::DbError;
use crate::domain::Violation;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use nsys_contract::api;
use std::time::Duration;

/// The media type of every error.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";
/// The kind of a problem whose status says it all.
const BLANK: &str = "about:blank";
/// The caller came too often (draft-ietf-httpapi-ratelimit-headers).
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
/// The service has less capacity than usual (same draft).
const REDUCED_CAPACITY: &str = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";

/// An error answer.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    errors: Vec<Violation>,
    retry_after_s: Option<u64>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, kind: BLANK, detail: detail.into(), errors: Vec::new(), retry_after_s: None }
    }

    /// Fields that are wrong: 422.
    pub(crate) fn invalid(errors: Vec<Violation>) -> Self {
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "some fields are invalid") }
    }

    /// One field that is wrong: 422.
    pub(crate) fn field(pointer: &'static str, detail: impl Into<String>) -> Self {
        Self::invalid(vec![Violation::new(pointer, detail)])
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }

    pub(crate) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail)
    }

    /// Not now: 503 with the seconds to wait. Spread, so that callers do not come back together.
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        let wait = 1 + u64::from(rand::random::<u32>() % 3);
        Self { retry_after_s: Some(wait), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    /// The same is under way already: 409, worth asking again soon.
    pub(crate) fn in_flight(detail: impl Into<String>) -> Self {
        Self { retry_after_s: Some(1), ..Self::new(StatusCode::CONFLICT, detail) }
    }

    /// Too much is in progress: 503, before anything was done.
    pub(crate) fn overloaded(detail: impl Into<String>) -> Self {
        Self { kind: REDUCED_CAPACITY, ..Self::unavailable(detail) }
    }

    /// The caller came too often: 429.
    pub(crate) fn too_many(detail: impl Into<String>, wait: Duration) -> Self {
        let retry_after_s = Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
        Self { kind: QUOTA_EXCEEDED, retry_after_s, ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail) }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The body of the answer.
    pub(crate) fn body(&self) -> api::Problem {
        let errors = self.errors.iter().map(|wrong| api::FieldError {
            pointer: wrong.pointer.clone().into_owned(),
            detail: wrong.detail.clone(),
        });
        api::Problem {
            kind: self.kind.to_owned(),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            errors: errors.collect(),
        }
    }
}

impl From<DbError> for Problem {
    fn from(cause: DbError) -> Self {
        if cause.is_data() {
            // Asking again would not help: a zero byte in a filter, an instant before its calendar.
            tracing::debug!(%cause, "The database refused a value.");
            return Self::bad_request("the request contains a value that the database cannot store");
        }
        if cause.is_unreadable() {
            tracing::error!(%cause, "A stored record cannot be read.");
            return Self::internal("a stored record cannot be read by this version of the service");
        }
        if cause.is_busy() {
            tracing::debug!(%cause, "A list was refused.");
            return Self::overloaded("too many lists of this tenant are in progress");
        }
        if cause.is_slow() {
            tracing::warn!(%cause, "A statement took too long.");
            return Self::unavailable("the database did not answer in time");
        }
        tracing::warn!(%cause, "The database failed.");
        Self::unavailable("the database does not answer")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let text = serde_json::to_vec(&self.body()).unwrap_or_default();
        let mut response = (self.status, text).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
