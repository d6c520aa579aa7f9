//! The native load generator: an open loop over hyper, one runtime and one pool of connections for each
//! core, answer times from the intended start of each request.
//!
//! A thread paces: at the planned time of a request it deals it to a core, whatever the answers do. A
//! request that finds no idle virtual user waits, and its answer time includes that wait, so nothing
//! that users would have felt is left out.

mod connection;
mod pace;
mod plan;
mod record;
mod sample;
mod schedule;
mod summary;
mod text;
mod traffic;
mod worker;

pub use record::Creations;
pub use sample::{SampleRequest, sample};
pub use summary::{ProcessSummary, ProcessWindow, decode};

use crate::domain::stream::Tick;
use crate::error::{Error, Result};
use plan::GeneratorPlan;
use record::{SecondCounts, ThreadCounts};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The first request is meant to start so long after all threads were told, in which they get ready.
const LEAD: Duration = Duration::from_millis(200);

/// What the threads share.
#[derive(Debug)]
struct Shared {
    plan: GeneratorPlan,
    /// The start of the level.
    begin: Instant,
    /// Whether to end before the end.
    stop: Arc<AtomicBool>,
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Requests per second of this process in a window.
    fn rate_of(&self, window: usize) -> f64 {
        let rate = self.plan.windows.get(window).and_then(|one| one.rate).unwrap_or(0);
        f64::from(rate) / f64::from(self.plan.of.max(1))
    }

    /// When the last requests are given up.
    fn deadline(&self) -> Instant {
        self.begin + Duration::from_secs(self.plan.seconds() + self.plan.grace_s)
    }

    /// Seconds since the start of the level.
    fn elapsed_s(&self) -> f64 {
        Instant::now().saturating_duration_since(self.begin).as_secs_f64()
    }
}

/// What a thread tells the one that collects.
#[derive(Debug)]
enum ThreadReport {
    Second(Box<SecondCounts>),
    Ended(Result<Box<ThreadCounts>>),
}

/// Offers the level that a plan file describes and leaves its summary. `send` is told each second.
/// Ends early, with a summary of what was done, once `stop` is set.
///
/// # Errors
/// When the plan cannot be read, a thread cannot be started, or the summary cannot be written.
pub fn run(plan: &Path, stop: Arc<AtomicBool>, mut send: impl FnMut(&Tick)) -> Result<()> {
    let plan = GeneratorPlan::read(plan)?;
    plan.authority()?;
    let began_s = crate::clock::now_s() + LEAD.as_secs_f64();
    let (threads, summary) = (plan.own_threads(), plan.summary.clone());
    let shared = Arc::new(Shared { plan, begin: Instant::now() + LEAD, stop });
    let (to, from) = std::sync::mpsc::channel();
    let (mut feeds, mut handles) = (Vec::new(), Vec::new());
    for index in 0..threads {
        let (feed, work) = worker::feed(&shared, threads);
        feeds.push(feed);
        let (shared, to) = (Arc::clone(&shared), to.clone());
        let thread = std::thread::Builder::new().name(format!("load-{index}"));
        let body = move || worker::run(&shared, index, threads, work, &to);
        handles.push(thread.spawn(body).map_err(|cause| Error::failed(format!("no thread: {cause}")))?);
    }
    // `collect` ends when the last sender has gone, so this one must not stay.
    drop(to);
    let pacer = std::thread::Builder::new().name("pace".into());
    let paced = Arc::clone(&shared);
    let pacer = pacer.spawn(move || pace::pace(&paced, &feeds));
    let pacer = pacer.map_err(|cause| Error::failed(format!("no thread: {cause}")))?;
    let mut counts = collect(&shared, &from, threads, began_s, &mut send)?;
    for handle in handles {
        handle.join().map_err(|_| Error::failed("a thread of the generator ended abnormally"))?;
    }
    counts.dropped += pacer.join().map_err(|_| Error::failed("the pacing thread ended abnormally"))?;
    summary::write(&summary, &shared.plan, began_s, &counts)
}

/// Adds up what the threads tell until all have ended.
fn collect(
    shared: &Shared,
    from: &std::sync::mpsc::Receiver<ThreadReport>,
    threads: usize,
    began_s: f64,
    send: &mut impl FnMut(&Tick),
) -> Result<ThreadCounts> {
    let mut sum = ThreadCounts::new(shared.plan.windows.len(), shared.plan.slices.as_ref())?;
    let mut seconds: BTreeMap<u64, (usize, SecondCounts)> = BTreeMap::new();
    for report in from {
        match report {
            ThreadReport::Ended(counts) => {
                let counts = counts?;
                sum.add(&counts)?;
            }
            ThreadReport::Second(one) => {
                let second = one.second;
                match seconds.get_mut(&second) {
                    Some((report, sum)) => {
                        sum.add(&one)?;
                        *report += 1;
                    }
                    None => {
                        seconds.insert(second, (1, *one));
                    }
                }
                if seconds.get(&second).is_some_and(|(report, _)| *report == threads)
                    && let Some((_, whole)) = seconds.remove(&second)
                {
                    send(&tick(&whole, began_s));
                }
            }
        }
    }
    Ok(sum)
}

fn tick(second: &SecondCounts, began_s: f64) -> Tick {
    let ms = |q: f64| {
        let there = !second.times.is_empty();
        there.then(|| second.times.value_at_quantile(q) as f64 / 1_000.0)
    };
    Tick {
        at_s: began_s + second.second as f64 + 1.0,
        rate: second.requests as f64,
        errors: second.failed as f64,
        dropped: second.dropped as f64,
        p50_ms: ms(0.5),
        p95_ms: ms(0.95),
        p99_ms: ms(0.99),
    }
}
