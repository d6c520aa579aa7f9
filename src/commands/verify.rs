//! `nsys verify`: the whole sequence after a change, in one command: restart, wait until everything is
//! ready, smoke test, the same load again, compare.

use crate::cli::VerifyArgs;
use crate::domain::compare::{Comparison, MetricChange, NoiseFloor, compare, other_place, runs_needed};
use crate::domain::request::LoadRequest;
use crate::domain::run::Run;
use crate::domain::scenario::{LoadPlan, Scenario};
use crate::domain::verdict::Verdict;
use crate::error::{Error, ErrorKind, Result};
use crate::loadtest::comparison::compared;
use crate::loadtest::noise;
use crate::loadtest::permission::permit;
use crate::loadtest::plan::plan;
use crate::loadtest::run as offer;
use crate::loadtest::runs::Runs;
use crate::permit::ChangePermit;
use crate::publish;
use crate::render::schema::AnswerSchema;
use crate::render::{Out, Report, progress::ProgressView};
use crate::stack::Stack;
use crate::stack::ready::wait_until_ready;
use crate::stack::restart::restart_service;
use serde::Serialize;

/// What a verification came to.
#[derive(Serialize, schemars::JsonSchema)]
struct RunVerification {
    /// Each run of before with its repetition.
    comparisons: Vec<Comparison>,
}

impl Report for RunVerification {
    fn text(&self) -> String {
        self.comparisons.iter().map(Report::text).collect::<Vec<_>>().join("\n\n")
    }
}

pub(super) async fn verify(stack: &Stack, args: VerifyArgs, out: Out) -> Result<()> {
    let load = |name: &String| {
        let run = Runs::of(stack).named(name, out)?.run;
        Ok((again(&run)?, run))
    };
    let before: Vec<(LoadPlan, Run)> = args.against.iter().map(load).collect::<Result<_>>()?;
    for (_, run) in &before {
        out.say(can_show(run, &noise::floor(stack, [run])));
    }
    let permit = &permit(stack, args.offer.consent(), out).await?;
    if !args.no_restart {
        out.say("restarting the service");
        restart_service(permit, stack, out).await?;
    }
    out.say("waiting until every part is ready");
    wait_until_ready(stack, args.timeout).await?;
    same_place(stack, &before).await?;
    let smoke = plan(Scenario::Smoke, &LoadRequest::default(), &stack.loaded.config.loadtest)?;
    let smoke = once(permit, stack, &smoke, out).await?;
    if smoke.verdict != Verdict::Passed {
        return Err(Error::new(
            ErrorKind::ObjectivesNotMet,
            format!("the smoke test {}: {}", smoke.id, smoke.verdict.as_str()),
        )
        .hint(format!("nsys report {}", smoke.id)));
    }
    let mut comparisons = Vec::new();
    for (plan, run) in before {
        let after = once(permit, stack, &plan, out).await?;
        let floor = noise::floor(stack, [&run, &after]);
        comparisons.push(compared(stack, &[run], &[after], &floor)?);
    }
    let regressed = comparisons.iter().any(Comparison::regressed);
    let mut metrics = comparisons.iter().flat_map(|one| &one.levels).flat_map(|level| &level.metrics);
    let helped = metrics.any(|one| one.verdict == MetricChange::Improved);
    out.report(&RunVerification { comparisons })?;
    if regressed {
        return Err(Error::new(ErrorKind::Regression, "a metric became worse")
            .hint("nsys undo reverts the last change"));
    }
    out.say(if helped { "it helped" } else { "nothing got worse, nothing got better" });
    Ok(())
}

/// What a run and a repetition that scatters as it did can show at all.
fn can_show(run: &Run, floor: &NoiseFloor) -> String {
    let power = compare(run, run, floor, Vec::new()).power();
    let power = power.unwrap_or_else(|| "Its levels are too short to show any difference.".to_owned());
    let needed = runs_needed(run.levels.len());
    format!(
        "{} and one repetition: {power} {needed} runs on each side prove a smaller one (nsys compare A,B,… C,D,…).",
        run.id
    )
}

async fn once(permit: &ChangePermit, stack: &Stack, plan: &LoadPlan, out: Out) -> Result<Run> {
    let (dir, run) = Box::pin(offer::execute(permit, stack, plan, &ProgressView::new(out))).await?;
    publish::write(stack, &dir)?;
    if run.state == "interrupted" {
        return Err(Error::interrupted("the verification was interrupted; results so far are kept")
            .hint(format!("nsys report {}", run.id)));
    }
    Ok(run)
}

/// The plan that offers a run's load again.
fn again(run: &Run) -> Result<LoadPlan> {
    let plan = run.plan_to_repeat().map_err(|why| {
        Error::refused(format!("{} {why}, so it cannot be repeated", run.id)).hint("nsys loadtest list")
    })?;
    Ok(LoadPlan { note: Some(format!("verification against {}", run.id)), ..plan.clone() })
}

/// What makes the comparison worthless is found before any load is offered.
async fn same_place(stack: &Stack, before: &[(LoadPlan, Run)]) -> Result<()> {
    for (plan, run) in before {
        let now = offer::place_of(stack, plan).await?;
        let obstacles = other_place(&run.environment, &now);
        if !obstacles.is_empty() {
            return Err(Error::refused(format!(
                "{} cannot be compared with what runs now:\n  {}",
                run.id,
                obstacles.join("\n  ")
            ))
            .hint("run both load tests on the same stack and machine"));
        }
    }
    Ok(())
}

/// The shapes of what these commands answer.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    vec![AnswerSchema::of::<RunVerification>("verify", 1)]
}
