//! The value of a message on the `notifications` topic, schema version "1.0.0".

use crate::status::{Channel, NotificationType, Priority, Status};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The schema version this build writes. Readers accept any 1.x.
pub const SCHEMA_VERSION: &str = "1.0.0";

/// One accepted notification on the wire.
///
/// Instants are milliseconds since the Unix epoch, as the original system's clients write them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// The notification's id: derived from tenant and idempotency key, or UUIDv7.
    pub id: Uuid,
    /// The schema version, "1.0.0".
    pub version: String,
    /// When it was accepted, in ms.
    pub timestamp: i64,
    /// The caller's idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Hex SHA-256 of the request's meaning, to find a key used twice for different requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_hash: Option<String>,
    /// Recipient's user id.
    pub user_id: String,
    /// The tenant it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: NotificationType,
    /// How it is delivered.
    pub channel: Channel,
    /// Order of work.
    pub priority: Priority,
    /// `PENDING` or `SCHEDULED`.
    pub status: Status,
    /// Not before this instant, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_for: Option<i64>,
    /// Not after this instant, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// Channel-specific content.
    pub payload: serde_json::Value,
    /// Correlation id of related notifications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The message that caused this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// Attempts made so far.
    #[serde(default)]
    pub retry_count: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_the_original_producer_is_read() {
        let text = r#"{"id":"0190163d-8694-739b-aea5-966c26f8ad91","version":"1.0.0","timestamp":1700000000000,
            "idempotencyKey":"k","userId":"user-1","type":"SYSTEM","channel":"EMAIL","priority":"LOW",
            "status":"PENDING","payload":{"to":"a@example.com"},"retryCount":0}"#;
        let envelope: Envelope = serde_json::from_str(text).unwrap();
        assert_eq!(envelope.user_id, "user-1");
        assert_eq!(envelope.tenant_id, None);
        let again: Envelope = serde_json::from_str(&serde_json::to_string(&envelope).unwrap()).unwrap();
        assert_eq!(again, envelope);
    }
}
