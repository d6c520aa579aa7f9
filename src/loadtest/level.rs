//! One level: prepare, offer, settle, collect, judge.

mod cost;
mod offer;
mod result;
mod unnamed;

pub use result::{ClientLoad, of_client};

use super::context::RunContext;
use super::engine::{self, Far, Offer};
use super::logs::{self, LogPositions};
use super::target::LoadTarget;
use super::{collect, environment, flows, prometheus, provenance, stabilise, store};
use crate::clients::program;
use crate::clock::now_s;
use crate::domain::level::{GRACE_S, Level, TIMEOUT_S};
use crate::domain::profile::ProfilePart;
use crate::domain::run::{LevelResult, Run};
use crate::domain::slices::Slicing;
use crate::domain::stream::RunPhase;
use crate::domain::verdict::{Verdict, judge};
use crate::error::{Context as _, Error, Result};
use crate::measured::Measured;
use crate::render::progress::ProgressLine;
use crate::stack::{Credentials, Stack};
use offer::Offered;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// The service's own count is complete when the last scrape is: so long is waited for it.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(5);

/// A token is asked for so often …
const SIGN_IN_INTERVAL: Duration = Duration::from_secs(1);
/// … and at most for so long.
const LONGEST_SIGN_IN: Duration = Duration::from_secs(60);

/// Runs the next level of a run and adds what it found, which is also returned. What was measured is kept
/// as soon as the load has ended, before anything else is asked; when it was interrupted its verdict says
/// so.
///
/// # Errors
/// When the command before it fails, the generator cannot be started or leaves no summary, or a part that
/// is needed to begin does not answer; then nothing is added.
pub(super) async fn run(
    context: &RunContext<'_>,
    run: &mut Run,
    level: &Level,
    name: &str,
) -> Result<LevelResult> {
    let (line, number) = (context.progress.line(name), run.levels.len() + 1);
    prepare(context, number, &line).await?;
    let (stack, offer) = (context.stack, make_offer(context, number, level, &line).await?);
    // Only now: the token may have been waited for, and the lag must be that right before the load.
    let begin = stack.if_named(ProfilePart::Flows, Box::pin(flows::lag(stack))).await;
    // Before the first request there is no series of them.
    let served_before = stack
        .if_named(ProfilePart::Metrics, async { Measured::from(prometheus::served(stack).await) })
        .await
        .map(Option::unwrap_or_default);
    let parts = stack.records().await?;
    let mut logs = LogPositions::from_now(stack, parts.iter().map(|part| part.name.as_str()));
    let offered = Box::pin(offer::offer(context, number, level, &offer, &line)).await?;
    let summary = match engine::read_summary(&offer) {
        Ok(summary) => summary,
        // Stopped before it could write: what was sampled is kept.
        Err(_) if offered.cut_short() => engine::GeneratorSummary::default(),
        Err(error) => return Err(explain(error, &offered, &offer)),
    };
    engine::keep_summary(&offer, context.dir, number);
    let mut result = result::assemble(context, number, level, &offer, &offered, &summary);
    if let Some(cpu_s) = engine::cpu_elsewhere_s(&offer) {
        result.generator.cpu_pct = (cpu_s / level.seconds.max(1) as f64 * 100.0).into();
    }
    // Listed anew: a replica that was restarted under the load is younger than the one that it began with.
    (result.service.youngest_s, result.service.oldest_s) =
        result::ages(stack.records().await, result.steady_from_s);
    result.kafka.partitions = collect::partitions(&begin, &offered.partitions, &offered.most_lag);
    match logs.errors() {
        Some(found) => logs::add(&mut result.log_errors, found),
        // Nobody said where they are.
        None if stack.unnamed(ProfilePart::Processes).is_some() => {}
        None => result.problems.push(logs::UNKNOWN.to_owned()),
    }
    // Until it is judged it counts as cut short: a run that dies now is resumed with this level.
    result.verdict = Verdict::Interrupted;
    run.levels.push(result.clone());
    store::save(context.dir, run)?;
    context.stream.phase(number, RunPhase::Stabilise, None);
    let whole = !offered.interrupted
        && Box::pin(stabilise::stabilise(context, &mut result, &summary, &mut logs, &line)).await;
    if whole {
        context.stream.phase(number, RunPhase::Collect, None);
        line.update("collecting");
        collect(context, level, &offered, served_before, &mut result).await;
        unnamed::mark(stack, &mut result);
        judge(&mut result, &environment::criteria(stack, context.plan));
        line.finish(&result::sentence(&result));
    } else {
        line.finish("interrupted");
    }
    // Only after it was judged: the verdict goes by every sample.
    result::thin(&mut result.samples);
    if whole {
        provenance::keep(context.dir, &result)?;
    }
    if let Some(last) = run.levels.last_mut() {
        last.clone_from(&result);
    }
    store::save(context.dir, run)?;
    Ok(result)
}

