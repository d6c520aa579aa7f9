//! What a report says beside its run: the journal's changes and the runs before it.

use crate::domain::compare::{self, Comparison, NoiseFloor};
use crate::domain::diagnosis::{Bounds, Diagnosis, diagnose};
use crate::domain::run::Run;
use crate::error::{Context as _, Result};
use crate::journal::{Entry, Journal, Outcome};
use crate::loadtest::runs::{Found, Runs};
use crate::loadtest::store;
use crate::render::Out;
use crate::report::Context;
use crate::report::context::{Change, FILE, Improvement};
use crate::stack::Stack;
use jiff::Timestamp;
use std::path::{Path, PathBuf};

/// The run that is meant; that it is not this stack's is said.
///
/// # Errors
/// When there is no such run, or it is damaged.
pub(super) fn named(stack: &Stack, name: &str, out: Out) -> Result<Found> {
    let found = Runs::of(stack).find(name)?;
    if let Some(whose) = found.foreign() {
        out.warn(whose);
    }
    Ok(found)
}

/// Runs looked back at, so that a report costs the same after a thousand runs.
const LOOK_BACK: usize = 20;

/// The context of a run and its diagnosis: as kept beside it, else made now and kept.
///
/// # Errors
/// When the journal cannot be read, or the context cannot be written.
pub(super) fn of_run(stack: &Stack, dir: &Path, run: &Run) -> Result<(Context, Diagnosis)> {
    let path = dir.join(FILE);
    let kept =
        std::fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str::<Context>(&text).ok());
    // Older versions did not write it down.
    let kept = kept.filter(|kept| kept.finished_at.is_none() || kept.finished_at == run.finished_at);
    let context = match kept {
        Some(context) => context,
        None => {
            let context = make(stack, run)?;
            if !Runs::of(stack).is_own(run) {
                // Its own stack's journal is another one.
                return Ok((context.clone(), judge(run, &context)));
            }
            let text = serde_json::to_string_pretty(&context).context("cannot write the context")?;
            store::write(&path, &text)?;
            context
        }
    };
    let found = judge(run, &context);
    Ok((context, found))
}

fn judge(run: &Run, context: &Context) -> Diagnosis {
    diagnose(run, &Bounds::new(context.bounds.clone(), context.warn_share))
}

fn make(stack: &Stack, run: &Run) -> Result<Context> {
    let bounds = stack.loaded.config.bounds();
    let journal = if Runs::of(stack).is_own(run) { changes(stack)? } else { Vec::new() };
    let (start, end) = (time(&run.started_at), run.finished_at.as_deref().and_then(time));
    let within = |from: Option<Timestamp>, to: Option<Timestamp>| -> Vec<Change> {
        let Some(to) = to else { return Vec::new() };
        let inside = journal.iter().filter(|(at, _)| from.is_none_or(|from| *at > from) && *at < to);
        inside.map(|(_, change)| change.clone()).collect()
    };
    let chain = comparable_runs(stack, run);
    let noise = noise_floor(stack, &chain);
    let mut improvements = Vec::new();
    for pair in chain.windows(2) {
        let between = within(time(&pair[0].started_at), time(&pair[1].started_at));
        if !between.is_empty() {
            let lines = between.iter().map(|one| format!("{} {}", one.id, one.title)).collect();
            let comparison = compare::compare(&pair[0], &pair[1], &noise, lines);
            improvements.push(Improvement { changes: between, comparison });
        }
    }
    Ok(Context {
        changes: within(None, start),
        overall: overall(&improvements, &chain, &noise),
        improvements,
        during: within(start, end),
        bounds: bounds.values().clone(),
        finished_at: run.finished_at.clone(),
        warn_share: bounds.warn_share,
    })
}

/// The first run of the chain of improvements against the last one.
fn overall(improvements: &[Improvement], chain: &[Run], noise: &NoiseFloor) -> Option<Comparison> {
    let first = chain.iter().find(|run| {
        run.id == improvements.first().map(|one| &one.comparison.before).cloned().unwrap_or_default()
    })?;
    let lines = improvements.iter().flat_map(|one| one.comparison.changes.clone()).collect();
    Some(compare::compare(first, chain.last()?, noise, lines))
}

/// Earlier runs that can be compared with this one, oldest first, and this one last.
fn comparable_runs(stack: &Stack, run: &Run) -> Vec<Run> {
    let start = time(&run.started_at);
    let own = Runs::of(stack);
    let mut runs: Vec<Run> = own
        .own()
        .map(|(_, other)| other)
        .filter(|_| own.is_own(run))
        .filter(|other| other.id != run.id && time(&other.started_at) < start && other.state == "finished")
        .filter(|other| compare::obstacles(other, run).is_empty())
        .take(LOOK_BACK)
        .collect();
    runs.reverse();
    runs.push(run.clone());
    runs
}

/// Changes of the journal that were made and not taken back, oldest first.
fn changes(stack: &Stack) -> Result<Vec<(Timestamp, Change)>> {
    let applied = |one: &Entry| one.outcome == Outcome::Applied && one.undoes.is_none();
    let change = |one: &Entry| Change {
        id: one.id.clone(),
        at: one.at.to_string(),
        title: one.title.clone(),
        command: one.command.clone(),
    };
    let entries = Journal::of(&stack.layout).entries()?;
    Ok(entries.iter().filter(|one| applied(one)).map(|one| (one.at, change(one))).collect())
}

/// What the journal says was changed after the first run began and before the second did, undone
/// changes left out.
///
/// # Errors
/// When the journal cannot be read.
pub(super) fn changes_between(stack: &Stack, before: &Run, after: &Run) -> Result<Vec<String>> {
    let (Some(from), Some(to)) = (time(&before.started_at), time(&after.started_at)) else {
        return Ok(Vec::new());
    };
    let runs = Runs::of(stack);
    if !runs.is_own(before) || !runs.is_own(after) {
        return Ok(Vec::new());
    }
    let all = changes(stack)?;
    let between = all.iter().filter(|(at, _)| *at > from && *at < to);
    Ok(between.map(|(_, one)| format!("{} {} (nsys {})", one.id, one.title, one.command)).collect())
}

/// How many changes were made and kept since a run began.
pub(super) fn changed_since(stack: &Stack, run: &Run) -> usize {
    let since = time(&run.started_at);
    let all = changes(stack).unwrap_or_default();
    all.iter().filter(|(at, _)| since.is_some_and(|since| *at > since)).count()
}

/// The file of this stack's measured noise floor, beside the runs.
fn noise_file(stack: &Stack) -> PathBuf {
    stack.loaded.results_dir().join(format!("noise-floor-{}.json", stack.identity().id))
}

/// The noise floor that equal runs of this stack showed, or the least one; also where one of the runs
/// is another stack's.
pub(super) fn noise_floor<'a>(stack: &Stack, runs: impl IntoIterator<Item = &'a Run>) -> NoiseFloor {
    let own = Runs::of(stack);
    if runs.into_iter().any(|run| !own.is_own(run)) {
        return NoiseFloor::default();
    }
    let text = std::fs::read_to_string(noise_file(stack)).ok();
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// Keeps a measured noise floor.
///
/// # Errors
/// When it cannot be written.
pub(super) fn keep_noise_floor(stack: &Stack, floor: &NoiseFloor) -> Result<()> {
    let text = serde_json::to_string_pretty(floor).context("cannot write the noise floor")?;
    store::write(&noise_file(stack), &text)
}

fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}
