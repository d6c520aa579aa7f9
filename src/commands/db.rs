//! `nsys db`: looks. What changes something goes to [`schema`].

mod schema;

use crate::cli::DbCommand;
use crate::domain::database::{Connections, LockWait, TableSize};
use crate::domain::index::{self, IndexFinding};
use crate::domain::snapshot;
use crate::error::Result;
use crate::render::schema::AnswerSchema;
use crate::render::{Out, format, rows::show, table::Table};
use crate::stack::{Stack, index_ages};
use crate::tune::snapshots;
use serde::Serialize;
use serde_json::json;

pub(super) async fn db(stack: &Stack, command: DbCommand, out: Out) -> Result<()> {
    match command {
        DbCommand::Slow { min_ms, limit, since } => slow(stack, min_ms, limit, since.as_deref(), out).await,
        DbCommand::Pool => pool(stack, out).await,
        DbCommand::Size { since } => size(stack, since.as_deref(), out).await,
        DbCommand::Locks => locks(stack, out).await,
        DbCommand::Indexes { since } => indexes(stack, since.as_deref(), out).await,
        DbCommand::Snapshot { name } => take(stack, name, out).await,
        DbCommand::Status => schema::status(stack, out).await,
        DbCommand::Migrate(flags) => schema::migrate(stack, &flags, out).await,
        DbCommand::Seed(args) => schema::seed(stack, &args, out).await,
        DbCommand::Reset(flags) => schema::reset(stack, &flags, out).await,
    }
}

/// A statement and what it cost.
#[derive(Serialize, schemars::JsonSchema)]
struct StatementRow {
    query: String,
    calls: i64,
    total_ms: f64,
    mean_ms: f64,
}

/// A table and how much it has grown since a snapshot.
#[derive(Serialize, schemars::JsonSchema)]
struct TableRow<'a> {
    #[serde(flatten)]
    size: &'a TableSize,
    grown_bytes: Option<i64>,
}

/// An index and what is said about it.
#[derive(Serialize, schemars::JsonSchema)]
struct IndexRow<'a> {
    index: &'a index::Index,
    findings: Vec<IndexFinding>,
    scans_since: Option<i64>,
}

async fn slow(stack: &Stack, min_ms: f64, limit: u32, since: Option<&str>, out: Out) -> Result<()> {
    let mut database = stack.postgres().await?;
    let (now, counted_since) = (database.statements().await?, database.statements_since().await?);
    let (all, from) = match since {
        Some(name) => {
            let earlier = snapshots::kept(stack, name)?;
            if earlier.statements_since != counted_since {
                out.warn(format!(
                    "statement counters were reset at {counted_since}, after the snapshot; earlier counts are lost"
                ));
            }
            (snapshot::executed(&earlier, &counted_since, now), earlier.at.to_string())
        }
        None => (now, counted_since),
    };
    let all = snapshot::slowest(all, min_ms, limit as usize);
    let mut table = Table::new(["calls", "mean", "total", "statement"]).right(&[0, 1, 2]);
    let mut rows = Vec::new();
    for one in &all {
        let query = one.query.split_whitespace().collect::<Vec<_>>().join(" ");
        let short: String = query.chars().take(160).collect();
        table.row([
            one.calls.to_string(),
            format::millis(one.mean_ms()),
            format::millis(one.total_ms),
            short,
        ]);
        let (calls, total_ms) = (one.calls, one.total_ms);
        rows.push(StatementRow { query, calls, total_ms, mean_ms: one.mean_ms() });
    }
    show(out, &rows, &table, "no such statement since the statistics began")?;
    out.say(format!("counted since {from}"));
    Ok(())
}

async fn pool(stack: &Stack, out: Out) -> Result<()> {
    let (states, limit) = stack.postgres().await?.connection_states().await?;
    let mut table = Table::new(["application", "state", "connections"]).right(&[2]);
    for one in &states {
        table.row([one.application.clone(), one.state.clone(), one.connections.to_string()]);
    }
    let used: i64 = states.iter().map(|one| one.connections).sum();
    show(out, &states, &table, "no connection")?;
    out.say(format!("{used} of at most {limit}"));
    Ok(())
}

