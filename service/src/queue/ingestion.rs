//! Whether everything that was accepted is stored: the question behind every honest 404, and behind
//! refusing more while too much waits.

use super::position::{OffsetReader, PartitionPosition};
use super::retention::TopicSettings;
use super::sizes::Sizes;
use crate::domain::backlog::{self, Excess, PartitionBacklog};
use crate::telemetry::Metrics;
use nsys_contract::api::LagReport;
use nsys_contract::config::{Kafka, Limits};
use nsys_contract::lag::PartitionLag;
use nsys_contract::topics::{self, TopicRetention};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// Longest wait for the workers to store what is accepted.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(2);
/// First and longest pause between two polls of their progress.
const POLL_PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));
/// How often the backlog is polled.
const BACKLOG_INTERVAL: Duration = Duration::from_secs(1);
/// How often the topics' configuration is read: somebody may change it at any time.
const SETTINGS_INTERVAL: Duration = Duration::from_secs(10);

/// What is known of the log beside how far the workers are, for `/health`.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogState {
    /// Messages that wait; `None` before the broker has answered.
    pub(crate) waiting: Option<u64>,
    /// Messages that are gone from the log although no worker has stored them.
    pub(crate) gone: u64,
    /// Why the log may delete what nobody has read; one line a topic. `None` while that is unknown.
    pub(crate) risks: Option<Vec<String>>,
    /// What is kept of the topic that is accepted to.
    kept: Option<TopicRetention>,
}

/// Knows how far the workers have got.
pub(crate) struct Ingestion {
    offsets: OffsetReader,
    settings: TopicSettings,
    /// Rounds begun so far.
    begun: AtomicU64,
    /// The number of the last round that is over, and whether everything was stored.
    last: Mutex<(u64, bool)>,
    /// 0: no more than may wait; else one more than its place among [`Excess::ALL`].
    excess: AtomicU8,
    state: RwLock<LogState>,
}

impl Ingestion {
    pub(crate) fn open(kafka: &Kafka) -> anyhow::Result<Self> {
        Ok(Self {
            offsets: OffsetReader::open(kafka)?,
            settings: TopicSettings::open(kafka)?,
            begun: AtomicU64::new(0),
            last: Mutex::new((0, false)),
            excess: AtomicU8::new(0),
            state: RwLock::default(),
        })
    }

    /// Waits until everything that was accepted before this call is stored. `false` when that takes too
    /// long, or when the broker does not answer.
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
        let until = Instant::now() + CATCH_UP_TIMEOUT;
        let Some(ends) = self.offsets.ends().await else { return false };
        let mut pause = POLL_PAUSES.0;
        loop {
            if self.offsets.missing(&ends).await == Some(0) {
                return true;
            }
            if Instant::now() + pause > until {
                return false;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(POLL_PAUSES.1);
        }
    }

    /// How far the workers are behind, by partition. `None` when the broker does not answer.
    pub(crate) async fn lag(&self) -> Option<LagReport> {
        let positions = self.offsets.positions(None).await?;
        let partitions: Vec<_> = positions
            .into_iter()
            .map(|one| {
                PartitionLag::new(topics::NOTIFICATIONS, one.partition, one.committed, one.begin, one.end)
            })
            .collect();
        let total = partitions.iter().map(|partition| partition.lag).sum();
        Some(LagReport { group: topics::WORKER_GROUP.to_owned(), total, partitions })
    }

    /// Why nothing more is accepted; `None` while it is.
    pub(crate) fn excess(&self) -> Option<Excess> {
        let index = usize::from(self.excess.load(Ordering::Relaxed)).checked_sub(1)?;
        Excess::ALL.get(index).copied()
    }

