//! The run: preflight, seed, then level after level. Saved after each one, so that it can go on.

use super::context::RunContext;
use super::interrupt::Interrupt;
use super::level;
use super::stream::Stream;
use super::{engine, environment, preflight, sampler, store};
use crate::domain::profile::{Capability, ProfilePart};
use crate::domain::run::{Environment, ProfileSummary, ResumePoint, Run, SCHEMA, StackIdentity};
use crate::domain::scenario::LoadPlan;
use crate::domain::stream::RunPhase;
use crate::domain::verdict::{Verdict, of_run};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::permit::ChangePermit;
use crate::render::progress::ProgressView;
use crate::render::table::Table;
use crate::render::{format, format::or_missing};
use crate::stack::Stack;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What an interruption before the first request leaves.
const BEFORE_LOAD: &str = "before any load was offered";

/// Runs a plan. Returns the directory and what was found, also when it was interrupted.
///
/// # Errors
/// When the stack does not answer, the load cannot be offered, or a result cannot be written.
pub async fn execute(
    permit: &ChangePermit,
    stack: &Stack,
    plan: &LoadPlan,
    progress: &ProgressView,
) -> Result<(PathBuf, Run)> {
    let interrupt = Interrupt::listen();
    let _lock = engine::LoadLock::take(&stack.layout.run())?;
    interrupt.or(ready(stack, plan, progress), BEFORE_LOAD).await?;
    let started = crate::clock::now();
    let mut run = Run {
        schema: SCHEMA.into(),
        kind: plan.scenario.as_str().into(),
        id: String::new(),
        stack: Some(stack.identity()),
        state: "running".into(),
        started_at: started.to_string(),
        finished_at: None,
        model: plan.model,
        note: plan.note.clone(),
        engineer: plan.engineer.clone(),
        tags: plan.tags.clone(),
        plan: Some(plan.clone()),
        resume_points: Vec::new(),
        stopped_by: None,
        broken_off: None,
        search: None,
        profile: described(stack),
        environment: interrupt.or(environment::describe(stack, plan), BEFORE_LOAD).await?,
        objectives: serde_json::to_value(stack.loaded.config.objectives)
            .context("cannot write the objectives")?,
        levels: Vec::new(),
        verdict: Verdict::Unknown,
    };
    // Last, when nothing is waited for any more: a run that was not described leaves no directory.
    let (id, dir) = store::new_dir(&stack.loaded.results_dir(), plan.scenario.as_str(), started)?;
    run.id = id;
    begin(&stack.layout.run(), &dir, &run).inspect_err(|_| {
        // One that holds anything stays.
        let _ = std::fs::remove_dir(&dir);
    })?;
    drive((permit, stack), plan, dir, run, progress).await
}

/// Notes that a run is in progress, for whoever finds it after a kill.
fn begin(work: &Path, dir: &Path, run: &Run) -> Result<()> {
    // Before its file says `running`: after a kill in between the next nsys finds the claim.
    engine::claim(work, dir, &[])?;
    store::save(dir, run)
}

/// What is kept of the profile: what it asks, and what it leaves unknown. None of the companion.
fn described(stack: &Stack) -> Option<ProfileSummary> {
    let profile = stack.profile();
    (!profile.is_companion()).then(|| ProfileSummary {
        name: profile.name.clone(),
        requests: profile.requests.iter().map(|one| one.name.clone()).collect(),
        not_measured: stack.gaps(),
    })
}

/// Goes on with an interrupted run at the level where it stopped.
///
/// # Errors
/// Refused when it is not interrupted, or when code, configuration or stack are different and `force` is
/// not set; otherwise as [`execute`].
pub async fn resume(
    permit: &ChangePermit,
    stack: &Stack,
    dir: &Path,
    force: bool,
    progress: &ProgressView,
) -> Result<(PathBuf, Run)> {
    let mut run = store::load(dir)?;
    let plan = run.plan.clone().ok_or_else(|| {
        Error::refused(format!("{} was made by an older nsys, which kept no plan", run.id))
            .hint("start it again")
    })?;
    if run.state == "finished" || run.state == "stopped" {
        return Err(Error::refused(format!("{} is {}, not interrupted", run.id, run.state))
            .hint(format!("nsys report {}", run.id)));
    }
    if plan.scenario == crate::domain::scenario::Scenario::FindMax {
        return Err(Error::refused(format!("{} is a search, which starts over", run.id))
            .hint("nsys loadtest find-max"));
    }
    let interrupt = Interrupt::listen();
    let _lock = engine::LoadLock::take(&stack.layout.run())?;
    interrupt.or(ready(stack, &plan, progress), BEFORE_LOAD).await?;
    // The level that was cut short is offered again, whole.
    run.levels.retain(|one| !level::interrupted(one));
    let now = interrupt.or(environment::describe(stack, &plan), BEFORE_LOAD).await?;
    let mut differences = environment::differences(&run.environment, &now);
    let own = stack.identity();
    if run.stack.as_ref().is_none_or(|stack| stack.id != own.id) {
        let was = run.stack.as_ref().map_or_else(|| "unknown".to_owned(), StackIdentity::label);
        differences.insert(0, format!("stack: was {was}, is {}", own.label()));
    }
    if !differences.is_empty() && !force {
        return Err(Error::refused(format!(
            "{} cannot go on as the same run: {}",
            run.id,
            differences.join("; ")
        ))
        .hint("restore it, or accept the difference with --force"));
    }
    let resumed_at = crate::clock::now().to_string();
    run.resume_points.push(ResumePoint { level: run.levels.len() + 1, resumed_at, differences });
    run.state = "running".into();
    (run.finished_at, run.broken_off) = (None, None);
    begin(&stack.layout.run(), dir, &run)?;
    drive((permit, stack), &plan, dir.to_owned(), run, progress).await
}

