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
    /// What the table's own pages take beyond what its rows need, in bytes: an estimate from the
    /// statistics of column widths; absent before the first `ANALYZE`.
    #[serde(default)]
    pub bloat_bytes: Option<i64>,
}

/// One migration of the schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Migration {
    /// Its number.
    pub version: i64,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: MigrationState,
    /// When it was applied.
    pub at: Option<String>,
}

/// Where a migration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MigrationState {
    /// It is in the database.
    Applied,
    /// It is not yet.
    Pending,
    /// It was begun and failed.
    Failed,
    /// It is in the database with another content than this nsys knows.
    Changed,
    /// The database has it, and this nsys does not know it.
    Newer,
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
