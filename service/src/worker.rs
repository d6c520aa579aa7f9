//! The worker: one partition worker for each partition, one dispatcher, one recorder, one scheduler.
//!
//! Messages flow feed -> partition worker -> database, and from there dispatcher -> provider ->
//! recorder -> database. Offsets are committed after the rows are stored. "Skip what is stored" would
//! lose the rows of a worker that died between storing and delivering: those are held by leases, which
//! run out.

mod batch;
mod decision;
mod dispatcher;
mod endpoint_keys;
mod endpoint_log;
mod jobs;
mod message;
mod partition_worker;
mod pipeline;
mod recorder;
mod reporting;
mod scheduler;
mod state;

pub(crate) use dispatcher::ChannelState;
pub(crate) use state::WorkerState;

use crate::channels::{EndpointVault, Providers};
use crate::parts::Parts;
use crate::queue::Consumer;
use dispatcher::Dispatcher;
use partition_worker::PartitionWorkers;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Ended attempts that wait to be recorded; when so many wait, deliveries wait too.
const UNRECORDED: usize = 2_048;

/// Consumes until `stopping`. Batches in progress are finished and committed, deliveries in progress end
/// and are recorded, and rows that were only claimed are released.
///
/// The order of the way down is that of the data: whoever produces ends before whoever consumes from it.
/// 1. Scheduler, jobs and the lag report end first. After that nothing claims rows any more, and nobody
///    but this function holds the consumer, which `into_inner` needs.
/// 2. The consumer closes its feeds and waits for the partition workers, then commits what they stored.
///    So both have to be waited for at once: joining one before starting the other would not end.
/// 3. Only then the dispatcher closes: until the last partition worker has ended, new jobs may come.
/// 4. The recorder is last, so that it records every delivery that the dispatcher still finished: one
///    that is not recorded is delivered again when its lease runs out. It has to be told by `last`,
///    because `state` keeps the dispatcher, and with it a sender, alive.
pub(crate) async fn run(
    parts: Arc<Parts>,
    state: Arc<WorkerState>,
    stopping: CancellationToken,
) -> anyhow::Result<()> {
    let providers = Arc::new(Providers::open(&parts.config)?);
    let vault = EndpointVault::open(&parts.config)?;
    let (ended, unrecorded) = mpsc::channel(UNRECORDED);
    let dispatcher = Arc::new(Dispatcher::new(Arc::clone(&parts), Arc::clone(&providers), ended));
    state.show(&dispatcher);
    let last = CancellationToken::new();
    let recorder = tokio::spawn(recorder::run(Arc::clone(&parts), unrecorded, last.clone()));
    let endpoint_log = providers
        .take_endpoint_attempts()
        .map(|made| tokio::spawn(endpoint_log::run(Arc::clone(&parts), made, last.clone())));
    let subscribed = Consumer::subscribe(&parts.config.kafka, &parts.config.worker)?;
    let (consumer, mut feeds) = (Arc::new(subscribed.consumer), subscribed.feeds);
    let gaps = tokio::spawn(reporting::keep_gaps(Arc::clone(&parts), subscribed.gaps));
    let scheduler =
        tokio::spawn(scheduler::run(Arc::clone(&parts), Arc::clone(&dispatcher), stopping.clone()));
    let jobs = tokio::spawn(jobs::run(Arc::clone(&parts), vault, stopping.clone()));
    let backlog = tokio::spawn(reporting::report_backlog(Arc::clone(&parts)));
    let (reported, read) = (Arc::clone(&state), Arc::clone(&consumer));
    let lag = tokio::spawn(reporting::report_lag(Arc::clone(&parts), reported, read, stopping.clone()));

    let dispatching = Arc::clone(&dispatcher);
    let shared =
        Arc::new(PartitionWorkers { parts: Arc::clone(&parts), state, providers, dispatcher: dispatching });
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
        && let Err(cause) = parts.db.release_leases(&left).await
    {
        tracing::warn!(%cause, count = left.len(), "Claimed rows could not be released; they become due when their lease expires.");
    }
    last.cancel();
    recorder.await?;
    if let Some(endpoint_log) = endpoint_log {
        endpoint_log.await?;
    }
    gaps.abort();
    Ok(())
}