/// Where a plan would be measured now, test data included.
///
/// # Errors
/// When the stack does not answer, or the generator cannot be started.
pub async fn place_of(stack: &Stack, plan: &LoadPlan) -> Result<Environment> {
    let mut place = environment::describe(stack, plan).await?;
    let seeded = i64::from(stack.loaded.config.loadtest.seed_notifications);
    place.rows = place.rows.map(|rows| rows.max(seeded));
    Ok(place)
}

/// Checks that the load can be offered and measured.
async fn ready(stack: &Stack, plan: &LoadPlan, progress: &ProgressView) -> Result<()> {
    settle_abandoned(stack).await?;
    preflight::must_run(stack).await?;
    let line = progress.line("preflight");
    line.update("can this load be offered and measured?");
    let findings = preflight::check(stack, plan).await?;
    let passed = preflight::gate(&findings, |finding| {
        progress.note(&format!("{}: {}: {}", finding.status.as_str(), finding.name, finding.detail));
    });
    line.finish(if passed.is_ok() { "ready" } else { "refused" });
    passed
}

/// Runs the levels that are left, from the first step to the last word.
async fn drive(
    (permit, stack): (&ChangePermit, &Stack),
    plan: &LoadPlan,
    dir: PathBuf,
    mut run: Run,
    progress: &ProgressView,
) -> Result<(PathBuf, Run)> {
    let work = stack.layout.run();
    // Whoever takes all connections meanwhile must not blind who looks.
    if stack.unnamed(ProfilePart::Postgres).is_none() {
        stack.fill_reserve(sampler::CONNECT).await;
    }
    let stream = Stream::begin(stack, &run, &dir, &plan.levels);
    let outcome = steps((permit, stack), plan, &dir, &mut run, &stream, progress).await;
    engine::forget_plans(&work);
    run.state = match &outcome {
        Ok(true) if run.stopped_by.is_some() => "stopped",
        Ok(true) => "finished",
        Ok(false) | Err(_) => "interrupted",
    }
    .into();
    run.finished_at = Some(crate::clock::now().to_string());
    run.verdict = if run.state == "interrupted" { Verdict::Interrupted } else { verdict(&run) };
    stream.end(&run);
    // While it cannot be saved its file says `running`, which the next nsys settles by the claim.
    store::save(&dir, &run)?;
    engine::release(&work);
    outcome.map(|_| (dir, run))
}

/// A search passes when it found a rate; its probes are meant to fail.
fn verdict(run: &Run) -> Verdict {
    match &run.search {
        Some(search) if search.rate_rps.is_some() && search.confirmed => Verdict::Passed,
        // Probes are meant to fail; a search that could not judge one has found nothing out.
        Some(_) if run.levels.last().is_some_and(|last| last.verdict == Verdict::Unknown) => Verdict::Unknown,
        _ => of_run(&run.levels),
    }
}

/// Seeds and runs the levels; false when it was interrupted.
async fn steps(
    (permit, stack): (&ChangePermit, &Stack),
    plan: &LoadPlan,
    dir: &Path,
    run: &mut Run,
    stream: &Stream,
    progress: &ProgressView,
) -> Result<bool> {
    let interrupt = Interrupt::listen();
    if stack.profile().has(Capability::Seed)
        && !seed((permit, stack), run, &interrupt, stream, progress).await?
    {
        return Ok(false);
    }
    let (environment, id) = (run.environment.clone(), run.id.clone());
    let context = RunContext {
        permit,
        interrupt: &interrupt,
        stack,
        plan,
        environment: &environment,
        program: environment::program_of(stack, plan)?,
        dir,
        id: &id,
        attempt: run.resume_points.len(),
        stream,
        progress,
    };
    if plan.scenario == crate::domain::scenario::Scenario::FindMax {
        return super::find::search(&context, run).await;
    }
    let done = run.levels.len();
    for (index, level) in plan.levels.iter().enumerate().skip(done) {
        let name = format!("level {}/{}", index + 1, plan.levels.len());
        let result = match Box::pin(level::run(&context, run, level, &name)).await {
            Ok(result) => result,
            Err(error) if error.kind == ErrorKind::Interrupted => return Ok(false),
            // Nothing was measured that a report could show: the error is the whole answer.
            Err(error) if index == 0 => return Err(error),
            Err(error) => {
                // What was measured before is a result, and is reported as one.
                run.broken_off =
                    Some(format!("level {} could not be measured: {}", index + 1, error.message));
                return Ok(false);
            }
        };
        stream.level(&result);
        let (whole, stopped) = (!level::interrupted(&result), result.stopped_by.clone());
        run.verdict = of_run(&run.levels);
        store::save(dir, run)?;
        if !whole || interrupt.is_set() {
            return Ok(false);
        }
        if stopped.is_some() {
            run.stopped_by = stopped;
            break;
        }
    }
    Ok(true)
}

