//! What PostgreSQL says about itself.

use super::run::Statement;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Connections of one application in one state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Connections {
    /// `application_name`.
    pub application: String,
    /// `active`, `idle`, …
    pub state: String,
    /// How many.
    pub connections: i64,
}

/// Size of one table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TableSize {
    /// Its name as SQL spells it: quoted where it must be, with its schema unless that is `public`.
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
    /// The partitioned table that it is a part of.
    #[serde(default)]
    pub partition_of: Option<String>,
}

/// One migration of the schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
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

/// Activity at one instant; the counters run since the statistics began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Client connections, our own left out.
    pub connections: u64,
    /// Those that run a statement.
    pub active: u64,
    /// Those that wait for a lock.
    pub lock_waits: u64,
    /// Transactions committed.
    pub commits: i64,
    /// Blocks read from outside PostgreSQL's own cache.
    pub blocks_read: i64,
    /// Blocks found in it.
    pub blocks_hit: i64,
    /// Bytes written to temporary files.
    pub temp_bytes: i64,
    /// Deadlocks.
    pub deadlocks: i64,
}

impl Activity {
    /// The counters between an earlier look and this one; what is now stays. After a reset of the
    /// statistics they count from there.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let delta = |now: i64, then: i64| if now < then { now } else { now - then };
        Self {
            commits: delta(self.commits, earlier.commits),
            blocks_read: delta(self.blocks_read, earlier.blocks_read),
            blocks_hit: delta(self.blocks_hit, earlier.blocks_hit),
            temp_bytes: delta(self.temp_bytes, earlier.temp_bytes),
            deadlocks: delta(self.deadlocks, earlier.deadlocks),
            ..*self
        }
    }

    /// Share of block reads that PostgreSQL's own cache answered; absent when there was none.
    #[must_use]
    pub fn block_hit_rate(&self) -> Option<f64> {
        let reads = self.blocks_read + self.blocks_hit;
        (reads > 0).then(|| self.blocks_hit as f64 / reads as f64)
    }
}

/// Counts of one statement since their last reset.
#[derive(Clone, Debug, PartialEq)]
pub struct StatementCount {
    /// Its id.
    pub id: i64,
    /// Its text, parameters left out.
    pub query: String,
    /// How often it ran.
    pub calls: i64,
    /// Time in all, in ms.
    pub total_ms: f64,
}

/// The statements that took the most time between two looks. A statement whose counts shrank was
/// forgotten in between and counts from there.
#[must_use]
pub fn top_between(before: &[StatementCount], after: &[StatementCount], limit: usize) -> Vec<Statement> {
    let mut earlier: BTreeMap<i64, (i64, f64)> = BTreeMap::new();
    for one in before {
        let sum = earlier.entry(one.id).or_default();
        (sum.0, sum.1) = (sum.0 + one.calls, sum.1 + one.total_ms);
    }
    let mut found: Vec<_> = after
        .iter()
        .filter_map(|one| {
            let (calls, total_ms) = match earlier.get(&one.id) {
                Some((calls, total)) if one.calls >= *calls => (one.calls - calls, one.total_ms - total),
                _ => (one.calls, one.total_ms),
            };
            (calls > 0).then(|| Statement {
                query: one.query.clone(),
                calls,
                total_ms,
                mean_ms: total_ms / calls as f64,
            })
        })
        .collect();
    found.sort_by(|one, two| two.total_ms.total_cmp(&one.total_ms));
    found.truncate(limit);
    found
}

/// Who holds how many of the connections that a server admits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionUse {
    /// Client connections now.
    pub held: i64,
    /// Most that it admits of the role that asked.
    pub admitted: i64,
    /// Connections by application, or by role where that gives no name; the largest first, a few of them.
    pub holders: Vec<(String, i64)>,
}

impl ConnectionUse {
    /// Held over admitted; 1 and more admits nobody else.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.held as f64 / self.admitted.max(1) as f64
    }

    /// In words: `97 of 97 held, it admits no more: 90 by job, 7 by nsys`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let full = if self.held >= self.admitted { ", it admits no more" } else { "" };
        let holders: Vec<_> = self.holders.iter().map(|(who, count)| format!("{count} by {who}")).collect();
        format!("{} of {} held{full}: {}", self.held, self.admitted, holders.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_the_connections_is_said_and_whether_it_admits_more() {
        let holders = vec![("job".to_owned(), 90), ("nsys".to_owned(), 7)];
        let full = ConnectionUse { held: 97, admitted: 97, holders: holders.clone() };
        assert_eq!(full.sentence(), "97 of 97 held, it admits no more: 90 by job, 7 by nsys");
        let most = ConnectionUse { held: 97, admitted: 100, holders };
        assert_eq!(most.sentence(), "97 of 100 held: 90 by job, 7 by nsys");
        assert!(full.share() >= 1.0 && most.share() < 1.0);
    }

    fn count(id: i64, calls: i64, total_ms: f64) -> StatementCount {
        StatementCount { id, query: format!("q{id}"), calls, total_ms }
    }

    #[test]
    fn statements_count_only_what_ran_in_between() {
        let before = [count(1, 100, 1_000.0), count(2, 5, 5.0), count(3, 50, 500.0)];
        let after = [count(1, 110, 1_050.0), count(2, 5, 5.0), count(3, 4, 8.0), count(4, 1, 90.0)];
        let found = top_between(&before, &after, 10);
        let short: Vec<_> = found.iter().map(|one| (one.query.as_str(), one.calls, one.mean_ms)).collect();
        assert_eq!(short, [("q4", 1, 90.0), ("q1", 10, 5.0), ("q3", 4, 2.0)]);
    }

    #[test]
    fn counters_after_a_reset_count_from_there() {
        let then = Activity { commits: 100, blocks_hit: 90, ..Activity::default() };
        let now = Activity { commits: 10, blocks_hit: 100, blocks_read: 10, ..Activity::default() };
        let between = now.since(&then);
        assert_eq!((between.commits, between.blocks_hit), (10, 10));
        assert_eq!(between.block_hit_rate(), Some(0.5));
        assert_eq!(Activity::default().block_hit_rate(), None);
    }
}
