//! Notifications inserted in their first state.

use super::delivery::{Due, RowState, column, count, ms, sparse, write_history};
use super::{Db, DbError};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use nsys_contract::schema;
use nsys_contract::status::{Channel, NotificationType, Priority};
use sqlx::error::{BoxDynError, DatabaseError};
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::{Arguments, Connection};
use std::time::Duration;
use uuid::Uuid;

/// A notification that has no row yet, as its message has it.
pub(crate) struct NewRow<'a> {
    pub(crate) id: Uuid,
    pub(crate) user_id: &'a str,
    pub(crate) tenant_id: Option<&'a str>,
    pub(crate) channel: Channel,
    pub(crate) kind: NotificationType,
    pub(crate) priority: Priority,
    /// JSON text.
    pub(crate) payload: &'a str,
    pub(crate) scheduled_for: Option<Timestamp>,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) created_at: Timestamp,
    pub(crate) idempotency_key: Option<&'a str>,
    pub(crate) request_hash: Option<&'a str>,
    pub(crate) correlation_id: Option<&'a str>,
    pub(crate) causation_id: Option<&'a str>,
    pub(crate) state: RowState,
}

// Side by side in the list of what is selected, the arrays are walked through in step; as a table
// (`FROM UNNEST`) each would be written into a store of its own first. What is shorter is filled up.
macro_rules! insert_sql {
    ($repeats:literal) => {
        concat!(
            "INSERT INTO notifications (id, user_id, tenant_id, channel, type, priority, status, payload, scheduled_for,
                 next_attempt_at, expires_at, created_at, updated_at, idempotency_key, request_hash, correlation_id,
                 causation_id, retry_count, error_message, provider, duration_ms, sent_at, failed_at, event_id)
             SELECT id, user_id, tenant_id, channel, type, priority, status, payload::jsonb, scheduled_for,
                 CASE status WHEN 'PROCESSING' THEN now() + make_interval(secs => $20) ELSE due END,
                 expires_at, created_at, CASE WHEN status = 'SCHEDULED' THEN created_at ELSE now() END,
                 idempotency_key, request_hash, correlation_id, causation_id, coalesce(retry_count, 0), error,
                 CASE WHEN due IS NULL THEN provider END, CASE WHEN due IS NULL THEN took_ms END,
                 CASE WHEN status IN ('SENT', 'DELIVERED') THEN now() END, CASE WHEN status = 'FAILED' THEN now() END,
                 CASE WHEN due IS NULL AND status <> 'PROCESSING' THEN nextval('events_id_seq') END
             FROM (SELECT *, coalesce(due_at, now() + make_interval(secs => wait_s)) AS due
                 FROM (SELECT unnest($1::uuid[]) AS id, unnest($2::text[]) AS user_id, unnest($3::text[]) AS tenant_id,
                     unnest($4::text[]) AS channel, unnest($5::text[]) AS type, unnest($6::text[]) AS priority,
                     unnest($7::text[]) AS status, unnest($8::text[]) AS payload,
                     unnest($9::timestamptz[]) AS scheduled_for, unnest($10::timestamptz[]) AS due_at,
                     unnest($11::timestamptz[]) AS expires_at, unnest($12::timestamptz[]) AS created_at,
                     unnest($13::text[]) AS idempotency_key, unnest($14::text[]) AS request_hash,
                     unnest($15::text[]) AS correlation_id, unnest($16::text[]) AS causation_id,
                     unnest($17::int[]) AS retry_count, unnest($18::text[]) AS error, unnest($19::text[]) AS provider,
                     unnest($21::real[]) AS took_ms, unnest($22::float8[]) AS wait_s) AS columns) AS rows",
            $repeats,
            " RETURNING id"
        )
    };
}

/// Rows on their way to the table. What the statement takes is made with them, so that nothing but sending
/// is left to do when their turn comes.
pub(crate) struct Insertion<'a> {
    rows: Vec<NewRow<'a>>,
    lease: Duration,
    /// Gone once it was sent.
    arguments: Option<PgArguments>,
}

impl<'a> Insertion<'a> {
    /// Rows of which those in `PROCESSING` are held for `lease`.
    pub(crate) fn new(rows: Vec<NewRow<'a>>, lease: Duration) -> Self {
        // What is wrong with them shows when they are sent.
        let arguments = arguments(&rows, lease).ok();
        Self { rows, lease, arguments }
    }