async fn size(stack: &Stack, since: Option<&str>, out: Out) -> Result<()> {
    let tables = stack.postgres().await?.table_sizes().await?;
    let earlier = since.map(|name| snapshots::kept(stack, name)).transpose()?;
    let grown = |table: &str, total: i64| {
        let then = earlier.as_ref()?.tables.iter().find(|one| one.table == table)?;
        Some(total - then.total_bytes)
    };
    let mut head = vec!["table", "total", "indexes", "live rows", "dead rows", "bloat (estimate)"];
    if earlier.is_some() {
        head.push("grown");
    }
    let mut table = Table::new(head).right(&[1, 2, 3, 4, 5, 6]);
    let mut rows = Vec::new();
    for one in &tables {
        let grown = grown(&one.table, one.total_bytes);
        let mut cells = vec![
            one.table.clone(),
            format::signed_bytes(one.total_bytes),
            format::signed_bytes(one.index_bytes),
            one.live_rows.to_string(),
            one.dead_rows.to_string(),
            format::or_missing(one.bloat_bytes, format::signed_bytes),
        ];
        if earlier.is_some() {
            cells.push(format::or_missing(grown, format::signed_bytes));
        }
        table.row(cells);
        rows.push(TableRow { size: one, grown_bytes: grown });
    }
    show(out, &rows, &table, "no table")
}

async fn locks(stack: &Stack, out: Out) -> Result<()> {
    let waits = stack.postgres().await?.lock_waits().await?;
    let mut table =
        Table::new(["waits", "for", "seconds", "statement", "holder's statement"]).right(&[0, 1, 2]);
    for one in &waits {
        table.row([
            one.pid.to_string(),
            one.blocker.to_string(),
            format!("{:.1}", one.seconds),
            one.query.clone(),
            one.blocker_query.clone(),
        ]);
    }
    show(out, &waits, &table, "nobody waits for a lock")
}

fn remark(finding: &IndexFinding) -> String {
    match finding {
        IndexFinding::Invalid => {
            "INVALID: an interrupted build left it; nsys tune db --indexes rebuilds".into()
        }
        IndexFinding::Building { pid } => format!("being built by pid {pid}"),
        IndexFinding::Duplicate { of } => format!("the same as {of}"),
        IndexFinding::CoveredBy { other } => format!("{other} serves the same reads"),
        IndexFinding::Unused => "never used".into(),
    }
}

async fn indexes(stack: &Stack, since: Option<&str>, out: Out) -> Result<()> {
    let mut database = stack.postgres().await?;
    let (indexes, use_since) = (database.indexes().await?, database.statistics_since().await?);
    // A look must not fail because its note cannot be kept: the index only counts as younger then.
    let _ = index_ages::note(stack, &indexes);
    let earlier = since.map(|name| snapshots::kept(stack, name)).transpose()?;
    let mut head = vec!["index", "table", "size", "scans"];
    head.extend(earlier.is_some().then_some("since"));
    head.push("remark");
    let mut table = Table::new(head).right(if earlier.is_some() { &[2, 3, 4] } else { &[2, 3] });
    let mut rows = Vec::new();
    for (one, found) in indexes.iter().zip(index::findings(&indexes)) {
        let since = earlier.as_ref().map(|earlier| snapshot::scans_since(earlier, &use_since, one));
        let remarks: Vec<_> = found.iter().map(remark).collect();
        let mut cells =
            vec![one.name.clone(), one.table.clone(), format::signed_bytes(one.bytes), one.scans.to_string()];
        cells.extend(since.map(|count| format::or_missing(count, |count| count.to_string())));
        cells.push(remarks.join("; "));
        table.row(cells);
        rows.push(IndexRow { index: one, findings: found, scans_since: since.flatten() });
    }
    show(out, &rows, &table, "no index")?;
    out.say(format!("use is counted since {use_since}"));
    Ok(())
}

async fn take(stack: &Stack, name: Option<String>, out: Out) -> Result<()> {
    let name = name.unwrap_or_else(|| crate::clock::now().strftime("%Y%m%d_%H%M%S").to_string());
    let snapshot = snapshots::take(stack, &name).await?;
    show(
        out,
        &[json!({"name": name, "at": snapshot.at, "statements": snapshot.statements.len()})],
        &Table::new([""]),
        &format!("kept as {name}"),
    )?;
    out.say(format!("compare with it later: nsys db slow --since {name}"));
    Ok(())
}

/// The shapes of what these commands answer.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    vec![
        AnswerSchema::of::<Vec<StatementRow>>("db slow", 1),
        AnswerSchema::of::<Vec<Connections>>("db pool", 1),
        AnswerSchema::of::<Vec<TableRow<'_>>>("db size", 1),
        AnswerSchema::of::<Vec<LockWait>>("db locks", 1),
        AnswerSchema::of::<Vec<IndexRow<'_>>>("db indexes", 1),
        schema::schema_of_status(),
    ]
}
