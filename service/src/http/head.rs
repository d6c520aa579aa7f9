//! What holds for the head of every request and of every answer, whatever the route.

use super::error::Problem;
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, HOST, TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Refuses a request whose head can be read in two ways, and closes its answer.
pub(super) async fn checked(request: Request, next: Next) -> Response {
    closed(match ambiguity(request.version(), request.headers()) {
        Some(why) => Problem::bad_request(why).into_response(),
        None => next.run(request).await,
    })
}

/// Adds what keeps an answer from being stored, or taken for something that it is not, where its route did not
/// decide otherwise: answers belong to their callers, and tokens are among them.
pub(super) fn closed(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}

/// Why somebody between caller and service could read this head otherwise than we do (RFC 9112, 3.2 and 6.1).
fn ambiguity(version: Version, headers: &HeaderMap) -> Option<&'static str> {
    let hosts = headers.get_all(HOST).iter().count();
    if hosts > 1 || (hosts == 0 && version >= Version::HTTP_11) {
        return Some("send exactly one Host field");
    }
    let understood = |value: &HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    if !headers.get_all(TRANSFER_ENCODING).iter().all(understood) {
        return Some("the only transfer coding that is understood is chunked");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderName;

    fn told(version: Version, fields: &[(HeaderName, &'static str)]) -> Option<&'static str> {
        let fields = fields.iter().map(|(name, text)| (name.clone(), HeaderValue::from_static(text)));
        let mut headers = HeaderMap::new();
        fields.for_each(|(name, value)| {
            headers.append(name, value);
        });
        ambiguity(version, &headers)
    }

    #[test]
    fn a_request_names_one_host_and_no_coding_but_chunks() {
        assert_eq!(told(Version::HTTP_11, &[(HOST, "a")]), None);
        assert_eq!(told(Version::HTTP_10, &[]), None, "probes speak HTTP/1.0");
        assert_eq!(told(Version::HTTP_11, &[(HOST, "a"), (TRANSFER_ENCODING, "Chunked")]), None);
        for (version, fields) in [
            (Version::HTTP_11, &[][..]),
            (Version::HTTP_11, &[(HOST, "a"), (HOST, "b")]),
            (Version::HTTP_10, &[(HOST, "a"), (HOST, "a")]),
            (Version::HTTP_11, &[(HOST, "a"), (TRANSFER_ENCODING, "gzip, chunked")]),
            (Version::HTTP_11, &[(HOST, "a"), (TRANSFER_ENCODING, "gzip"), (TRANSFER_ENCODING, "chunked")]),
        ] {
            assert!(told(version, fields).is_some(), "{version:?} {fields:?}");
        }
    }

    #[test]
    fn answers_are_not_stored_unless_their_route_says_so() {
        let plain = closed(().into_response());
        assert_eq!(plain.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(plain.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
        let public = closed(([(CACHE_CONTROL, "public, max-age=15")], "").into_response());
        assert_eq!(public.headers()[CACHE_CONTROL], "public, max-age=15");
    }
}
