//! Notifications: created, shown, listed, changed, exported.

use super::is_false;
use super::problem::UnreadableRow;
use crate::status::{Channel, NotificationType, Priority, Status};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// Body of `POST /notifications`.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateNotification {
    /// Recipient's user id.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 256))]
    pub user_id: String,
    /// The tenant; the token's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 256))]
    pub tenant_id: Option<String>,
    /// How to deliver it.
    pub channel: Channel,
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: NotificationType,
    /// Order of work; `MEDIUM` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Channel-specific content. With a template these fields win over the rendered ones. At most
    /// `limits.max_payload_bytes` (64 KiB unless it is configured otherwise), counted with its numbers written
    /// out in full; a number has at most 64 digits. A mail has one recipient in `to` and at most ten in `cc` and
    /// `bcc`; `from` has to be a verified sender of the tenant (`POST /senders`).
    #[serde(default)]
    pub payload: Map<String, Value>,
    /// Not before this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_for: Option<Timestamp>,
    /// Not after this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Makes a repeat of the request harmless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 256))]
    pub idempotency_key: Option<String>,
    /// Correlation id of related notifications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 256))]
    pub correlation_id: Option<String>,
    /// A stored template to render the payload from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "openapi",
        schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_-][A-Za-z0-9._-]*$")
    )]
    pub template_id: Option<String>,
    /// Values for the template; at most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_data: Option<Map<String, Value>>,
}

/// A notification as the API shows it: the original's twelve fields and a few more.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    /// The id.
    pub id: Uuid,
    /// Recipient's user id.
    pub user_id: String,
    /// The tenant it belongs to.
    pub tenant_id: Option<String>,
    /// How it is delivered.
    pub channel: Channel,
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: NotificationType,
    /// Order of work.
    pub priority: Priority,
    /// Where it stands.
    pub status: Status,
    /// Not before this instant.
    pub scheduled_for: Option<Timestamp>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Correlation id of related notifications.
    pub correlation_id: Option<String>,
    /// The caller's idempotency key.
    pub idempotency_key: Option<String>,
    /// Not after this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Whether this answer repeats an earlier one for the same key.
    #[serde(default, skip_serializing_if = "is_false")]
    pub duplicate: bool,
}

/// Query of `GET /notifications`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ListQuery {
    /// Only this user's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(min_length = 1, max_length = 256))]
    pub user_id: Option<String>,
    /// Only this tenant's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(min_length = 1, max_length = 256))]
    pub tenant_id: Option<String>,
    /// Only in this status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Only for this channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// Only of this type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<NotificationType>,
    /// Only of this priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Only caused by this act.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(min_length = 1, max_length = 256))]
    pub correlation_id: Option<String>,
    /// Only accepted at this instant or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Only accepted before this instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// The `next_cursor` of the page before. A page that is shorter than its limit, or empty, has one too while
    /// `has_more` is true: a filter by status, channel, type or priority looks at 20,000 notifications a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(min_length = 1, max_length = 1024, pattern = "^[A-Za-z0-9_-]+$"))]
    pub cursor: Option<String>,
    /// Most notifications of a page, 1 to 200; 50 when left out. `take` is the same.
    #[serde(alias = "take", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 200))]
    pub limit: Option<u32>,
    /// Leaves out this many first, at most 10,000; beyond that go on with `cursor`, which costs the same however
    /// far it reaches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip: Option<u32>,
}

/// One page of a list, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NotificationPage {
    /// The notifications of this page.
    pub data: Vec<Notification>,
    /// Ask for the next page with `cursor=` this; absent on the last page.
    pub next_cursor: Option<String>,
    /// Whether there is a next page.
    pub has_more: bool,
    /// Those that cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<UnreadableRow>,
}

/// Body of `PATCH /notifications/{id}`: what to change of one that still waits for its time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Reschedule {
    /// The new instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled_for: Option<Timestamp>,
    /// The new content, whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Map<String, Value>>,
    /// The new priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
}

/// One change of status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct NotificationEvent {
    /// Grows with time.
    pub id: i64,
    /// The status it came to.
    pub status: String,
    /// Why, where there is a reason.
    pub detail: Option<String>,
    /// When.
    pub created_at: Timestamp,
}

/// Everything that happened to one notification, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventList {
    /// The events.
    pub data: Vec<NotificationEvent>,
}

/// One delivery attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Counted from 1.
    pub attempt: i32,
    /// What carried it.
    pub provider: String,
    /// The status it led to.
    pub outcome: String,
    /// Why it failed.
    pub error: Option<String>,
    /// How long it took, in ms.
    pub duration_ms: f64,
    /// When it was recorded.
    pub started_at: Timestamp,
}

/// Every attempt at one notification, first to last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AttemptList {
    /// The attempts.
    pub data: Vec<Attempt>,
}

/// The data of one server-sent event: a change of status of any notification the caller may see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct StatusEvent {
    /// The event's id, as in `Last-Event-ID`.
    pub id: i64,
    /// Which notification.
    pub notification_id: Uuid,
    /// Recipient's user id.
    pub user_id: String,
    /// The tenant it belongs to.
    pub tenant_id: Option<String>,
    /// How it is delivered.
    pub channel: Channel,
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: NotificationType,
    /// The status it came to.
    pub status: String,
    /// Why, where there is a reason.
    pub detail: Option<String>,
    /// The message itself, of in-app notifications that were delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
    /// When.
    pub created_at: Timestamp,
}

/// Query of `GET /notifications/events`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct EventQuery {
    /// Only this user's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(min_length = 1, max_length = 256))]
    pub user_id: Option<String>,
    /// Only this tenant's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(min_length = 1, max_length = 256))]
    pub tenant_id: Option<String>,
    /// Only for this channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
}

/// How an export is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// One JSON object a line.
    #[default]
    Ndjson,
    /// A header line, then one line a notification, quoted after RFC 4180.
    Csv,
}

/// Query of `GET /notifications/export`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ExportQuery {
    /// How it is written; `ndjson` when left out.
    pub format: ExportFormat,
    /// Only this user's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(min_length = 1, max_length = 256))]
    pub user_id: Option<String>,
    /// Only this tenant's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(min_length = 1, max_length = 256))]
    pub tenant_id: Option<String>,
    /// Only in this status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Only for this channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// Only accepted at this instant or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Only accepted before this instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
}
