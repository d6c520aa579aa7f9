//! PostgreSQL: the statements of the window, connections, locks, caches.

use super::super::State;
use super::super::grid::{Cell, Column, Grid, GridRow};
use super::FactLine;
use crate::domain::live::LiveStatement;
use crate::render::{Tone, format};
use crate::tui::update::Database;
use std::collections::BTreeMap;

/// An empty table with its indexes takes no more than this.
const EMPTY_BYTES: i64 = 512 << 10;

/// What was counted at the beginning and the end of the window, and the seconds between.
#[must_use]
pub fn window(state: &State, at_s: f64) -> Option<(&Database, &Database, f64)> {
    let (end_s, end) = state.data.db.at(at_s)?;
    let (begin_s, begin) = state.data.db.first_since(at_s - state.time.window_s() as f64)?;
    (begin_s < end_s).then_some((begin, end, end_s - begin_s))
}

/// The statements of the window, the ones with the most time first.
pub(super) fn grid(state: &State, at_s: f64) -> Grid {
    let title = match window(state, at_s) {
        Some((.., seconds)) => format!("statements of the last {seconds:.0} s"),
        None => "statements".into(),
    };
    Grid {
        title,
        columns: vec![
            Column::number("share", 0),
            Column::number("calls", 0),
            Column::number("mean", 0).of("ms"),
            Column::number("total", 1).of("ms"),
            Column::number("rows", 2),
            Column::text("statement"),
        ],
        rows: window(state, at_s).map(|(begin, end, _)| statements(state, begin, end)).unwrap_or_default(),
        empty: "no statement in this window".into(),
    }
}

fn statements(state: &State, begin: &Database, end: &Database) -> Vec<GridRow> {
    let before: BTreeMap<i64, &LiveStatement> = begin.statements.iter().map(|one| (one.id, one)).collect();
    let since = |one: &LiveStatement| {
        let before = before.get(&one.id);
        // Fewer calls than before: the statistics were reset in between, and count from there.
        let before = before.filter(|before| before.calls <= one.calls);
        let (calls, total_ms, rows) = before.map_or((one.calls, one.total_ms, one.rows), |before| {
            (one.calls - before.calls, one.total_ms - before.total_ms, one.rows - before.rows)
        });
        (calls > 0).then_some((one.id, calls, total_ms.max(0.0), rows))
    };
    let mut ran: Vec<_> =
        end.statements.iter().filter_map(|one| since(one).map(|counted| (counted, one))).collect();
    ran.sort_by(|one, other| other.0.2.total_cmp(&one.0.2));
    let all_ms: f64 = ran.iter().map(|((_, _, total_ms, _), _)| total_ms).sum();
    let row = |((id, calls, total_ms, rows), one): ((i64, i64, f64, i64), &LiveStatement)| {
        let mean_ms = total_ms / calls as f64;
        let share = if all_ms > 0.0 { total_ms / all_ms } else { 0.0 };
        GridRow::new(
            id.to_string(),
            vec![
                Cell::number(Some(share), format::percent),
                Cell::count(Some(calls.unsigned_abs())),
                Cell::number(Some(mean_ms), format::millis).tone((mean_ms > 100.0).then_some(Tone::Warn)),
                Cell::number(Some(total_ms), format::millis),
                Cell::count(Some(rows.unsigned_abs())),
                Cell::from(state.data.statement(one.id)),
            ],
        )
    };
    ran.into_iter().map(row).collect()
}

/// Connections, caches, locks, in lines.
pub(super) fn facts(state: &State, at_s: f64) -> Vec<FactLine> {
    let Some((_, db)) = state.data.db.at(at_s) else { return Vec::new() };
    let (by_state, limit) = (by_state(db), db.limit);
    let all: i64 = by_state.values().sum();
    let near = (all as f64 > limit as f64 * 0.8).then_some(Tone::Warn);
    let mut connections: FactLine = vec![("connections", Cell::toned(format!("{all} of {limit}"), near))];
    let stuck = by_state.get("idle in transaction").copied().unwrap_or(0);
    connections.push(("active", Cell::from(by_state.get("active").copied().unwrap_or(0).to_string())));
    connections.push(("idle", Cell::from(by_state.get("idle").copied().unwrap_or(0).to_string())));
    connections
        .push(("idle in transaction", Cell::toned(stuck.to_string(), (stuck > 0).then_some(Tone::Warn))));
    let mut lines = vec![connections, rates(state, db, at_s), tables(db)];
    lines.extend(locks(db));
    lines
}

