//! Preconditions: which of our tags a request names (RFC 9110, 13.1).

use axum::http::HeaderMap;
use axum::http::header::IF_MATCH;

/// What `If-Match` asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Expected<T> {
    /// Nothing, or that there is something at all (`*`).
    Any,
    /// One of these states. A weak tag, or one that is none of ours, names no state.
    OneOf(Vec<T>),
}

/// The states that `If-Match` names, in any number of fields; `state` reads what stands within the quotes.
pub(super) fn expected<T>(headers: &HeaderMap, state: impl Fn(&str) -> Option<T>) -> Expected<T> {
    let mut fields = headers.get_all(IF_MATCH).iter().peekable();
    if fields.peek().is_none() {
        return Expected::Any;
    }
    let texts: Vec<_> = fields.map(|field| field.to_str().unwrap_or_default()).collect();
    // Our tags hold no comma.
    let tags: Vec<_> = texts.iter().flat_map(|text| text.split(',')).map(str::trim).collect();
    if tags.contains(&"*") {
        return Expected::Any;
    }
    Expected::OneOf(
        tags.into_iter().filter_map(|tag| state(tag.strip_prefix('"')?.strip_suffix('"')?)).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn named(fields: &[&'static str]) -> Expected<i32> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(IF_MATCH, HeaderValue::from_static(field));
        }
        expected(&headers, |text| text.parse().ok())
    }

    #[test]
    fn lists_are_read_and_weak_tags_name_nothing() {
        assert_eq!(named(&[]), Expected::Any);
        assert_eq!(named(&["*"]), Expected::Any);
        assert_eq!(named(&["\"1\""]), Expected::OneOf(vec![1]));
        assert_eq!(named(&["\"1\", \"x\" ,\"3\"", "\"4\""]), Expected::OneOf(vec![1, 3, 4]));
        assert_eq!(named(&["W/\"1\""]), Expected::OneOf(vec![]));
        assert_eq!(named(&["1"]), Expected::OneOf(vec![]), "a tag is quoted");
    }
}
