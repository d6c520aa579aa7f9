//! The load generators: each is a process that is told a plan file and leaves a summary.

mod claim;
mod cluster;
mod k6;
mod live;
mod native;
mod seconds;
mod ssh;
mod summary;
mod testrun;

pub use claim::{LoadLock, claim, forget_plans, recover, release};
pub use cluster::{Where, drive, plan_of};
pub use k6::{script_digest, version};
pub use seconds::Seconds;
pub use ssh::{Far, RemoteHost, probe};
pub use summary::{GeneratorSummary, Histogram, WindowSummary};

use crate::clients::process::Identity;
use crate::domain::level::Window;
use crate::domain::scenario::{GeneratorPlacement, LoadEngine, Scenario};
use crate::domain::stream::Tick;
use crate::error::{Error, Result};
use crate::permit::ChangePermit;
use serde_json::Value;
use std::io::PipeWriter;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Child;
use tokio::sync::mpsc::Receiver;

/// What a generator is told about one level.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Which script.
    pub scenario: Scenario,
    /// Which generator.
    pub engine: LoadEngine,
    /// The program: k6, or nsys itself.
    pub program: PathBuf,
    /// How many processes share the load.
    pub generators: u32,
    /// Where they run.
    pub place: GeneratorPlacement,
    /// How other machines are reached.
    pub far: Far,
    /// The windows, in order.
    pub windows: Vec<Window>,
    /// Model, rate, virtual users, windows, prefix, … as both generators read it.
    pub plan: Value,
    /// Where the script, the plan and the summary go; private.
    pub work: PathBuf,
    /// What the generator itself says.
    pub log: PathBuf,
}

/// Generator processes at work on one level.
#[derive(Debug)]
pub struct GeneratorProcesses {
    children: Vec<Child>,
    pids: Vec<i32>,
    /// What holds generators on other machines: when it is let go, they end.
    leashes: Vec<PipeWriter>,
}

/// What a generator tells while it runs.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// One second of the work of one of them, counted from 0.
    Second(usize, Tick),
}

/// Offers the load of a level.
///
/// # Errors
/// As [`start`].
pub(super) fn begin(_permit: &ChangePermit, offer: &Offer) -> Result<(GeneratorProcesses, Receiver<News>)> {
    start(offer)
}

/// Starts the generators of a level, whoever's service it is: a load test goes by [`begin`].
///
/// # Errors
/// When a file cannot be written or a program cannot be started.
pub fn start(offer: &Offer) -> Result<(GeneratorProcesses, Receiver<News>)> {
    match (offer.engine, &offer.place) {
        (LoadEngine::K6, GeneratorPlacement::Here) => k6::start(offer),
        (LoadEngine::K6, GeneratorPlacement::Hosts(hosts)) => ssh::start(offer, hosts),
        (LoadEngine::Native, GeneratorPlacement::Here) => native::start(offer),
        (LoadEngine::K6, GeneratorPlacement::Cluster) => cluster::start(offer),
        (LoadEngine::Native, _) => Err(Error::usage(format!("{} does not run there", offer.engine.as_str()))),
    }
}

/// Reads what the generators left.
///
/// # Errors
/// When there is no summary: a generator ended before its end.
pub fn read_summary(offer: &Offer) -> Result<GeneratorSummary> {
    let read = |index| match offer.engine {
        LoadEngine::K6 => k6::read_summary(offer, index),
        LoadEngine::Native => native::read_summary(offer, index),
    };
    let parts = (0..offer.generators).map(read).collect::<Result<Vec<_>>>()?;
    let mut summary = GeneratorSummary::merge(parts).ok_or_else(|| Error::failed("no generator ran"))?;
    if offer.engine == LoadEngine::K6 {
        let log = std::fs::read_to_string(&offer.log).unwrap_or_default();
        summary.unacknowledged = k6::unacknowledged(&log, summary.created, summary.accepted);
    }
    Ok(summary)
}

/// CPU time that the busiest generator elsewhere used over the whole level, in seconds; none for those
/// of this machine, which are looked at every second, and of a cluster, which does not tell.
#[must_use]
pub fn cpu_elsewhere_s(offer: &Offer) -> Option<f64> {
    matches!(offer.place, GeneratorPlacement::Hosts(_)).then(|| ssh::cpu_s(offer)).flatten()
}

/// Keeps the summaries beside the results of level `number`, as the generators wrote them.
pub fn keep_summary(offer: &Offer, dir: &Path, number: usize) {
    for index in 0..offer.generators {
        let more = if index == 0 { String::new() } else { format!("-{}", index + 1) };
        let name = format!("level-{number}-{}-summary{more}.json", offer.engine.as_str());
        // A summary that is not there was said to be missing already.
        let _ = std::fs::copy(summary_file(&offer.work, index), dir.join(name));
    }
}

/// The first one keeps its name: others look there for what is offered at present.
fn plan_file(work: &Path, index: u32) -> PathBuf {
    if index == 0 { work.join("level-plan.json") } else { work.join(format!("level-plan-{index}.json")) }
}

fn summary_file(work: &Path, index: u32) -> PathBuf {
    work.join(format!("level-summary-{index}.json"))
}

impl GeneratorProcesses {
    fn new(children: Vec<Child>) -> Result<Self> {
        let pid = |child: &Child| child.id().and_then(|pid| i32::try_from(pid).ok());
        let pids: Option<Vec<_>> = children.iter().map(pid).collect();
        let pids = pids.ok_or_else(|| Error::failed("a load generator ended at once"))?;
        Ok(Self { children, pids, leashes: Vec::new() })
    }

    /// Processes of this machine that hold others elsewhere, with what holds them.
    fn held(children: Vec<Child>, leashes: Vec<PipeWriter>) -> Result<Self> {
        Ok(Self { leashes, ..Self::new(children)? })
    }

    /// Their process ids.
    #[must_use]
    pub fn pids(&self) -> &[i32] {
        &self.pids
    }

    /// Waits until all have ended. Answers the first exit code that is not 0, or 0; none for a signal.
    pub async fn wait(&mut self) -> Option<i32> {
        let mut code = Some(0);
        for child in &mut self.children {
            let ended = child.wait().await.ok().and_then(|status| status.code());
            if code == Some(0) {
                code = ended;
            }
        }
        code
    }

    /// Asks them to end, waits, and insists. Whoever listens to their news must have stopped: k6 waits
    /// for its listeners.
    pub async fn stop(&mut self) {
        // First of all: the end of its input interrupts k6 elsewhere, whatever becomes of the connection.
        self.leashes.clear();
        for pid in &self.pids {
            if let Some(process) = Identity::of(*pid) {
                process.end(Duration::from_secs(20)).await;
            }
        }
        self.wait().await;
    }
}
