//! One level: prepare, offer, calm down, collect, judge.

mod offer;
mod result;

use super::engine::{self, Far, Offer};
use super::interrupt::Interrupt;
use super::logs::Logs;
use super::stream::Stream;
use super::{collect, environment, prometheus, sampler, stabilise};
use crate::clients::program;
use crate::domain::level::{GRACE_S, Level, TIMEOUT_S};
use crate::domain::run::{Environment, LevelResult};
use crate::domain::scenario::LoadPlan;
use crate::domain::stream::Phase;
use crate::domain::verdict::{Verdict, judge};
use crate::error::{Context as _, Error, Result};
use crate::render::progress::{Line, Progress};
use crate::stack::{Stack, up};
use offer::Offered;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// The service's own count is complete when the last scrape is: so long is waited for it.
const SCRAPE_PATIENCE: Duration = Duration::from_secs(5);

/// What all levels of a run share.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) interrupt: &'a Interrupt,
    pub(super) stack: &'a Stack,
    pub(super) plan: &'a LoadPlan,
    pub(super) environment: &'a Environment,
    /// The generator's program.
    pub(super) program: PathBuf,
    /// The run's directory.
    pub(super) dir: &'a Path,
    /// The run's name.
    pub(super) id: &'a str,
    /// How often the run was interrupted and went on.
    pub(super) attempt: usize,
    pub(super) stream: &'a Stream,
    pub(super) progress: &'a Progress,
}

impl Context<'_> {
    /// Correlation ids of a level begin with this. A level that is offered again after an interruption
    /// must not count what was stored before it.
    pub(super) fn prefix(&self, level: usize) -> String {
        format!("{}-L{level}.{}", self.id, self.attempt)
    }

    pub(super) fn calm_cpu_pct(&self) -> f64 {
        self.stack.loaded.config.loadtest.calm_cpu_pct
    }
}

/// Runs one level. What it has is answered also when it was interrupted; then its verdict says so.
///
/// # Errors
/// When the command before it fails, the generator cannot be started, or a part that is needed does not
/// answer.
pub(super) async fn run(
    context: &Context<'_>,
    number: usize,
    level: &Level,
    name: &str,
) -> Result<LevelResult> {
    let line = context.progress.line(name);
    prepare(context, number, &line).await?;
    let (stack, offer) = (context.stack, make_offer(context, number, level).await?);
    let begin = sampler::lag(stack).await.unwrap_or_default();
    let served_before = prometheus::served(stack).await;
    let parts = stack.records().await?;
    let mut logs = Logs::from_now(stack, parts.iter().map(|part| part.name.as_str()));
    let offered = Box::pin(offer::offer(context, number, level, &offer, &line)).await?;
    let summary = match engine::read_summary(&offer) {
        Ok(summary) => summary,
        // Stopped before it could write: what was sampled is kept.
        Err(_) if offered.cut_short() => engine::Summary::default(),
        Err(error) => return Err(explain(error, &offered, &offer)),
    };
    engine::keep_summary(&offer, context.dir, number);
    let mut result = result::assemble(context, number, level, &offer, &offered, &summary);
    if let Some(cpu_s) = engine::cpu_elsewhere_s(&offer) {
        result.generator.cpu_pct = Some(cpu_s / level.seconds.max(1) as f64 * 100.0);
    }
    result.kafka.partitions = collect::partitions(&begin, &offered.partitions, &offered.most_lag);
    stabilise::add(&mut result.log_errors, logs.errors());
    if offered.interrupted {
        result.verdict = Verdict::Interrupted;
        line.finish("interrupted");
        return Ok(result);
    }
    context.stream.phase(number, Phase::Stabilise, None);
    if !Box::pin(stabilise::stabilise(context, &mut result, &mut logs, &line)).await? {
        result.verdict = Verdict::Interrupted;
        line.finish("interrupted");
        return Ok(result);
    }
    context.stream.phase(number, Phase::Collect, None);
    line.update("collecting");
    let end_s = result.steady_from_s + result.steady_s as f64;
    let seen = prometheus::window(stack, end_s, result.steady_s).await;
    result::fill_window(&mut result, seen);
    prometheus::fill_series(stack, &mut result.samples).await;
    result.reconciliation.served =
        served_since(stack, served_before, result.reconciliation.succeeded.unwrap_or(0)).await;
    if let Some(between) = &offered.counted {
        collect::fill(&mut result, &between.before, &between.after);
        result.facts.clone_from(&between.facts);
    }
    result::derive(&mut result, level, context.plan.scenario);
    judge(&mut result, environment::objectives(stack, context.plan));
    result::thin(&mut result.samples);
    line.finish(&result::sentence(&result));
    Ok(result)
}

