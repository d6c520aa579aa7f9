//! nsys itself as the generator, as a process of its own: `nsys generate`.

use super::summary::{Bucket, GeneratorSummary, Histogram, TimeDistribution, WindowSummary};
use super::{GeneratorProcesses, News, Offer, plan_file, summary_file};
use crate::clients::program::{Purpose, command};
use crate::domain::run::Latency;
use crate::error::{Context, Error, Result};
use crate::generate::{self, decode};
use serde_json::json;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// News that wait to be read.
const WAITING: usize = 64;

/// Starts the processes of a level; each makes every n-th request.
pub(super) fn start(offer: &Offer) -> Result<(GeneratorProcesses, Receiver<News>)> {
    let log = std::fs::File::create(&offer.log)
        .with_context(|| format!("cannot create {}", offer.log.display()))?;
    let (to, news) = channel(WAITING);
    let mut children = Vec::new();
    for index in 0..offer.generators {
        let mut child = spawn(offer, index, &log)?;
        if let Some(said) = child.stdout.take() {
            tokio::spawn(follow(index as usize, said, to.clone()));
        }
        children.push(child);
    }
    Ok((GeneratorProcesses::new(children)?, news))
}

fn spawn(offer: &Offer, index: u32, log: &std::fs::File) -> Result<Child> {
    let (plan, summary) = (plan_file(&offer.work, index), summary_file(&offer.work, index));
    // One that is left from the level before must not be taken for this one's.
    let _ = std::fs::remove_file(&summary);
    let mut content = offer.plan.clone();
    (content["summary"], content["share"], content["of"]) =
        (json!(summary), json!(index), json!(offer.generators));
    crate::stack::layout::write_private(&plan, &content.to_string())?;
    let mut command = command(Purpose::Load, &offer.program);
    command.arg("generate").arg("--plan").arg(&plan);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    command.stderr(log.try_clone().context("cannot share the log")?);
    // One that nobody holds any more, whatever failed, must not go on offering load.
    command.kill_on_drop(true);
    command.spawn().with_context(|| format!("cannot start {}", offer.program.display()))
}

/// Each line is one second.
async fn follow(generator: usize, said: ChildStdout, to: Sender<News>) {
    let mut lines = BufReader::new(said).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(tick) = serde_json::from_str(&line) else { continue };
        // The pipe is read to its end whoever listens: a full one would stop the generator.
        let _ = to.send(News::Second(generator, tick)).await;
    }
}

/// Reads the summary that a process wrote.
pub(super) fn read_summary(offer: &Offer, index: u32) -> Result<GeneratorSummary> {
    let text = std::fs::read_to_string(summary_file(&offer.work, index));
    let text = text.context("the native engine left no summary")?;
    let data: generate::ProcessSummary =
        serde_json::from_str(&text).context("the native engine's summary is damaged")?;
    summary_of(&data)
}

fn summary_of(data: &generate::ProcessSummary) -> Result<GeneratorSummary> {
    let late = decode(&data.late)?;
    let late_p99_ms = (!late.is_empty()).then(|| late.value_at_quantile(0.99) as f64 / 1_000.0);
    let mut summary = GeneratorSummary {
        began_s: Some(data.began_s),
        slices: data.slices.clone(),
        accepted: data.accepted,
        dropped: data.dropped,
        errors: data.errors.clone(),
        created: data.creations.values().map(|one| one.sent).sum(),
        unacknowledged: Some(data.creations.iter().flat_map(unacknowledged).collect()),
        sent: data.creations.iter().map(|(ids, one)| (ids.clone(), one.sent)).collect(),
        late_p99_ms,
        ..GeneratorSummary::default()
    };
    let mut measured: Option<WindowTotals> = None;
    for (name, window) in &data.windows {
        let counted = WindowTotals::of(window)?;
        summary.requests += window.requests;
        summary.failed += window.failed;
        summary.windows.insert(name.clone(), counted.summary());
        if window.measured {
            match &mut measured {
                Some(sum) => sum.add(&counted)?,
                None => measured = Some(counted),
            }
        }
    }
    let measured = measured.ok_or_else(|| Error::failed("a generator counted no window that is measured"))?;
    summary.measured = measured.summary();
    Ok(summary)
}

/// The ids of what one thread created without an answer 201.
fn unacknowledged((ids, creations): (&String, &generate::Creations)) -> Vec<String> {
    creations.unacknowledged.iter().map(|number| format!("{ids}-{number}")).collect()
}

/// Counts of a window, or of several together.
struct WindowTotals {
    requests: u64,
    failed: u64,
    busy_us: u64,
    due: hdrhistogram::Histogram<u64>,
    answers: hdrhistogram::Histogram<u64>,
}

impl WindowTotals {
    fn of(window: &generate::ProcessWindow) -> Result<Self> {
        Ok(Self {
            requests: window.requests,
            failed: window.failed,
            busy_us: window.busy_us,
            due: decode(&window.due)?,
            answers: decode(&window.answers)?,
        })
    }

    fn add(&mut self, other: &Self) -> Result<()> {
        self.requests += other.requests;
        self.failed += other.failed;
        self.busy_us += other.busy_us;
        self.due.add(&other.due).context("cannot add histograms")?;
        self.answers.add(&other.answers).context("cannot add histograms")
    }

    fn summary(&self) -> WindowSummary {
        WindowSummary {
            requests: self.requests,
            failed: self.failed,
            due: times_of(&self.due),
            succeeded: times_of(&self.answers),
            busy_ms: (self.requests > 0).then(|| self.busy_us as f64 / 1_000.0 / self.requests as f64),
        }
    }
}

fn times_of(counts: &hdrhistogram::Histogram<u64>) -> TimeDistribution {
    if counts.is_empty() {
        return TimeDistribution::default();
    }
    let ms = |us: u64| us as f64 / 1_000.0;
    let at = |q: f64| Some(ms(counts.value_at_quantile(q)));
    let bucket = |one: hdrhistogram::iterators::IterationValue<u64>| {
        let at = ms(one.value_iterated_to());
        Bucket { from_ms: at, to_ms: at, count: one.count_at_value() as f64 }
    };
    TimeDistribution {
        latency: Latency {
            min: Some(ms(counts.min())),
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: Some(ms(counts.max())),
        },
        histogram: Some(Histogram { buckets: counts.iter_recorded().map(bucket).collect() }),
    }
}
