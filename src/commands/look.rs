//! `nsys metrics` and `nsys db`.

use crate::cli::{DbCommand, MetricsCommand, OutputFormat};
use crate::clients::{http, postgres::Postgres};
use crate::domain::{catalogue, index};
use crate::error::{Error, Result};
use crate::render::{Out, format, table::Table};
use crate::stack::Stack;
use serde::Serialize;
use std::time::Duration;

/// Shows rows as a table, or as JSON.
fn show<T: Serialize>(out: Out, rows: &[T], table: &Table, nothing: &str) -> Result<()> {
    match out.format() {
        OutputFormat::Json => out.json(&rows),
        OutputFormat::Text if table.is_empty() => out.line(nothing),
        OutputFormat::Text => out.line(&table.text()),
    }
}

pub(super) async fn metrics(stack: &Stack, command: MetricsCommand, out: Out) -> Result<()> {
    let promql = match command {
        MetricsCommand::List => {
            let all = catalogue::all();
            let mut table = Table::new(["name", "about", "promql"]);
            for one in &all {
                table.row([one.name, one.about, &one.promql]);
            }
            let rows: Vec<_> = all
                .iter()
                .map(|one| serde_json::json!({"name": one.name, "about": one.about, "promql": one.promql}))
                .collect();
            return show(out, &rows, &table, "");
        }
        MetricsCommand::Query { promql } => promql,
        MetricsCommand::Get { name } => {
            let known = catalogue::all().into_iter().find(|one| one.name == name);
            known
                .ok_or_else(|| Error::usage(format!("there is no query {name}")).hint("nsys metrics list"))?
                .promql
        }
    };
    let now = jiff::Timestamp::now().as_millisecond() as f64 / 1_000.0;
    let series = http::query_range(&stack.endpoints.prometheus_url(), &promql, now, now, 1.0).await?;
    let mut table = Table::new(["labels", "value"]).right(&[1]);
    for one in &series {
        let value = one.points.first().map(|point| point.1).filter(|value| value.is_finite());
        table.row([one.labels.clone(), format::or_missing(value, |value| format!("{value:.6}"))]);
    }
    show(out, &series, &table, "no series: nothing was measured in the window")
}

fn remark(finding: &index::Finding) -> String {
    match finding {
        index::Finding::Invalid => {
            "INVALID: an interrupted build left it; nsys tune db --indexes rebuilds".into()
        }
        index::Finding::Duplicate { of } => format!("the same as {of}"),
        index::Finding::CoveredBy { other } => format!("{other} serves the same reads"),
        index::Finding::Unused => "never used".into(),
    }
}

pub(super) async fn db(stack: &Stack, command: DbCommand, out: Out) -> Result<()> {
    let url = stack.database_url()?;
    let mut database =
        Postgres::connect(&url, Duration::from_secs(5)).await.map_err(|error| error.hint("nsys health"))?;
    match command {
        DbCommand::Slow { min_ms, limit } => {
            let all = database.top_statements(i64::from(limit), min_ms).await?;
            let mut table = Table::new(["calls", "mean", "total", "statement"]).right(&[0, 1, 2]);
            for one in &all {
                table.row([
                    one.calls.to_string(),
                    format::millis(one.mean_ms),
                    format::millis(one.total_ms),
                    one.query.clone(),
                ]);
            }
            show(out, &all, &table, "no such statement since the statistics began")
        }
        DbCommand::Pool => {
            let (states, limit) = database.connection_states().await?;
            let mut table = Table::new(["application", "state", "connections"]).right(&[2]);
            for one in &states {
                table.row([one.application.clone(), one.state.clone(), one.connections.to_string()]);
            }
            let used: i64 = states.iter().map(|one| one.connections).sum();
            show(out, &states, &table, "no connection")?;
            out.say(format!("{used} of at most {limit}"));
            Ok(())
        }
        DbCommand::Size => {
            let tables = database.table_sizes().await?;
            let mut table =
                Table::new(["table", "total", "indexes", "live rows", "dead rows"]).right(&[1, 2, 3, 4]);
            for one in &tables {
                let bytes = |value: i64| format::bytes(u64::try_from(value).unwrap_or(0));
                let (total, indexes) = (bytes(one.total_bytes), bytes(one.index_bytes));
                table.row([
                    one.table.clone(),
                    total,
                    indexes,
                    one.live_rows.to_string(),
                    one.dead_rows.to_string(),
                ]);
            }
            show(out, &tables, &table, "no table")
        }
        DbCommand::Locks => {
            let waits = database.lock_waits().await?;
            let mut table =
                Table::new(["waits", "for", "seconds", "statement", "holder's statement"]).right(&[0, 1, 2]);
            for one in &waits {
                let seconds = format!("{:.1}", one.seconds);
                table.row([
                    one.pid.to_string(),
                    one.blocker.to_string(),
                    seconds,
                    one.query.clone(),
                    one.blocker_query.clone(),
                ]);
            }
            show(out, &waits, &table, "nobody waits for a lock")
        }
        DbCommand::Indexes => {
            let indexes = database.indexes().await?;
            let findings = index::findings(&indexes);
            let mut table = Table::new(["index", "table", "size", "scans", "remark"]).right(&[2, 3]);
            let mut rows = Vec::new();
            for (one, found) in indexes.iter().zip(findings) {
                let remarks: Vec<_> = found.iter().map(remark).collect();
                let size = format::bytes(u64::try_from(one.bytes).unwrap_or(0));
                table.row([
                    one.name.clone(),
                    one.table.clone(),
                    size,
                    one.scans.to_string(),
                    remarks.join("; "),
                ]);
                rows.push(serde_json::json!({"index": one, "findings": found}));
            }
            show(out, &rows, &table, "no index")?;
            out.say(format!("use is counted since {}", database.statistics_since().await?));
            Ok(())
        }
    }
}
