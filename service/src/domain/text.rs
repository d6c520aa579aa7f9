//! Text that is borrowed from where it was read when it can be.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::ops::Deref;

/// A JSON string, copied only when it holds escapes. `Option<Cow<str>>` by itself would always copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

/// Adds bytes as two digits each. Formatting them costs several times as much, and every request's answer
/// and message carry some.
pub(crate) fn push_hex(into: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        into.push(char::from(DIGITS[usize::from(byte >> 4)]));
        into.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_escapes_are_copied() {
        let plain: Option<Text<'_>> = serde_json::from_str(r#""plain""#).unwrap();
        assert!(matches!(plain.unwrap().0, Cow::Borrowed("plain")));
        let escaped: Option<Text<'_>> = serde_json::from_str(r#""a\nb""#).unwrap();
        assert_eq!(&*escaped.unwrap(), "a\nb");
    }
}
