//! `[retention]`: how long rows are kept.

use jiff::fmt::serde::unsigned_duration::friendly::compact::required as span;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `[retention]`: how long rows are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Final notifications older than this are deleted; `0s` keeps them.
    #[serde(with = "span")]
    pub notifications: Duration,
    /// Events older than this are deleted; `0s` keeps them.
    #[serde(with = "span")]
    pub events: Duration,
    /// Rows deleted in one statement.
    pub batch: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            notifications: Duration::from_secs(90 * 86_400),
            events: Duration::from_secs(30 * 86_400),
            batch: 1_000,
        }
    }
}
