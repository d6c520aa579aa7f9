//! Records finished attempts, many in one statement, and updates metrics and caches.

use crate::db::FinishedAttempt;
use crate::parts::Parts;
use nsys_contract::event::Envelope;
use nsys_contract::status::{Channel, NotificationType, Priority, Status};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Most ends written at once.
const BATCH: usize = 500;
/// Longest wait between two tries to reach PostgreSQL.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// A notification that has come to its end, for the metrics.
pub(crate) struct Final {
    pub(crate) channel: Channel,
    pub(crate) kind: NotificationType,
    pub(crate) priority: Priority,
    pub(crate) status: Status,
    /// When it was accepted, in ms since the epoch.
    pub(crate) accepted_ms: i64,
}

/// Records until `last` says that nothing more comes. While PostgreSQL is away the ends wait here, and
/// behind them the deliveries: an end is only lost with the process, and then its lease brings the row
/// back.
pub(crate) async fn run(
    parts: Arc<Parts>,
    mut ended: mpsc::Receiver<(FinishedAttempt, Envelope)>,
    last: CancellationToken,
) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            biased;
            received = ended.recv_many(&mut batch, BATCH) => if received == 0 { return },
            () = last.cancelled(), if !ended.is_closed() => {
                ended.close();
                continue;
            }
        }
        let (ends, envelopes): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
        let changed = record(&parts, &ends).await;
        let took_effect = ends.iter().zip(&envelopes).filter(|(end, _)| changed.contains(&end.id));
        let finals = took_effect.map(|(end, envelope)| Final {
            channel: envelope.channel,
            kind: envelope.kind,
            priority: envelope.priority,
            status: end.state.status,
            accepted_ms: envelope.timestamp,
        });
        count(&parts, finals);
        parts.cache.forget(&ends.iter().map(|end| end.id).collect::<Vec<_>>()).await;
    }
}

async fn record(parts: &Parts, ends: &[FinishedAttempt]) -> Vec<Uuid> {
    let mut backoff = Duration::from_millis(50);
    loop {
        match parts.db.finish(ends).await {
            Ok(changed) => return changed,
            Err(cause) if cause.is_data() => {
                // Their lease brings them back; that is better than holding up the others for ever.
                tracing::error!(%cause, ends = ends.len(), "Finished attempts could not be recorded; they are retried when their lease expires.");
                return Vec::new();
            }
            Err(cause) => {
                tracing::warn!(%cause, ends = ends.len(), "Finished attempts could not be recorded; retrying.");
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(MAX_BACKOFF);
            }
        }
    }
}

/// Counts those that are final. Series are looked up once for all that share them.
pub(crate) fn count(parts: &Parts, finals: impl Iterator<Item = Final>) {
    let now_ms = crate::clock::now().as_millisecond();
    let mut alike: HashMap<_, Vec<Duration>> = HashMap::new();
    for one in finals.filter(|one| one.status.is_final()) {
        let took = Duration::from_millis(u64::try_from(now_ms - one.accepted_ms).unwrap_or(0));
        alike.entry((one.channel, one.kind, one.priority, one.status)).or_default().push(took);
    }
    for ((channel, kind, priority, status), took) in alike {
        parts.metrics.finished(channel, kind, priority, status, &took);
    }
}
