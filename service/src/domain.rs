//! What a request means: validation, ids, fingerprints. Pure.

pub(crate) mod breaker;
pub(crate) mod recipient;
pub(crate) mod retry;

use nsys_contract::api::{CreateNotification, Notification};
use nsys_contract::event::{Envelope, SCHEMA_VERSION};
use nsys_contract::status::{Channel, Priority, Status};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Longest text of an id-like field, in bytes.
const MAX_ID_LEN: usize = 256;
/// Name space of ids derived from idempotency keys.
const ID_NAMESPACE: Uuid = Uuid::from_u128(0x6e73_7973_2e6e_6f74_6966_6963_6174_696f);

/// A field that is wrong, as a JSON pointer, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) pointer: &'static str,
    pub(crate) detail: String,
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
        None => Uuid::now_v7(),
    }
}

/// Hex SHA-256 of what the request asks for, whatever the order of its fields.
pub(crate) fn request_hash(request: &CreateNotification) -> String {
    use std::fmt::Write;
    let canonical = serde_json::json!([
        request.user_id,
        request.tenant_id,
        request.channel,
        request.kind,
        request.priority,
        request.payload,
        request.scheduled_for.map(|at| at.as_millisecond()),
        request.expires_at.map(|at| at.as_millisecond()),
        request.template_id,
        request.template_data,
    ]);
    Sha256::digest(canonical.to_string()).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Turns a request into the message that goes on the log.
pub(crate) fn accept(request: CreateNotification, now_ms: i64) -> Result<Envelope, Vec<Violation>> {
    let violations = violations(&request, now_ms);
    if !violations.is_empty() {
        return Err(violations);
    }
    let scheduled_for = request.scheduled_for.map(|at| at.as_millisecond()).filter(|at| *at > now_ms);
    Ok(Envelope {
        id: notification_id(request.tenant_id.as_deref(), request.idempotency_key.as_deref()),
        version: SCHEMA_VERSION.to_owned(),
        timestamp: now_ms,
        request_hash: request.idempotency_key.is_some().then(|| request_hash(&request)),
        idempotency_key: request.idempotency_key,
        user_id: request.user_id,
        tenant_id: request.tenant_id,
        kind: request.kind,
        channel: request.channel,
        priority: request.priority.unwrap_or(Priority::Medium),
        status: if scheduled_for.is_some() { Status::Scheduled } else { Status::Pending },
        scheduled_for,
        expires_at: request.expires_at.map(|at| at.as_millisecond()),
        payload: Value::Object(request.payload),
        correlation_id: request.correlation_id,
        causation_id: None,
        retry_count: 0,
    })
}

/// The notification as the API shows it.
pub(crate) fn view(envelope: &Envelope, duplicate: bool) -> Notification {
    let instant = |ms: i64| jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    Notification {
        id: envelope.id,
        user_id: envelope.user_id.clone(),
        tenant_id: envelope.tenant_id.clone(),
        channel: envelope.channel,
        kind: envelope.kind,
        priority: envelope.priority,
        status: envelope.status,
        scheduled_for: envelope.scheduled_for.map(instant),
        created_at: instant(envelope.timestamp),
        updated_at: instant(envelope.timestamp),
        correlation_id: envelope.correlation_id.clone(),
        idempotency_key: envelope.idempotency_key.clone(),
        expires_at: envelope.expires_at.map(instant),
        duplicate,
    }
}

fn violations(request: &CreateNotification, now_ms: i64) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut refuse = |pointer, detail: &str| found.push(Violation { pointer, detail: detail.to_owned() });
    let id_fields = [
        ("/userId", Some(request.user_id.as_str())),
        ("/tenantId", request.tenant_id.as_deref()),
        ("/idempotencyKey", request.idempotency_key.as_deref()),
        ("/correlationId", request.correlation_id.as_deref()),
    ];
    for (pointer, text) in id_fields {
        match text {
            Some("") => refuse(pointer, "must not be empty"),
            Some(text) if text.len() > MAX_ID_LEN => refuse(pointer, "must be at most 256 bytes"),
            // PostgreSQL text cannot hold a zero byte.
            Some(text) if text.contains('\0') => refuse(pointer, "must not contain a zero byte"),
            _ => {}
        }
    }
    if let Some((pointer, detail)) = missing_content(request.channel, &request.payload) {
        refuse(pointer, detail);
    }
    if serde_json::to_string(&request.payload).is_ok_and(|text| text.contains("\\u0000")) {
        refuse("/payload", "must not contain a zero byte");
    }
    if request.expires_at.is_some_and(|at| at.as_millisecond() <= now_ms) {
        refuse("/expiresAt", "must be in the future");
    }
    if let (Some(due), Some(expiry)) = (request.scheduled_for, request.expires_at)
        && expiry <= due
    {
        refuse("/expiresAt", "must be after scheduledFor");
    }
    found
}

