//! `nsys loadtest`.

mod calibrate;

use crate::cli::{AllArgs, ChangeFlags, LoadtestCommand, RunFlags};
use crate::domain::compare::RunsNeeded;
use crate::domain::level::Level;
use crate::domain::preflight::{PreflightFinding, PreflightStatus};
use crate::domain::run::{Run, StackIdentity};
use crate::domain::scenario::{LoadPlan, Scenario};
use crate::error::{Error, ErrorKind, Result};
use crate::loadtest::runs::{ListedRun, Runs};
use crate::loadtest::{outcome::outcome, permission::permit, plan::plan, preflight, run, store};
use crate::permit::ChangePermit;
use crate::publish;
use crate::render::format::or_missing;
use crate::render::schema::AnswerSchema;
use crate::render::{Out, OutputFormat, Report, Tone, format, progress::ProgressView, style, table::Table};
use crate::stack::Stack;
use std::path::{Path, PathBuf};

pub(super) async fn loadtest(stack: &Stack, command: LoadtestCommand, out: Out) -> Result<()> {
    let settings = &stack.loaded.config.loadtest;
    let scenario = |scenario: Scenario, flags: &RunFlags| plan(scenario, &flags.request(), settings);
    let start = async |kind: Scenario, flags: &RunFlags| {
        let plan = scenario(kind, flags)?;
        let permit = permit(stack, flags.offer.consent(), out).await?;
        let run = execute(&permit, stack, &plan, out).await?;
        outcome(&run.1, &run.0)
    };
    match command {
        LoadtestCommand::Smoke(flags) => start(Scenario::Smoke, &flags).await,
        LoadtestCommand::Baseline(flags) => start(Scenario::Baseline, &flags).await,
        LoadtestCommand::Incremental(flags) => start(Scenario::Incremental, &flags).await,
        LoadtestCommand::Stress(flags) => start(Scenario::Stress, &flags).await,
        LoadtestCommand::Spike(flags) => start(Scenario::Spike, &flags).await,
        LoadtestCommand::Soak(flags) => start(Scenario::Soak, &flags).await,
        LoadtestCommand::FindMax(flags) => start(Scenario::FindMax, &flags).await,
        LoadtestCommand::All(args) => all(stack, &args, out).await,
        LoadtestCommand::Plan { kind, run: flags } => {
            let plan = scenario(kind, &flags)?;
            let needed = plan.measured_s(settings.warmup_share).map(|measured| RunsNeeded::of(&measured));
            show_plan(&plan, &preflight::check(stack, &plan).await?, needed.as_ref(), out)
        }
        LoadtestCommand::List { all } => list(stack, all, out),
        LoadtestCommand::Show { run } => publish::show(&Runs::of(stack).named(&run, out)?.run, out),
        LoadtestCommand::Resume { run: name, force, offer } => {
            let dir = Runs::of(stack).find_begun(&name)?.dir;
            let permit = permit(stack, offer.consent(), out).await?;
            let (dir, run) = run::resume(&permit, stack, &dir, force, &ProgressView::new(out)).await?;
            conclude(stack, &dir, &run, out)?;
            outcome(&run, &dir)
        }
        LoadtestCommand::Calibrate(args) => calibrate::calibrate(stack, &args, out).await,
        LoadtestCommand::Rm { run, change } => remove(stack, &run, change, out),
    }
}

async fn execute(permit: &ChangePermit, stack: &Stack, plan: &LoadPlan, out: Out) -> Result<(PathBuf, Run)> {
    out.say(run::describe(plan));
    let (dir, run) = run::execute(permit, stack, plan, &ProgressView::new(out)).await?;
    conclude(stack, &dir, &run, out)?;
    Ok((dir, run))
}

/// Writes the reports and shows the summary.
fn conclude(stack: &Stack, dir: &Path, run: &Run, out: Out) -> Result<()> {
    publish::write(stack, dir)?;
    publish::show(run, out)?;
    out.say(format!("\nReport: {}", dir.join("report.html").display()));
    Ok(())
}

