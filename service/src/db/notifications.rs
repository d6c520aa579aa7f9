//! Notifications: batched inserts, batched endings, keyset pages.

use super::{Db, DbError};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use nsys_contract::api::Notification;
use nsys_contract::event::Envelope;
use nsys_contract::schema;
use nsys_contract::status::{Channel, NotificationType, Priority, Status};
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::collections::HashMap;
use uuid::Uuid;

const COLUMNS: &str = "id, user_id, tenant_id, channel, type, priority, status, scheduled_for, expires_at, \
    created_at, updated_at, correlation_id, idempotency_key";

/// What the table says about an id of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    pub(crate) status: Status,
    pub(crate) retry_count: u32,
}

/// The end of one attempt, to be written.
pub(crate) struct Finished {
    pub(crate) id: Uuid,
    pub(crate) status: Status,
    pub(crate) attempt: u32,
    pub(crate) provider: &'static str,
    pub(crate) error: Option<String>,
    pub(crate) took_ms: f64,
    /// When another attempt is due, for `RETRYING`.
    pub(crate) next_attempt_at: Option<Timestamp>,
}

/// Which notifications a list shows. `after` is the last (created_at, id) of the page before.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListFilter {
    pub(crate) tenant_id: Option<String>,
    pub(crate) user_id: Option<String>,
    pub(crate) status: Option<Status>,
    pub(crate) channel: Option<Channel>,
    pub(crate) correlation_id: Option<String>,
    pub(crate) after: Option<(Timestamp, Uuid)>,
    pub(crate) limit: i64,
    pub(crate) skip: i64,
}

fn member<T: std::str::FromStr<Err = nsys_contract::status::UnknownMember>>(
    row: &PgRow,
    column: &str,
) -> Result<T, sqlx::Error> {
    let text: &str = row.try_get(column)?;
    text.parse()
        .map_err(|cause| sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(cause) })
}

fn notification(row: &PgRow) -> Result<Notification, sqlx::Error> {
    let instant = |column: &str| row.try_get::<jiff_sqlx::Timestamp, _>(column).map(|at| at.to_jiff());
    let maybe = |column: &str| {
        row.try_get::<Option<jiff_sqlx::Timestamp>, _>(column).map(|at| at.map(jiff_sqlx::Timestamp::to_jiff))
    };
    Ok(Notification {
        id: row.try_get("id")?,
        user_id: row.try_get("user_id")?,
        tenant_id: row.try_get("tenant_id")?,
        channel: member(row, "channel")?,
        kind: member::<NotificationType>(row, "type")?,
        priority: member::<Priority>(row, "priority")?,
        status: member(row, "status")?,
        scheduled_for: maybe("scheduled_for")?,
        created_at: instant("created_at")?,
        updated_at: instant("updated_at")?,
        correlation_id: row.try_get("correlation_id")?,
        idempotency_key: row.try_get("idempotency_key")?,
        expires_at: maybe("expires_at")?,
        duplicate: false,
    })
}

fn column<T>(envelopes: &[&Envelope], value: impl Fn(&Envelope) -> T) -> Vec<T> {
    envelopes.iter().map(|envelope| value(envelope)).collect()
}

