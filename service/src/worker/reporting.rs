//! What the worker reports besides delivering: gaps of the log, lag, what waits in the database.

use super::state::WorkerState;
use crate::db::DbError;
use crate::domain::lag::LogGap;
use crate::parts::Parts;
use crate::queue::Consumer;
use nsys_contract::api::DeadLetterFilter;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Pause before a gap is recorded again.
const GAP_PAUSE: Duration = Duration::from_secs(1);
/// How often the rows that wait in the database are counted.
const BACKLOG_INTERVAL: Duration = Duration::from_secs(15);
/// How often lag and queue depths are measured.
const LAG_INTERVAL: Duration = Duration::from_secs(1);

/// Counts and records what is missing from the log, as loudly as it deserves.
pub(super) async fn keep_gaps(parts: Arc<Parts>, mut gaps: mpsc::UnboundedReceiver<LogGap>) {
    while let Some(gap) = gaps.recv().await {
        parts.metrics.lost(&gap);
        tracing::error!(topic = %gap.topic, partition = gap.partition, first = gap.first, next = gap.next, lost = gap.messages(), "Accepted notifications were deleted from the log before a worker read them: they are lost.");
        while let Err(cause) = parts.db.keep_gap(&gap).await {
            tracing::warn!(%cause, "A gap of the log could not be recorded; retrying.");
            tokio::time::sleep(GAP_PAUSE).await;
        }
    }
}

/// Measures what waits in the database. Ends when aborted.
pub(super) async fn report_backlog(parts: Arc<Parts>) {
    loop {
        let counted = async {
            let dead_letters = parts.db.count_dead_letters(&DeadLetterFilter::default()).await?;
            Ok::<_, DbError>((dead_letters, parts.db.due_lag_s().await?))
        };
        match counted.await {
            Ok((dead_letters, due_lag_s)) => parts.metrics.stored_backlog(dead_letters, due_lag_s),
            Err(cause) => tracing::debug!(%cause, "The rows that wait in the database could not be counted."),
        }
        tokio::time::sleep(BACKLOG_INTERVAL).await;
    }
}

/// Measures lag and queue depths until `stopping`. It holds the consumer, so it has to end before that
/// can leave its group.
pub(super) async fn report_lag(
    parts: Arc<Parts>,
    state: Arc<WorkerState>,
    consumer: Arc<Consumer>,
    stopping: CancellationToken,
) {
    while !stopping.is_cancelled() {
        let reader = Arc::clone(&consumer);
        if let Ok(lags) = tokio::task::spawn_blocking(move || reader.lag()).await {
            state.total_lag.store(lags.iter().map(|one| one.lag.lag).sum(), Ordering::Relaxed);
            parts.metrics.lag(&lags);
        }
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        parts.metrics.queue_depth("worker_batch", gauge(state.in_progress.load(Ordering::Relaxed)));
        let waiting: usize = state.channels().iter().map(|channel| channel.waiting + channel.running).sum();
        parts.metrics.queue_depth("deliveries", gauge(waiting as u64));
        parts.db.pool_state();
        tokio::select! {
            () = stopping.cancelled() => {}
            () = tokio::time::sleep(LAG_INTERVAL) => {}
        }
    }
}
