//! Makes the changes in PostgreSQL.

use super::both;
use crate::clients::postgres::Postgres;
use crate::domain::index::{Index, same_definition};
use crate::error::{Error, Result};
use crate::plan::DbStep;
use crate::render::progress::Line;
use crate::stack::Stack;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(5);

async fn connect(stack: &Stack) -> Result<Postgres> {
    let url = stack.database_url()?;
    Postgres::connect(&url, PATIENCE).await
}

async fn find(database: &mut Postgres, name: &str) -> Result<Option<Index>> {
    Ok(database.indexes().await?.into_iter().find(|index| index.name == name))
}

/// An index that shall be dropped must still be the one that is meant.
pub(super) async fn check(stack: &Stack, change: &DbStep) -> Result<()> {
    let DbStep::DropIndex { name, rebuild, .. } = change else { return Ok(()) };
    let there = find(&mut connect(stack).await?, name).await?;
    match there {
        Some(there) if !same_definition(&there.definition, rebuild) => Err(Error::refused(format!(
            "index {name} was changed since\n  then: {rebuild}\n  now:  {}",
            there.definition
        ))),
        _ => Ok(()),
    }
}

pub(super) async fn make(stack: &Stack, change: &DbStep, line: &Line) -> Result<(Value, Value)> {
    let mut database = connect(stack).await?;
    match change {
        DbStep::BuildIndex { name, table, sql } => {
            let before = find(&mut database, name).await?;
            database.probe_table_lock(table, stack.loaded.config.tune.lock_timeout).await?;
            build(stack, &mut database, sql, line).await.map_err(|error| {
                let hint = error.hint.clone().unwrap_or_else(|| {
                    "run the same command again: it finds the leftover and rebuilds it".into()
                });
                error.hint(hint)
            })?;
            let after = find(&mut database, name).await?;
            match &after {
                Some(index) if index.valid => Ok(both(before, after)),
                _ => Err(Error::failed(format!("the build of {name} ended, but the index cannot be used"))),
            }
        }
        DbStep::DropIndex { name, table, .. } => {
            let before = find(&mut database, name).await?;
            database.probe_table_lock(table, stack.loaded.config.tune.lock_timeout).await?;
            drop_index(&mut database, name, stack.loaded.config.tune.build_timeout).await?;
            Ok(both(before, Value::Null))
        }
        DbStep::DropInvalid { name } => {
            let before = find(&mut database, name).await?;
            if before.as_ref().is_some_and(|index| index.valid) {
                return Err(Error::refused(format!("{name} is valid by now")).hint("run the command again"));
            }
            drop_index(&mut database, name, stack.loaded.config.tune.build_timeout).await?;
            Ok(both(before, Value::Null))
        }
        DbStep::Analyze { table } => {
            let budget = stack.loaded.config.tune.build_timeout;
            database.run_within(&format!("ANALYZE \"{table}\""), budget).await?;
            Ok(both(Value::Null, Value::Null))
        }
    }
}

async fn drop_index(database: &mut Postgres, name: &str, budget: Duration) -> Result<()> {
    database.run_within(&format!("DROP INDEX CONCURRENTLY IF EXISTS \"{name}\""), budget).await?;
    match find(database, name).await? {
        None => Ok(()),
        Some(_) => Err(Error::failed(format!("{name} is still there after it was dropped"))),
    }
}

/// Runs the build in one connection and watches it from another.
async fn build(stack: &Stack, database: &mut Postgres, sql: &str, line: &Line) -> Result<()> {
    let mut watcher = connect(stack).await?;
    let backend = database.backend().await?;
    let budget = stack.loaded.config.tune.build_timeout;
    let deadline = Instant::now() + budget;
    let mut waited_for = None;
    // The watcher ends it a little earlier and can then say who it waited for.
    let build = database.run_within(sql, budget + PATIENCE);
    tokio::pin!(build);
    loop {
        tokio::select! {
            done = &mut build => return done,
            () = tokio::time::sleep(Duration::from_millis(250)) => {}
        }
        if let Ok(Some(progress)) = watcher.build_progress(backend).await {
            let share = progress.share.map(|share| format!(" {:.0} %", share * 100.0)).unwrap_or_default();
            let wait = progress.waits_for.map(|(pid, seconds, query)| {
                format!("; waits for pid {pid}, whose transaction is open for {seconds:.0} s: {query}")
            });
            line.update(&format!("{}{share}{}", progress.phase, wait.as_deref().unwrap_or_default()));
            waited_for = wait;
        }
        if Instant::now() > deadline {
            watcher.cancel(backend).await?;
            let _ = (&mut build).await;
            return Err(Error::failed(format!(
                "the build took longer than {budget:?}{}",
                waited_for.unwrap_or_default()
            ))
            .hint("end that transaction, or raise tune.build_timeout; then run the same command again"));
        }
    }
}

/// Stops a build that was interrupted, and takes away what it left.
pub(super) async fn abandon(stack: &Stack, change: &DbStep) -> Result<()> {
    let DbStep::BuildIndex { name, .. } = change else { return Ok(()) };
    let mut database = connect(stack).await?;
    database.cancel_builds().await?;
    let deadline = Instant::now() + PATIENCE;
    while database.builds().await? > 0 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    match find(&mut database, name).await? {
        Some(index) if !index.valid => drop_index(&mut database, name, PATIENCE).await,
        _ => Ok(()),
    }
}
