//! What a message on the log says, borrowed from its bytes.

use crate::db::{ExistingRow, NewRow, RowState};
use crate::domain::payload;
use crate::domain::stored::{self, Measure};
use crate::domain::text::Text;
use crate::queue::PartitionMessage;
use jiff::Timestamp;
use nsys_contract::event::{Envelope, SCHEMA_VERSION};
use nsys_contract::status::{Channel, NotificationType, Priority, Status};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    id: Uuid,
    #[serde(borrow)]
    version: Text<'a>,
    timestamp: i64,
    #[serde(borrow, default)]
    idempotency_key: Option<Text<'a>>,
    #[serde(borrow, default)]
    request_hash: Option<Text<'a>>,
    #[serde(borrow)]
    user_id: Text<'a>,
    #[serde(borrow, default)]
    tenant_id: Option<Text<'a>>,
    #[serde(rename = "type")]
    kind: NotificationType,
    channel: Channel,
    priority: Priority,
    #[serde(default)]
    scheduled_for: Option<i64>,
    #[serde(default)]
    expires_at: Option<i64>,
    #[serde(borrow)]
    payload: &'a RawValue,
    #[serde(borrow, default)]
    correlation_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    causation_id: Option<Text<'a>>,
    #[serde(default)]
    retry_count: u32,
}

/// One accepted notification, as its message has it.
pub(crate) struct Incoming<'a> {
    wire: Wire<'a>,
    /// Of its payload.
    measure: Measure,
    pub(crate) created_at: Timestamp,
    pub(crate) scheduled_for: Option<Timestamp>,
    pub(crate) expires_at: Option<Timestamp>,
    /// The first attempt waits until here: the message came by the retry topic.
    pub(crate) retry_at: Option<Timestamp>,
}

impl<'a> Incoming<'a> {
    /// Reads a message. The error says what is wrong with it; it will never be right.
    pub(crate) fn read(message: &'a PartitionMessage) -> Result<Self, String> {
        let wire: Wire<'a> = serde_json::from_slice(&message.value).map_err(|cause| cause.to_string())?;
        if !wire.version.0.starts_with("1.") {
            return Err(format!("schema version {:?} is not 1.x", wire.version.0));
        }
        let texts = [&wire.idempotency_key, &wire.request_hash, &wire.tenant_id, &wire.correlation_id];
        let texts = texts.into_iter().chain([&wire.causation_id]).flatten().chain([&wire.user_id]);
        // PostgreSQL holds no zero byte, neither in text nor in JSON.
        if texts.into_iter().any(|text| text.0.contains('\0')) {
            return Err("it contains a zero byte".to_owned());
        }
        let measure = stored::measure(wire.payload.get());
        if let Some(why) = payload::unstorable(wire.payload.get(), measure) {
            return Err(why.to_owned());
        }
        let instant = |ms: i64| {
            Timestamp::from_millisecond(ms).map_err(|_| format!("{ms} ms is not a valid timestamp"))
        };
        let retry_at = message.delay_ms.map(|delay| message.timestamp_ms.saturating_add(delay));
        Ok(Self {
            created_at: instant(wire.timestamp)?,
            scheduled_for: wire.scheduled_for.map(instant).transpose()?,
            expires_at: wire.expires_at.map(instant).transpose()?,
            retry_at: retry_at.map(instant).transpose()?,
            measure,
            wire,
        })
    }

    pub(crate) const fn id(&self) -> Uuid {
        self.wire.id
    }

    pub(crate) fn user_id(&self) -> &str {
        &self.wire.user_id.0
    }

    pub(crate) fn tenant_id(&self) -> Option<&str> {
        text(&self.wire.tenant_id)
    }

    pub(crate) const fn channel(&self) -> Channel {
        self.wire.channel
    }

    pub(crate) const fn kind(&self) -> NotificationType {
        self.wire.kind
    }

    pub(crate) const fn priority(&self) -> Priority {
        self.wire.priority
    }

    /// Attempts that were made elsewhere.
    pub(crate) const fn retry_count(&self) -> u32 {
        self.wire.retry_count
    }

    pub(crate) fn request_hash(&self) -> Option<&str> {
        text(&self.wire.request_hash)
    }

    /// Bytes of memory that its payload takes once it is read, about.
    pub(crate) const fn memory(&self) -> usize {
        self.measure.memory()
    }

    /// Whether the row that is there already is not of this request. Without fingerprints the contents of
    /// a key tell; a message without a key only comes again.
    pub(crate) fn differs(&self, existing: &ExistingRow) -> bool {
        if !existing.stored {
            return true;
        }
        if let (Some(earlier), Some(own)) = (existing.request_hash.as_deref(), self.request_hash()) {
            return earlier != own;
        }
        let Some(payload) = &existing.payload else { return false };
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
        existing.user_id.as_deref() != Some(self.user_id())
            || existing.channel.as_deref() != Some(self.wire.channel.as_str())
            || existing.kind.as_deref() != Some(self.wire.kind.as_str())
            || value(payload) != value(self.wire.payload.get())
    }

    pub(crate) fn idempotency_key(&self) -> Option<&str> {
        text(&self.wire.idempotency_key)
    }

