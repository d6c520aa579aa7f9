//! HTTP paths and the request and response bodies both programs use.

use crate::status::{Channel, NotificationType, Priority, Role, Status};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Paths of the compatibility set.
pub mod paths {
    /// Creates an account.
    pub const REGISTER: &str = "/auth/register";
    /// Exchanges a password for a token.
    pub const LOGIN: &str = "/auth/login";
    /// The caller's own account.
    pub const ME: &str = "/auth/me";
    /// Creates and lists notifications.
    pub const NOTIFICATIONS: &str = "/notifications";
    /// Overall health.
    pub const HEALTH: &str = "/health";
    /// State of the workers.
    pub const HEALTH_WORKER: &str = "/health/worker";
    /// State of the database pool.
    pub const HEALTH_DATABASE: &str = "/health/database";
    /// Whether the process is alive.
    pub const LIVENESS: &str = "/health/liveness";
    /// Whether the process should get traffic.
    pub const READINESS: &str = "/health/readiness";
    /// Prometheus metrics.
    pub const METRICS: &str = "/metrics";
    /// The effective configuration of the running process, without secrets.
    pub const ADMIN_CONFIG: &str = "/admin/config";
}

/// Body of `POST /notifications`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateNotification {
    /// Whom it is for.
    pub user_id: String,
    /// The tenant; the token's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// How to deliver it.
    pub channel: Channel,
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: NotificationType,
    /// Order of work; `MEDIUM` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Channel-specific content.
    #[serde(default)]
    pub payload: serde_json::Map<String, serde_json::Value>,
    /// Not before this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_for: Option<Timestamp>,
    /// Not after this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Makes a repeat of the request harmless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Ties together what one act caused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// A stored template to render the payload from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_id: Option<String>,
    /// Values for the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_data: Option<serde_json::Map<String, serde_json::Value>>,
}

/// A notification as the API shows it: the original's twelve fields and a few more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    /// The id.
    pub id: Uuid,
    /// Whom it is for.
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
    /// Ties together what one act caused.
    pub correlation_id: Option<String>,
    /// The caller's idempotency key.
    pub idempotency_key: Option<String>,
    /// Not after this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Whether this answer repeats an earlier one for the same key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
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
}

/// Body of `POST /auth/register`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// Unique, compared without case.
    pub email: String,
    /// 6 to 100 characters.
    pub password: String,
    /// 2 to 100 characters.
    pub name: String,
}

/// Body of `POST /auth/login`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The account.
    pub email: String,
    /// Its password.
    pub password: String,
}

/// Answer to a login or a registration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenGrant {
    /// A signed JWT.
    pub access_token: String,
    /// Always `Bearer`.
    pub token_type: String,
    /// Seconds until it expires.
    pub expires_in: u64,
    /// The account.
    pub user: User,
}

/// An account as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The id.
    pub id: Uuid,
    /// The address it signs in with.
    pub email: String,
    /// The person's name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The tenant it belongs to.
    pub tenant_id: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
}
