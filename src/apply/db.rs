//! Makes the changes in PostgreSQL.

use super::both;
use crate::clients::postgres::Postgres;
use crate::domain::index::{Index, same_definition};
use crate::error::{Error, Result};
use crate::permit::ChangePermit;
use crate::plan::DbStep;
use crate::render::progress::ProgressLine;
use crate::stack::{Stack, account};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

const TIMEOUT: Duration = Duration::from_secs(5);
/// Seeded rows written or removed in one statement.
const SEED_BATCH: u32 = 50_000;

async fn connect(stack: &Stack) -> Result<Postgres> {
    let url = stack.database_url()?;
    Postgres::connect(&url, TIMEOUT).await
}

async fn find(database: &mut Postgres, name: &str) -> Result<Option<Index>> {
    Ok(database.indexes().await?.into_iter().find(|index| index.name == name))
}

/// What the plan was made for must still be so: the definition of an index that shall be dropped, the
/// name of one that shall be built, the version of the schema.
pub(super) async fn check(stack: &Stack, change: &DbStep) -> Result<()> {
    let (name, expected) = match change {
        DbStep::DropIndex { name, rebuild, .. } => (name, rebuild),
        DbStep::BuildIndex { name, sql, .. } => (name, sql),
        DbStep::Migrate { from, .. } => return check_version(stack, *from).await,
        _ => return Ok(()),
    };
    let there = find(&mut connect(stack).await?, name).await?;
    match there {
        Some(there) if !same_definition(&there.definition, expected) => Err(Error::refused(format!(
            "index {name} was changed since\n  then: {expected}\n  now:  {}",
            there.definition
        ))),
        _ => Ok(()),
    }
}

async fn check_version(stack: &Stack, from: i64) -> Result<()> {
    let now = connect(stack).await?.schema_version().await.unwrap_or(0);
    if now == from {
        return Ok(());
    }
    Err(Error::refused(format!("the schema was changed since: version {from} then, {now} now"))
        .hint("run the command again"))
}

pub(super) async fn make(
    permit: &ChangePermit,
    stack: &Stack,
    change: &DbStep,
    line: &ProgressLine,
) -> Result<(Value, Value)> {
    let mut database = connect(stack).await?;
    match change {
        DbStep::BuildIndex { name, table, sql, .. } => {
            build_index((permit, stack), &mut database, (name, table, sql), line).await
        }
        DbStep::DropIndex { name, table, .. } => {
            let before = find(&mut database, name).await?;
            database.probe_table_lock(permit, table, stack.loaded.config.tune.lock_timeout).await?;
            drop_index(permit, &mut database, name, stack.loaded.config.tune.build_timeout).await?;
            Ok(both(before, Value::Null))
        }
        DbStep::DropInvalid { name } => {
            let before = find(&mut database, name).await?;
            if let Some(pid) = before.as_ref().and_then(|index| index.built_by) {
                return Err(Error::refused(format!("{name} is being built by pid {pid}"))
                    .hint("wait until that build has ended: nsys db indexes"));
            }
            if before.as_ref().is_some_and(|index| index.valid) {
                return Err(Error::refused(format!("{name} is valid now")).hint("run the command again"));
            }
            drop_index(permit, &mut database, name, stack.loaded.config.tune.build_timeout).await?;
            Ok(both(before, Value::Null))
        }
        DbStep::Analyze { table } => {
            let budget = stack.loaded.config.tune.build_timeout;
            database.run_within(permit, &format!("ANALYZE {table}"), budget).await?;
            Ok(both(Value::Null, Value::Null))
        }
        DbStep::Migrate { from, to, .. } => {
            database.migrate(permit).await?;
            let now = database.schema_version().await?;
            if now < *to {
                return Err(Error::failed(format!("the schema is at {now} after migrating to {to}")));
            }
            Ok(both(from, now))
        }
        DbStep::Seed { users, from, to } => {
            rows(&mut database, (*from, *to), line, async |database, from, to| {
                database.seed_range(permit, *users, from, to).await
            })
            .await
        }
        DbStep::Unseed { from, to, .. } => {
            rows(&mut database, (*to, *from), line, async |database, from, to| {
                database.unseed_range(permit, from, to).await
            })
            .await
        }
        DbStep::Reset { rows } => {
            database.reset_schema(permit, stack.loaded.config.tune.lock_timeout).await?;
            if stack.runtime.is_here() {
                account::make_loadtest_user(permit, stack).await?;
            }
            Ok(both(rows, database.schema_version().await?))
        }
    }
}

