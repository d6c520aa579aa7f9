//! Makes a plan's steps, verifies each, and journals them. With the supervisor, the only code that
//! calls what changes something in a part.

mod cache;
mod data;
mod db;
mod kafka;
mod service;

pub use service::running;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::journal::{ChangeOutcome, Entry, Journal, JournalStep};
use crate::permit::ChangePermit;
use crate::plan::{ChangePlan, Step};
use crate::render::progress::{ProgressLine, ProgressView};
use crate::stack::Stack;
use serde_json::{Value, json};
use std::time::Instant;

/// Held while a stack is changed; another nsys is refused meanwhile.
#[derive(Debug)]
pub struct ChangeLock {
    _file: std::fs::File,
}

impl ChangeLock {
    /// Takes the lock and settles what a killed holder left.
    ///
    /// # Errors
    /// When another nsys changes this stack.
    pub fn take(stack: &Stack) -> Result<Self> {
        stack.layout.create()?;
        let path = stack.layout.run().join("change.lock");
        let file = std::fs::File::create(path).context("cannot create the change lock")?;
        file.try_lock().map_err(|_| {
            Error::refused("another nsys process is changing this stack").hint("wait for it, then try again")
        })?;
        Journal::of(&stack.layout).settle()?;
        Ok(Self { _file: file })
    }
}

/// Whether the stack still is as the plan was made for.
///
/// # Errors
/// When something was changed since; both sides are shown and nothing is made.
pub async fn check(stack: &Stack, plan: &ChangePlan) -> Result<()> {
    for step in &plan.steps {
        match step {
            Step::Config(change) => service::check(stack, change)?,
            Step::Db(change) => db::check(stack, change).await?,
            Step::Kafka(change) => kafka::check(stack, change).await?,
            Step::Service(change) => service::check_replicas(stack, change).await?,
            Step::Data(change) => data::check(stack, change).await?,
            Step::Cache(_) => {}
        }
    }
    Ok(())
}

/// Makes every step in order and journals it. Ctrl-C stops within a step, leaves nothing running
/// and marks the change interrupted; the same command then finishes it.
///
/// # Errors
/// When a step fails; those before it are made and journaled.
pub async fn apply(
    (_lock, permit): (&ChangeLock, &ChangePermit),
    stack: &Stack,
    plan: &ChangePlan,
    undoes: Option<&Entry>,
    progress: &ProgressView,
) -> Result<Entry> {
    let journal = Journal::of(&stack.layout);
    let mut entry = journal.begin(plan, undoes.map(|entry| entry.id.clone()))?;
    for step in &plan.steps {
        let (line, started) = (progress.line(noun(step)), Instant::now());
        line.update(&step.what());
        let made = tokio::select! {
            made = make(permit, stack, step, &line, progress) => made,
            _ = tokio::signal::ctrl_c() => {
                abandon(permit, stack, step).await;
                Err(Error::interrupted(format!("interrupted during: {}", step.what()))
                    .hint("run the same command again to finish, or nsys undo to revert what was done"))
            }
        };
        let took_ms = started.elapsed().as_secs_f64() * 1_000.0;
        let (before, after, error) = match made {
            Ok((before, after)) => (before, after, None),
            Err(error) => (Value::Null, Value::Null, Some(error)),
        };
        line.finish(if error.is_none() { "done" } else { "failed" });
        let text = error.as_ref().map(|error| error.message.clone());
        entry.steps.push(JournalStep { step: step.clone(), before, after, took_ms, error: text });
        if let Some(error) = error {
            entry.outcome = if error.kind == ErrorKind::Interrupted {
                ChangeOutcome::Interrupted
            } else {
                ChangeOutcome::Failed
            };
            journal.write(&entry)?;
            let hint =
                error.hint.clone().unwrap_or_else(|| format!("what was done: nsys history {}", entry.id));
            return Err(error.hint(hint));
        }
        journal.write(&entry)?;
    }
    entry.outcome = ChangeOutcome::Applied;
    journal.write(&entry)?;
    // Only now that every step is taken back: until then it can be undone again.
    if let Some(undone) = undoes {
        let mut undone = undone.clone();
        undone.outcome = ChangeOutcome::Undone;
        journal.write(&undone)?;
    }
    Ok(entry)
}

const fn noun(step: &Step) -> &'static str {
    match step {
        Step::Db(_) => "db",
        Step::Kafka(_) => "kafka",
        Step::Cache(_) => "cache",
        Step::Config(_) => "config",
        Step::Service(_) => "service",
        Step::Data(_) => "data",
    }
}

async fn make(
    permit: &ChangePermit,
    stack: &Stack,
    step: &Step,
    line: &ProgressLine,
    progress: &ProgressView,
) -> Result<(Value, Value)> {
    match step {
        Step::Db(change) => db::make(permit, stack, change, line).await,
        Step::Kafka(change) => kafka::make(permit, stack, change, line).await,
        Step::Cache(change) => cache::make(permit, stack, change, line).await,
        Step::Config(change) => service::set(permit, stack, change),
        Step::Service(change) => service::roll(permit, stack, change, progress).await,
        Step::Data(change) => data::make(permit, stack, change, line).await,
    }
}

async fn abandon(permit: &ChangePermit, stack: &Stack, step: &Step) {
    if let Step::Db(change) = step {
        // The build would go on in the server without us.
        let _ = db::abandon(permit, stack, change).await;
    }
}

fn both<B: serde::Serialize, A: serde::Serialize>(before: B, after: A) -> (Value, Value) {
    (json!(before), json!(after))
}
