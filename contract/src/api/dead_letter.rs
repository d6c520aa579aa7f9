//! Dead letters: what could not be decoded or delivered.

use super::problem::UnreadableRow;
use crate::status::Channel;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// One dead letter.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// The id; grows with time.
    pub id: i64,
    /// Which notification; absent when the message could not be read.
    pub notification_id: Option<Uuid>,
    /// The tenant it belongs to.
    pub tenant_id: Option<String>,
    /// Whom it was for.
    pub user_id: Option<String>,
    /// How it was to be delivered.
    pub channel: Option<Channel>,
    /// `undecodable`, `key_conflict`, `exhausted` or `permanent`.
    pub reason: String,
    /// What went wrong last.
    pub error: String,
    /// Attempts made.
    pub attempts: i32,
    /// When it was given up.
    pub created_at: Timestamp,
    /// When it was sent again.
    pub redriven_at: Option<Timestamp>,
    /// The message: JSON where it is JSON, else its bytes in base64. Only when one is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Value>,
}

/// Which dead letters: all conditions hold.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DeadLetterFilter {
    /// Only these; at most 1,000.
    #[cfg_attr(feature = "openapi", schema(max_items = 1000))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<i64>,
    /// Only for this reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 64))]
    pub reason: Option<String>,
    /// Only for this channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// Only of this tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 256))]
    pub tenant_id: Option<String>,
    /// Only given up at this instant or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Only given up before this instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
}

/// Query of `GET /dlq`, and of `DELETE /dlq`, which purges.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DeadLetterQuery {
    /// Only for this reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(min_length = 1, max_length = 64))]
    pub reason: Option<String>,
    /// Only for this channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// Only of this tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(min_length = 1, max_length = 256))]
    pub tenant_id: Option<String>,
    /// Only given up at this instant or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Only given up before this instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// Include those that were redriven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redriven: Option<bool>,
    /// The `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(min_length = 1, max_length = 1024, pattern = "^[A-Za-z0-9_-]+$"))]
    pub cursor: Option<String>,
    /// Most dead letters of a page, 1 to 200; 50 when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 200))]
    pub limit: Option<u32>,
    /// Only count what a purge would delete.
    #[serde(rename = "dry_run", skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
}

/// One page of dead letters, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeadLetterPage {
    /// The dead letters.
    pub data: Vec<DeadLetter>,
    /// Ask for the next page with `cursor=` this; absent on the last page.
    pub next_cursor: Option<String>,
    /// Whether there is a next page.
    pub has_more: bool,
    /// Those that cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<UnreadableRow>,
}

/// Body of `POST /dlq/redrive`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Redrive {
    /// Which ones.
    pub filter: DeadLetterFilter,
    /// Only count them.
    pub dry_run: bool,
    /// Maximum rate per second; 100 when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub rate: Option<u32>,
    /// Most in this call; the answer says how many remain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Answer to `POST /dlq/redrive` and `DELETE /dlq`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RedriveAnswer {
    /// How many match the filter.
    pub matched: u64,
    /// How many were sent again, or deleted; 0 of a dry run.
    pub done: u64,
    /// How many match still.
    pub remaining: u64,
    /// Whether nothing was to be changed.
    pub dry_run: bool,
}
