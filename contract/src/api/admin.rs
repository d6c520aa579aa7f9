//! What operators ask the service itself: lag, counts, draining, the audit log.

use crate::lag::PartitionLag;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// How far the workers are behind, as `GET /admin/lag` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct LagReport {
    /// The consumer group.
    pub group: String,
    /// Messages that wait, over all partitions.
    pub total: i64,
    /// By partition.
    pub partitions: Vec<PartitionLag>,
}

/// Counts and limits of the moment, as `GET /admin/stats` shows them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Notifications by status; up to 10 seconds old.
    pub notifications: BTreeMap<String, u64>,
    /// Dead letters that were not sent again.
    pub dead_letters: u64,
    /// When the counts were taken.
    pub counted_at: Timestamp,
    /// What waits in this replica.
    pub queues: QueueStats,
    /// Whether this replica takes traffic.
    pub draining: bool,
}

/// What waits in one replica, against its limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct QueueStats {
    /// Requests in progress.
    pub requests: u64,
    /// Most requests in progress; above it they are refused.
    pub max_requests: u64,
    /// Messages without a delivery report yet.
    pub producer: u64,
    /// Most of them; above it requests are refused.
    pub max_producer: u64,
    /// Database connections in use.
    pub db_connections: u64,
    /// Most of them.
    pub max_db_connections: u64,
}

/// Whether a replica takes traffic: body and answer of `/admin/drain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrainState {
    /// `true`: readiness answers 503, requests are still served.
    pub draining: bool,
}

/// Answer to a cleared cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CacheFlush {
    /// In-process entries that were dropped.
    pub dropped: u64,
}

/// One act of an operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// The id; grows with time.
    pub id: i64,
    /// When.
    pub created_at: Timestamp,
    /// Who: an account's address or an API key.
    pub actor: String,
    /// The account's or the key's id.
    pub actor_id: String,
    /// The tenant acted in.
    pub tenant_id: Option<String>,
    /// What was done, for example `user.update`.
    pub action: String,
    /// To what.
    pub target: String,
    /// With what.
    pub detail: Value,
}

/// Query of `GET /admin/audit`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AuditQuery {
    /// Only what this account or key did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(min_length = 1, max_length = 256))]
    pub actor: Option<String>,
    /// Only this kind of act.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(min_length = 1, max_length = 64))]
    pub action: Option<String>,
    /// The `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(min_length = 1, max_length = 1024, pattern = "^[A-Za-z0-9_-]+$"))]
    pub cursor: Option<String>,
    /// Most entries of a page, 1 to 200; 50 when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 200))]
    pub limit: Option<u32>,
}

/// Query of `GET /admin/profile`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
pub struct ProfileQuery {
    /// Sampling duration, in seconds, 1 to 600; 30 when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 600))]
    pub seconds: Option<u32>,
}

/// One page of the audit log, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditPage {
    /// The entries.
    pub data: Vec<AuditEntry>,
    /// Ask for the next page with `cursor=` this; absent on the last page.
    pub next_cursor: Option<String>,
    /// Whether there is a next page.
    pub has_more: bool,
}
