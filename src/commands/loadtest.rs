//! `nsys loadtest` and `nsys report`.

use super::context;
use crate::cli::{LoadtestCommand, OutputFormat, ReportArgs, ReportForm, RunFlags};
use crate::domain::run::Run;
use crate::domain::verdict::Verdict;
use crate::error::{Error, Kind, Result};
use crate::loadtest::{Plan, run, store};
use crate::render::{Out, progress::Progress, table::Table};
use crate::report;
use crate::stack::Stack;
use std::path::Path;

pub(super) async fn loadtest(
    stack: &Stack,
    command: LoadtestCommand,
    read_only: bool,
    out: Out,
) -> Result<()> {
    let plan =
        |kind, flags: &RunFlags| Plan::new(kind, flags, stack.loaded.config.loadtest.stabilise_timeout);
    match command {
        LoadtestCommand::Plan { kind, run: flags } => out.line(&run::describe(&plan(kind.as_str(), &flags)?)),
        LoadtestCommand::List => list(stack, out),
        LoadtestCommand::Show { run } => {
            let dir = store::find(&stack.loaded.results_dir(), &run)?;
            show(&store::load(&dir)?, out)
        }
        LoadtestCommand::Smoke(flags) => execute(stack, &plan("smoke", &flags)?, read_only, out).await,
        LoadtestCommand::Incremental(flags) => {
            execute(stack, &plan("incremental", &flags)?, read_only, out).await
        }
    }
}

async fn execute(stack: &Stack, plan: &Plan, read_only: bool, out: Out) -> Result<()> {
    if read_only {
        return Err(Error::refused("a load test writes to the stack, and --read-only is set"));
    }
    out.say(run::describe(plan));
    let (dir, run) = run::execute(stack, plan, &Progress::new(out)).await?;
    let (context, found) = context::of_run(stack, &dir, &run)?;
    report::write(&dir, &run, &found, &context)?;
    show(&run, out)?;
    out.say(format!("\nReport: {}", dir.join("report.html").display()));
    outcome(&run, &dir)
}

fn outcome(run: &Run, dir: &Path) -> Result<()> {
    let hint = format!("nsys report {}", dir.file_name().unwrap_or_default().to_string_lossy());
    match run.verdict {
        Verdict::Passed => Ok(()),
        Verdict::Failed => Err(Error::new(Kind::ThresholdsNotMet, "objectives were not met").hint(hint)),
        Verdict::GeneratorLimited => Err(Error::new(
            Kind::GeneratorLimited,
            "the load could not be offered: the generator was the limit",
        )
        .hint(hint)),
        Verdict::Interrupted => {
            Err(Error::interrupted("the load test was interrupted; what was measured is kept").hint(hint))
        }
        Verdict::Unknown => {
            Err(Error::failed("something that is needed to judge could not be measured").hint(hint))
        }
    }
}

fn show(run: &Run, out: Out) -> Result<()> {
    match out.format() {
        OutputFormat::Json => out.json(run),
        OutputFormat::Text => out.line(&report::summary(run, false)),
    }
}

fn list(stack: &Stack, out: Out) -> Result<()> {
    let runs: Vec<_> =
        store::list(&stack.loaded.results_dir()).iter().filter_map(|dir| store::load(dir).ok()).collect();
    if out.format() == OutputFormat::Json {
        let short = |run: &Run| {
            serde_json::json!({"id": run.id, "kind": run.kind, "state": run.state, "started_at": run.started_at,
                "levels": run.levels.len(), "verdict": run.verdict})
        };
        return out.json(&runs.iter().map(short).collect::<Vec<_>>());
    }
    let mut table = Table::new(["run", "state", "levels", "verdict"]).right(&[2]);
    for run in &runs {
        table.row([
            run.id.clone(),
            run.state.clone(),
            run.levels.len().to_string(),
            run.verdict.as_str().to_owned(),
        ]);
    }
    if table.is_empty() {
        out.line("no runs yet; start one with: nsys loadtest incremental --quick")
    } else {
        out.line(&table.text())
    }
}

pub(super) fn report(stack: &Stack, args: &ReportArgs, out: Out) -> Result<()> {
    let dir = store::find(&stack.loaded.results_dir(), &args.run)?;
    let run = store::load(&dir)?;
    let (context, found) = context::of_run(stack, &dir, &run)?;
    report::write(&dir, &run, &found, &context)?;
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
