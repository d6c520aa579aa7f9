//! `nsys tune experiment`: changes one at a time, each with a short load test before, with and after it.

use crate::change::make;
use crate::cli::{ExperimentArgs, ExperimentStep, TuneCommand};
use crate::config::LoadtestSection;
use crate::domain::compare::RunsNeeded;
use crate::domain::experiment::{
    ExperimentOutcome, ExperimentVerdict, MeasuredSeries, MetricGain, judge as weigh,
};
use crate::domain::request::LoadRequest;
use crate::domain::run::Run;
use crate::domain::scenario::{LoadPlan, Scenario};
use crate::error::{Error, ErrorKind, Result};
use crate::journal::{Entry, Journal};
use crate::loadtest::runs::Runs;
use crate::loadtest::{outcome::outcome, plan::plan, run as offer};
use crate::permit::{ChangePermit, PermitRequest, Reach, RequiredConsent};
use crate::plan::{ChangePlan, undo::plan_undo};
use crate::publish;
use crate::render::schema::AnswerSchema;
use crate::render::{
    Out, OutputFormat, Report, Tone, format, progress::ProgressView, style::paint, table::Table,
};
use crate::stack::{Stack, safety};
use crate::tune;
use serde::Serialize;

/// What one change came to.
#[derive(Serialize, schemars::JsonSchema)]
struct Tried {
    change: String,
    #[serde(flatten)]
    outcome: ExperimentOutcome,
    kept: bool,
    /// The runs before, with and after it.
    runs: [String; 3],
}

#[derive(Serialize, schemars::JsonSchema)]
struct Experiment {
    load: String,
    changes: Vec<Tried>,
    /// What could not be tried, and why.
    left_out: Vec<String>,
}

impl Report for Experiment {
    fn text(&self) -> String {
        let mut table =
            Table::new(["change", "p95", "95 % interval", "rate", "95 % interval", "verdict", "kept"])
                .right(&[1, 2, 3, 4]);
        let change = |gain: Option<MetricGain>, unit: fn(f64) -> String| {
            format::or_missing(gain, |gain| {
                format!("{} → {} ({})", unit(gain.without), unit(gain.with), signed(gain.change))
            })
        };
        let interval = |gain: Option<MetricGain>| {
            format::or_missing(gain, |gain| {
                format!("{} to {}", signed(gain.interval.0), signed(gain.interval.1))
            })
        };
        for one in &self.changes {
            let (tone, word) = match one.outcome.verdict {
                ExperimentVerdict::Helped => (Tone::Good, "helped"),
                ExperimentVerdict::Harmed => (Tone::Bad, "harmed"),
                ExperimentVerdict::Nothing => (Tone::Dim, "no difference"),
                ExperimentVerdict::Unknown => (Tone::Warn, "unknown"),
            };
            let drift = if one.outcome.drifted { " (the machine drifted)" } else { "" };
            let outcome = &one.outcome;
            table.row([
                one.change.clone(),
                change(outcome.p95, format::millis),
                interval(outcome.p95),
                change(outcome.rate, format::rate),
                interval(outcome.rate),
                format!("{}{drift}", paint(tone, word)),
                if one.kept { "yes" } else { "taken back" }.to_owned(),
            ]);
        }
        let left: String = self.left_out.iter().map(|why| format!("\nleft out: {why}")).collect();
        format!(
            "{}{left}\nEach change: {}, without, with and without it again; p95 and rate as the client counted them, \
             by what they are without each part of the load (Welch on logarithms).",
            table.text(),
            self.load
        )
    }
}

fn signed(share: f64) -> String {
    format!("{:+.1} %", share * 100.0)
}

pub(super) async fn run(stack: &Stack, args: &ExperimentArgs, out: Out) -> Result<()> {
    let (mut found, mut left_out) = (Vec::new(), Vec::new());
    for ExperimentStep { text: line, command } in steps(stack, args).await? {
        let plan = tune::planned(stack, &command).await?;
        match plan.irreversible() {
            Some(why) => left_out.push(format!("{line} could not be reverted: {why}")),
            None if plan.is_empty() => left_out.push(format!("{line}: nothing to do")),
            None => found.push((line, command, plan)),
        }
    }
    if found.is_empty() {
        return out.report(&Experiment { load: args.rates.clone(), changes: Vec::new(), left_out });
    }
    show(&found, &left_out, &offered(stack, &args.rates)?, out)?;
    if args.flags.change.dry_run {
        return Ok(());
    }
    let change =
        PermitRequest { what: "the plan", reach: Reach::Data, agreement: RequiredConsent::Confirmed };
    let permit = safety::permit(stack, change, args.flags.consent(), out).await?;
    let mut lab = Lab { permit, stack: Stack::new(stack.loaded.reload()?), rates: args.rates.clone(), out };
    let mut changes = Vec::new();
    let mut baseline = lab.measure("before").await?;
    for (line, command, _) in &found {
        let tried = lab.attempt(line, command, &mut baseline).await?;
        out.say(format!("{line}: {:?}", tried.outcome.verdict).to_lowercase());
        changes.push(tried);
    }
    out.report(&Experiment { load: args.rates.clone(), changes, left_out })
}