/// Runs the command before the level.
async fn prepare(context: &Context<'_>, number: usize, line: &Line) -> Result<()> {
    let Some(command) = &context.plan.before_level else { return Ok(()) };
    context.stream.phase(number, Phase::Before, None);
    line.update(&format!("runs: {command}"));
    let mut shell = program::command(program::Purpose::User, "sh");
    shell.args(["-c", command]).env("NSYS_LEVEL", number.to_string()).stdin(std::process::Stdio::null());
    shell.kill_on_drop(true);
    let run = async { shell.output().await.context("cannot start sh") };
    let output = context.interrupt.or(run, "while --before-level ran").await?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or("it said nothing");
    Err(Error::failed(format!("--before-level {command:?} ended with {}: {last}", output.status)))
}

async fn make_offer(context: &Context<'_>, number: usize, level: &Level) -> Result<Offer> {
    let (stack, settings) = (context.stack, &context.stack.loaded.config.loadtest);
    // A new token for each level: a long run outlives one.
    let token = up::loadtest_user(stack).await?;
    let windows = level.windows(settings.warmup_share);
    let plan = json!({
        "base_url": target(context), "token": token, "model": context.plan.model,
        "rate": level.rate, "vus": level.vus, "windows": windows, "prefix": context.prefix(number),
        "seed_users": settings.seed_users, "seed_notifications": settings.seed_notifications,
        "mix": {"create": settings.mix_create, "get": settings.mix_get,
                "list": settings.mix_list, "correlation": settings.mix_correlation},
        "timeout_s": TIMEOUT_S, "grace_s": GRACE_S,
    });
    Ok(Offer {
        scenario: context.plan.scenario,
        engine: context.plan.engine,
        program: context.program.clone(),
        generators: context.plan.generators,
        place: context.plan.place.clone(),
        far: Far::of(&stack.loaded.config),
        windows,
        plan,
        work: stack.layout.run(),
        log: context.dir.join(format!("level-{number}-{}.log", context.plan.engine.as_str())),
    })
}

/// The service as the generators reach it.
fn target(context: &Context<'_>) -> String {
    let given = &context.stack.loaded.config.loadtest.target_url;
    if context.plan.place.is_here() || given.is_empty() {
        return context.stack.endpoints.api_url();
    }
    given.trim_end_matches('/').to_owned()
}

/// Why there is no summary, in the generator's own words.
fn explain(error: Error, offered: &Offered, offer: &Offer) -> Error {
    let log = std::fs::read_to_string(&offer.log).unwrap_or_default();
    let last = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    let code = offered.exit.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
    Error::failed(format!("{}; it ended with {code}: {last}", error.message))
        .hint(format!("see {}", offer.log.display()))
}

/// What the service served since `before`; waits until its count has reached what was seen, as far as
/// the scrapes let it. Absent when the service was restarted, or does not tell.
async fn served_since(stack: &Stack, before: Option<f64>, succeeded: u64) -> Option<u64> {
    let (before, deadline) = (before?, Instant::now() + SCRAPE_PATIENCE);
    let mut last = None;
    loop {
        let now = prometheus::served(stack).await?;
        let served = now - before;
        if served < 0.0 {
            return None;
        }
        let settled = served as u64 >= succeeded && last == Some(now);
        if settled || Instant::now() > deadline {
            return Some(served as u64);
        }
        last = Some(now);
        tokio::time::sleep(stack.loaded.config.stack.scrape_interval).await;
    }
}

/// A run that was interrupted is told apart from one that ended.
pub(super) fn interrupted(result: &LevelResult) -> bool {
    result.verdict == Verdict::Interrupted
}
