//! `nsys report`: writes the reports of a run, prints one, or computes them again from the raw data.

use super::context::{self, named};
use crate::cli::{OutputFormat, ReportArgs, ReportForm};
use crate::domain::recompute::{self, Difference};
use crate::domain::run::Run;
use crate::error::{Context as _, Error, Result};
use crate::loadtest::{runs::Found, store};
use crate::render::{Out, Report};
use crate::report;
use crate::stack::Stack;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// The run as it was when its report was first written.
const RAW: &str = "raw.json";
/// SHA-256 of every raw file.
const DIGESTS: &str = "raw.sha256.json";

pub(super) fn report(stack: &Stack, args: &ReportArgs, out: Out) -> Result<()> {
    let Found { dir, run, .. } = named(stack, &args.run, out)?;
    if args.verify {
        return verify(stack, &dir, &run, out);
    }
    write(stack, &dir, &run)?;
    let (context, found) = context::of_run(stack, &dir, &run)?;
    match args.print {
        None => show(&run, out)?,
        Some(ReportForm::Md) => out.line(&report::performance(&run, &found, &context))?,
        Some(ReportForm::Html) => out.line(&report::page(&run, &found, &context)?)?,
        Some(ReportForm::Junit) => out.line(&report::junit(&run))?,
        Some(ReportForm::Csv) => out.line(&report::csv(&run))?,
    }
    out.say(format!("\nReport: {}", dir.join("report.html").display()));
    Ok(())
}

/// Shows a run's summary, or all of it as JSON.
///
/// # Errors
/// When it cannot be written.
pub(super) fn show(run: &Run, out: Out) -> Result<()> {
    match out.format() {
        OutputFormat::Json => out.json(run),
        OutputFormat::Text => out.line(&report::summary(run, false)),
    }
}

/// Writes the reports of a run; keeps its raw data apart the first time.
///
/// # Errors
/// When a file cannot be written.
pub(super) fn write(stack: &Stack, dir: &Path, run: &Run) -> Result<()> {
    let raw = dir.join(RAW);
    if !raw.exists() {
        // As it is on disk, where samples are rounded, so that it can be compared to the last digit.
        std::fs::copy(dir.join("results.json"), &raw)
            .with_context(|| format!("cannot keep the raw data of {}", run.id))?;
        let text = serde_json::to_string_pretty(&digests(dir)).context("cannot write the digests")?;
        store::write(&dir.join(DIGESTS), &text)?;
    }
    // From what is on disk: the same numbers, to the last digit, as a verification reads.
    let run = &store::load(dir)?;
    let (context, found) = context::of_run(stack, dir, run)?;
    report::write(dir, run, &found, &context)
}

/// The digest of every raw file: the run as measured, what the generator wrote, the context.
fn digests(dir: &Path) -> BTreeMap<String, String> {
    let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let raw = files.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let is_raw = name == RAW || name.starts_with("level-") && name.contains("-summary");
        let text = std::fs::read(entry.path()).ok().filter(|_| is_raw)?;
        let digest = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        Some((name, digest))
    });
    raw.collect()
}

/// What a verification found.
#[derive(Serialize)]
struct Verified {
    run: String,
    levels: usize,
    /// Levels whose generator's own summary was there to compute from.
    from_summaries: usize,
    files: usize,
    differences: Vec<Difference>,
}

impl Report for Verified {
    fn text(&self) -> String {
        let checked = format!(
            "{}: {} levels computed again ({} from the generator's own summaries), {} files written again",
            self.run, self.levels, self.from_summaries, self.files
        );
        let lines = self.differences.iter();
        let lines = lines.map(|one| format!("\n  {}: says {}, should be {}", one.place, one.said, one.found));
        let outcome = if self.differences.is_empty() { ": everything is as measured" } else { ":" };
        checked + outcome + &lines.collect::<String>()
    }
}

fn verify(stack: &Stack, dir: &Path, run: &Run, out: Out) -> Result<()> {
    let text = std::fs::read_to_string(dir.join(RAW)).map_err(|_| {
        Error::failed(format!("{} keeps no raw data: it was written by an older nsys", run.id))
    })?;
    let raw: Run = serde_json::from_str(&text).with_context(|| format!("{RAW} of {} is damaged", run.id))?;
    let mut differences = altered(dir)?;
    let mut from_summaries = 0;
    for (said, raw) in run.levels.iter().zip(&raw.levels) {
        let summary = summary(dir, raw.level);
        from_summaries += usize::from(summary.is_some());
        differences.extend(recompute::level(said, raw, summary.as_ref()));
    }
    if run.levels.len() != raw.levels.len() {
        differences.push(Difference {
            place: "results.json: levels".into(),
            said: run.levels.len().to_string(),
            found: raw.levels.len().to_string(),
        });
    }
    differences.extend(recompute::run(run));
    let (context, found) = context::of_run(stack, dir, run)?;
    let files = report::files(run, &found, &context)?;
    for (name, wanted) in &files {
        differences.extend(rewritten(dir, name, wanted));
    }
    let wrong = differences.len();
    let levels = run.levels.len();
    out.report(&Verified { run: run.id.clone(), levels, from_summaries, files: files.len(), differences })?;
    if wrong == 0 {
        return Ok(());
    }
    Err(Error::failed(format!("{wrong} values of {} are not what was measured", run.id))
        .hint("nsys report writes the reports again; nothing mends raw data that was changed"))
}

/// Raw files whose digest is another one than when they were written.
fn altered(dir: &Path) -> Result<Vec<Difference>> {
    let text =
        std::fs::read_to_string(dir.join(DIGESTS)).with_context(|| format!("cannot read {DIGESTS}"))?;
    let kept: BTreeMap<String, String> =
        serde_json::from_str(&text).with_context(|| format!("{DIGESTS} is damaged"))?;
    let now = digests(dir);
    let differs = |(name, digest): (String, String)| {
        let found = now.get(&name).cloned().unwrap_or_else(|| "missing".into());
        (found != digest).then_some(Difference { place: name, said: found, found: digest })
    };
    Ok(kept.into_iter().filter_map(differs).collect())
}

/// The generator's own summary of a level, when one k6 offered it.
fn summary(dir: &Path, level: usize) -> Option<serde_json::Value> {
    let more = dir.join(format!("level-{level}-k6-summary-2.json"));
    let text = std::fs::read_to_string(dir.join(format!("level-{level}-k6-summary.json"))).ok();
    // Several generators' summaries are merged before they count; none of them is the whole.
    text.filter(|_| !more.exists()).and_then(|text| serde_json::from_str(&text).ok())
}

/// The first line of a written report that is not what the run makes of it.
fn rewritten(dir: &Path, name: &str, wanted: &str) -> Option<Difference> {
    let Ok(there) = std::fs::read_to_string(dir.join(name)) else {
        return Some(Difference { place: name.into(), said: "missing".into(), found: "a report".into() });
    };
    if there == wanted {
        return None;
    }
    let lines = there.lines().zip(wanted.lines()).enumerate();
    let (line, said, found) = lines
        .filter(|(_, (one, two))| one != two)
        .map(|(index, (one, two))| (index + 1, one.to_owned(), two.to_owned()))
        .next()
        .unwrap_or((there.lines().count() + 1, "nothing more".into(), "more lines".into()));
    Some(Difference { place: format!("{name}, line {line}"), said, found })
}