/// Scenario after scenario, as the guide does it, until one is not good enough.
async fn all(stack: &Stack, args: &AllArgs, out: Out) -> Result<()> {
    let settings = &stack.loaded.config.loadtest;
    if !args.run.levels.is_empty() || !args.run.rates.is_empty() {
        return Err(Error::usage("all runs each scenario with its own levels")
            .hint("change loadtest.levels_… in the configuration, or use --quick"));
    }
    let scenarios =
        [Scenario::Smoke, Scenario::Baseline, Scenario::Incremental, Scenario::Stress, Scenario::Spike];
    let request = args.run.request();
    let mut plans =
        scenarios.map(|one| plan(one, &request, settings)).into_iter().collect::<Result<Vec<_>>>()?;
    if let Some(length) = args.soak {
        let mut soak = plan(Scenario::Soak, &request, settings)?;
        for level in &mut soak.levels {
            *level = Level { seconds: length.as_secs().max(1), ..level.clone() };
        }
        plans.push(soak);
    }
    let permit = permit(stack, args.run.offer.consent(), out).await?;
    let mut worst = Ok(());
    for (index, plan) in plans.iter().enumerate() {
        let (dir, run) = execute(&permit, stack, plan, out).await?;
        let ended = outcome(&run, &dir);
        // The levels beyond the breaking point are meant to fail; what must hold is that it works at all.
        let essential = matches!(plan.scenario, Scenario::Smoke | Scenario::Baseline);
        let left = plans.len() - index - 1;
        match ended {
            Err(error) if error.kind == ErrorKind::Interrupted => return Err(error),
            Err(error) if essential && !args.keep_going && left > 0 => {
                return Err(Error::new(
                    error.kind,
                    format!("{}: {}; {left} scenarios were left out", plan.scenario.as_str(), error.message),
                )
                .hint("nsys diagnose, or go on with --keep-going"));
            }
            Err(error) => worst = worst.and(Err(error)),
            Ok(()) => {}
        }
    }
    worst
}

/// What a load test would do, and whether it can.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct PlanAnswer<'a> {
    plan: &'a LoadPlan,
    seconds: u64,
    checks: &'a [PreflightFinding],
    can_run: bool,
    /// How many runs it takes to prove a difference; none for a search, which is not compared.
    to_compare: Option<&'a RunsNeeded>,
}

/// A run in a list; of one that cannot be read, why.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct RunRow<'a> {
    id: &'a str,
    stack: Option<&'a StackIdentity>,
    kind: Option<&'a str>,
    state: &'a str,
    started_at: Option<&'a str>,
    levels: Option<usize>,
    verdict: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// What `rm --dry-run` would delete.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct RemovalPlan {
    plan: String,
}

impl Report for RemovalPlan {
    fn text(&self) -> String {
        self.plan.clone()
    }
}

