//! Finds a notification that was acknowledged, wherever it is by now: in this process, in Redis, in
//! PostgreSQL, or still on the log.

use crate::cache::LookupMiss;
use crate::db::DbError;
use crate::domain::view::NotificationView;
use crate::http::app::App;
use std::sync::Arc;
use uuid::Uuid;

/// What is known of an id.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// It exists.
    Yes(Arc<NotificationView>),
    /// It was never acknowledged.
    No,
    /// It may have been acknowledged; the workers are too far behind to tell.
    NotYet,
}

/// Finds a notification. "No" is only said when everything accepted before is stored: with Redis gone
/// an id may be known to nobody but the log.
pub(crate) async fn notification(app: &App, id: Uuid) -> Result<Found, DbError> {
    if let Some(held) = app.parts.cache.held(id).await {
        return Ok(Found::Yes(held));
    }
    if app.parts.cache.is_absent(id) {
        return Ok(Found::No);
    }
    if let Some(read) = read(app, id).await? {
        return Ok(Found::Yes(read));
    }
    if !Box::pin(app.ingestion.caught_up()).await {
        return Ok(Found::NotYet);
    }
    match Box::pin(stored(app, id)).await? {
        Some(row) => Ok(Found::Yes(Arc::new(row))),
        None => {
            app.parts.cache.note_absent(id);
            Ok(Found::No)
        }
    }
}

/// What Redis and table say, without waiting for the log.
async fn read(app: &App, id: Uuid) -> Result<Option<Arc<NotificationView>>, DbError> {
    let read = Box::pin(app.parts.cache.notification::<DbError>(id, stored(app, id))).await;
    let recent = || app.parts.cache.acknowledged(id);
    match read {
        Ok(found) => Ok(found.or_else(recent)),
        Err(failure) => match &*failure {
            LookupMiss::Absent => Ok(recent()),
            // The database is away, but we may know it all the same.
            LookupMiss::Failed(cause) => recent().map(Some).ok_or_else(|| cause.clone()),
        },
    }
}

/// What the table says.
async fn stored(app: &App, id: Uuid) -> Result<Option<NotificationView>, DbError> {
    Ok(app.parts.db.fetch_notification(id).await?.as_ref().map(NotificationView::new))
}
