//! `[tune]`: changes.

use jiff::fmt::serde::unsigned_duration::friendly::compact::required as span;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The section as it is written in `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TuneSection {
    /// Longest wait for the lock that an index build takes on its table.
    #[serde(with = "span")]
    pub lock_timeout: Duration,
    /// Longest time one index build may take, waits for old transactions included.
    #[serde(with = "span")]
    pub build_timeout: Duration,
}
