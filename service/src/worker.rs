//! The loop of a worker: receive, store, deliver, record, commit.
//!
//! Offsets are committed after the effect is recorded. A batch that cannot be stored is tried again
//! until it can; nothing is skipped because PostgreSQL is away. "Skip what is stored" would lose the
//! rows of a worker that died between storing and delivering, so only final rows are skipped.

use crate::app::App;
use crate::channels::{self, Outcome, Provider};
use crate::db::Finished;
use crate::queue::{Consumer, Delivery};
use futures::StreamExt;
use nsys_contract::event::Envelope;
use nsys_contract::status::{Channel, Status};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Longest wait between two tries to reach PostgreSQL.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// Figures that `/health/worker` shows.
#[derive(Debug, Default)]
pub(crate) struct WorkerState {
    pub(crate) processed: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) busy_us: AtomicU64,
    /// Milliseconds since the epoch; 0 before the first.
    pub(crate) last_processed_ms: AtomicI64,
    pub(crate) total_lag: AtomicI64,
    /// Whether a batch is in progress.
    pub(crate) in_progress: AtomicU64,
}

/// Consumes until `stopping`; the batch in progress is finished and committed first.
pub(crate) async fn run(
    app: Arc<App>,
    consumer: Consumer,
    stopping: CancellationToken,
) -> anyhow::Result<()> {
    let providers = Arc::new(providers(&app)?);
    let consumer = Arc::new(consumer);
    let scheduler = tokio::spawn(schedule(Arc::clone(&app), Arc::clone(&providers), stopping.clone()));
    let lag = tokio::spawn(report_lag(Arc::clone(&app), Arc::clone(&consumer), stopping.clone()));
    let settings = &app.config.worker;
    loop {
        let received = tokio::select! {
            () = stopping.cancelled() => break,
            received = consumer.receive(settings.batch_size, settings.batch_wait) => received,
        };
        let batch = match received {
            Ok(batch) => batch,
            Err(cause) => {
                tracing::warn!(%cause, "The log cannot be read; trying again.");
                tokio::time::sleep(Duration::from_millis(500)).await;
                continue;
            }
        };
        app.worker.in_progress.store(batch.len() as u64, Ordering::Relaxed);
        let done = process(&app, &providers, &batch, &stopping).await;
        app.worker.in_progress.store(0, Ordering::Relaxed);
        if !done {
            break;
        }
        if let Err(cause) = consumer.commit(&batch) {
            // The batch will come again; only final rows are skipped then.
            tracing::warn!(%cause, "A finished batch could not be committed.");
        }
    }
    scheduler.await?;
    lag.abort();
    tokio::task::spawn_blocking(move || consumer.leave()).await?;
    Ok(())
}

type Providers = HashMap<Channel, Provider>;

fn providers(app: &App) -> anyhow::Result<Providers> {
    Channel::ALL
        .iter()
        .map(|channel| Ok((*channel, channels::provider(&app.config.channels, *channel)?)))
        .collect()
}

/// Handles one batch; `false` when told to stop while PostgreSQL was away: nothing is committed then.
async fn process(app: &App, providers: &Providers, batch: &[Delivery], stopping: &CancellationToken) -> bool {
    let started = Instant::now();
    let mut envelopes = Vec::with_capacity(batch.len());
    let mut poison = Vec::new();
    for delivery in batch {
        app.metrics.consumed(&delivery.topic, 1);
        match serde_json::from_slice::<Envelope>(&delivery.value) {
            Ok(envelope) if envelope.version.starts_with("1.") => envelopes.push(envelope),
            Ok(envelope) => poison.push((delivery, format!("schema version {:?}", envelope.version))),
            Err(cause) => poison.push((delivery, cause.to_string())),
        }
    }
    let mut backoff = Duration::from_millis(100);
    loop {
        let outcome = async {
            for (delivery, error) in &poison {
                app.db.store_dead_letter(None, "undecodable", error, &delivery.value).await?;
                if app.producer.dead_letter(&delivery.key, &delivery.value, "undecodable").await.is_err() {
                    tracing::warn!("A dead letter is stored but not on its topic.");
                }
            }
            poison.clear();
            handle(app, providers, &envelopes).await
        };
        match outcome.await {
            Ok(()) => break,
            Err(cause) => {
                app.worker.errors.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%cause, batch = batch.len(), "A batch cannot be stored; trying again.");
            }
        }
        tokio::select! {
            () = stopping.cancelled() => return false,
            () = tokio::time::sleep(backoff) => backoff = (backoff * 2).min(MAX_BACKOFF),
        }
    }
    app.worker.processed.fetch_add(batch.len() as u64, Ordering::Relaxed);
    let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    app.worker.busy_us.fetch_add(took, Ordering::Relaxed);
    app.worker.last_processed_ms.store(jiff::Timestamp::now().as_millisecond(), Ordering::Relaxed);
    true
}

