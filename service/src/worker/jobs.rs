//! Work beside delivery: dead letters to their topic and back to the log, retention, warming.

use super::endpoint_keys;
use crate::cache::{Recipients, recipient_key};
use crate::channels::EndpointVault;
use crate::db::{DbError, OutgoingDeadLetter};
use crate::parts::Parts;
use crate::queue::SendError;
use nsys_contract::keys;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often dead letters are polled.
const DEAD_LETTERS_INTERVAL: Duration = Duration::from_secs(1);
/// Dead letters of one poll.
const DEAD_LETTERS_BATCH: i64 = 500;
/// How often old rows are deleted.
const RETENTION_INTERVAL: Duration = Duration::from_secs(60);
/// How often the secrets of endpoints are encrypted anew, where their key is not the first.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(10);
/// How often the most active users are loaded.
const WARMING_INTERVAL: Duration = Duration::from_secs(3_600);

/// Runs until `stopping`. Of several workers one does each job in each period.
pub(crate) async fn run(parts: Arc<Parts>, vault: EndpointVault, stopping: CancellationToken) {
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(DEAD_LETTERS_INTERVAL) => {}
        }
        let all = async {
            if parts.db.claim_job_run("dead-letters", DEAD_LETTERS_INTERVAL / 2).await? {
                publish_dead_letters(&parts).await?;
                redrive_dead_letters(&parts).await?;
            }
            if parts.db.claim_job_run("retention", RETENTION_INTERVAL).await? {
                delete_old(&parts, &stopping).await?;
            }
            if parts.db.claim_job_run("endpoint-keys", RENEWAL_INTERVAL).await? {
                endpoint_keys::renew(&parts, &vault).await?;
            }
            if parts.config.cache.warm_users > 0
                && parts.db.claim_job_run("cache-warming", WARMING_INTERVAL).await?
            {
                warm(&parts).await?;
            }
            Ok::<_, DbError>(())
        };
        if let Err(cause) = all.await {
            tracing::warn!(%cause, "A background job failed; it will be retried.");
        }
    }
}

/// Puts dead letters on their topic, at least once: a crash in between may publish one twice, never zero times.
async fn publish_dead_letters(parts: &Parts) -> Result<(), DbError> {
    let letters = parts.db.list_unpublished_dead_letters(DEAD_LETTERS_BATCH).await?;
    let mut published = Vec::with_capacity(letters.len());
    for letter in &letters {
        match publish(parts, letter).await {
            Ok(()) => published.push(letter.id),
            Err(cause) => {
                tracing::warn!(%cause, "Dead letters could not be published; retrying.");
                break;
            }
        }
    }
    if published.is_empty() { Ok(()) } else { parts.db.mark_dead_letters_published(&published).await }
}

/// Puts one dead letter on its topic. One that is too large for it is announced there without its message, so
/// that those behind it do not wait for ever.
async fn publish(parts: &Parts, letter: &OutgoingDeadLetter) -> Result<(), SendError> {
    if let Some(value) = as_message(letter) {
        match parts.producer.dead_letter(&letter.key, &value, &letter.reason).await {
            Err(SendError::TooLarge) => {}
            outcome => return outcome,
        }
    }
    tracing::warn!(
        id = letter.id,
        bytes = letter.bytes,
        "A dead letter is too large for its topic; it is announced there without its message."
    );
    let value = announcement(letter).to_string();
    for key in [letter.key.as_slice(), &[]] {
        match parts.producer.dead_letter(key, value.as_bytes(), &letter.reason).await {
            // Another producer may take keys that are as long as whole messages.
            Err(SendError::TooLarge) => {}
            outcome => return outcome,
        }
    }
    tracing::error!(id = letter.id, "A dead letter cannot be announced on its topic; it is in the table.");
    Ok(())
}

/// What a dead letter says of itself without its message: where that can be read is the dead letter's id.
fn announcement(letter: &OutgoingDeadLetter) -> serde_json::Value {
    json!({
        "deadLetter": letter.id,
        "notificationId": letter.notification_id,
        "messageBytes": letter.bytes,
        "error": letter.error,
        "reason": letter.reason,
        "failedAt": letter.created_at.as_millisecond(),
        "retryCount": letter.attempts.saturating_sub(1).max(0),
    })
}

/// What cannot be decoded goes on as it is; the rest in the form of the original's dead letters. Nothing
/// when it is too large.
fn as_message(letter: &OutgoingDeadLetter) -> Option<Vec<u8>> {
    let raw = letter.raw.as_deref()?;
    let notification =
        serde_json::from_slice::<&RawValue>(raw).ok().filter(|_| letter.notification_id.is_some());
    let Some(notification) = notification else { return Some(raw.to_vec()) };
    let message = DeadMessage {
        notification,
        error: &letter.error,
        reason: &letter.reason,
        failed_at: letter.created_at.as_millisecond(),
        retry_count: letter.attempts.saturating_sub(1).max(0),
    };
    serde_json::to_vec(&message).ok()
}