impl Db {
    /// Inserts the rows that are new and says how every id of the batch stands now.
    ///
    /// One statement whatever the batch size. A row that exists already keeps its state: it may be
    /// final, or left over from a worker that died.
    pub(crate) async fn store(&self, envelopes: &[&Envelope]) -> Result<HashMap<Uuid, Stored>, DbError> {
        let instants = |ms: Vec<Option<i64>>| -> Vec<Option<f64>> {
            ms.into_iter().map(|ms| ms.map(|ms| ms as f64 / 1_000.0)).collect()
        };
        let ids = column(envelopes, |e| e.id);
        let mut connection = self.acquire().await?;
        let insert = sqlx::query(
            "INSERT INTO notifications (id, user_id, tenant_id, channel, type, priority, status, payload,
                 scheduled_for, next_attempt_at, expires_at, created_at, updated_at, idempotency_key, request_hash,
                 correlation_id, causation_id)
             SELECT id, user_id, tenant_id, channel, type, priority, status, payload, to_timestamp(scheduled_for),
                 to_timestamp(scheduled_for), to_timestamp(expires_at), to_timestamp(created_at), to_timestamp(created_at), idempotency_key,
                 request_hash, correlation_id, causation_id
             FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                 $8::jsonb[], $9::float8[], $10::float8[], $11::float8[], $12::text[], $13::text[], $14::text[],
                 $15::text[])
                 AS t(id, user_id, tenant_id, channel, type, priority, status, payload, scheduled_for, expires_at,
                 created_at, idempotency_key, request_hash, correlation_id, causation_id)
             ON CONFLICT DO NOTHING",
        )
        .bind(&ids)
        .bind(column(envelopes, |e| e.user_id.clone()))
        .bind(column(envelopes, |e| e.tenant_id.clone()))
        .bind(column(envelopes, |e| e.channel.as_str()))
        .bind(column(envelopes, |e| e.kind.as_str()))
        .bind(column(envelopes, |e| e.priority.as_str()))
        .bind(column(envelopes, |e| e.status.as_str()))
        .bind(column(envelopes, |e| e.payload.clone()))
        .bind(instants(column(envelopes, |e| e.scheduled_for)))
        .bind(instants(column(envelopes, |e| e.expires_at)))
        .bind(column(envelopes, |e| e.timestamp as f64 / 1_000.0))
        .bind(column(envelopes, |e| e.idempotency_key.clone()))
        .bind(column(envelopes, |e| e.request_hash.clone()))
        .bind(column(envelopes, |e| e.correlation_id.clone()))
        .bind(column(envelopes, |e| e.causation_id.clone()))
        .execute(&mut *connection);
        self.timed("insert", schema::NOTIFICATIONS, insert).await?;
        let select = sqlx::query("SELECT id, status, retry_count FROM notifications WHERE id = ANY($1)")
            .bind(&ids)
            .fetch_all(&mut *connection);
        let rows = self.timed("select", schema::NOTIFICATIONS, select).await?;
        let stored = rows.iter().map(|row| {
            let retry_count: i32 = row.try_get("retry_count")?;
            let stored = Stored { status: member(row, "status")?, retry_count: retry_count.unsigned_abs() };
            Ok((row.try_get("id")?, stored))
        });
        stored.collect::<Result<_, sqlx::Error>>().map_err(DbError::from)
    }

    /// Writes the ends of attempts with their attempts and events, in one transaction. A row that is
    /// final already is left alone, so that a repeated delivery takes effect once.
    pub(crate) async fn finish(&self, finished: &[Finished]) -> Result<(), DbError> {
        if finished.is_empty() {
            return Ok(());
        }
        let query = async {
            let mut transaction = self.pool.begin().await?;
            sqlx::query(
                "WITH ended AS (
                     SELECT * FROM UNNEST($1::uuid[], $2::text[], $3::int[], $4::text[], $5::text[], $6::float8[],
                         $7::timestamptz[]) AS t(id, status, attempt, provider, error, took_ms, next_attempt_at)
                 ), updated AS (
                     UPDATE notifications n
                     SET status = e.status, retry_count = e.attempt - 1, error_message = e.error,
                         next_attempt_at = e.next_attempt_at, updated_at = now(),
                         sent_at = CASE WHEN e.status IN ('SENT', 'DELIVERED') THEN now() END,
                         failed_at = CASE WHEN e.status = 'FAILED' THEN now() END
                     FROM ended e
                     WHERE n.id = e.id AND n.status NOT IN ('SENT', 'DELIVERED', 'FAILED', 'CANCELLED', 'EXPIRED')
                     RETURNING e.*, n.payload
                 ), dead AS (
                     INSERT INTO dead_letters (notification_id, reason, error, raw)
                     SELECT u.id, 'exhausted', coalesce(u.error, ''), convert_to(u.payload::text, 'UTF8')
                     FROM updated u WHERE u.status = 'FAILED'
                 ), recorded AS (
                     INSERT INTO events (notification_id, status, detail) SELECT id, status, error FROM updated
                 )
                 INSERT INTO delivery_attempts (notification_id, attempt, provider, outcome, error, duration_ms)
                 SELECT id, attempt, provider, status, error, took_ms FROM updated
                 ON CONFLICT (notification_id, attempt) DO NOTHING",
            )
            .bind(finished.iter().map(|f| f.id).collect::<Vec<_>>())
            .bind(finished.iter().map(|f| f.status.as_str()).collect::<Vec<_>>())
            .bind(finished.iter().map(|f| i32::try_from(f.attempt).unwrap_or(i32::MAX)).collect::<Vec<_>>())
            .bind(finished.iter().map(|f| f.provider).collect::<Vec<_>>())
            .bind(finished.iter().map(|f| f.error.clone()).collect::<Vec<_>>())
            .bind(finished.iter().map(|f| f.took_ms).collect::<Vec<_>>())
            .bind(finished.iter().map(|f| f.next_attempt_at.map(ToSqlx::to_sqlx)).collect::<Vec<_>>())
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await
        };
        self.timed("update", schema::NOTIFICATIONS, query).await
    }

    /// Takes up to `limit` rows that are due (scheduled or retrying, or left behind by a worker that
    /// died) and holds them for `lease`. Two workers never get the same row.
    pub(crate) async fn claim_due(
        &self,
        limit: i64,
        lease: std::time::Duration,
    ) -> Result<Vec<Envelope>, DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query(
            "UPDATE notifications SET status = 'PROCESSING', next_attempt_at = now() + make_interval(secs => $2),
                 updated_at = now()
             WHERE id IN (
                 SELECT id FROM notifications
                 WHERE next_attempt_at <= now() AND status IN ('SCHEDULED', 'RETRYING', 'PROCESSING')
                 ORDER BY next_attempt_at LIMIT $1 FOR UPDATE SKIP LOCKED)
             RETURNING id, user_id, tenant_id, channel, type, priority, retry_count, expires_at, created_at",
        )
        .bind(limit)
        .bind(lease.as_secs_f64())
        .fetch_all(&mut *connection);
        let rows = self.timed("update", schema::NOTIFICATIONS, query).await?;
        rows.iter().map(due_envelope).collect::<Result<_, sqlx::Error>>().map_err(DbError::from)
    }

    pub(crate) async fn fetch_notification(&self, id: Uuid) -> Result<Option<Notification>, DbError> {
        let mut connection = self.acquire().await?;
        let sql = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM notifications WHERE id = $1"));
        let query = sqlx::query(sql).bind(id).fetch_optional(&mut *connection);
        let row = self.timed("select", schema::NOTIFICATIONS, query).await?;
        row.as_ref().map(notification).transpose().map_err(DbError::from)
    }

    /// One page of notifications, newest first.
    pub(crate) async fn list_notifications(&self, filter: &ListFilter) -> Result<Vec<Notification>, DbError> {
        let mut sql = sqlx::QueryBuilder::<sqlx::Postgres>::new(format!(
            "SELECT {COLUMNS} FROM notifications WHERE true"
        ));
        if let Some(tenant) = &filter.tenant_id {
            sql.push(" AND tenant_id = ").push_bind(tenant);
        }
        if let Some(user) = &filter.user_id {
            sql.push(" AND user_id = ").push_bind(user);
        }
        if let Some(status) = filter.status {
            sql.push(" AND status = ").push_bind(status.as_str());
        }
        if let Some(channel) = filter.channel {
            sql.push(" AND channel = ").push_bind(channel.as_str());
        }
        if let Some(correlation) = &filter.correlation_id {
            sql.push(" AND correlation_id = ").push_bind(correlation);
        }
        if let Some((created_at, id)) = filter.after {
            sql.push(" AND (created_at, id) < (").push_bind(created_at.to_sqlx());
            sql.push(", ").push_bind(id).push(")");
        }
        sql.push(" ORDER BY created_at DESC, id DESC LIMIT ").push_bind(filter.limit);
        if filter.skip > 0 {
            sql.push(" OFFSET ").push_bind(filter.skip);
        }
        let mut connection = self.acquire().await?;
        let query = sql.build();
        let rows = self.timed("select", schema::NOTIFICATIONS, query.fetch_all(&mut *connection)).await?;
        rows.iter().map(notification).collect::<Result<_, sqlx::Error>>().map_err(DbError::from)
    }

    /// Keeps a message that cannot be handled, bytes and all.
    pub(crate) async fn store_dead_letter(
        &self,
        id: Option<Uuid>,
        reason: &str,
        error: &str,
        raw: &[u8],
    ) -> Result<(), DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query(
            "INSERT INTO dead_letters (notification_id, reason, error, raw) VALUES ($1, $2, $3, $4)",
        )
        .bind(id)
        .bind(reason)
        .bind(error)
        .bind(raw)
        .execute(&mut *connection);
        self.timed("insert", schema::DEAD_LETTERS, query).await?;
        Ok(())
    }
}

fn due_envelope(row: &PgRow) -> Result<Envelope, sqlx::Error> {
    let ms = |column: &str| {
        row.try_get::<Option<jiff_sqlx::Timestamp>, _>(column)
            .map(|at| at.map(|at| at.to_jiff().as_millisecond()))
    };
    let retry_count: i32 = row.try_get("retry_count")?;
    Ok(Envelope {
        id: row.try_get("id")?,
        version: nsys_contract::event::SCHEMA_VERSION.to_owned(),
        timestamp: ms("created_at")?.unwrap_or_default(),
        idempotency_key: None,
        request_hash: None,
        user_id: row.try_get("user_id")?,
        tenant_id: row.try_get("tenant_id")?,
        kind: member(row, "type")?,
        channel: member(row, "channel")?,
        priority: member(row, "priority")?,
        status: Status::Processing,
        scheduled_for: None,
        expires_at: ms("expires_at")?,
        payload: serde_json::Value::Null,
        correlation_id: None,
        causation_id: None,
        retry_count: retry_count.unsigned_abs(),
    })
}
