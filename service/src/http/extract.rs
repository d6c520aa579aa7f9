//! What handlers take from a request; whatever is wrong with it becomes a problem.

use super::error::Problem;
use super::timeout::within;
use crate::domain::{Violation, pointer};
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use std::time::Duration;
use uuid::Uuid;

/// Longest wait for a whole body: a client that sends it byte by byte does not hold a request open.
/// Shorter than the default of `service.request_timeout`, so that the answer says whose delay it was.
const BODY_READ_TIMEOUT: Duration = Duration::from_secs(8);

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        expect_type(&request, "application/json", |kind| {
            kind == "application/json" || kind.ends_with("+json")
        })?;
        let bytes = bytes(request, state).await?;
        read_json(&bytes).map(Self)
    }
}

/// A JSON body that may be left out.
pub(crate) struct OptionalBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = bytes(request, state).await?;
        if bytes.is_empty() { Ok(Self(T::default())) } else { read_json(&bytes).map(Self) }
    }
}

/// The whole body, within the configured size and in time.
pub(crate) async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    let read = within(BODY_READ_TIMEOUT, Bytes::from_request(request, state)).await;
    let late = || Problem::new(StatusCode::REQUEST_TIMEOUT, "the request body was not received in time");
    read.ok_or_else(late)?.map_err(|cause| match cause.status() {
        StatusCode::PAYLOAD_TOO_LARGE => body_too_large(),
        status => Problem::new(status, cause.body_text()),
    })
}

/// The refusal of a body that is too large.
pub(crate) fn body_too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than service.max_body_bytes allows")
}

/// Refuses a body of another media type.
pub(crate) fn expect_type(
    request: &Request,
    expected: &str,
    fits: impl Fn(&str) -> bool,
) -> Result<(), Problem> {
    let coded =
        request.headers().get(CONTENT_ENCODING).is_some_and(|coding| coding.as_bytes() != b"identity");
    if coded {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must not be compressed"));
    }
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if fits(&kind) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("the body must be {expected}")))
}

/// A text of the caller's as an answer repeats it: never longer than a line.
pub(crate) fn shortened(text: &str) -> String {
    const LONGEST: usize = 100;
    match text.char_indices().nth(LONGEST) {
        Some((place, _)) => format!("{}…", &text[..place]),
        None => text.to_owned(),
    }
}

/// Reads JSON. Text that is no JSON is 400; JSON of the wrong shape is 422 and names the field.
pub(crate) fn read_json<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|cause| {
        if !cause.is_data() {
            return Problem::bad_request(format!("the body is not JSON: {cause}"));
        }
        // Only now, off the fast path, is it worth finding out where.
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        match serde_path_to_error::deserialize::<_, T>(&mut reader) {
            Err(wrong) => {
                let (pointer, detail) = (pointer::of(wrong.path()), wrong.into_inner());
                Problem::invalid(vec![Violation::at(pointer, pointer::without_place(&detail.to_string()))])
            }
            Ok(_) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, cause.to_string()),
        }
    })
}

/// The query string.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        query
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|cause| Problem::bad_request(cause.body_text()))
    }
}

/// The `{id}` of the path.
pub(crate) struct Id(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(id)| Self(id)).map_err(|cause| Problem::bad_request(cause.body_text()))
    }
}

impl Id {
    /// As a UUID; any other text names nothing that exists.
    pub(crate) fn uuid(&self, what: &str) -> Result<Uuid, Problem> {
        self.0.parse().map_err(|_| Problem::not_found(format!("there is no {what} {}", shortened(&self.0))))
    }

    /// As a number; any other text names nothing that exists.
    pub(crate) fn number(&self, what: &str) -> Result<i64, Problem> {
        self.0.parse().map_err(|_| Problem::not_found(format!("there is no {what} {}", shortened(&self.0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nsys_contract::api::Batch;

    #[test]
    fn a_wrong_field_is_pointed_at() {
        let text = br#"{"notifications":[{"userId":"u","channel":"PIGEON","type":"SYSTEM"}]}"#;
        let problem = read_json::<Batch>(text).unwrap_err();
        let body = problem.body();
        assert_eq!((body.status, body.errors[0].pointer.as_str()), (422, "/notifications/0/channel"));
        assert!(body.errors[0].detail.starts_with("unknown variant `PIGEON`"), "{body:?}");
        assert!(!body.errors[0].detail.contains("line"), "{body:?}");
    }

    #[test]
    fn text_that_is_no_json_is_a_bad_request() {
        for text in [&b"{"[..], b"", b"nonsense", b"{\"notifications\": \"\xff\"}"] {
            assert_eq!(read_json::<Batch>(text).unwrap_err().status(), StatusCode::BAD_REQUEST, "{text:?}");
        }
    }
}
