//! The worker: a partition worker for each partition, one dispatcher, one recorder, one scheduler.
//!
//! Messages flow feed -> partition worker -> database, and from there dispatcher -> provider -> recorder ->
//! database. Offsets are committed after the rows are stored. "Skip what is stored" would lose the rows
//! of a worker that died between storing and delivering: those are held by leases, which run out.

mod batch;
mod decision;
mod dispatcher;
mod jobs;
mod message;
mod partition_worker;
mod pipeline;
mod recorder;
mod scheduler;

pub(crate) use dispatcher::ChannelState;

use crate::app::App;
use crate::channels::Providers;
use crate::queue::{Consumer, Gap};
use dispatcher::Dispatcher;
use nsys_contract::api::DeadLetterFilter;
use partition_worker::PartitionWorkers;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Ends of attempts that wait to be recorded; then deliveries wait too.
const UNRECORDED: usize = 2_048;

/// Figures that `/health/worker` shows.
#[derive(Default)]
pub(crate) struct WorkerState {
    pub(crate) processed: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) busy_us: AtomicU64,
    /// Milliseconds since the epoch; 0 before the first.
    pub(crate) last_processed_ms: AtomicI64,
    pub(crate) total_lag: AtomicI64,
    /// Messages whose batch is in progress.
    pub(crate) in_progress: AtomicU64,
    dispatcher: OnceLock<Arc<Dispatcher>>,
}

impl WorkerState {
    /// What each channel does; empty in a process that delivers nothing.
    pub(crate) fn channels(&self) -> Vec<ChannelState> {
        self.dispatcher.get().map(|dispatcher| dispatcher.states()).unwrap_or_default()
    }

    /// Destinations that are left alone because they only fail.
    pub(crate) fn open_circuits(&self) -> Vec<String> {
        self.dispatcher.get().map(|dispatcher| dispatcher.open_circuits()).unwrap_or_default()
    }
}

/// Consumes until `stopping`. Batches in progress are finished and committed, deliveries under way end
/// and are recorded, and rows that were only claimed are given back.
pub(crate) async fn run(app: Arc<App>, stopping: CancellationToken) -> anyhow::Result<()> {
    let providers = Arc::new(Providers::open(&app.config)?);
    let (ended, unrecorded) = mpsc::channel(UNRECORDED);
    let dispatcher = Arc::new(Dispatcher::new(Arc::clone(&app), Arc::clone(&providers), ended));
    let _ = app.worker.dispatcher.set(Arc::clone(&dispatcher));
    let last = CancellationToken::new();
    let recorder = tokio::spawn(recorder::run(Arc::clone(&app), unrecorded, last.clone()));
    let subscribed = Consumer::subscribe(&app.config.kafka, &app.config.worker)?;
    let (consumer, mut feeds) = (Arc::new(subscribed.consumer), subscribed.feeds);
    let gaps = tokio::spawn(keep_gaps(Arc::clone(&app), subscribed.gaps));
    let scheduler = tokio::spawn(scheduler::run(Arc::clone(&app), Arc::clone(&dispatcher), stopping.clone()));
    let jobs = tokio::spawn(jobs::run(Arc::clone(&app), stopping.clone()));
    let backlog = tokio::spawn(report_backlog(Arc::clone(&app)));
    let lag = tokio::spawn(report_lag(Arc::clone(&app), Arc::clone(&consumer), stopping.clone()));

    let shared =
        Arc::new(PartitionWorkers { app: Arc::clone(&app), providers, dispatcher: Arc::clone(&dispatcher) });
    let mut partition_workers = JoinSet::new();
    loop {
        tokio::select! {
            () = stopping.cancelled() => break,
            Some(feed) = feeds.recv() => {
                partition_workers.spawn(Arc::clone(&shared).run(feed));
            }
            Some(ended) = partition_workers.join_next() => ended?,
        }
    }
    scheduler.await?;
    jobs.await?;
    lag.await?;
    backlog.abort();
    let leaving =
        Arc::into_inner(consumer).map(|consumer| tokio::task::spawn_blocking(move || consumer.leave()));
    while let Some(ended) = partition_workers.join_next().await {
        ended?;
    }
    if let Some(leaving) = leaving {
        leaving.await?;
    }
    let left = dispatcher.close().await;
    if !left.is_empty()
        && let Err(cause) = app.db.release_leases(&left).await
    {
        tracing::warn!(%cause, count = left.len(), "Claimed rows could not be given back; their lease runs out.");
    }
    last.cancel();
    recorder.await?;
    gaps.abort();
    Ok(())
}

/// Pause before a gap is recorded again.
const GAP_PAUSE: Duration = Duration::from_secs(1);

/// Counts and records what is missing from the log, as loudly as it deserves.
async fn keep_gaps(app: Arc<App>, mut gaps: mpsc::UnboundedReceiver<Gap>) {
    while let Some(gap) = gaps.recv().await {
        app.metrics.lost(&gap);
        tracing::error!(topic = %gap.topic, partition = gap.partition, first = gap.first, next = gap.next, lost = gap.messages(), "Accepted notifications were deleted from the log before a worker has read them: they are lost.");
        while let Err(cause) = app.db.keep_gap(&gap).await {
            tracing::warn!(%cause, "What the log has lost cannot be recorded; trying again.");
            tokio::time::sleep(GAP_PAUSE).await;
        }
    }
}

/// How often what waits in the database is counted.
const BACKLOG_INTERVAL: Duration = Duration::from_secs(15);

/// Tells what waits in the database.
async fn report_backlog(app: Arc<App>) {
    loop {
        let counted = async {
            let letters = app.db.count_dead_letters(&DeadLetterFilter::default()).await?;
            Ok::<_, crate::db::DbError>((letters, app.db.due_lag_s().await?))
        };
        match counted.await {
            Ok((letters, due_lag_s)) => app.metrics.stored_backlog(letters, due_lag_s),
            Err(cause) => tracing::debug!(%cause, "What waits in the database cannot be counted."),
        }
        tokio::time::sleep(BACKLOG_INTERVAL).await;
    }
}

async fn report_lag(app: Arc<App>, consumer: Arc<Consumer>, stopping: CancellationToken) {
    while !stopping.is_cancelled() {
        let reader = Arc::clone(&consumer);
        if let Ok(lags) = tokio::task::spawn_blocking(move || reader.lag()).await {
            app.worker.total_lag.store(lags.iter().map(|lag| lag.messages).sum(), Ordering::Relaxed);
            app.metrics.lag(&lags);
        }
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        app.metrics.queue_depth("worker_batch", gauge(app.worker.in_progress.load(Ordering::Relaxed)));
        let waiting: usize =
            app.worker.channels().iter().map(|channel| channel.waiting + channel.running).sum();
        app.metrics.queue_depth("deliveries", gauge(waiting as u64));
        app.db.pool_state();
        tokio::select! {
            () = stopping.cancelled() => {}
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}
