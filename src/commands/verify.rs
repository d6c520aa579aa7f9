//! `nsys verify`: the whole sequence after a change, in one command: restart, wait until everything is
//! ready, smoke test, the same load again, compare.

use super::{compare, context, report, stack as parts};
use crate::cli::VerifyArgs;
use crate::domain::compare::{Change, Comparison};
use crate::domain::run::Run;
use crate::domain::scenario::{LoadPlan, Scenario};
use crate::domain::verdict::Verdict;
use crate::error::{Error, Kind, Result};
use crate::loadtest::plan::plan;
use crate::loadtest::{run as offer, store};
use crate::render::{Out, Report, progress::Progress};
use crate::stack::Stack;
use serde::Serialize;

/// What a verification came to.
#[derive(Serialize)]
struct Verified {
    /// Each run of before with its repetition.
    comparisons: Vec<Comparison>,
}

impl Report for Verified {
    fn text(&self) -> String {
        self.comparisons.iter().map(Report::text).collect::<Vec<_>>().join("\n\n")
    }
}

pub(super) async fn verify(stack: &Stack, args: VerifyArgs, out: Out) -> Result<()> {
    let results = stack.loaded.results_dir();
    let load = |name: &String| {
        let run = store::load(&store::find(&results, name)?)?;
        Ok((again(&run)?, run))
    };
    let before: Vec<(LoadPlan, Run)> = args.against.iter().map(load).collect::<Result<_>>()?;
    if !args.no_restart {
        out.say("restarting the service");
        parts::restart_service(stack, out).await?;
    }
    out.say("waiting until every part is ready");
    parts::wait_until_ready(stack, args.timeout).await?;
    let smoke = plan(Scenario::Smoke, &Default::default(), &stack.loaded.config.loadtest)?;
    let smoke = once(stack, &smoke, out).await?;
    if smoke.verdict != Verdict::Passed {
        return Err(Error::new(
            Kind::ThresholdsNotMet,
            format!("the smoke test {}: {}", smoke.id, smoke.verdict.as_str()),
        )
        .hint(format!("nsys report {}", smoke.id)));
    }
    let mut comparisons = Vec::new();
    for (plan, run) in before {
        let after = once(stack, &plan, out).await?;
        comparisons.push(compare::compared(stack, &[run], &[after], &context::noise_floor(stack))?);
    }
    let regressed = comparisons.iter().any(Comparison::regressed);
    let improved: usize = comparisons.iter().map(|one| one.count(Change::Improved)).sum();
    out.report(&Verified { comparisons })?;
    if regressed {
        return Err(Error::new(Kind::Regression, "a metric became worse")
            .hint("nsys undo takes the last change back"));
    }
    out.say(if improved > 0 { "it helped" } else { "nothing became worse, nothing became better" });
    Ok(())
}

async fn once(stack: &Stack, plan: &LoadPlan, out: Out) -> Result<Run> {
    let (dir, run) = Box::pin(offer::execute(stack, plan, &Progress::new(out))).await?;
    report::write(stack, &dir, &run)?;
    if run.state == "interrupted" {
        return Err(Error::interrupted("the verification was interrupted; what was measured is kept")
            .hint(format!("nsys report {}", run.id)));
    }
    Ok(run)
}

/// The plan that offers a run's load again.
fn again(run: &Run) -> Result<LoadPlan> {
    if run.state != "finished" || run.levels.is_empty() {
        return Err(Error::refused(format!("{} did not come to its end, so it cannot be repeated", run.id))
            .hint("nsys loadtest list"));
    }
    let plan = run.plan.clone().filter(|plan| plan.scenario != Scenario::FindMax).ok_or_else(|| {
        Error::refused(format!("{} keeps no plan that can be offered again", run.id))
            .hint("nsys loadtest list")
    })?;
    Ok(LoadPlan { note: Some(format!("verification against {}", run.id)), ..plan })
}
