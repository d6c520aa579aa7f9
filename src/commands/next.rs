//! `nsys next`, and the hint at the end of other commands.

use crate::domain::compare;
use crate::domain::next::{Last, NextStep, Situation, next as decide};
use crate::domain::run::Run;
use crate::error::Result;
use crate::loadtest::changes;
use crate::loadtest::runs::Runs;
use crate::render::schema::AnswerSchema;
use crate::render::{Out, Report, Tone, style::paint};
use crate::stack::runtime::Runtime;
use crate::stack::spec::PartState;
use crate::stack::{Stack, setup};

impl Report for NextStep {
    fn text(&self) -> String {
        format!("{}\n  {}", paint(Tone::Command, &self.command), self.because)
    }
}

pub(super) async fn next(stack: &Stack, out: Out) -> Result<()> {
    out.report(&decide(&situation(stack).await))
}

/// Says the next step after a command, to people who watch.
pub(super) async fn hint(stack: &Stack, out: Out) {
    if out.is_interactive() {
        let step = decide(&situation(stack).await);
        let dim = |text: &str| paint(Tone::Dim, text);
        out.say(format!(
            "{} {} {}",
            dim("next:"),
            paint(Tone::Command, &step.command),
            dim(&format!("({})", step.because))
        ));
    }
}

async fn situation(stack: &Stack) -> Situation {
    let records = stack.records().await.unwrap_or_default();
    let broken =
        records.iter().filter(|one| one.state == PartState::Failed || one.state == PartState::Restarting);
    let last = Runs::of(stack).newest();
    Situation {
        // Looking for programs takes a while, and what runs is not missing.
        missing: if records.is_empty() && stack.runtime == Runtime::Local { missing() } else { Vec::new() },
        runs: !records.is_empty() || stack.runtime.is_elsewhere(),
        broken: broken.map(|one| one.name.clone()).collect(),
        changed_since: last.as_ref().map_or(0, |run| changes::count_since(stack, run)),
        last: last.map(|run| about(stack, run)),
    }
}

fn missing() -> Vec<String> {
    let tools = setup::survey(&[]);
    tools.iter().filter(|tool| tool.path.is_none()).map(|tool| tool.name.to_owned()).collect()
}

fn about(stack: &Stack, run: Run) -> Last {
    let found = crate::diagnose::of_run(stack, &run);
    let first = found.causes().next();
    Last {
        kind: run.kind.clone(),
        finished: run.state == "finished" || run.state == "stopped",
        repeatable: run.plan_to_repeat().is_ok(),
        verdict: run.verdict,
        // What is not the first remedy needs a look at something before it.
        tuning: first.and_then(|one| one.remedies.first()?.tuning()).cloned(),
        cause: first.map(|one| one.cause.to_owned()),
        before: before(stack, &run),
        id: run.id,
    }
}

/// The newest earlier run of the same load, when changes lie between.
fn before(stack: &Stack, run: &Run) -> Option<String> {
    let runs = Runs::of(stack);
    let earlier = runs
        .own()
        .map(|(_, run)| run)
        .find(|other| other.started_at < run.started_at && compare::obstacles(other, run).is_empty())?;
    let made = changes::between(stack, &earlier, run).ok()?;
    (!made.is_empty()).then_some(earlier.id)
}

/// The shapes of what these commands answer.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    vec![AnswerSchema::of::<NextStep>("next", 1)]
}
