//! Rows read one by one: one that this build cannot read is reported, and spoils no other.

use super::{Db, DbError};
use nsys_contract::api::UnreadableRow;
use nsys_contract::schema;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

/// A row, or why it cannot be read.
pub(crate) type Read<T> = Result<T, UnreadableRow>;

/// Reads each row by itself.
pub(super) fn each<T>(
    table: &'static str,
    rows: &[PgRow],
    read: impl Fn(&PgRow) -> Result<T, sqlx::Error>,
) -> Vec<Read<T>> {
    rows.iter().map(|row| read(row).map_err(|cause| unreadable(table, row, &cause))).collect()
}

/// Those that can be read, and those that cannot.
pub(crate) fn parted<T>(rows: Vec<Read<T>>) -> (Vec<T>, Vec<UnreadableRow>) {
    let (mut read, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        match row {
            Ok(row) => read.push(row),
            Err(row) => unreadable.push(row),
        }
    }
    (read, unreadable)
}

pub(super) fn unreadable(table: &'static str, row: &PgRow, cause: &sqlx::Error) -> UnreadableRow {
    let id = row
        .try_get::<Uuid, _>("id")
        .map(|id| id.to_string())
        .or_else(|_| row.try_get::<i64, _>("id").map(|id| id.to_string()))
        .or_else(|_| row.try_get::<String, _>("id"))
        .unwrap_or_default();
    tracing::warn!(%table, %id, %cause, "A row cannot be read.");
    UnreadableRow { id, error: cause.to_string() }
}

impl Db {
    /// Gives up a notification that was claimed and cannot be read: it has failed, and its row is kept as a
    /// dead letter.
    pub(crate) async fn bury(&self, id: Uuid, error: &str) -> Result<bool, DbError> {
        const SQL: &str = concat!(
            "WITH tried AS (
                 UPDATE notifications SET status = 'FAILED', failed_at = now(), next_attempt_at = NULL,
                     error_message = $2, updated_at = now(), provider = NULL, duration_ms = NULL,
                     event_id = nextval('events_id_seq')
                 WHERE id = $1 AND status = 'PROCESSING' RETURNING *
             )
             INSERT INTO dead_letters (notification_id, tenant_id, user_id, channel, attempts, reason, error, raw)
             SELECT id, tenant_id, user_id, channel, retry_count, 'undecodable', $2, ",
            envelope_sql!(),
            " FROM tried
             ON CONFLICT (notification_id) WHERE notification_id IS NOT NULL AND redriven_at IS NULL
                 DO UPDATE SET error = excluded.error
             RETURNING id"
        );
        let mut connection = self.acquire().await?;
        let query = sqlx::query(SQL).bind(id).bind(error).fetch_optional(&mut *connection);
        Ok(self.timed("update", schema::NOTIFICATIONS, query).await?.is_some())
    }
}
