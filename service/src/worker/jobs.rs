//! Work beside delivery: dead letters to their topic and back to the log, retention, warming.

use crate::app::App;
use crate::cache::{Recipients, recipient_key};
use crate::db::{DbError, Letter};
use nsys_contract::keys;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often dead letters are looked for.
const LETTERS_EVERY: Duration = Duration::from_secs(1);
/// Letters of one look.
const LETTERS: i64 = 500;
/// How often old rows are looked for.
const RETENTION_EVERY: Duration = Duration::from_secs(60);
/// How often the most active users are loaded.
const WARMING_EVERY: Duration = Duration::from_secs(3_600);

/// Runs until `stopping`. Of several workers one does each job in each period.
pub(crate) async fn run(app: Arc<App>, stopping: CancellationToken) {
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(LETTERS_EVERY) => {}
        }
        let all = async {
            if app.db.take_turn("dead-letters", LETTERS_EVERY / 2).await? {
                publish_letters(&app).await?;
                redrive_letters(&app).await?;
            }
            if app.db.take_turn("retention", RETENTION_EVERY).await? {
                delete_old(&app, &stopping).await?;
            }
            if app.config.cache.warm_users > 0 && app.db.take_turn("cache-warming", WARMING_EVERY).await? {
                warm(&app).await?;
            }
            Ok::<_, DbError>(())
        };
        if let Err(cause) = all.await {
            tracing::warn!(%cause, "A job of the worker failed; it comes again.");
        }
    }
}

/// Puts letters on the topic of dead letters. A crash in between puts one there twice, never not at all.
async fn publish_letters(app: &App) -> Result<(), DbError> {
    let letters = app.db.unpublished_letters(LETTERS).await?;
    let mut published = Vec::with_capacity(letters.len());
    for letter in &letters {
        let value = as_message(letter);
        match app.producer.dead_letter(&letter.key, &value, &letter.reason).await {
            Ok(()) => published.push(letter.id),
            Err(cause) => {
                tracing::warn!(%cause, "Dead letters cannot be put on their topic; trying again.");
                break;
            }
        }
    }
    if published.is_empty() { Ok(()) } else { app.db.letters_published(&published).await }
}

/// What cannot be decoded goes on as it is; the rest in the form of the original's dead letters.
fn as_message(letter: &Letter) -> Vec<u8> {
    match serde_json::from_slice::<serde_json::Value>(&letter.raw) {
        Ok(notification) if letter.notification_id.is_some() => json!({
            "notification": notification,
            "error": letter.error,
            "reason": letter.reason,
            "failedAt": letter.created_at.as_millisecond(),
            "retryCount": letter.attempts.saturating_sub(1).max(0),
        })
        .to_string()
        .into_bytes(),
        _ => letter.raw.clone(),
    }
}

/// Puts undecodable letters back on the log when their time has come.
async fn redrive_letters(app: &App) -> Result<(), DbError> {
    let mut redriven = Vec::new();
    for letter in app.db.letters_to_redrive(LETTERS).await? {
        if let Err(cause) = app.producer.redrive(&letter.key, &letter.raw).await {
            tracing::warn!(%cause, "Dead letters cannot be put back on the log; trying again.");
            break;
        }
        redriven.push(letter.id);
    }
    if redriven.is_empty() { Ok(()) } else { app.db.letters_redriven(&redriven).await }
}

/// Deletes what is older than it may be, a batch at a time, so that nobody waits for a lock.
async fn delete_old(app: &App, stopping: &CancellationToken) -> Result<(), DbError> {
    let retention = &app.config.retention;
    let (batch, full) = (retention.batch.max(1), u64::from(retention.batch.max(1)));
    let (rows, events) = (retention.notifications, retention.events);
    while !rows.is_zero() && !stopping.is_cancelled() {
        let deleted = app.db.delete_old_notifications(rows, batch).await?;
        if deleted < full && app.db.delete_old_letters(rows, batch).await? < full {
            break;
        }
    }
    while !events.is_zero() && !stopping.is_cancelled() {
        if app.db.delete_old_events(events, batch).await? < full {
            break;
        }
    }
    Ok(())
}

/// Loads what the most active users want into Redis, before it is asked for.
async fn warm(app: &App) -> Result<(), DbError> {
    let users = app.db.most_active_users(app.config.cache.warm_users).await?;
    let users: Vec<_> = users.iter().map(|(tenant, user)| recipient_key(tenant.as_deref(), user)).collect();
    app.cache.load_recipients(&app.db, &users, &mut Recipients::new()).await?;
    app.metrics.cache_events(keys::USER, "warmed", users.len() as u64);
    Ok(())
}