/// What the parts have counted of the level.
async fn collect(
    context: &RunContext<'_>,
    level: &Level,
    offered: &Offered,
    served_before: Measured<f64>,
    result: &mut LevelResult,
) {
    let (stack, end_s) = (context.stack, result.steady_from_s + result.steady_s as f64);
    if stack.unnamed(ProfilePart::Metrics).is_none() {
        let seen = prometheus::window(stack, end_s, result.steady_s).await;
        result.problems.extend(seen.problem.clone());
        result::fill_window(result, seen);
        let missing = prometheus::fill_series(stack, &mut result.samples).await;
        result.problems.extend(missing);
        let since_s = offered.began_s.unwrap_or(end_s);
        result.reconciliation.served =
            served_since(stack, &served_before, since_s, &result.reconciliation.succeeded).await;
    }
    if let Some(between) = &offered.counted {
        collect::fill(result, &between.before, &between.after);
        result.facts.clone_from(&between.facts);
    }
    result::derive(result, level, context.plan.scenario);
}

/// Runs the command before the level.
async fn prepare(context: &RunContext<'_>, number: usize, line: &ProgressLine) -> Result<()> {
    let Some(command) = &context.plan.before_level else { return Ok(()) };
    context.stream.phase(number, RunPhase::Before, None);
    line.update(&format!("runs: {command}"));
    let mut shell = program::command(program::Purpose::User, "sh");
    shell.args(["-c", command]).env("NSYS_LEVEL", number.to_string()).stdin(std::process::Stdio::null());
    // Ctrl-C only drops the wait: without this the command would go on beside whatever comes next.
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

/// New credentials for each level: a long run outlives a token. The level before may have left a service that
/// still refuses; so long is waited for it as for the stack to settle.
async fn credentials(
    context: &RunContext<'_>,
    number: usize,
    line: &ProgressLine,
) -> Result<Option<Credentials>> {
    let timeout = if number > 1 { Duration::from_secs(context.plan.stabilise_s) } else { Duration::ZERO };
    let deadline = Instant::now() + timeout.min(LONGEST_SIGN_IN);
    loop {
        match context.stack.credentials().await {
            Err(error) if Instant::now() < deadline && !context.interrupt.is_set() => {
                line.update(&format!("waits for a token: {}", error.message));
                tokio::time::sleep(SIGN_IN_INTERVAL).await;
            }
            ended => return ended,
        }
    }
}

async fn make_offer(
    context: &RunContext<'_>,
    number: usize,
    level: &Level,
    line: &ProgressLine,
) -> Result<Offer> {
    let (stack, settings) = (context.stack, &context.stack.loaded.config.loadtest);
    let credentials = credentials(context, number, line).await?;
    let target = LoadTarget::of(&target(context));
    let windows = level.windows(settings.warmup_share);
    let plan = json!({
        "base_url": target.base_url, "requests": target.requests(stack, credentials.as_ref())?,
        "model": context.plan.model, "rate": level.rate, "vus": level.vus, "windows": windows,
        "slices": Slicing::of(&windows), "prefix": context.prefix(number),
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
fn target(context: &RunContext<'_>) -> String {
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
async fn served_since(
    stack: &Stack,
    before: &Measured<f64>,
    since_s: f64,
    succeeded: &Measured<u64>,
) -> Measured<u64> {
    let Measured::Value(before) = before else {
        return before.clone().map(|before| before as u64);
    };
    let interval = stack.scope().await.interval();
    let deadline = Instant::now() + SCRAPE_TIMEOUT.max(interval * 3);
    let mut last = None;
    loop {
        let now = match prometheus::served(stack).await {
            Ok(now) => now,
            Err(error) => return Measured::missing(error.message),
        };
        let served = now.map(|now| now - before);
        if served.is_some_and(|served| served < 0.0) {
            return Measured::missing("the service was restarted meanwhile");
        }
        let reached = served.zip(succeeded.value()).is_none_or(|(served, said)| served as u64 >= said);
        // Having reached what the generator saw is not enough: another replica's scrape may still add to it,
        // so the count must have come to rest too.
        if reached && served.is_some() && last == now || Instant::now() > deadline {
            // A replica that began anew in between has lost what it counted.
            let seconds = (now_s() - since_s).max(1.0) as u64;
            if prometheus::counted_anew(stack, seconds).await {
                return Measured::missing("the service was restarted meanwhile");
            }
            let served = served.map(|served| served as u64);
            return Measured::or_missing(served, "Prometheus has no series of it");
        }
        last = now;
        tokio::time::sleep(interval).await;
    }
}

/// A run that was interrupted is told apart from one that ended.
pub(super) fn interrupted(result: &LevelResult) -> bool {
    result.verdict == Verdict::Interrupted
}
