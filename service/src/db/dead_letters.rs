//! Dead letters on their way in, and on to their topic and back to the log.

use super::{Db, DbError};
use nsys_contract::schema;
use sqlx::Row;
use uuid::Uuid;

/// A message that cannot be decoded, with its place on the log.
pub(crate) struct Undecodable<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: &'a [u8],
    pub(crate) raw: &'a [u8],
    pub(crate) error: String,
}

/// A letter that waits to be put on a topic.
pub(crate) struct Letter {
    pub(crate) id: i64,
    pub(crate) notification_id: Option<Uuid>,
    pub(crate) reason: String,
    pub(crate) error: String,
    pub(crate) attempts: i32,
    pub(crate) key: Vec<u8>,
    pub(crate) raw: Vec<u8>,
    pub(crate) created_at: jiff::Timestamp,
}

impl Db {
    /// Keeps messages that cannot be handled, bytes and all. One that comes again leaves nothing more.
    pub(crate) async fn keep_undecodable(&self, messages: &[&Undecodable<'_>]) -> Result<(), DbError> {
        let mut connection = self.acquire().await?;
        let column =
            |value: fn(&Undecodable<'_>) -> Vec<u8>| messages.iter().copied().map(value).collect::<Vec<_>>();
        let query = sqlx::query(
            "INSERT INTO dead_letters (reason, topic, log_partition, log_offset, message_key, raw, error)
             SELECT 'undecodable', * FROM UNNEST($1::text[], $2::int[], $3::bigint[], $4::bytea[], $5::bytea[], $6::text[])
             ON CONFLICT DO NOTHING",
        )
        .bind(messages.iter().map(|one| one.topic).collect::<Vec<_>>())
        .bind(messages.iter().map(|one| one.partition).collect::<Vec<_>>())
        .bind(messages.iter().map(|one| one.offset).collect::<Vec<_>>())
        .bind(column(|one| one.key.to_vec()))
        .bind(column(|one| one.raw.to_vec()))
        .bind(messages.iter().map(|one| one.error.replace('\0', "")).collect::<Vec<_>>())
        .execute(&mut *connection);
        self.timed("insert", schema::DEAD_LETTERS, query).await.map(|_| ())
    }

    /// Letters that are not on their topic yet, oldest first.
    pub(crate) async fn unpublished_letters(&self, limit: i64) -> Result<Vec<Letter>, DbError> {
        self.letters("WHERE published_at IS NULL ORDER BY id", limit).await
    }

    /// Undecodable letters that are to go back on the log now.
    pub(crate) async fn letters_to_redrive(&self, limit: i64) -> Result<Vec<Letter>, DbError> {
        self.letters("WHERE redrive_at <= now() AND redriven_at IS NULL ORDER BY redrive_at, id", limit).await
    }

    async fn letters(&self, which: &str, limit: i64) -> Result<Vec<Letter>, DbError> {
        let mut connection = self.acquire().await?;
        let sql = format!(
            "SELECT id, notification_id, reason, error, attempts, raw, created_at,
                 coalesce(message_key, convert_to(coalesce(user_id, ''), 'UTF8')) AS key
             FROM dead_letters {which} LIMIT $1"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(limit).fetch_all(&mut *connection);
        let rows = self.timed("select", schema::DEAD_LETTERS, query).await?;
        let letter = |row: &sqlx::postgres::PgRow| {
            Ok(Letter {
                id: row.try_get("id")?,
                notification_id: row.try_get("notification_id")?,
                reason: row.try_get("reason")?,
                error: row.try_get("error")?,
                attempts: row.try_get("attempts")?,
                key: row.try_get("key")?,
                raw: row.try_get("raw")?,
                created_at: row.try_get::<jiff_sqlx::Timestamp, _>("created_at")?.to_jiff(),
            })
        };
        rows.iter().map(letter).collect::<Result<_, sqlx::Error>>().map_err(DbError::from)
    }

    /// These are on their topic.
    pub(crate) async fn letters_published(&self, ids: &[i64]) -> Result<(), DbError> {
        self.mark_letters("published_at", ids).await
    }

    /// These are back on the log.
    pub(crate) async fn letters_redriven(&self, ids: &[i64]) -> Result<(), DbError> {
        self.mark_letters("redriven_at", ids).await
    }

    async fn mark_letters(&self, column: &'static str, ids: &[i64]) -> Result<(), DbError> {
        let mut connection = self.acquire().await?;
        let sql = format!("UPDATE dead_letters SET {column} = now() WHERE id = ANY($1) AND {column} IS NULL");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(ids).execute(&mut *connection);
        self.timed("update", schema::DEAD_LETTERS, query).await.map(|_| ())
    }
}