async fn handle(app: &App, providers: &Providers, envelopes: &[Envelope]) -> Result<(), crate::db::DbError> {
    // One message may be in a batch twice; the first one counts.
    let mut seen = HashSet::with_capacity(envelopes.len());
    let unique: Vec<&Envelope> = envelopes.iter().filter(|envelope| seen.insert(envelope.id)).collect();
    if unique.is_empty() {
        return Ok(());
    }
    let stored = app.db.store(&unique).await?;
    let mut due: Vec<(&Envelope, u32)> = unique
        .into_iter()
        .filter_map(|envelope| {
            let stored = stored.get(&envelope.id)?;
            let waits = matches!(stored.status, Status::Scheduled | Status::Retrying | Status::Processing);
            (!stored.status.is_final() && !waits).then_some((envelope, stored.retry_count))
        })
        .collect();
    // Urgent ones overtake; the sort is stable, so each user's order within a priority is kept.
    due.sort_by_key(|(envelope, _)| std::cmp::Reverse(envelope.priority));
    deliver(app, providers, due).await
}

async fn deliver(
    app: &App,
    providers: &Providers,
    due: Vec<(&Envelope, u32)>,
) -> Result<(), crate::db::DbError> {
    // Collected first: a stream over a borrowing closure is not `Send` for every lifetime.
    let attempts: Vec<_> =
        due.iter().map(|(envelope, tried)| attempt(app, providers, envelope, *tried)).collect();
    let finished: Vec<Finished> = futures::stream::iter(attempts)
        .buffered(app.config.worker.channel_concurrency.max(1))
        .collect()
        .await;
    app.db.finish(&finished).await?;
    app.cache.forget(&finished.iter().map(|ended| ended.id).collect::<Vec<_>>()).await;
    let now_ms = jiff::Timestamp::now().as_millisecond();
    for ((envelope, _), ended) in due.iter().zip(&finished) {
        if ended.status.is_final() {
            let took = Duration::from_millis(u64::try_from(now_ms - envelope.timestamp).unwrap_or(0));
            app.metrics.finished(envelope.channel, envelope.kind, envelope.priority, ended.status, took);
        }
    }
    Ok(())
}

async fn attempt(app: &App, providers: &Providers, envelope: &Envelope, tried: u32) -> Finished {
    let provider = providers.get(&envelope.channel).copied().unwrap_or(Provider::Log);
    let started = Instant::now();
    let expired = envelope.expires_at.is_some_and(|at| at <= jiff::Timestamp::now().as_millisecond());
    let outcome = if expired {
        Outcome::Done(Status::Expired)
    } else {
        channels::deliver(&app.config.channels, provider, envelope.id).await
    };
    let attempt = tried + 1;
    let (status, error, next_attempt_at) = match outcome {
        Outcome::Done(status) => (status, None, None),
        Outcome::Retry(error) if attempt >= app.config.worker.max_attempts => {
            (Status::Failed, Some(error), None)
        }
        Outcome::Retry(error) => {
            let wait = backoff(&app.config.worker, attempt, rand::random());
            (Status::Retrying, Some(error), jiff::Timestamp::now().checked_add(wait).ok())
        }
    };
    Finished {
        id: envelope.id,
        status,
        attempt,
        provider: provider.as_str(),
        error,
        took_ms: started.elapsed().as_secs_f64() * 1_000.0,
        next_attempt_at,
    }
}

/// The wait after attempt number `attempt`: exponential, with full jitter (`luck` in 0 to 1).
fn backoff(settings: &nsys_contract::config::Worker, attempt: u32, luck: f64) -> Duration {
    let doubled = settings.retry_base.saturating_mul(1 << attempt.saturating_sub(1).min(20));
    doubled.min(settings.retry_max).mul_f64(luck.clamp(0.0, 1.0))
}

/// Looks for rows that are due: scheduled ones, retries, and leases that ran out.
async fn schedule(app: Arc<App>, providers: Arc<Providers>, stopping: CancellationToken) {
    let settings = &app.config.worker;
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(settings.scheduler_interval) => {}
        }
        let limit = i64::try_from(settings.batch_size).unwrap_or(i64::MAX);
        let claimed = match app.db.claim_due(limit, settings.lease).await {
            Ok(claimed) => claimed,
            Err(cause) => {
                tracing::warn!(%cause, "Due notifications cannot be read; trying again.");
                continue;
            }
        };
        let due = claimed
            .iter()
            .map(|envelope| (envelope, envelope.retry_count + u32::from(envelope.retry_count > 0)));
        if let Err(cause) = deliver(&app, &providers, due.collect()).await {
            tracing::warn!(%cause, "Due notifications cannot be recorded; their lease will run out.");
        }
    }
}

async fn report_lag(app: Arc<App>, consumer: Arc<Consumer>, stopping: CancellationToken) {
    while !stopping.is_cancelled() {
        let reader = Arc::clone(&consumer);
        if let Ok(lags) = tokio::task::spawn_blocking(move || reader.lag()).await {
            app.worker.total_lag.store(lags.iter().map(|(_, _, lag)| lag).sum(), Ordering::Relaxed);
            app.metrics.lag(&lags);
        }
        app.metrics.queue_depth(
            "worker_batch",
            i64::try_from(app.worker.in_progress.load(Ordering::Relaxed)).unwrap_or(0),
        );
        app.db.pool_state();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_limit_and_is_jittered() {
        let settings = nsys_contract::config::Worker::default();
        assert_eq!(backoff(&settings, 1, 1.0), settings.retry_base);
        assert_eq!(backoff(&settings, 3, 1.0), settings.retry_base * 4);
        assert_eq!(backoff(&settings, 60, 1.0), settings.retry_max);
        assert_eq!(backoff(&settings, 3, 0.5), settings.retry_base * 2);
    }
}