/// Adds the rows that the companion's requests ask for; false when it was interrupted.
async fn seed(
    (permit, stack): (&ChangePermit, &Stack),
    run: &mut Run,
    interrupt: &Interrupt,
    stream: &Stream,
    progress: &ProgressView,
) -> Result<bool> {
    stream.phase(0, RunPhase::Seed, None);
    let line = progress.line("seed");
    line.update("test data");
    let settings = &stack.loaded.config.loadtest;
    let seed = async {
        sampler::connect(stack).await?.seed(permit, settings.seed_users, settings.seed_notifications).await
    };
    let added = match interrupt.or(seed, BEFORE_LOAD).await {
        Err(error) if error.kind == ErrorKind::Interrupted => {
            line.finish("interrupted");
            return Ok(false);
        }
        added => added?,
    };
    line.finish(&format!("{} notifications ({added} new)", settings.seed_notifications));
    // The volume that reads meet is that after seeding: a later run is compared with it.
    let seeded = i64::try_from(added).unwrap_or(i64::MAX);
    run.environment.rows = run.environment.rows.map(|rows| rows.saturating_add(seeded));
    Ok(true)
}

/// Ends a generator whose nsys was killed and marks its run.
///
/// # Errors
/// Refused while another nsys runs a load test on this stack.
pub async fn settle_abandoned(stack: &Stack) -> Result<()> {
    engine::recover(&stack.layout.run(), mark_interrupted).await
}

/// A run whose nsys was killed is not running any more.
fn mark_interrupted(dir: &Path) -> Result<()> {
    // What is gone, or cannot be read, is not said to run.
    let Ok(mut run) = store::load(dir) else { return Ok(()) };
    if run.state != "running" {
        return Ok(());
    }
    run.state = "interrupted".into();
    run.verdict = Verdict::Interrupted;
    store::save(dir, &run)
}

/// Levels and length of a plan, in words.
#[must_use]
pub fn describe(plan: &LoadPlan) -> String {
    use crate::domain::level::Model;
    let model = match plan.model {
        Model::Open => "open model: requests start at the stated rate, whatever the answers do",
        Model::Closed => {
            "closed model: each virtual user waits for its answer; the rate is at most VUs / answer time"
        }
    };
    let mut table = Table::new(["level", "rate", "VUs", "seconds"]).right(&[0, 1, 2, 3]);
    for (index, level) in plan.levels.iter().enumerate() {
        if level.stages.is_empty() {
            let rate = or_missing(level.rate, |rate| format!("{rate}/s"));
            table.row([(index + 1).to_string(), rate, level.vus.to_string(), level.seconds.to_string()]);
        }
        for stage in &level.stages {
            let name = format!("{} {}", index + 1, stage.name);
            table.row([name, format!("{}/s", stage.rate), level.vus.to_string(), stage.seconds.to_string()]);
        }
    }
    let length = format::duration(Duration::from_secs(plan.seconds()));
    let name = plan.scenario.as_str();
    let tail = if plan.scenario == crate::domain::scenario::Scenario::FindMax {
        format!(
            "each rate is tried for {length}; the rate doubles until an objective is missed, then bisects"
        )
    } else {
        format!("{length}, plus the time each backlog takes to drain")
    };
    format!("{name} ({model})\n{}\n{tail}", table.text())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::run::test_run;

    #[test]
    fn only_a_run_that_says_it_runs_is_marked_interrupted() {
        let dir = tempfile::tempdir().unwrap();
        let settled = |state: &str| {
            let run = Run { state: state.into(), ..test_run(&[10.0]) };
            store::save(dir.path(), &run).unwrap();
            mark_interrupted(dir.path()).unwrap();
            store::load(dir.path()).unwrap().state
        };
        assert_eq!((settled("running"), settled("finished")), ("interrupted".into(), "finished".into()));
        assert!(mark_interrupted(&dir.path().join("gone")).is_ok());
    }

    #[test]
    fn what_cannot_begin_leaves_no_directory_of_a_run() {
        let dir = tempfile::tempdir().unwrap();
        let (work, results) = (dir.path().join("no-directory"), dir.path().join("run"));
        std::fs::write(&work, "").unwrap();
        std::fs::create_dir(&results).unwrap();
        assert!(begin(&work, &results, &test_run(&[10.0])).is_err());
        assert!(!results.join("results.json").exists(), "its file never said that it runs");
    }
}
