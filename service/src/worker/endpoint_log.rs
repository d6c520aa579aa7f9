//! Logs attempts at webhook endpoints, many in one statement, and notes what they say of each endpoint's health.

use crate::db::{DbError, EndpointAttempt, EndpointKey};
use crate::domain::endpoint::AttemptResult;
use crate::parts::Parts;
use nsys_contract::config::Endpoints as Settings;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Most attempts written at once.
const BATCH: usize = 500;
/// Longest wait between two tries to reach PostgreSQL.
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// The log of an endpoint is trimmed when so many of what it may hold have come to it since the last time.
const TRIMMED_AFTER: u32 = 4;
/// Most endpoints of which it is known how many have come.
const MAX_COUNTS: usize = 10_000;

/// Logs until `last` says that nothing more comes.
pub(crate) async fn run(
    parts: Arc<Parts>,
    mut made: mpsc::Receiver<EndpointAttempt>,
    last: CancellationToken,
) {
    let mut untrimmed = HashMap::new();
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            biased;
            received = made.recv_many(&mut batch, BATCH) => if received == 0 { return },
            () = last.cancelled(), if !made.is_closed() => {
                made.close();
                continue;
            }
        }
        let mut backoff = Duration::from_millis(50);
        while let Err(cause) = record(&parts, &batch, &mut untrimmed).await {
            tracing::warn!(%cause, attempts = batch.len(), "Attempts at endpoints could not be logged.");
            if cause.is_data() || made.is_closed() {
                break;
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
        batch.clear();
    }
}

async fn record(
    parts: &Parts,
    batch: &[EndpointAttempt],
    untrimmed: &mut HashMap<EndpointKey, u32>,
) -> Result<(), DbError> {
    let (settings, db) = (&parts.config.endpoints, &parts.db);
    let mut results: HashMap<EndpointKey, (AttemptResult, u32)> = HashMap::new();
    for one in batch {
        let entry = results.entry((one.tenant.clone(), one.endpoint)).or_insert((one.result, 0));
        *entry = (entry.0.and(one.result), entry.1 + 1);
    }
    let having = |wanted: AttemptResult| {
        let keys = results.iter().filter(move |(_, (result, _))| *result == wanted);
        keys.map(|(key, _)| key.clone()).collect::<Vec<_>>()
    };
    let working = having(AttemptResult::Worked);
    if !working.is_empty() {
        db.note_working_endpoints(&working).await?;
    }
    let (failing, gone) = (having(AttemptResult::Failed), having(AttemptResult::Gone));
    if !failing.is_empty() || !gone.is_empty() {
        for one in db.note_failing_endpoints(&failing, &gone, settings.disable_after).await? {
            tracing::warn!(endpoint = %one.id, reason = one.reason, "An endpoint was disabled.");
        }
    }
    // Last: what comes before may be noted twice, but is not to be logged twice.
    db.log_endpoint_attempts(batch).await?;
    let counts = results.into_iter().map(|(key, (_, count))| (key, count));
    let full = due_for_trimming(untrimmed, counts, settings);
    if !full.is_empty()
        && let Err(cause) = db.trim_endpoint_attempts(&full, settings.attempts_kept).await
    {
        tracing::warn!(%cause, "The log of endpoints could not be trimmed; it is when more has come.");
    }
    Ok(())
}

/// Which endpoints' logs are to be trimmed: those seen for the first time, and those to which much has come since.
fn due_for_trimming(
    untrimmed: &mut HashMap<EndpointKey, u32>,
    counts: impl Iterator<Item = (EndpointKey, u32)>,
    settings: &Settings,
) -> Vec<EndpointKey> {
    let most = (settings.attempts_kept / TRIMMED_AFTER).max(1);
    if untrimmed.len() > MAX_COUNTS {
        untrimmed.clear();
    }
    let mut due = Vec::new();
    for (key, count) in counts {
        let before = untrimmed.get(&key).copied().unwrap_or(most);
        let now = before.saturating_add(count);
        if now > most {
            due.push(key.clone());
            untrimmed.insert(key, 0);
        } else {
            untrimmed.insert(key, now);
        }
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_log_is_trimmed_at_first_and_whenever_much_has_come() {
        let settings = Settings { attempts_kept: 40, ..Settings::default() };
        let (mut untrimmed, key) = (HashMap::new(), ("t".to_owned(), Uuid::nil()));
        let mut due = |count| {
            !due_for_trimming(&mut untrimmed, [(key.clone(), count)].into_iter(), &settings).is_empty()
        };
        assert_eq!([due(1), due(5), due(5), due(1), due(10)], [true, false, false, true, false]);
        for other in 0..=MAX_COUNTS as u128 + 1 {
            let key = ("t".to_owned(), Uuid::from_u128(other));
            due_for_trimming(&mut untrimmed, [(key, 1)].into_iter(), &settings);
        }
        assert!(untrimmed.len() <= MAX_COUNTS + 1);
    }
}
