//! Whether everything that was accepted is stored: the question behind every honest 404, and behind
//! refusing more while too much waits.

use crate::app::App;
use crate::queue::LogPosition;
use nsys_contract::api::{LagReport, PartitionLag};
use nsys_contract::config::Kafka;
use nsys_contract::topics;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// Longest wait for the workers to store what is accepted.
const PATIENCE: Duration = Duration::from_secs(2);
/// First and longest pause between two looks at how far they are.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));
/// How often the backlog is looked at.
const BACKLOG_EVERY: Duration = Duration::from_secs(1);

/// Knows how far the workers have got.
pub(crate) struct Ingestion {
    position: LogPosition,
    /// Rounds begun so far.
    begun: AtomicU64,
    /// The number of the last round that is over, and whether everything was stored.
    last: Mutex<(u64, bool)>,
    overloaded: AtomicBool,
}

impl Ingestion {
    pub(crate) fn open(kafka: &Kafka) -> anyhow::Result<Self> {
        Ok(Self {
            position: LogPosition::open(kafka)?,
            begun: AtomicU64::new(0),
            last: Mutex::new((0, false)),
            overloaded: AtomicBool::new(false),
        })
    }

    /// Waits until everything that was accepted before this call is stored. `false` when that takes too
    /// long, or cannot be told.
    ///
    /// Callers share rounds: one that begins after a caller asked answers for that caller too.
    pub(crate) async fn caught_up(&self) -> bool {
        let asked = self.begun.load(Ordering::SeqCst);
        let mut last = self.last.lock().await;
        if last.0 <= asked {
            let round = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
            *last = (round, self.round().await);
        }
        last.1
    }

    async fn round(&self) -> bool {
        let until = Instant::now() + PATIENCE;
        let Some(ends) = self.position.ends().await else { return false };
        let mut pause = PAUSES.0;
        loop {
            if self.position.missing(&ends).await == Some(0) {
                return true;
            }
            if Instant::now() + pause > until {
                return false;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// How far the workers are behind, by partition. `None` when the broker does not answer.
    pub(crate) async fn lag(&self) -> Option<LagReport> {
        let places = self.position.places().await?;
        let partitions: Vec<_> = places
            .into_iter()
            .map(|place| PartitionLag {
                topic: topics::NOTIFICATIONS.to_owned(),
                partition: place.partition,
                committed: place.committed,
                end: place.end,
                lag: (place.end - place.committed.unwrap_or(0)).max(0),
            })
            .collect();
        let total = partitions.iter().map(|partition| partition.lag).sum();
        Some(LagReport { group: topics::WORKER_GROUP.to_owned(), total, partitions })
    }

    /// Whether more waits than may wait.
    pub(crate) fn is_overloaded(&self) -> bool {
        self.overloaded.load(Ordering::Relaxed)
    }
}

/// Looks at the backlog until `stopping`.
pub(crate) async fn watch(app: Arc<App>, stopping: CancellationToken) {
    let ingestion = &app.ingestion;
    while !stopping.is_cancelled() {
        if let Some(ends) = ingestion.position.ends().await
            && let Some(waiting) = ingestion.position.missing(&ends).await
        {
            let overloaded = waiting > app.config.limits.max_backlog;
            if overloaded != ingestion.overloaded.swap(overloaded, Ordering::Relaxed) {
                tracing::warn!(waiting, overloaded, "The backlog crossed limits.max_backlog.");
            }
        }
        tokio::select! {
            () = stopping.cancelled() => {}
            () = tokio::time::sleep(BACKLOG_EVERY) => {}
        }
    }
}
