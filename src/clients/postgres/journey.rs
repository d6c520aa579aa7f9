//! How far one notification has come, as its row and its attempts say.

use super::Postgres;
use crate::error::{Context, Result};
use sqlx::Row;

/// The state of one notification.
#[derive(Clone, Debug, PartialEq)]
pub struct NotificationState {
    /// Its status.
    pub status: String,
    /// Attempts so far.
    pub attempts: i64,
    /// What the last attempt went through, and its length in ms.
    pub last: Option<(String, f64)>,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

impl Postgres {
    /// The state of a notification; absent while it has no row.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn progress_of(&mut self, id: uuid::Uuid) -> Result<Option<NotificationState>> {
        let row = sqlx::query(
            "SELECT n.status, n.error_message, coalesce(a.attempt, 0)::int8, a.provider, a.duration_ms
             FROM notifications n
             LEFT JOIN LATERAL (
                 SELECT attempt, provider, duration_ms FROM notification_attempts
                 WHERE notification_id = n.id ORDER BY attempt DESC LIMIT 1) a ON true
             WHERE n.id = $1",
        )
        .bind(id)
        .fetch_optional(self.asked())
        .await
        .context("cannot follow the notification")?;
        Ok(row.map(|row| NotificationState {
            status: row.get(0),
            error: row.get(1),
            attempts: row.get(2),
            last: row.get::<Option<String>, _>(3).zip(row.get::<Option<f64>, _>(4)),
        }))
    }
}