fn by_state(db: &Database) -> BTreeMap<&str, i64> {
    let mut counts = BTreeMap::new();
    for one in &db.connections {
        *counts.entry(one.state.as_str()).or_insert(0) += one.connections;
    }
    counts
}

fn rates(state: &State, db: &Database, at_s: f64) -> FactLine {
    let window = window(state, at_s);
    let per_s = |of: fn(&Database) -> i64| {
        let rate = window.map(|(begin, end, seconds)| (of(end) - of(begin)).max(0) as f64 / seconds);
        Cell::from(format::or_missing(rate, format::rate))
    };
    let hits = window.and_then(|(begin, end, _)| {
        let hits = end.totals.hits - begin.totals.hits;
        let all = hits + end.totals.reads - begin.totals.reads;
        (hits >= 0 && all > 0).then(|| hits as f64 / all as f64)
    });
    vec![
        ("commits", per_s(|db| db.totals.commits)),
        ("rollbacks", per_s(|db| db.totals.rollbacks)),
        ("buffer hits", Cell::from(format::or_missing(hits, format::percent))),
        ("size", Cell::from(format::or_missing(db.bytes, |bytes| format::bytes(bytes.unsigned_abs())))),
        ("deadlocks", Cell::from(db.totals.deadlocks.to_string())),
    ]
}

/// The largest table and how it is read.
fn tables(db: &Database) -> FactLine {
    let Some(table) = db.tables.first() else { return vec![("tables", Cell::from(format::MISSING))] };
    let scans = table.index_scans + table.sequential_scans;
    let by_index = (scans > 0).then(|| table.index_scans as f64 / scans as f64);
    let dead = table.size.dead_rows > table.size.live_rows / 5 && table.size.dead_rows > 1_000;
    // A table that takes pages and has neither live nor dead rows was never counted: a crash loses that.
    let counted = table.size.live_rows + table.size.dead_rows > 0 || table.size.total_bytes <= EMPTY_BYTES;
    let count = |rows: i64| format::or_missing(counted.then(|| rows.unsigned_abs()), format::count);
    vec![
        ("largest table", Cell::from(table.size.table.clone())),
        ("size", Cell::from(format::bytes(table.size.total_bytes.unsigned_abs()))),
        ("rows", Cell::from(count(table.size.live_rows))),
        ("dead", Cell::toned(count(table.size.dead_rows), dead.then_some(Tone::Warn))),
        ("by index", Cell::from(format::or_missing(by_index, format::percent))),
    ]
}

fn locks(db: &Database) -> Vec<FactLine> {
    if db.locks.is_empty() {
        return vec![vec![("locks", Cell::toned("nobody waits", Some(Tone::Dim)))]];
    }
    let line = |one: &crate::domain::database::LockWait| -> FactLine {
        let text = format!(
            "pid {} waits {:.0} s for pid {}: {}; that one did: {}",
            one.pid, one.seconds, one.blocker, one.query, one.blocker_query
        );
        vec![("lock", Cell::toned(text, Some(Tone::Warn)))]
    };
    db.locks.iter().take(3).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::live::TableUse;

    #[test]
    fn rows_that_nobody_counted_are_not_zero() {
        let table = |live_rows: i64, total_bytes: i64| -> TableUse {
            serde_json::from_value(serde_json::json!({
                "table": "notifications", "total_bytes": total_bytes, "index_bytes": 0, "dead_rows": 0,
                "live_rows": live_rows, "partition_of": null, "sequential_scans": 0, "index_scans": 0,
            }))
            .unwrap()
        };
        let rows = |table: TableUse| {
            let facts = tables(&Database { tables: vec![table], ..Database::default() });
            facts.into_iter().find(|(name, _)| *name == "rows").map(|(_, cell)| cell.text).unwrap()
        };
        assert_eq!(rows(table(0, 10 << 20)), "–");
        assert_eq!(rows(table(0, 64 << 10)), "0");
        assert_eq!(rows(table(25_250, 10 << 20)), "25,250");
    }
}
