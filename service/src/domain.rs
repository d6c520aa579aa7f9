//! What a request means: validation, ids, fingerprints. Pure.

pub(crate) mod account;
pub(crate) mod address;
pub(crate) mod backlog;
pub(crate) mod breaker;
pub(crate) mod csv;
pub(crate) mod draft;
pub(crate) mod endpoint;
pub(crate) mod identity;
pub(crate) mod lag;
pub(crate) mod limit;
pub(crate) mod lines;
pub(crate) mod payload;
pub(crate) mod pointer;
pub(crate) mod preferences;
pub(crate) mod recipient;
pub(crate) mod retry;
pub(crate) mod scope;
pub(crate) mod stored;
pub(crate) mod template;
pub(crate) mod text;
pub(crate) mod view;
pub(crate) mod watermark;

use std::borrow::Cow;
use uuid::Uuid;

/// Name space of ids derived from idempotency keys.
const ID_NAMESPACE: Uuid = Uuid::from_u128(0x6e73_7973_2e6e_6f74_6966_6963_6174_696f);

/// A field that is wrong, as a JSON pointer, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) pointer: Cow<'static, str>,
    pub(crate) detail: String,
}

impl Violation {
    /// A field that is known when the program is written.
    pub(crate) fn new(pointer: &'static str, detail: impl Into<String>) -> Self {
        Self { pointer: Cow::Borrowed(pointer), detail: detail.into() }
    }

    /// A field that only the request names.
    pub(crate) fn at(pointer: String, detail: impl Into<String>) -> Self {
        Self { pointer: Cow::Owned(pointer), detail: detail.into() }
    }
}

/// The id of a notification: with a key derived from tenant and key, so that every answer for one
/// key carries one id; without a key a UUIDv7.
pub(crate) fn notification_id(tenant: Option<&str>, key: Option<&str>) -> Uuid {
    match key {
        // The length prefix keeps ("a", "b:c") and ("a:b", "c") apart.
        Some(key) => {
            let tenant = tenant.unwrap_or("");
            Uuid::new_v5(&ID_NAMESPACE, format!("{}:{tenant}:{key}", tenant.len()).as_bytes())
        }
        // `Uuid::now_v7` would ask the kernel for randomness each time.
        None => {
            let ms = u64::try_from(crate::clock::now().as_millisecond()).unwrap_or(0);
            uuid::Builder::from_unix_timestamp_millis(ms, &rand::random()).into_uuid()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_gives_the_same_id_and_tenants_do_not_share_it() {
        assert_eq!(notification_id(Some("t"), Some("k")), notification_id(Some("t"), Some("k")));
        assert_ne!(notification_id(Some("t"), Some("k")), notification_id(Some("u"), Some("k")));
        assert_ne!(notification_id(None, None), notification_id(None, None));
    }

    proptest! {
        #[test]
        fn tenant_and_key_cannot_be_confused(a in "[a-z:]{0,6}", b in "[a-z:]{1,6}", c in "[a-z:]{0,6}", d in "[a-z:]{1,6}") {
            prop_assume!((&a, &b) != (&c, &d));
            prop_assert_ne!(notification_id(Some(&a), Some(&b)), notification_id(Some(&c), Some(&d)));
        }
    }
}