/// A notification that failed, in the form of the original's dead letters; its own text goes through as
/// it is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeadMessage<'l> {
    notification: &'l RawValue,
    error: &'l str,
    reason: &'l str,
    failed_at: i64,
    retry_count: i32,
}

/// Puts undecodable dead letters back on the log when their time has come. One that the log will never take
/// stays where it is, with an error in the log.
async fn redrive_dead_letters(parts: &Parts) -> Result<(), DbError> {
    let mut redriven = Vec::new();
    for letter in parts.db.list_due_redrives(DEAD_LETTERS_BATCH).await? {
        let outcome = match &letter.raw {
            Some(raw) => parts.producer.redrive(&letter.key, raw).await,
            None => Err(SendError::TooLarge),
        };
        match outcome {
            Ok(()) => redriven.push(letter.id),
            Err(SendError::TooLarge) => {
                tracing::error!(
                    id = letter.id,
                    bytes = letter.bytes,
                    "A dead letter is too large to go back on the log; it stays a dead letter."
                );
                parts.db.cancel_redrive(letter.id).await?;
            }
            Err(cause) => {
                tracing::warn!(%cause, "Dead letters could not be redriven; retrying.");
                break;
            }
        }
    }
    if redriven.is_empty() { Ok(()) } else { parts.db.mark_dead_letters_redriven(&redriven).await }
}

/// Deletes what is older than it may be, a batch at a time, so that nobody waits for a lock.
async fn delete_old(parts: &Parts, stopping: &CancellationToken) -> Result<(), DbError> {
    let retention = &parts.config.retention;
    let (batch, full) = (retention.batch.max(1), u64::from(retention.batch.max(1)));
    let (rows, events) = (retention.notifications, retention.events);
    while !rows.is_zero() && !stopping.is_cancelled() {
        let deleted = parts.db.delete_old_notifications(rows, batch).await?;
        if deleted < full && parts.db.delete_old_dead_letters(rows, batch).await? < full {
            break;
        }
    }
    while !events.is_zero() && !stopping.is_cancelled() {
        if parts.db.delete_old_events(events, batch).await? < full {
            break;
        }
    }
    let attempts = parts.config.endpoints.attempts_retention;
    while !attempts.is_zero() && !stopping.is_cancelled() {
        if parts.db.delete_old_endpoint_attempts(attempts, batch).await? < full {
            break;
        }
    }
    Ok(())
}

/// Loads what the most active users want into Redis, before it is asked for.
async fn warm(parts: &Parts) -> Result<(), DbError> {
    let users = parts.db.most_active_users(parts.config.cache.warm_users).await?;
    let users: Vec<_> = users.iter().map(|(tenant, user)| recipient_key(tenant.as_deref(), user)).collect();
    parts.cache.load_recipients(&parts.db, &users, &mut Recipients::new()).await?;
    parts.metrics.cache_events(keys::USER, "warmed", users.len() as u64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(raw: Option<&str>, notification: bool) -> OutgoingDeadLetter {
        OutgoingDeadLetter {
            id: 7,
            notification_id: notification.then(uuid::Uuid::nil),
            reason: "permanent".into(),
            error: "no".into(),
            attempts: 3,
            key: Vec::new(),
            raw: raw.map(|raw| raw.as_bytes().to_vec()),
            bytes: 5_000_000,
            created_at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_dead_letter_goes_on_as_it_is_whatever_its_numbers() {
        let raw = r#"{"id":"x","payload":{"n":1e400}}"#;
        let message = String::from_utf8(as_message(&letter(Some(raw), true)).unwrap()).unwrap();
        let around = r#""error":"no","reason":"permanent","failedAt":0,"retryCount":2}"#;
        assert_eq!(message, format!(r#"{{"notification":{raw},{around}"#));
        assert_eq!(as_message(&letter(Some("\u{1}nonsense"), true)).unwrap(), b"\x01nonsense");
        assert_eq!(
            as_message(&letter(Some("{}"), false)).unwrap(),
            b"{}",
            "undecodable ones are their bytes"
        );
    }

    #[test]
    fn one_that_is_too_large_is_announced() {
        assert_eq!(as_message(&letter(None, true)), None);
        let said = announcement(&letter(None, true));
        assert_eq!(
            (&said["deadLetter"], &said["messageBytes"], &said["error"]),
            (&json!(7), &json!(5_000_000), &json!("no"))
        );
    }
}
