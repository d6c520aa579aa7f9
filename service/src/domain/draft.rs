//! A notification as it is asked for, borrowed from the body, and what is put on the log for it.
//!
//! The same code takes single requests, batches and streams; the payload's text goes through as it
//! came. Pure.

use super::text::Text;
use super::{Violation, notification_id, payload};
use jiff::Timestamp;
use nsys_contract::api::Notification;
use nsys_contract::event::SCHEMA_VERSION;
use nsys_contract::status::{Channel, NotificationType, Priority, Status};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt::Write;
use uuid::Uuid;

/// Longest text of an id-like field, in bytes.
const MAX_ID_LEN: usize = 256;
/// Days that something may be scheduled ahead: what waits for longer would outlive every retention.
const MAX_DAYS_AHEAD: i64 = 731;

/// What a request asks for: the fields of `CreateNotification`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Draft<'a> {
    #[serde(borrow)]
    pub(crate) user_id: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) tenant_id: Option<Text<'a>>,
    pub(crate) channel: Channel,
    #[serde(rename = "type")]
    pub(crate) kind: NotificationType,
    #[serde(default)]
    pub(crate) priority: Option<Priority>,
    #[serde(borrow, default)]
    pub(crate) payload: Option<&'a RawValue>,
    #[serde(default)]
    pub(crate) scheduled_for: Option<Timestamp>,
    #[serde(default)]
    pub(crate) expires_at: Option<Timestamp>,
    #[serde(borrow, default)]
    pub(crate) idempotency_key: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) correlation_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) template_id: Option<Text<'a>>,
    #[serde(default)]
    pub(crate) template_data: Option<Map<String, Value>>,
    /// The fingerprint, once it was made.
    #[serde(skip)]
    pub(super) request_hash: Option<String>,
}

/// A draft that may go on the log.
#[derive(Clone, Debug)]
pub(crate) struct Accepted<'a> {
    pub(crate) id: Uuid,
    pub(crate) user_id: Text<'a>,
    pub(crate) tenant_id: Option<Text<'a>>,
    pub(crate) channel: Channel,
    pub(crate) kind: NotificationType,
    pub(crate) priority: Priority,
    pub(crate) status: Status,
    pub(crate) idempotency_key: Option<Text<'a>>,
    /// Hex SHA-256 of the request's meaning; only with a key.
    pub(crate) request_hash: Option<String>,
    /// In whose name it is sent, which has to be the tenant's; `None`: in ours.
    pub(crate) sender: Option<String>,
    correlation_id: Option<Text<'a>>,
    payload: Cow<'a, RawValue>,
    now_ms: i64,
    scheduled_for_ms: Option<i64>,
    expires_at_ms: Option<i64>,
}

impl<'a> Draft<'a> {
    /// Checks the draft. `rendered` is the payload made from its template, when it names one; a payload has
    /// at most `max_payload` bytes.
    pub(crate) fn accept(
        mut self,
        rendered: Option<Map<String, Value>>,
        max_payload: usize,
        now_ms: i64,
    ) -> Result<Accepted<'a>, Vec<Violation>> {
        let known = self.request_hash.take();
        let request_hash = known.or_else(|| self.idempotency_key.is_some().then(|| self.fingerprint()));
        let payload = match (rendered, self.payload) {
            (None, Some(payload)) => Cow::Borrowed(payload),
            (rendered, _) => Cow::Owned(raw(rendered.unwrap_or_default())),
        };
        let inspected = payload::inspect(self.channel, payload.get(), max_payload);
        let violations = self.violations(inspected.as_ref().err(), now_ms);
        let (Ok(sender), true) = (inspected, violations.is_empty()) else { return Err(violations) };
        let scheduled_for_ms = self.scheduled_for.map(Timestamp::as_millisecond).filter(|at| *at > now_ms);
        Ok(Accepted {
            id: notification_id(self.tenant_id.as_deref(), self.idempotency_key.as_deref()),
            user_id: self.user_id,
            tenant_id: self.tenant_id,
            channel: self.channel,
            kind: self.kind,
            priority: self.priority.unwrap_or(Priority::Medium),
            status: if scheduled_for_ms.is_some() { Status::Scheduled } else { Status::Pending },
            idempotency_key: self.idempotency_key,
            request_hash,
            sender,
            correlation_id: self.correlation_id,
            payload,
            now_ms,
            scheduled_for_ms,
            expires_at_ms: self.expires_at.map(Timestamp::as_millisecond),
        })
    }

    /// The payload as an object; empty when there is none or it is no object.
    pub(crate) fn payload_object(&self) -> Map<String, Value> {
        self.payload.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }

    /// Hex SHA-256 of what the request asks for, whatever the order of its fields.
    pub(super) fn fingerprint(&self) -> String {
        let canonical = serde_json::json!([
            self.user_id,
            self.tenant_id,
            self.channel,
            self.kind,
            self.priority,
            self.payload_object(),
            self.scheduled_for.map(Timestamp::as_millisecond),
            self.expires_at.map(Timestamp::as_millisecond),
            self.template_id,
            self.template_data,
        ]);
        Sha256::digest(canonical.to_string()).iter().fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    fn violations(&self, of_payload: Option<&Violation>, now_ms: i64) -> Vec<Violation> {
        let mut found = Vec::new();
        let id_fields = [
            ("/userId", Some(&self.user_id)),
            ("/tenantId", self.tenant_id.as_ref()),
            ("/idempotencyKey", self.idempotency_key.as_ref()),
            ("/correlationId", self.correlation_id.as_ref()),
        ];
        for (pointer, text) in id_fields {
            if let Some(detail) = text.and_then(|text| wrong_id(text)) {
                found.push(Violation::new(pointer, detail));
            }
        }
        found.extend(of_payload.cloned());
        if self.template_data.is_some() && self.template_id.is_none() {
            found.push(Violation::new("/templateData", "needs a templateId"));
        }
        if let Some(detail) = self.scheduled_for.and_then(|at| too_far_ahead(at, now_ms)) {
            found.push(Violation::new("/scheduledFor", detail));
        }
        if self.expires_at.is_some_and(|at| at.as_millisecond() <= now_ms) {
            found.push(Violation::new("/expiresAt", "must be in the future"));
        }
        if let (Some(due), Some(expiry)) = (self.scheduled_for, self.expires_at)
            && expiry <= due
        {
            found.push(Violation::new("/expiresAt", "must be after scheduledFor"));
        }
        found
    }
}