    /// What is known of the log.
    pub(crate) fn state(&self) -> LogState {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut LogState)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Reads what the log keeps of the topics, and says loudly when that may lose something.
    pub(crate) async fn read_settings(&self, metrics: &Metrics) {
        let found = match self.settings.read().await {
            Ok(found) => found,
            Err(cause) => {
                // What was read last is believed; before that, nothing is.
                if self.state().risks.is_none() {
                    tracing::warn!(%cause, "The retention of the topics cannot be read, so it is unknown whether accepted notifications may be deleted. The service needs the permission to describe the configuration of its topics.");
                }
                return;
            }
        };
        let mut risks = Vec::new();
        for (topic, kept) in &found {
            metrics.retention(topic, kept);
            risks.extend(kept.risk().map(|why| format!("{topic}: {why}")));
        }
        let kept = found.into_iter().find(|(topic, _)| topic == topics::NOTIFICATIONS).map(|(_, kept)| kept);
        if self.state().risks.as_ref() != Some(&risks) {
            for risk in &risks {
                tracing::error!("{risk}: accepted notifications can be lost. {REMEDY}");
            }
        }
        self.change(|state| (state.risks, state.kept) = (Some(risks), kept));
    }

    /// Watches the backlog and the settings of the topics until `stopping`; `sizes` are those of the producer.
    pub(crate) async fn watch(
        &self,
        limits: &Limits,
        sizes: &Sizes,
        metrics: &Metrics,
        stopping: &CancellationToken,
    ) {
        let mut read = Instant::now();
        while !stopping.is_cancelled() {
            if read.elapsed() >= SETTINGS_INTERVAL {
                self.read_settings(metrics).await;
                read = Instant::now();
            }
            self.poll(limits, sizes).await;
            tokio::select! {
                () = stopping.cancelled() => {}
                () = tokio::time::sleep(BACKLOG_INTERVAL) => {}
            }
        }
    }

    /// Measures the backlog, and decides whether more is accepted.
    async fn poll(&self, limits: &Limits, sizes: &Sizes) {
        let kept = self.state().kept.unwrap_or_default();
        let now_ms = crate::clock::now().as_millisecond();
        let since = backlog::oldest(&kept).and_then(|age| i64::try_from(age.as_millis()).ok());
        let since = since.map(|age| now_ms.saturating_sub(age).max(0));
        let Some(positions) = self.offsets.positions(since).await else { return };
        let waiting: Vec<_> = positions.iter().map(|position| waiting(position, sizes)).collect();
        sizes.pass(|partition| positions.iter().any(|one| one.partition == partition && one.waiting() == 0));
        let excess = backlog::excess(&waiting, limits, &kept);
        let number = excess.and_then(|is| Excess::ALL.iter().position(|one| *one == is));
        let number = number.and_then(|index| u8::try_from(index + 1).ok()).unwrap_or(0);
        let messages: u64 = waiting.iter().map(|one| one.messages).sum();
        if number != self.excess.swap(number, Ordering::Relaxed) {
            match excess {
                Some(excess) => tracing::warn!(
                    messages,
                    reason = excess.as_str(),
                    "Accepting is paused: {}.",
                    excess.detail()
                ),
                None => {
                    tracing::info!(messages, "The backlog is small enough again: accepting resumes.");
                }
            }
        }
        let gone = positions.iter().map(PartitionPosition::gone).sum();
        if gone > 0 && gone != self.state().gone {
            tracing::error!(gone, "Messages were deleted from the log before a worker read them.");
        }
        self.change(|state| (state.waiting, state.gone) = (Some(messages), gone));
    }
}

/// What to do about a topic that loses messages.
const REMEDY: &str = "`nsys up` corrects the topics of its own stack; elsewhere: kafka-configs.sh --alter --entity-type topics --entity-name TOPIC --add-config cleanup.policy=delete,retention.bytes=-1";

fn waiting(position: &PartitionPosition, sizes: &Sizes) -> PartitionBacklog {
    let messages = position.waiting();
    let bytes = sizes.mean(position.partition).map(|mean| mean.saturating_mul(messages));
    PartitionBacklog { messages, bytes, is_old: position.is_old() }
}
