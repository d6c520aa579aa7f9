//! The noise floor: what equal runs of this stack differed by, kept beside the runs.

use super::runs::Runs;
use super::store;
use crate::domain::compare::NoiseFloor;
use crate::domain::run::Run;
use crate::error::{Context as _, Result};
use crate::stack::Stack;
use std::path::PathBuf;

/// The file of this stack's measured noise floor, beside the runs.
fn file(stack: &Stack) -> PathBuf {
    stack.loaded.results_dir().join(format!("noise-floor-{}.json", stack.identity().id))
}

/// The noise floor that equal runs of this stack showed, or the least one; also where one of the runs
/// is another stack's.
#[must_use]
pub fn floor<'a>(stack: &Stack, runs: impl IntoIterator<Item = &'a Run>) -> NoiseFloor {
    let own = Runs::of(stack);
    if runs.into_iter().any(|run| !own.is_own(run)) {
        return NoiseFloor::default();
    }
    let text = std::fs::read_to_string(file(stack)).ok();
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// Keeps a measured noise floor.
///
/// # Errors
/// When it cannot be written.
pub fn keep(stack: &Stack, floor: &NoiseFloor) -> Result<()> {
    let text = serde_json::to_string_pretty(floor).context("cannot write the noise floor")?;
    store::write(&file(stack), &text)
}