/// An object as text.
fn raw(object: Map<String, Value>) -> Box<RawValue> {
    // The text of a value is JSON, so this cannot fail.
    RawValue::from_string(Value::Object(object).to_string()).unwrap_or_default()
}

/// What is wrong with the time that something is scheduled for, in the distant future.
pub(crate) fn too_far_ahead(at: Timestamp, now_ms: i64) -> Option<&'static str> {
    (at.as_millisecond() > now_ms + MAX_DAYS_AHEAD * 86_400_000).then_some("must be within two years")
}

/// What is wrong with an id-like text.
pub(crate) fn wrong_id(text: &str) -> Option<&'static str> {
    match text {
        "" => Some("must not be empty"),
        text if text.len() > MAX_ID_LEN => Some("must be at most 256 bytes"),
        // PostgreSQL text cannot hold a zero byte.
        text if text.contains('\0') => Some("must not contain a zero byte"),
        _ => None,
    }
}

impl Accepted<'_> {
    /// Writes the message for the log: an `Envelope`.
    pub(crate) fn message(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = Vec::with_capacity(512);
        let message = BorrowedEnvelope {
            id: self.id,
            version: SCHEMA_VERSION,
            timestamp: self.now_ms,
            idempotency_key: self.idempotency_key.as_deref(),
            request_hash: self.request_hash.as_deref(),
            user_id: &self.user_id,
            tenant_id: self.tenant_id.as_deref(),
            kind: self.kind,
            channel: self.channel,
            priority: self.priority,
            status: self.status,
            scheduled_for: self.scheduled_for_ms,
            expires_at: self.expires_at_ms,
            payload: &self.payload,
            correlation_id: self.correlation_id.as_deref(),
            retry_count: 0,
        };
        serde_json::to_writer(&mut bytes, &message)?;
        Ok(bytes)
    }

    /// The idempotency key and the fingerprint of the request.
    pub(crate) fn claimed(&self) -> Option<(&str, &str)> {
        self.idempotency_key.as_deref().zip(self.request_hash.as_deref())
    }

    /// The notification as the API shows it.
    pub(crate) fn view(&self) -> Notification {
        let instant = |ms: i64| Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let owned = |text: &Option<Text<'_>>| text.as_ref().map(|text| (**text).to_owned());
        Notification {
            id: self.id,
            user_id: (*self.user_id).to_owned(),
            tenant_id: owned(&self.tenant_id),
            channel: self.channel,
            kind: self.kind,
            priority: self.priority,
            status: self.status,
            scheduled_for: self.scheduled_for_ms.map(instant),
            created_at: instant(self.now_ms),
            updated_at: instant(self.now_ms),
            correlation_id: owned(&self.correlation_id),
            idempotency_key: owned(&self.idempotency_key),
            expires_at: self.expires_at_ms.map(instant),
            duplicate: false,
        }
    }
}