/// The shapes of what these commands answer. A run is published as docs/results.schema.json.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    const RUNS: [&str; 9] = [
        "loadtest baseline",
        "loadtest find-max",
        "loadtest incremental",
        "loadtest resume",
        "loadtest show",
        "loadtest smoke",
        "loadtest soak",
        "loadtest spike",
        "loadtest stress",
    ];
    let mut all = calibrate::schemas();
    all.push(AnswerSchema::of::<PlanAnswer<'_>>("loadtest plan", 2));
    all.push(AnswerSchema::of::<Vec<RunRow<'_>>>("loadtest list", 1));
    all.push(AnswerSchema::of::<RemovalPlan>("loadtest rm", 1));
    let run = publish::schema();
    all.extend(RUNS.iter().map(|name| AnswerSchema::written(name, 1, run.clone())));
    all
}

fn show_plan(
    plan: &LoadPlan,
    findings: &[PreflightFinding],
    needed: Option<&RunsNeeded>,
    out: Out,
) -> Result<()> {
    if out.format() == OutputFormat::Json {
        return out.json(&PlanAnswer {
            plan,
            seconds: plan.seconds(),
            checks: findings,
            can_run: findings.iter().all(|one| one.status != PreflightStatus::Refuse),
            to_compare: needed,
        });
    }
    out.line(&run::describe(plan))?;
    let mut table = Table::new(["check", "status", "detail"]);
    for one in findings {
        let tone = match one.status {
            PreflightStatus::Ok => Tone::Good,
            PreflightStatus::Unknown => Tone::Dim,
            PreflightStatus::Warn => Tone::Warn,
            PreflightStatus::Refuse => Tone::Bad,
        };
        let remedy = one.remedy.as_ref().map(|how| format!(" → {how}")).unwrap_or_default();
        table.row([
            one.name.clone(),
            style::paint(tone, one.status.as_str()),
            format!("{}{remedy}", one.detail),
        ]);
    }
    let needed = needed.map(|needed| format!("\n\n{}", needed.sentence())).unwrap_or_default();
    out.line(&format!("\n{}{needed}", table.text()))
}

fn remove(stack: &Stack, name: &str, change: ChangeFlags, out: Out) -> Result<()> {
    let dir = Runs::of(stack).find_dir_begun(name)?;
    // One that cannot be read can still be deleted.
    if let Some(run) = store::load(&dir).ok().filter(|run| run.state == "running") {
        return Err(Error::refused(format!("{} is running", run.id)).hint("stop it with Ctrl-C first"));
    }
    let what = format!("{} ({})", dir.display(), format::bytes(store::size(&dir)));
    if change.dry_run {
        return out.report(&RemovalPlan { plan: format!("would delete {what}") });
    }
    if !change.yes {
        if !out.can_ask() {
            return Err(Error::refused(format!("deleting {what} needs a confirmation")).hint("add --yes"));
        }
        let answer = out.ask(&format!("Delete {what}? [y/N] "))?;
        if !matches!(answer.as_str(), "y" | "Y" | "yes") {
            return Err(Error::refused("not deleted"));
        }
    }
    let freed = store::remove(&dir)?;
    out.say(format!("deleted {what}, {} freed", format::bytes(freed)));
    Ok(())
}

fn list(stack: &Stack, all: bool, out: Out) -> Result<()> {
    let (shown, others): (Vec<_>, Vec<_>) =
        Runs::of(stack).all().into_iter().partition(|one| all || one.is_own != Some(false));
    if !others.is_empty() {
        let count = others.len();
        out.say(format!("{count} more are not of this stack: nsys loadtest list --all"));
    }
    if out.format() == OutputFormat::Json {
        return out.json(&shown.iter().map(short).collect::<Vec<_>>());
    }
    let mut table = Table::new(["run", "stack", "state", "levels", "verdict"]).right(&[3]);
    for one in &shown {
        table.row(match &one.run {
            Ok(run) => [
                one.name.clone(),
                or_missing(run.stack.as_ref(), |stack| stack.label()),
                run.state.clone(),
                run.levels.len().to_string(),
                run.verdict.as_str().to_owned(),
            ],
            Err(_) => {
                let missing = || format::MISSING.to_owned();
                [one.name.clone(), missing(), "unreadable".into(), missing(), missing()]
            }
        });
    }
    for one in &shown {
        if let Err(error) = &one.run {
            let next = error.hint.as_deref().map(|hint| format!("; {hint}")).unwrap_or_default();
            out.warn(format!("{}{next}", error.message));
        }
    }
    if table.is_empty() {
        out.line("no runs yet; start one with: nsys loadtest incremental --quick")
    } else {
        out.line(&table.text())
    }
}

/// A run of the list in a few fields.
fn short(one: &ListedRun) -> RunRow<'_> {
    let run = one.run.as_ref().ok();
    RunRow {
        id: &one.name,
        stack: run.and_then(|run| run.stack.as_ref()),
        kind: run.map(|run| run.kind.as_str()),
        state: run.map_or("unreadable", |run| run.state.as_str()),
        started_at: run.map(|run| run.started_at.as_str()),
        levels: run.map(|run| run.levels.len()),
        verdict: run.and_then(|run| serde_json::to_value(run.verdict).ok()),
        error: one.run.as_ref().err().map(|error| error.message.as_str()),
    }
}
