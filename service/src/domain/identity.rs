//! What an idempotency key stands for: who asked under it, and for what. Pure.

use super::draft::{Draft, wrong_id};
use super::notification_id;
use nsys_contract::api::Notification;
use serde_json::Value;
use uuid::Uuid;

/// A key, and the request that carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Of the notification: derived from tenant and key.
    pub(crate) id: Uuid,
    pub(crate) tenant_id: Option<String>,
    pub(crate) key: String,
    /// Hex SHA-256 of the request's meaning.
    pub(crate) request_hash: String,
}

/// The row of an earlier request under a key.
#[derive(Clone, Debug)]
pub(crate) struct StoredRequest {
    pub(crate) notification: Notification,
    /// Its fingerprint; other producers may have left it out.
    pub(crate) request_hash: Option<String>,
    /// Its payload, where there is no fingerprint to compare.
    pub(crate) payload: Option<Value>,
}

impl Draft<'_> {
    /// The identity of a draft with an idempotency key, whose tenant must be decided on. `None` without
    /// a key, and where tenant or key are wrong: such a draft will not be accepted.
    pub(crate) fn identify(&mut self) -> Option<Identity> {
        let (tenant, key) = (self.tenant_id.as_deref(), self.idempotency_key.as_deref()?);
        if tenant.is_some_and(|tenant| wrong_id(tenant).is_some()) || wrong_id(key).is_some() {
            return None;
        }
        let request_hash = self.fingerprint();
        let identity = Identity {
            id: notification_id(tenant, Some(key)),
            tenant_id: tenant.map(str::to_owned),
            key: key.to_owned(),
            request_hash: request_hash.clone(),
        };
        self.request_hash = Some(request_hash);
        Some(identity)
    }

    /// Whether the row is that of this request. Without a fingerprint the contents tell, as far as the
    /// row has them: who changes a notification's time or priority does not make it another request.
    pub(crate) fn repeats(&self, request_hash: &str, stored: &StoredRequest) -> bool {
        if let Some(earlier) = &stored.request_hash {
            return earlier == request_hash;
        }
        let row = &stored.notification;
        let same_envelope =
            *self.user_id == *row.user_id && self.channel == row.channel && self.kind == row.kind;
        let same_payload = || {
            let asked = Value::Object(self.payload_object());
            stored.payload.as_ref().is_some_and(|payload| *payload == asked)
        };
        same_envelope && (self.template_id.is_some() || same_payload())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const FULL: &str = r#"{"userId": "u", "tenantId": "t", "channel": "IN_APP", "type": "SYSTEM",
        "payload": {"title": "a", "n": 1}, "idempotencyKey": "k"}"#;

    fn draft(text: &str) -> Draft<'_> {
        serde_json::from_str(text).unwrap()
    }

    fn row(text: &str, payload: Option<Value>, request_hash: Option<&str>) -> StoredRequest {
        let notification = draft(text).accept(None, 65_536, 0).unwrap().view();
        StoredRequest { notification, payload, request_hash: request_hash.map(str::to_owned) }
    }

    #[test]
    fn the_identity_is_that_of_what_is_accepted() {
        let mut one = draft(FULL);
        let identity = one.identify().unwrap();
        let accepted = one.accept(None, 65_536, 0).unwrap();
        assert_eq!(identity.id, accepted.id);
        assert_eq!(accepted.claimed(), Some(("k", identity.request_hash.as_str())));
        assert_eq!(draft(FULL).accept(None, 65_536, 0).unwrap().request_hash, accepted.request_hash);
    }

    #[test]
    fn without_a_key_or_with_a_wrong_one_there_is_none() {
        for (from, to) in [(r#", "idempotencyKey": "k""#, ""), ("\"k\"", "\"\""), ("\"t\"", "\"\"")] {
            assert_eq!(draft(&FULL.replacen(from, to, 1)).identify(), None, "{to}");
        }
    }

    #[test]
    fn a_fingerprint_decides_where_there_is_one() {
        let (one, mut again) = (draft(FULL), draft(FULL));
        let hash = again.identify().unwrap().request_hash;
        assert!(one.repeats(&hash, &row(FULL, None, Some(&hash))));
        assert!(!one.repeats(&hash, &row(FULL, Some(json!({"title": "a", "n": 1})), Some("other"))));
    }

    #[test]
    fn without_a_fingerprint_the_contents_decide() {
        let repeats = |text: &str, payload: Value| draft(text).repeats("h", &row(FULL, Some(payload), None));
        assert!(repeats(FULL, json!({"n": 1, "title": "a"})));
        assert!(!repeats(FULL, json!({"n": 1, "title": "b"})));
        assert!(!repeats(&FULL.replacen("\"u\"", "\"v\"", 1), json!({"n": 1, "title": "a"})));
        assert!(!draft(FULL).repeats("h", &row(FULL, None, None)), "unknown is not the same");
    }
}
