//! Many notifications in one request: the batch, and the stream of lines.

use super::notification::CreateNotification;
use super::problem::Problem;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Body of `POST /notifications/batch`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Up to 1,000 notifications, each accepted or refused on its own.
    #[cfg_attr(feature = "openapi", schema(max_items = 1000))]
    pub notifications: Vec<CreateNotification>,
}

impl Batch {
    /// Most notifications of one batch.
    pub const MAX: usize = 1_000;
}

/// What became of one notification of a batch, or of one line of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ItemResult {
    /// Its place, from 0.
    pub index: u64,
    /// 201 when it is accepted, else the status it would have got alone.
    pub status: u16,
    /// Its id, when it is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// What is wrong with it, when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// Answer to `POST /notifications/batch`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchAnswer {
    /// How many were accepted.
    pub accepted: u64,
    /// How many were refused.
    pub refused: u64,
    /// One for each notification, in their order.
    pub results: Vec<ItemResult>,
}

/// The last line of the answer to `POST /notifications/stream`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StreamSummary {
    /// How many lines were accepted.
    pub accepted: u64,
    /// How many lines were refused.
    pub refused: u64,
    /// Whether every line that was sent has its result above.
    pub complete: bool,
    /// Why the stream ended before its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}
