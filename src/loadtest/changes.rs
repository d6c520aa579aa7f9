//! What the journal says was changed around runs.

use super::runs::Runs;
use crate::domain::run::Run;
use crate::error::Result;
use crate::journal::{ChangeOutcome, Entry, Journal};
use crate::stack::Stack;
use jiff::Timestamp;

/// Changes of the journal that were made and not taken back, oldest first.
///
/// # Errors
/// When the journal cannot be read.
pub fn kept(stack: &Stack) -> Result<Vec<Entry>> {
    let applied = |one: &Entry| one.outcome == ChangeOutcome::Applied && one.undoes.is_none();
    let entries = Journal::of(&stack.layout).entries()?;
    Ok(entries.into_iter().filter(applied).collect())
}

/// What the journal says was changed after the first run began and before the second did, undone
/// changes left out.
///
/// # Errors
/// When the journal cannot be read.
pub fn between(stack: &Stack, before: &Run, after: &Run) -> Result<Vec<String>> {
    let (Some(from), Some(to)) = (time(&before.started_at), time(&after.started_at)) else {
        return Ok(Vec::new());
    };
    let runs = Runs::of(stack);
    if !runs.is_own(before) || !runs.is_own(after) {
        return Ok(Vec::new());
    }
    let all = kept(stack)?;
    let between = all.iter().filter(|one| one.at > from && one.at < to);
    Ok(between.map(|one| format!("{} {} (nsys {})", one.id, one.title, one.command)).collect())
}

/// How many changes were made and kept since a run began.
#[must_use]
pub fn count_since(stack: &Stack, run: &Run) -> usize {
    let since = time(&run.started_at);
    let all = kept(stack).unwrap_or_default();
    all.iter().filter(|one| since.is_some_and(|since| one.at > since)).count()
}

/// An instant as a run keeps it.
#[must_use]
pub fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}
