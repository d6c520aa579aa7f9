//! Publishes a run of a stack: gathers what its reports say beside it (the journal's changes, the runs
//! before it), keeps that in `context.json`, and has the reports written.

use crate::domain::compare::{self, Comparison, NoiseFloor};
use crate::domain::diagnosis::{Diagnosis, DiagnosisBounds, diagnose};
use crate::domain::run::Run;
use crate::error::{Context as _, Result};
use crate::journal::Entry;
use crate::loadtest::changes::{self, time};
use crate::loadtest::runs::Runs;
use crate::loadtest::{noise, store};
use crate::render::{Out, OutputFormat};
use crate::report::context::{FILE, Improvement, JournalChange, SeriesRun};
use crate::report::{self, ReportContext};
use crate::stack::Stack;
use jiff::Timestamp;
use std::path::Path;

/// Runs looked back at, so that a report costs the same after a thousand runs.
const RECENT_RUNS: usize = 20;

/// The context of a run and its diagnosis: as kept beside it, else made now and kept.
///
/// # Errors
/// When the journal cannot be read, or the context cannot be written.
pub fn context(stack: &Stack, dir: &Path, run: &Run) -> Result<(ReportContext, Diagnosis)> {
    let path = dir.join(FILE);
    let kept = std::fs::read_to_string(&path)
        .ok()
        .and_then(|text| serde_json::from_str::<ReportContext>(&text).ok());
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

fn judge(run: &Run, context: &ReportContext) -> Diagnosis {
    diagnose(run, &DiagnosisBounds::new(context.bounds.clone(), context.warn_share))
}

fn make(stack: &Stack, run: &Run) -> Result<ReportContext> {
    let bounds = stack.loaded.config.bounds();
    let journal = if Runs::of(stack).is_own(run) { changes::kept(stack)? } else { Vec::new() };
    let (start, end) = (time(&run.started_at), run.finished_at.as_deref().and_then(time));
    let within = |from: Option<Timestamp>, to: Option<Timestamp>| -> Vec<JournalChange> {
        let Some(to) = to else { return Vec::new() };
        let inside = journal.iter().filter(|one| from.is_none_or(|from| one.at > from) && one.at < to);
        inside.map(change).collect()
    };
    let chain = comparable_runs(stack, run);
    let floor = noise::floor(stack, &chain);
    let mut improvements = Vec::new();
    for pair in chain.windows(2) {
        let between = within(time(&pair[0].started_at), time(&pair[1].started_at));
        if !between.is_empty() {
            let lines = between.iter().map(|one| format!("{} {}", one.id, one.title)).collect();
            let comparison = compare::compare(&pair[0], &pair[1], &floor, lines);
            improvements.push(Improvement { changes: between, comparison });
        }
    }
    Ok(ReportContext {
        changes: within(None, start),
        overall: overall(&improvements, &chain, &floor),
        improvements,
        series: chain.iter().filter_map(SeriesRun::of).collect(),
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
        .take(RECENT_RUNS)
        .collect();
    runs.reverse();
    runs.push(run.clone());
    runs
}

/// A change as a report shows it.
fn change(entry: &Entry) -> JournalChange {
    JournalChange {
        id: entry.id.clone(),
        at: entry.at.to_string(),
        title: entry.title.clone(),
        command: entry.command.clone(),
    }
}

/// Shows a run's summary, or all of it as JSON.
///
/// # Errors
/// When it cannot be written.
pub fn show(run: &Run, out: Out) -> Result<()> {
    match out.format() {
        OutputFormat::Json => out.json(run),
        OutputFormat::Text => out.line(&report::summary(run, false)),
    }
}

/// The shape of a run as JSON: the published schema of results.json.
#[must_use]
pub fn schema() -> serde_json::Value {
    serde_json::from_str(include_str!("../docs/results.schema.json")).unwrap_or_default()
}

/// Writes the reports of a run.
///
/// # Errors
/// When a file cannot be written.
pub fn write(stack: &Stack, dir: &Path) -> Result<()> {
    // From what is on disk: the same numbers, to the last digit, as a verification reads.
    let run = &store::load(dir)?;
    let (context, found) = context(stack, dir, run)?;
    report::write(dir, run, &found, &context)
}
