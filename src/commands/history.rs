//! `nsys history` and `nsys undo`.

use crate::apply;
use crate::change::carry_out;
use crate::cli::{HistoryArgs, UndoArgs};
use crate::error::{Error, Result};
use crate::journal::{ChangeOutcome, Entry, Journal};
use crate::plan::undo::plan_undo;
use crate::plan::{ServiceStep, Step};
use crate::render::schema::{AnswerSchema, Either};
use crate::render::{Out, Report, format, table::Table};
use crate::stack::Stack;
use serde::Serialize;

const fn word(outcome: ChangeOutcome) -> &'static str {
    match outcome {
        ChangeOutcome::Applying => "applying",
        ChangeOutcome::Applied => "applied",
        ChangeOutcome::Failed => "failed",
        ChangeOutcome::Interrupted => "interrupted",
        ChangeOutcome::Undone => "undone",
    }
}

#[derive(Serialize, schemars::JsonSchema)]
struct HistoryReport {
    changes: Vec<Entry>,
}

impl Report for HistoryReport {
    fn text(&self) -> String {
        if self.changes.is_empty() {
            return "no changes yet".into();
        }
        let mut table = Table::new(["id", "when", "by", "outcome", "steps", "what"]).right(&[4]);
        for entry in &self.changes {
            table.row([
                entry.id.clone(),
                entry.at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
                entry.user.clone(),
                word(entry.outcome).to_owned(),
                entry.steps.len().to_string(),
                entry.title.clone(),
            ]);
        }
        table.text()
    }
}

#[derive(Serialize, schemars::JsonSchema)]
struct OneChange(Entry);

impl Report for OneChange {
    fn text(&self) -> String {
        let entry = &self.0;
        let mut lines = vec![
            format!("{}: {}, {}", entry.id, entry.title, word(entry.outcome)),
            format!("  {} by {}: nsys {}", entry.at, entry.user, entry.command),
        ];
        for done in &entry.steps {
            lines.push(format!("  - {} ({})", done.step.what(), format::millis(done.took_ms)));
            lines.push(format!("    {}", done.step.exact()));
            match &done.error {
                Some(error) => lines.push(format!("    failed: {error}")),
                None => lines.push(format!("    before {}, after {}", done.before, done.after)),
            }
        }
        lines.join("\n")
    }
}

pub(super) fn history(stack: &Stack, args: &HistoryArgs, out: Out) -> Result<()> {
    let journal = Journal::of(&stack.layout);
    let unreadable = journal.unreadable()?;
    if !unreadable.is_empty() {
        out.warn(format!("{}: written by another nsys, which alone can read it", unreadable.join(", ")));
    }
    match &args.id {
        Some(id) => out.report(&OneChange(journal.entry(Some(id))?)),
        None => out.report(&HistoryReport { changes: journal.entries()? }),
    }
}

pub(super) async fn undo(stack: &Stack, args: &UndoArgs, out: Out) -> Result<()> {
    let entry = Journal::of(&stack.layout).entry(args.id.as_deref())?;
    if entry.outcome == ChangeOutcome::Undone {
        return Err(Error::refused(format!("{} was undone already", entry.id)));
    }
    let mut plan = plan_undo(&entry.id, &entry.made())
        .map_err(|why| Error::refused(format!("{} cannot be undone: {why}", entry.id)))?;
    let configures = plan.steps.iter().any(|step| matches!(step, Step::Config(_)));
    let rolls = plan.steps.iter().any(|step| matches!(step, Step::Service(_)));
    let now = apply::running(stack).await?;
    if configures && !rolls && now != (0, 0) {
        // It was made while nothing ran.
        plan.steps.push(Step::Service(ServiceStep::Roll { from: now, to: now }));
    }
    carry_out(stack, &plan, &args.flags, Some(&entry), out).await.map(|_| ())
}

/// The shapes of what these commands answer.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    vec![AnswerSchema::of::<Either<HistoryReport, OneChange>>("history", 1)]
}
