//! Headers that a webhook carries beside ours.

use super::http::{HeaderName, HeaderValue};
use crate::domain::endpoint::MAX_HEADERS;

/// Headers that are ours, or the connection's.
const RESERVED: [&str; 12] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "proxy-authorization",
    "proxy-connection",
];

/// Reads headers, by name and value.
///
/// # Errors
/// When there are too many, one is not theirs to set, or none can be like it.
pub(super) fn parsed<'h>(
    given: impl Iterator<Item = (&'h str, &'h str)>,
) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let read = |(name, value): (&str, &str)| {
        let lower = name.to_ascii_lowercase();
        if RESERVED.contains(&lower.as_str()) || lower.starts_with("webhook-") {
            return Err(format!("header {name} is set by the service"));
        }
        let value: HeaderValue =
            value.parse().map_err(|_| format!("header {name} holds what no header may"))?;
        let name: HeaderName = lower.parse().map_err(|_| format!("{name:?} is no name of a header"))?;
        Ok((name, value))
    };
    let headers = given.map(read).collect::<Result<Vec<_>, _>>()?;
    if headers.len() > MAX_HEADERS {
        return Err(format!("a webhook may have at most {MAX_HEADERS} headers of its own"));
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_headers_and_what_no_header_holds_are_refused() {
        let wrong = |name: &str, value: &str| parsed([(name, value)].into_iter()).is_err();
        assert!(!wrong("Authorization", "Bearer x"));
        for name in ["Webhook-Signature", "host", "Content-Length", "", "a b", "ä"] {
            assert!(wrong(name, "x"), "{name}");
        }
        for value in ["a\r\nHost: b", "a\nb", "\0"] {
            assert!(wrong("X-Own", value), "{value:?}");
        }
        let many: Vec<_> = (0..=MAX_HEADERS).map(|one| format!("x-{one}")).collect();
        assert!(parsed(many.iter().map(|name| (name.as_str(), "x"))).is_err());
    }
}