/// Whether a payload lacks what its channel needs. The original's field names are all accepted.
fn missing_content(channel: Channel, payload: &Map<String, Value>) -> Option<(&'static str, &'static str)> {
    let has = |names: &[&str]| {
        names.iter().any(|name| {
            payload.get(*name).is_some_and(|value| value.as_str().is_none_or(|text| !text.is_empty()))
        })
    };
    match channel {
        Channel::Email if !has(&["to"]) => Some(("/payload/to", "an e-mail needs a recipient")),
        Channel::Sms if !has(&["to", "phoneNumber"]) => {
            Some(("/payload/to", "a text message needs a number"))
        }
        Channel::Push if !has(&["deviceToken", "token", "topic"]) => {
            Some(("/payload/deviceToken", "a push message needs a device token or a topic"))
        }
        Channel::Webhook if !has(&["url"]) => Some(("/payload/url", "a webhook needs a URL")),
        Channel::InApp if !has(&["title", "message", "body"]) => {
            Some(("/payload/message", "an in-app message needs a title or a message"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(payload: Value) -> CreateNotification {
        serde_json::from_value(serde_json::json!({
            "userId": "user-1", "channel": "IN_APP", "type": "SYSTEM", "payload": payload}))
        .unwrap()
    }

    #[test]
    fn a_key_gives_the_same_id_and_tenants_do_not_share_it() {
        assert_eq!(notification_id(Some("t"), Some("k")), notification_id(Some("t"), Some("k")));
        assert_ne!(notification_id(Some("t"), Some("k")), notification_id(Some("u"), Some("k")));
        assert_ne!(notification_id(None, None), notification_id(None, None));
    }

    #[test]
    fn the_fingerprint_ignores_field_order_but_not_content() {
        let left = request(serde_json::json!({"title": "a", "message": "b"}));
        let right = request(serde_json::json!({"message": "b", "title": "a"}));
        assert_eq!(request_hash(&left), request_hash(&right));
        assert_ne!(request_hash(&left), request_hash(&request(serde_json::json!({"title": "c"}))));
    }

    #[test]
    fn wrong_fields_are_all_named() {
        let mut wrong = request(serde_json::json!({}));
        wrong.user_id = String::new();
        wrong.expires_at = Some(jiff::Timestamp::UNIX_EPOCH);
        let pointers: Vec<_> = accept(wrong, 1_000).unwrap_err().into_iter().map(|v| v.pointer).collect();
        assert_eq!(pointers, ["/userId", "/payload/message", "/expiresAt"]);
    }

    #[test]
    fn a_past_schedule_is_due_now() {
        let mut late = request(serde_json::json!({"title": "t"}));
        late.scheduled_for = Some(jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(accept(late, 1_000).unwrap().status, Status::Pending);
    }

    proptest! {
        #[test]
        fn tenant_and_key_cannot_be_confused(a in "[a-z:]{0,6}", b in "[a-z:]{1,6}", c in "[a-z:]{0,6}", d in "[a-z:]{1,6}") {
            prop_assume!((&a, &b) != (&c, &d));
            prop_assert_ne!(notification_id(Some(&a), Some(&b)), notification_id(Some(&c), Some(&d)));
        }
    }
}
