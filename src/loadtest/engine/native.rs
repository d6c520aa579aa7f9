//! nsys itself as the generator, as a process of its own: `nsys generate`.

use super::summary::{Histogram, Summary, WindowSummary};
use super::{Generator, News, Offer, plan_file, summary_file};
use crate::domain::run::Latency;
use crate::error::{Context, Result};
use crate::generate::{self, decode};
use serde_json::json;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// News that wait to be read.
const WAITING: usize = 64;

/// Starts the processes of a level; each makes every n-th request.
pub(super) fn start(offer: &Offer) -> Result<(Generator, Receiver<News>)> {
    let log = std::fs::File::create(&offer.log)
        .with_context(|| format!("cannot create {}", offer.log.display()))?;
    let (to, news) = channel(WAITING);
    let mut children = Vec::new();
    for index in 0..offer.generators {
        let mut child = spawn(offer, index, &log)?;
        if let Some(said) = child.stdout.take() {
            tokio::spawn(follow(said, to.clone()));
        }
        children.push(child);
    }
    Ok((Generator::new(children)?, news))
}

fn spawn(offer: &Offer, index: u32, log: &std::fs::File) -> Result<Child> {
    let (plan, summary) = (plan_file(&offer.work, index), summary_file(&offer.work, index));
    let _ = std::fs::remove_file(&summary);
    let mut told = offer.plan.clone();
    (told["summary"], told["share"], told["of"]) = (json!(summary), json!(index), json!(offer.generators));
    crate::stack::layout::write_private(&plan, &told.to_string())?;
    let mut command = Command::new(&offer.program);
    command.arg("generate").arg("--plan").arg(&plan);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    command.stderr(log.try_clone().context("cannot share the log")?);
    command.spawn().with_context(|| format!("cannot start {}", offer.program.display()))
}

/// Each line is one second.
async fn follow(said: ChildStdout, to: Sender<News>) {
    let mut lines = BufReader::new(said).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(tick) = serde_json::from_str(&line) else { continue };
        // The pipe is read to its end whoever listens: a full one would stop the generator.
        let _ = to.send(News::Second(tick)).await;
    }
}

/// Reads the summary that a process wrote.
pub(super) fn read_summary(offer: &Offer, index: u32) -> Result<Summary> {
    let text = std::fs::read_to_string(summary_file(&offer.work, index));
    let text = text.context("the native engine left no summary")?;
    let data: generate::Summary =
        serde_json::from_str(&text).context("the native engine's summary is damaged")?;
    summary_of(&data)
}

fn summary_of(data: &generate::Summary) -> Result<Summary> {
    let mut all = decode(&data.late)?;
    let late_p99_ms = (!all.is_empty()).then(|| all.value_at_quantile(0.99) as f64 / 1_000.0);
    all.clear();
    let mut summary = Summary {
        began_s: Some(data.began_s),
        accepted: data.accepted,
        dropped: data.dropped,
        errors: data.errors.clone(),
        late_p99_ms,
        ..Summary::default()
    };
    let (mut requests, mut failed, mut busy_us) = (0, 0, 0);
    for (name, window) in &data.windows {
        let answers = decode(&window.answers)?;
        summary.requests += window.requests;
        summary.failed += window.failed;
        if window.measured {
            all.add(&answers).context("cannot add histograms")?;
            (requests, failed) = (requests + window.requests, failed + window.failed);
            busy_us += window.busy_us;
        }
        let found = window_of(window.requests, window.failed, window.busy_us, &answers);
        summary.windows.insert(name.clone(), found);
    }
    summary.measured = window_of(requests, failed, busy_us, &all);
    Ok(summary)
}

fn window_of(
    requests: u64,
    failed: u64,
    busy_us: u64,
    answers: &hdrhistogram::Histogram<u64>,
) -> WindowSummary {
    let there = !answers.is_empty();
    let at = |q: f64| there.then(|| answers.value_at_quantile(q) as f64 / 1_000.0);
    let buckets = answers.iter_recorded();
    let buckets = buckets.map(|one| (one.value_iterated_to() as f64 / 1_000.0, one.count_at_value()));
    WindowSummary {
        requests,
        failed,
        latency: Latency {
            min: there.then(|| answers.min() as f64 / 1_000.0),
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: there.then(|| answers.max() as f64 / 1_000.0),
        },
        busy_ms: (requests > 0).then(|| busy_us as f64 / 1_000.0 / requests as f64),
        histogram: Some(Histogram { buckets: buckets.collect() }),
    }
}
