//! What PostgreSQL says about itself.

use serde::{Deserialize, Serialize};

/// Connections of one application in one state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Connections {
    /// `application_name`.
    pub application: String,
    /// `active`, `idle`, …
    pub state: String,
    /// How many.
    pub connections: i64,
}

/// Size of one table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TableSize {
    /// Its name.
    pub table: String,
    /// With indexes and TOAST.
    pub total_bytes: i64,
    /// Its indexes.
    pub index_bytes: i64,
    /// Rows, as the statistics estimate them.
    pub live_rows: i64,
    /// Rows that wait for vacuum.
    pub dead_rows: i64,
}

/// One session that waits for another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LockWait {
    /// Who waits.
    pub pid: i32,
    /// For whom.
    pub blocker: i32,
    /// How long the waiting statement runs.
    pub seconds: f64,
    /// The waiting statement.
    pub query: String,
    /// What the other one did last.
    pub blocker_query: String,
}