    /// The row to insert.
    pub(crate) fn row(&self, state: RowState) -> NewRow<'_> {
        NewRow {
            id: self.wire.id,
            user_id: self.user_id(),
            tenant_id: self.tenant_id(),
            channel: self.wire.channel,
            kind: self.wire.kind,
            priority: self.wire.priority,
            payload: self.wire.payload.get(),
            scheduled_for: self.scheduled_for,
            expires_at: self.expires_at,
            created_at: self.created_at,
            idempotency_key: self.idempotency_key(),
            request_hash: self.request_hash(),
            correlation_id: text(&self.wire.correlation_id),
            causation_id: text(&self.wire.causation_id),
            state,
        }
    }

    /// A copy that outlives the message, for delivery.
    pub(crate) fn envelope(&self) -> Envelope {
        let owned = |field: &Option<Text<'_>>| text(field).map(str::to_owned);
        Envelope {
            id: self.wire.id,
            version: SCHEMA_VERSION.to_owned(),
            timestamp: self.wire.timestamp,
            idempotency_key: owned(&self.wire.idempotency_key),
            request_hash: owned(&self.wire.request_hash),
            user_id: self.user_id().to_owned(),
            tenant_id: owned(&self.wire.tenant_id),
            kind: self.wire.kind,
            channel: self.wire.channel,
            priority: self.wire.priority,
            status: Status::Processing,
            scheduled_for: self.wire.scheduled_for,
            expires_at: self.wire.expires_at,
            payload: serde_json::from_str(self.wire.payload.get()).unwrap_or_default(),
            correlation_id: owned(&self.wire.correlation_id),
            causation_id: owned(&self.wire.causation_id),
            retry_count: self.wire.retry_count,
        }
    }
}

fn text<'b>(field: &'b Option<Text<'_>>) -> Option<&'b str> {
    field.as_ref().map(|text| text.0.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn message(value: serde_json::Value) -> PartitionMessage {
        PartitionMessage {
            offset: 0,
            timestamp_ms: 1_000,
            key: Box::default(),
            value: value.to_string().into_bytes().into(),
            delay_ms: Some(500),
            traceparent: None,
            copied: true,
        }
    }

    fn valid() -> serde_json::Value {
        json!({"id": "0190163d-8694-739b-aea5-966c26f8ad91", "version": "1.0.0", "timestamp": 1_700_000_000_000_i64,
            "idempotencyKey": "k\"", "userId": "user-1", "type": "SYSTEM", "channel": "EMAIL", "priority": "LOW",
            "status": "PENDING", "payload": {"to": "a@example.com"}, "retryCount": 0})
    }

    #[test]
    fn reading_borrowed_gives_what_reading_owned_gives() {
        let message = message(valid());
        let incoming = Incoming::read(&message).unwrap();
        let owned: Envelope = serde_json::from_slice(&message.value).unwrap();
        assert_eq!(Envelope { status: owned.status, ..incoming.envelope() }, owned);
        assert_eq!(incoming.retry_at, Some(Timestamp::from_millisecond(1_500).unwrap()));
        assert_eq!(incoming.row(RowState::new(Status::Pending, None)).idempotency_key, Some("k\""));
    }

    #[test]
    fn a_row_of_another_request_is_told_from_one_that_only_comes_again() {
        let mut value = valid();
        value["requestHash"] = json!("h");
        let (hashed, plain) = (message(value), message(valid()));
        let (hashed, plain) = (Incoming::read(&hashed).unwrap(), Incoming::read(&plain).unwrap());
        let existing = |hash: Option<&str>, user: &str, payload: Option<&str>| ExistingRow {
            stored: true,
            request_hash: hash.map(str::to_owned),
            user_id: Some(user.to_owned()),
            channel: Some("EMAIL".to_owned()),
            kind: Some("SYSTEM".to_owned()),
            payload: payload.map(str::to_owned),
        };
        let same = Some(r#"{"to": "a@example.com"}"#);
        assert!(
            !hashed.differs(&existing(Some("h"), "another", None))
                && hashed.differs(&existing(Some("i"), "user-1", None))
        );
        for one in [&hashed, &plain] {
            assert!(!one.differs(&existing(None, "user-1", same)), "it only comes again");
            assert!(one.differs(&existing(None, "user-2", same)));
            assert!(one.differs(&existing(None, "user-1", Some("{}"))));
        }
        assert!(!plain.differs(&existing(None, "user-2", None)), "without a key nothing is compared");
        assert!(
            plain.differs(&ExistingRow { stored: false, ..existing(None, "user-1", None) }),
            "it is stored nowhere"
        );
    }

    #[test]
    fn what_the_database_could_not_hold_is_refused_here() {
        let with = |key: &str, value: serde_json::Value| {
            let mut wrong = valid();
            wrong[key] = value;
            Incoming::read(&message(wrong)).err().unwrap()
        };
        assert!(with("userId", json!("a\0b")).contains("zero byte"));
        assert!(with("payload", json!({"a": "\0"})).contains("zero byte"));
        assert!(with("payload", json!({"a": f64::MAX})).contains("number that is too long"));
        assert!(with("timestamp", json!(i64::MAX)).contains("not a valid timestamp"));
        assert!(with("version", json!("2.0.0")).contains("2.0.0"));
        assert!(with("channel", json!("FAX")).contains("FAX"));
    }
}
