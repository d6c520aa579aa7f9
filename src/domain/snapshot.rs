//! Counters of the database at one instant, and what was added to them since. Pure.

use super::database::TableSize;
use super::index::Index;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// One normalised statement with its counters, as `pg_stat_statements` keeps them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CountedStatement {
    /// The server's hash of the statement.
    pub id: i64,
    /// The whole text, constants replaced by `$1`, `$2`, …
    pub query: String,
    /// Executions.
    pub calls: i64,
    /// Execution time of all of them, in ms.
    pub total_ms: f64,
}

impl CountedStatement {
    /// Mean execution time, in ms; 0 without an execution.
    #[must_use]
    pub fn mean_ms(&self) -> f64 {
        if self.calls > 0 { self.total_ms / self.calls as f64 } else { 0.0 }
    }
}

/// What `nsys db snapshot` keeps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// When it was taken.
    pub at: jiff::Timestamp,
    /// Since when statements are counted.
    pub statements_since: String,
    /// Since when the use of tables and indexes is counted.
    pub use_since: String,
    /// Every statement of the database.
    pub statements: Vec<CountedStatement>,
    /// Every table.
    pub tables: Vec<TableSize>,
    /// Every index.
    pub indexes: Vec<Index>,
}

/// What was executed between two looks. When the counters began anew in between, what they count now
/// is all that is known; the same holds for a statement that was forgotten and came again.
#[must_use]
pub fn executed(earlier: &Snapshot, since: &str, now: Vec<CountedStatement>) -> Vec<CountedStatement> {
    if earlier.statements_since != since {
        return now;
    }
    let known: HashMap<i64, &CountedStatement> = earlier.statements.iter().map(|one| (one.id, one)).collect();
    let delta = |one: CountedStatement| match known.get(&one.id) {
        Some(then) if then.calls <= one.calls => CountedStatement {
            calls: one.calls - then.calls,
            total_ms: (one.total_ms - then.total_ms).max(0.0),
            ..one
        },
        _ => one,
    };
    now.into_iter().map(delta).filter(|one| one.calls > 0).collect()
}

/// The statements that took the most time, most first.
#[must_use]
pub fn slowest(
    mut statements: Vec<CountedStatement>,
    min_mean_ms: f64,
    limit: usize,
) -> Vec<CountedStatement> {
    statements.retain(|one| one.mean_ms() >= min_mean_ms);
    statements.sort_by(|one, other| other.total_ms.total_cmp(&one.total_ms));
    statements.truncate(limit);
    statements
}

/// How often an index was used since; absent for an index that is new, or when the counters began anew.
#[must_use]
pub fn scans_since(earlier: &Snapshot, use_since: &str, index: &Index) -> Option<i64> {
    let then = earlier.indexes.iter().find(|one| one.name == index.name)?;
    (earlier.use_since == use_since && index.scans >= then.scans).then(|| index.scans - then.scans)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(id: i64, calls: i64, total_ms: f64) -> CountedStatement {
        CountedStatement { id, query: format!("SELECT {id}"), calls, total_ms }
    }

    fn snapshot(statements: Vec<CountedStatement>) -> Snapshot {
        Snapshot {
            at: jiff::Timestamp::UNIX_EPOCH,
            statements_since: "a".into(),
            use_since: "a".into(),
            statements,
            tables: Vec::new(),
            indexes: vec![Index { name: "i".into(), scans: 4, ..Index::default() }],
        }
    }

    #[test]
    fn only_what_came_since_counts() {
        let earlier = snapshot(vec![counted(1, 10, 50.0), counted(2, 5, 5.0)]);
        let now = vec![counted(1, 12, 90.0), counted(2, 5, 5.0), counted(3, 1, 7.0)];
        let since = executed(&earlier, "a", now);
        assert_eq!(since, [counted(1, 2, 40.0), counted(3, 1, 7.0)]);
        assert_eq!(since[0].mean_ms(), 20.0);
    }

    #[test]
    fn counters_that_began_anew_are_taken_as_they_are() {
        let earlier = snapshot(vec![counted(1, 10, 50.0)]);
        assert_eq!(executed(&earlier, "b", vec![counted(1, 12, 90.0)]), [counted(1, 12, 90.0)]);
        assert_eq!(executed(&earlier, "a", vec![counted(1, 3, 9.0)]), [counted(1, 3, 9.0)]);
    }

    #[test]
    fn the_most_time_comes_first() {
        let all = vec![counted(1, 1_000, 100.0), counted(2, 1, 90.0), counted(3, 1, 95.0)];
        let ids = |found: Vec<CountedStatement>| found.into_iter().map(|one| one.id).collect::<Vec<_>>();
        assert_eq!(ids(slowest(all.clone(), 0.0, 2)), [1, 3]);
        assert_eq!(ids(slowest(all, 50.0, 9)), [3, 2]);
    }

    #[test]
    fn use_is_told_only_where_it_can_be() {
        let earlier = snapshot(Vec::new());
        let index = |name: &str, scans| Index { name: name.into(), scans, ..Index::default() };
        assert_eq!(scans_since(&earlier, "a", &index("i", 9)), Some(5));
        assert_eq!(scans_since(&earlier, "a", &index("new", 9)), None);
        assert_eq!(scans_since(&earlier, "b", &index("i", 9)), None);
    }
}
