//! Dead letters on their way in, and on to their topic and back to the log.

use super::super::{Db, DbError};
use nsys_contract::status::Channel;
use nsys_contract::{schema, topics};
use sqlx::Row;
use uuid::Uuid;

/// A message that cannot be handled, with its place on the log.
pub(crate) struct Undecodable<'a> {
    pub(crate) reason: &'static str,
    /// Tenant, user and channel, where they could be read.
    pub(crate) addressee: Option<(Option<&'a str>, &'a str, Channel)>,
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: &'a [u8],
    pub(crate) raw: &'a [u8],
    pub(crate) error: String,
}

/// A dead letter that waits to be put on a topic.
pub(crate) struct OutgoingDeadLetter {
    pub(crate) id: i64,
    pub(crate) notification_id: Option<Uuid>,
    pub(crate) reason: String,
    pub(crate) error: String,
    pub(crate) attempts: i32,
    pub(crate) key: Vec<u8>,
    /// The message; `None` when it is larger than the log takes.
    pub(crate) raw: Option<Vec<u8>>,
    /// Bytes of the message.
    pub(crate) bytes: i32,
    pub(crate) created_at: jiff::Timestamp,
}

/// Characters of an error that go on the topic.
const MAX_ERROR: usize = 4_096;
/// Bytes of the messages that one look brings, but for the first one.
const BATCH_BYTES: i64 = 8 << 20;

impl Db {
    /// Keeps messages that cannot be handled, bytes and all. One that comes again leaves nothing more.
    pub(crate) async fn insert_dead_letters(&self, messages: &[&Undecodable<'_>]) -> Result<(), DbError> {
        let mut connection = self.acquire().await?;
        let column =
            |value: fn(&Undecodable<'_>) -> Vec<u8>| messages.iter().copied().map(value).collect::<Vec<_>>();
        let query = sqlx::query(
            "INSERT INTO dead_letters (topic, log_partition, log_offset, message_key, raw, error, reason, tenant_id,
                 user_id, channel)
             SELECT * FROM UNNEST($1::text[], $2::int[], $3::bigint[], $4::bytea[], $5::bytea[], $6::text[],
                 $7::text[], $8::text[], $9::text[], $10::text[])
             ON CONFLICT DO NOTHING",
        )
        .bind(messages.iter().map(|one| one.topic).collect::<Vec<_>>())
        .bind(messages.iter().map(|one| one.partition).collect::<Vec<_>>())
        .bind(messages.iter().map(|one| one.offset).collect::<Vec<_>>())
        .bind(column(|one| one.key.to_vec()))
        .bind(column(|one| one.raw.to_vec()))
        .bind(messages.iter().map(|one| one.error.replace('\0', "")).collect::<Vec<_>>())
        .bind(messages.iter().map(|one| one.reason).collect::<Vec<_>>())
        .bind(messages.iter().map(|one| one.addressee?.0).collect::<Vec<_>>())
        .bind(messages.iter().map(|one| Some(one.addressee?.1)).collect::<Vec<_>>())
        .bind(messages.iter().map(|one| Some(one.addressee?.2.as_str())).collect::<Vec<_>>())
        .execute(&mut *connection);
        self.timed("insert", schema::DEAD_LETTERS, query).await.map(|_| ())
    }

    /// Dead letters that are not on their topic yet, oldest first.
    pub(crate) async fn list_unpublished_dead_letters(
        &self,
        limit: i64,
    ) -> Result<Vec<OutgoingDeadLetter>, DbError> {
        self.letters("WHERE published_at IS NULL ORDER BY id", limit).await
    }

    /// Undecodable dead letters that are to go back on the log now.
    pub(crate) async fn list_due_redrives(&self, limit: i64) -> Result<Vec<OutgoingDeadLetter>, DbError> {
        self.letters("WHERE redrive_at <= now() AND redriven_at IS NULL ORDER BY redrive_at, id", limit).await
    }

    async fn letters(&self, which: &str, limit: i64) -> Result<Vec<OutgoingDeadLetter>, DbError> {
        let mut connection = self.acquire().await?;
        // The lengths first: they are known without the messages.
        let sql = format!(
            "WITH due AS MATERIALIZED (
                 SELECT id, row_number() OVER () AS place,
                     CASE WHEN bytes <= $2 THEN bytes ELSE 0 END AS sent, bytes
                 FROM (SELECT id, octet_length(raw) AS bytes FROM dead_letters {which} LIMIT $1) AS found
             ), sized AS (
                 SELECT id, place, bytes FROM (
                     SELECT *, sum(sent) OVER (ORDER BY place) AS upto FROM due) AS summed
                 WHERE upto - sent < $3
             )
             SELECT d.id, notification_id, reason, left(error, {MAX_ERROR}) AS error, attempts, bytes, created_at,
                 CASE WHEN bytes <= $2 THEN raw END AS raw,
                 coalesce(message_key, convert_to(coalesce(user_id, ''), 'UTF8')) AS key
             FROM sized JOIN dead_letters d USING (id) ORDER BY place"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(limit)
            .bind(i64::try_from(topics::MAX_MESSAGE_BYTES).unwrap_or(i64::MAX))
            .bind(BATCH_BYTES)
            .fetch_all(&mut *connection);
        let rows = self.timed("select", schema::DEAD_LETTERS, query).await?;
        let letter = |row: &sqlx::postgres::PgRow| {
            Ok(OutgoingDeadLetter {
                id: row.try_get("id")?,
                notification_id: row.try_get("notification_id")?,
                reason: row.try_get("reason")?,
                error: row.try_get("error")?,
                attempts: row.try_get("attempts")?,
                key: row.try_get("key")?,
                raw: row.try_get("raw")?,
                bytes: row.try_get("bytes")?,
                created_at: row.try_get::<jiff_sqlx::Timestamp, _>("created_at")?.to_jiff(),
            })
        };
        rows.iter().map(letter).collect::<Result<_, sqlx::Error>>().map_err(DbError::from)
    }

    /// These are on their topic.
    pub(crate) async fn mark_dead_letters_published(&self, ids: &[i64]) -> Result<(), DbError> {
        self.mark_dead_letters("published_at", ids).await
    }

    /// These are back on the log.
    pub(crate) async fn mark_dead_letters_redriven(&self, ids: &[i64]) -> Result<(), DbError> {
        self.mark_dead_letters("redriven_at", ids).await
    }

    /// This one does not go back on the log.
    pub(crate) async fn cancel_redrive(&self, id: i64) -> Result<(), DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query("UPDATE dead_letters SET redrive_at = NULL WHERE id = $1")
            .bind(id)
            .execute(&mut *connection);
        self.timed("update", schema::DEAD_LETTERS, query).await.map(|_| ())
    }

    async fn mark_dead_letters(&self, column: &'static str, ids: &[i64]) -> Result<(), DbError> {
        let mut connection = self.acquire().await?;
        let sql = format!("UPDATE dead_letters SET {column} = now() WHERE id = ANY($1) AND {column} IS NULL");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(ids).execute(&mut *connection);
        self.timed("update", schema::DEAD_LETTERS, query).await.map(|_| ())
    }
}
