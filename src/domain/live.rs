//! Counters as they are read again and again while somebody watches. Two readings make a rate.

use super::database::TableSize;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A statement and its counters since the statistics began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LiveStatement {
    /// What PostgreSQL knows it by.
    pub id: i64,
    /// Its text, parameters left out.
    pub query: String,
    /// How often it ran.
    pub calls: i64,
    /// Time in all, ms.
    pub total_ms: f64,
    /// Rows in all.
    pub rows: i64,
}

/// Counters of one database since its statistics began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Transactions that were committed.
    pub commits: i64,
    /// Transactions that were rolled back.
    pub rollbacks: i64,
    /// Blocks found in the buffer cache.
    pub hits: i64,
    /// Blocks read from outside it.
    pub reads: i64,
    /// Deadlocks.
    pub deadlocks: i64,
}

/// A table with its size and how it is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableUse {
    /// Size and rows.
    #[serde(flatten)]
    pub size: TableSize,
    /// Scans of the whole table.
    pub sequential_scans: i64,
    /// Scans of an index.
    pub index_scans: i64,
}

/// Keys by prefix.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Prefixes {
    /// When they were counted, in seconds since the epoch.
    pub at_s: f64,
    /// Keys that were looked at.
    pub seen: u64,
    /// Whether there were more than that.
    pub sampled: bool,
    /// Keys by prefix.
    pub counts: BTreeMap<String, u64>,
}