    pub(crate) fn rows(&self) -> &[NewRow<'a>] {
        &self.rows
    }

    fn leaves_history(&self) -> bool {
        self.rows.iter().any(|row| row.state.leaves_history())
    }

    /// Fails when a row is there already, unless such are expected.
    async fn send(
        &mut self,
        connection: &mut PgConnection,
        expect_repeats: bool,
    ) -> Result<Vec<Uuid>, sqlx::Error> {
        let arguments = match self.arguments.take() {
            Some(arguments) => arguments,
            None => arguments(&self.rows, self.lease).map_err(sqlx::Error::Encode)?,
        };
        let sql = if expect_repeats { insert_sql!(" ON CONFLICT DO NOTHING") } else { insert_sql!("") };
        sqlx::query_scalar_with(sql, arguments).fetch_all(connection).await
    }

    /// The same with what the rows leave behind, in one transaction where that is more than rows.
    async fn send_whole(
        &mut self,
        connection: &mut PgConnection,
        expect_repeats: bool,
    ) -> Result<Vec<Uuid>, sqlx::Error> {
        if !self.leaves_history() {
            return self.send(connection, expect_repeats).await;
        }
        let mut transaction = connection.begin().await?;
        let stored = self.send(&mut transaction, expect_repeats).await?;
        let new = |row: &&NewRow<'_>| row.state.leaves_history() && stored.contains(&row.id);
        let states = self.rows.iter().filter(new).map(|row| (row.id, &row.state)).collect::<Vec<_>>();
        write_history(&mut transaction, &states).await?;
        transaction.commit().await?;
        Ok(stored)
    }
}

impl Db {
    /// Inserts the rows that are new, in the state they are in, and returns their ids. A row that exists
    /// already keeps its state.
    pub(crate) async fn store(&self, insertion: &mut Insertion<'_>) -> Result<Vec<Uuid>, DbError> {
        let mut connection = self.acquire().await?;
        let stored = async {
            let expected = self.repeats.are_expected();
            let mut stored = insertion.send_whole(&mut connection, expected).await;
            let is_repeat = |error: &dyn DatabaseError| error.is_unique_violation();
            if !expected
                && let Err(cause) = &stored
                && cause.as_database_error().is_some_and(is_repeat)
            {
                stored = insertion.send_whole(&mut connection, true).await;
            }
            if let Ok(new) = &stored {
                self.repeats.note(new.len() < insertion.rows.len());
            }
            stored
        };
        self.timed("insert", schema::NOTIFICATIONS, stored).await
    }
}

fn arguments(rows: &[NewRow<'_>], lease: Duration) -> Result<PgArguments, BoxDynError> {
    let mut all = PgArguments::default();
    all.add(column(rows, |row| row.id))?;
    all.add(column(rows, |row| row.user_id))?;
    all.add(sparse(rows, |row| row.tenant_id))?;
    all.add(column(rows, |row| row.channel.as_str()))?;
    all.add(column(rows, |row| row.kind.as_str()))?;
    all.add(column(rows, |row| row.priority.as_str()))?;
    all.add(column(rows, |row| row.state.status.as_str()))?;
    all.add(column(rows, |row| row.payload))?;
    all.add(sparse(rows, |row| instant(row.scheduled_for)))?;
    all.add(sparse(rows, |row| row.state.due.and_then(Due::at)))?;
    all.add(sparse(rows, |row| instant(row.expires_at)))?;
    all.add(column(rows, |row| row.created_at.to_sqlx()))?;
    all.add(sparse(rows, |row| row.idempotency_key))?;
    all.add(sparse(rows, |row| row.request_hash))?;
    all.add(sparse(rows, |row| row.correlation_id))?;
    all.add(sparse(rows, |row| row.causation_id))?;
    all.add(sparse(rows, |row| Some(count(row.state.retry_count)).filter(|count| *count > 0)))?;
    all.add(sparse(rows, |row| row.state.error.as_deref()))?;
    all.add(column(rows, |row| row.state.attempt.map(|attempt| attempt.provider)))?;
    all.add(lease.as_secs_f64())?;
    all.add(column(rows, |row| row.state.attempt.map(|attempt| ms(attempt.took))))?;
    all.add(sparse(rows, |row| row.state.due.and_then(Due::seconds)))?;
    Ok(all)
}

fn instant(at: Option<Timestamp>) -> Option<jiff_sqlx::Timestamp> {
    at.map(ToSqlx::to_sqlx)
}