/// The changes that are asked for, or those that the newest run asks for.
async fn steps(stack: &Stack, args: &ExperimentArgs) -> Result<Vec<ExperimentStep>> {
    if !args.steps.is_empty() {
        return Ok(args.steps.clone());
    }
    let (run, now) = (Runs::of(stack).find("latest")?.run, crate::diagnose::current_settings(stack).await?);
    let wanted = crate::diagnose::tunings(stack, &run);
    let left = wanted.iter().filter(|tuning| !tuning.is_in_place(&now));
    let steps: Vec<_> = left
        .map(|tuning| ExperimentStep { text: tuning.to_string(), command: TuneCommand::from(tuning) })
        .collect();
    if steps.is_empty() {
        return Err(Error::usage(format!("{} asks for no change", run.id))
            .hint("name changes: --steps \"db --indexes; kafka --compression lz4\""));
    }
    Ok(steps)
}

/// The load of every measurement.
struct OfferedLoad {
    rates: String,
    /// Levels that are too short for any difference to show.
    too_short: Vec<usize>,
}

fn offered(stack: &Stack, rates: &str) -> Result<OfferedLoad> {
    let settings = &stack.loaded.config.loadtest;
    let measured = load_plan(rates, "plan", settings)?.measured_s(settings.warmup_share).unwrap_or_default();
    Ok(OfferedLoad { rates: rates.to_owned(), too_short: RunsNeeded::of(&measured).too_short })
}

fn load_plan(rates: &str, note: &str, settings: &LoadtestSection) -> Result<LoadPlan> {
    let request = LoadRequest {
        rates: rates.split(',').map(str::to_owned).collect(),
        note: Some(format!("experiment: {note}")),
        ..LoadRequest::default()
    };
    plan(Scenario::Incremental, &request, settings)
}

fn show(
    found: &[(String, TuneCommand, ChangePlan)],
    left_out: &[String],
    load: &OfferedLoad,
    out: Out,
) -> Result<()> {
    if out.format() == OutputFormat::Json {
        return Ok(());
    }
    let mut text = vec![format!(
        "{} load tests at {}, each change judged by the parts of three of them:",
        1 + 2 * found.len(),
        load.rates
    )];
    for level in &load.too_short {
        let short = format!("  ! level {level} is too short to show any difference");
        text.push(paint(Tone::Warn, &short));
    }
    for (line, _, plan) in found {
        text.push(format!("  {line}"));
        text.extend(plan.steps.iter().map(|step| paint(Tone::Dim, &format!("    {}", step.what()))));
    }
    text.extend(left_out.iter().map(|why| paint(Tone::Warn, &format!("  ! left out: {why}"))));
    out.line(&text.join("\n"))
}

/// Where changes are tried.
struct Lab {
    permit: ChangePermit,
    stack: Stack,
    rates: String,
    out: Out,
}

/// A measurement and the run it is from.
#[derive(Clone)]
struct Measurement {
    run: String,
    values: MeasuredSeries,
}

impl Lab {
    /// Applies, measures, takes back, measures; keeps what helped. Whatever fails in between, the
    /// change is taken back.
    async fn attempt(
        &mut self,
        line: &str,
        command: &TuneCommand,
        baseline: &mut Measurement,
    ) -> Result<Tried> {
        let entry = self.apply(command).await?;
        let with = match self.measure(line).await {
            Ok(with) => with,
            Err(error) => {
                self.take_back(&entry).await?;
                return Err(error);
            }
        };
        self.take_back(&entry).await?;
        let after = self.measure("after").await?;
        let outcome = weigh(&baseline.values, &with.values, &after.values);
        let runs = [baseline.run.clone(), with.run.clone(), after.run.clone()];
        let kept = outcome.verdict == ExperimentVerdict::Helped;
        if kept {
            self.apply(command).await?;
        }
        *baseline = if kept { with } else { after };
        Ok(Tried { change: line.to_owned(), outcome, kept, runs })
    }

    async fn apply(&mut self, command: &TuneCommand) -> Result<Entry> {
        let plan = tune::planned(&self.stack, command).await?;
        let entry = make(&self.permit, &self.stack, &plan, None, self.out).await?;
        self.stack = Stack::new(self.stack.loaded.reload()?);
        Ok(entry)
    }

    async fn take_back(&mut self, entry: &Entry) -> Result<()> {
        let entry = Journal::of(&self.stack.layout).entry(Some(&entry.id))?;
        let plan = plan_undo(&entry.id, &entry.made()).map_err(Error::refused)?;
        make(&self.permit, &self.stack, &plan, Some(&entry), self.out).await?;
        self.stack = Stack::new(self.stack.loaded.reload()?);
        Ok(())
    }

    /// One short load test, reported as every other one is.
    async fn measure(&self, note: &str) -> Result<Measurement> {
        let plan = load_plan(&self.rates, note, &self.stack.loaded.config.loadtest)?;
        let progress = ProgressView::new(self.out);
        let (dir, run) = Box::pin(offer::execute(&self.permit, &self.stack, &plan, &progress)).await?;
        publish::write(&self.stack, &dir)?;
        match outcome(&run, &dir) {
            // Objectives that were not met and a limited generator are results too.
            Err(error)
                if ![ErrorKind::ObjectivesNotMet, ErrorKind::GeneratorLimited].contains(&error.kind) =>
            {
                Err(error)
            }
            Ok(()) | Err(_) => Ok(Measurement { values: measured(&run), run: run.id }),
        }
    }
}

/// What the client counted in the steady windows of a run.
fn measured(run: &Run) -> MeasuredSeries {
    MeasuredSeries { levels: run.levels.iter().map(|level| level.slices.clone()).collect() }
}

/// The shapes of what these commands answer.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    vec![AnswerSchema::of::<Experiment>("tune experiment", 1)]
}