/// Writes or removes numbered rows batch by batch, so that no transaction is long. Tells how many.
async fn rows(
    database: &mut Postgres,
    (from, to): (u32, u32),
    line: &ProgressLine,
    mut batch: impl AsyncFnMut(&mut Postgres, u32, u32) -> Result<u64>,
) -> Result<(Value, Value)> {
    let (mut at, mut changed) = (from, 0);
    while at < to {
        let next = at.saturating_add(SEED_BATCH).min(to);
        changed += batch(database, at, next).await?;
        at = next;
        line.share(f64::from(at - from) / f64::from(to - from), &format!("{changed} rows"));
    }
    Ok(both(0, changed))
}

/// Builds an index. What a failed build leaves behind is taken away at once: it would serve no read,
/// cost every write, and keep the space that may be missing.
async fn build_index(
    (permit, stack): (&ChangePermit, &Stack),
    database: &mut Postgres,
    (name, table, sql): (&str, &str, &str),
    line: &ProgressLine,
) -> Result<(Value, Value)> {
    let before = find(database, name).await?;
    database.probe_table_lock(permit, table, stack.loaded.config.tune.lock_timeout).await?;
    if let Err(error) = build(permit, stack, database, sql, line).await {
        let left = drop_invalid_index(permit, stack, name).await;
        let hint = error.hint.clone().unwrap_or_else(|| match left {
            Ok(()) => "nothing is left of it; run the same command again".into(),
            Err(_) => "run the same command again: it finds the invalid index and rebuilds it".into(),
        });
        return Err(error.hint(hint));
    }
    let after = find(database, name).await?;
    match &after {
        Some(index) if index.valid => Ok(both(before, after)),
        _ => Err(Error::failed(format!("the build of {name} ended, but the index cannot be used"))),
    }
}

async fn drop_invalid_index(permit: &ChangePermit, stack: &Stack, name: &str) -> Result<()> {
    // Not over the connection of the build, which may be what broke.
    let mut database = connect(stack).await?;
    match find(&mut database, name).await? {
        Some(index) if !index.valid => drop_index(permit, &mut database, name, TIMEOUT).await,
        _ => Ok(()),
    }
}

async fn drop_index(
    permit: &ChangePermit,
    database: &mut Postgres,
    name: &str,
    budget: Duration,
) -> Result<()> {
    database.run_within(permit, &format!("DROP INDEX CONCURRENTLY IF EXISTS {name}"), budget).await?;
    match find(database, name).await? {
        None => Ok(()),
        Some(_) => Err(Error::failed(format!("{name} is still there after it was dropped"))),
    }
}

/// Runs the build in one connection and watches it from another.
async fn build(
    permit: &ChangePermit,
    stack: &Stack,
    database: &mut Postgres,
    sql: &str,
    line: &ProgressLine,
) -> Result<()> {
    let mut watcher = connect(stack).await?;
    let backend = database.backend().await?;
    let budget = stack.loaded.config.tune.build_timeout;
    let deadline = Instant::now() + budget;
    let mut waited_for = None;
    // The watcher ends it a little earlier and can then say who it waited for.
    let build = database.run_within(permit, sql, budget + TIMEOUT);
    tokio::pin!(build);
    loop {
        tokio::select! {
            done = &mut build => return done,
            () = tokio::time::sleep(Duration::from_millis(250)) => {}
        }
        if let Ok(Some(progress)) = watcher.build_progress(backend).await {
            let wait = progress.waits_for.map(|(pid, seconds, query)| {
                format!("; waits for pid {pid}, whose transaction is open for {seconds:.0} s: {query}")
            });
            let text = format!("{}{}", progress.phase, wait.as_deref().unwrap_or_default());
            match progress.share {
                Some(share) => line.share(share, &text),
                None => line.update(&text),
            }
            waited_for = wait;
        }
        if Instant::now() > deadline {
            watcher.cancel(permit, backend).await?;
            // That it was cancelled is known; but it must have ended before what it left can be dropped.
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
pub(super) async fn abandon(permit: &ChangePermit, stack: &Stack, change: &DbStep) -> Result<()> {
    let DbStep::BuildIndex { name, .. } = change else { return Ok(()) };
    let mut database = connect(stack).await?;
    database.cancel_builds(permit).await?;
    // A cancellation is only asked for, and an index that is still being built cannot be dropped.
    let deadline = Instant::now() + TIMEOUT;
    while database.builds().await? > 0 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop_invalid_index(permit, stack, name).await
}
