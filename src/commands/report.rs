//! `nsys report`: writes the reports of a run, prints one, or computes them again from the raw data.

use crate::cli::{ReportArgs, ReportForm};
use crate::domain::recompute::{self, Difference};
use crate::domain::run::Run;
use crate::domain::verdict::Verdict;
use crate::error::{Error, Result};
use crate::loadtest::provenance;
use crate::loadtest::runs::{FoundRun, Runs};
use crate::publish;
use crate::render::schema::AnswerSchema;
use crate::render::{Out, Report};
use crate::report;
use crate::stack::Stack;
use serde::Serialize;
use std::path::Path;

pub(super) fn report(stack: &Stack, args: &ReportArgs, out: Out) -> Result<()> {
    let FoundRun { dir, run, .. } = Runs::of(stack).named(&args.run, out)?;
    if args.verify {
        return verify(stack, &dir, &run, out);
    }
    publish::write(stack, &dir)?;
    let (context, found) = publish::context(stack, &dir, &run)?;
    match args.print {
        None => publish::show(&run, out)?,
        Some(ReportForm::Md) => out.line(&report::performance(&run, &found, &context))?,
        Some(ReportForm::Html) => out.line(&report::page(&run, &found, &context)?)?,
        Some(ReportForm::Junit) => out.line(&report::junit(&run))?,
        Some(ReportForm::Csv) => out.line(&report::csv(&run))?,
    }
    out.say(format!("\nReport: {}", dir.join("report.html").display()));
    Ok(())
}

/// What a verification found.
#[derive(Serialize, schemars::JsonSchema)]
struct ReportVerification {
    run: String,
    levels: usize,
    /// Levels whose generator's own summary was there to compute from.
    from_summaries: usize,
    /// Levels that an interruption cut short, of which nothing is final.
    cut_short: Vec<usize>,
    files: usize,
    differences: Vec<Difference>,
}

impl Report for ReportVerification {
    fn text(&self) -> String {
        let checked = format!(
            "{}: {} levels computed again ({} from the generator's own summaries), {} files written again",
            self.run, self.levels, self.from_summaries, self.files
        );
        let lines = self.differences.iter();
        let lines = lines.map(|one| format!("\n  {}: says {}, should be {}", one.place, one.said, one.found));
        let cut =
            self.cut_short.iter().map(|level| format!("; level {level} was cut short")).collect::<String>();
        let outcome = if self.differences.is_empty() { ": everything is as measured" } else { ":" };
        checked + &cut + outcome + &lines.collect::<String>()
    }
}

fn verify(stack: &Stack, dir: &Path, run: &Run, out: Out) -> Result<()> {
    let raw = provenance::kept(dir)?;
    if raw.is_empty() {
        return Err(Error::failed(format!(
            "{} keeps no raw data, so nothing of it can be computed again",
            run.id
        ))
        .hint("it was written by an older nsys, or none of its levels finished"));
    }
    let mut differences = provenance::altered(dir)?;
    let (mut from_summaries, mut computed) = (0, 0);
    let mut cut_short = Vec::new();
    for said in &run.levels {
        match raw.get(&said.level) {
            Some(raw) => {
                let summary = summary(dir, raw.level);
                computed += 1;
                from_summaries += usize::from(summary.is_some());
                differences.extend(recompute::level(said, raw, summary.as_ref()));
            }
            // It is offered again when the run goes on, and kept then.
            None if said.verdict == Verdict::Interrupted => cut_short.push(said.level),
            None => differences.push(Difference {
                place: format!("results.json: level {}", said.level),
                said: "measured".into(),
                found: "no raw data".into(),
            }),
        }
    }
    for level in raw.keys().filter(|level| !run.levels.iter().any(|said| said.level == **level)) {
        differences.push(Difference {
            place: format!("results.json: level {level}"),
            said: "not there".into(),
            found: "measured".into(),
        });
    }
    differences.extend(recompute::run(run));
    let (context, found) = publish::context(stack, dir, run)?;
    let files = report::files(run, &found, &context)?;
    for (name, wanted) in &files {
        differences.extend(rewritten(dir, name, wanted));
    }
    let wrong = differences.len();
    let (run_id, files) = (run.id.clone(), files.len());
    out.report(&ReportVerification {
        run: run_id,
        levels: computed,
        from_summaries,
        cut_short,
        files,
        differences,
    })?;
    if wrong == 0 {
        return Ok(());
    }
    Err(Error::failed(format!("{wrong} values of {} differ from what was measured", run.id))
        .hint("nsys report writes the reports again; raw data that was changed cannot be restored"))
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

/// The shapes of what `report` answers: the run, or with `--verify` what was found.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    let mut found = AnswerSchema::of::<ReportVerification>("report", 1).schema;
    let mut run = publish::schema();
    let mut definitions = run["$defs"].take();
    let more = found["$defs"].take();
    if let (Some(all), Some(more)) = (definitions.as_object_mut(), more.as_object()) {
        all.extend(more.clone());
    }
    definitions["PublishedRun"] = run;
    definitions["ReportVerification"] = found;
    let either = serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "anyOf": [{"$ref": "#/$defs/PublishedRun"}, {"$ref": "#/$defs/ReportVerification"}],
        "$defs": definitions,
    });
    vec![AnswerSchema::written("report", 1, either)]
}