/// The wire form of `nsys_contract::event::Envelope`, borrowed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BorrowedEnvelope<'m> {
    id: Uuid,
    version: &'static str,
    timestamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_hash: Option<&'m str>,
    user_id: &'m str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<&'m str>,
    #[serde(rename = "type")]
    kind: NotificationType,
    channel: Channel,
    priority: Priority,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_for: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    payload: &'m RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'m str>,
    retry_count: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use nsys_contract::api::CreateNotification;
    use nsys_contract::event::Envelope;

    /// Bytes of a payload.
    const MAX: usize = 65_536;
    const FULL: &str = r#"{"userId": "user-1", "tenantId": "t\n1", "channel": "EMAIL", "type": "SYSTEM",
        "priority": "HIGH", "payload": {"to": "a@example.com", "n": 1.50}, "scheduledFor": "2025-01-01T00:00:00Z",
        "expiresAt": "2025-01-02T00:00:00Z", "idempotencyKey": "k", "correlationId": "c"}"#;

    fn draft(text: &str) -> Draft<'_> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_message_is_an_envelope_of_the_contract() {
        let accepted = draft(FULL).accept(None, MAX, 1_700_000_000_000).unwrap();
        let envelope: Envelope = serde_json::from_slice(&accepted.message().unwrap()).unwrap();
        assert_eq!((envelope.id, envelope.timestamp), (accepted.id, 1_700_000_000_000));
        assert_eq!((envelope.user_id.as_str(), envelope.tenant_id.as_deref()), ("user-1", Some("t\n1")));
        assert_eq!((envelope.status, envelope.priority), (Status::Scheduled, Priority::High));
        assert_eq!(envelope.payload["n"], 1.5);
        assert_eq!(envelope.scheduled_for, Some(1_735_689_600_000));
        assert_eq!(envelope.request_hash, accepted.request_hash);
        assert_eq!(accepted.view().tenant_id.as_deref(), Some("t\n1"));
    }

    #[test]
    fn a_draft_has_the_fields_of_the_contract() {
        let full: CreateNotification = serde_json::from_str(FULL).unwrap();
        let text = serde_json::to_string(&full).unwrap();
        assert!(draft(&text).accept(None, MAX, 1_700_000_000_000).is_ok());
        let unknown = FULL.replacen("userId", "userid", 1);
        assert!(serde_json::from_str::<Draft<'_>>(&unknown).is_err());
    }

    #[test]
    fn the_fingerprint_ignores_field_order_but_not_content() {
        let with = |payload: &str| {
            let text = format!(
                r#"{{"userId": "u", "channel": "IN_APP", "type": "SYSTEM", "idempotencyKey": "k", "payload": {payload}}}"#
            );
            draft(&text).accept(None, MAX, 0).unwrap().request_hash.unwrap()
        };
        assert_eq!(with(r#"{"title": "a", "body": "b"}"#), with(r#"{ "body": "b", "title": "a" }"#));
        assert_ne!(with(r#"{"title": "a"}"#), with(r#"{"title": "c"}"#));
    }

    #[test]
    fn wrong_fields_are_all_named() {
        let text = r#"{"userId": "", "channel": "IN_APP", "type": "SYSTEM", "expiresAt": "1970-01-01T00:00:00Z", "templateData": {}}"#;
        let wrong = draft(text).accept(None, MAX, 1_000).unwrap_err();
        let pointers: Vec<_> = wrong.into_iter().map(|v| v.pointer).collect();
        assert_eq!(pointers, ["/userId", "/payload/message", "/templateData", "/expiresAt"]);
    }

    #[test]
    fn nothing_is_scheduled_for_another_age() {
        let at = |when: &str| {
            let text = format!(
                r#"{{"userId": "u", "channel": "IN_APP", "type": "SYSTEM", "payload": {{"title": "t"}}, "scheduledFor": "{when}"}}"#
            );
            let refused = draft(&text).accept(None, MAX, 0).err();
            refused.map(|wrong| wrong.into_iter().map(|one| one.pointer).collect::<Vec<_>>())
        };
        assert_eq!(at("1971-12-31T00:00:00Z"), None);
        assert_eq!(at("1972-01-03T00:00:00Z"), Some(vec!["/scheduledFor".into()]));
        assert_eq!(at("9999-01-01T00:00:00Z"), Some(vec!["/scheduledFor".into()]));
    }

    #[test]
    fn a_past_schedule_is_due_now() {
        let text = r#"{"userId": "u", "channel": "IN_APP", "type": "SYSTEM", "payload": {"title": "t"},
            "scheduledFor": "1970-01-01T00:00:00Z"}"#;
        assert_eq!(draft(text).accept(None, MAX, 1_000).unwrap().status, Status::Pending);
    }
}
