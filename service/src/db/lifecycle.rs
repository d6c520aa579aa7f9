//! What is done to a notification by hand: cancelled, rescheduled, tried again; and its history.

use super::notifications::notification;
use super::walk::COLUMNS;
use super::{Db, DbError};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use nsys_contract::api::{Attempt, Notification, NotificationEvent, Reschedule};
use nsys_contract::schema;
use nsys_contract::status::Status;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

/// What became of a change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// It was made; the notification as it is now.
    Made(Box<Notification>),
    /// There is no row. An accepted one may not be stored yet.
    Absent,
    /// It cannot be made in this state.
    WrongState(Status),
    /// The notification changed since the caller saw it.
    Stale(Timestamp),
}

/// Moves failed notifications into a new round: their ending becomes history, their letters count as
/// redriven. `$1` ids, `$2` seconds from now, `$3` by whom.
pub(super) const REVIVE: &str = "WITH due AS (
         SELECT * FROM UNNEST($1::uuid[], $2::float8[]) AS t(id, wait_s)
     ), failed AS (
         SELECT n.*, due.wait_s FROM notifications n JOIN due USING (id) WHERE n.status = 'FAILED' FOR UPDATE OF n
     ), attempts AS (
         INSERT INTO delivery_attempts (notification_id, attempt, provider, outcome, error, duration_ms, started_at)
         SELECT id, retry_count + 1, provider, status, error_message, coalesce(duration_ms, 0), failed_at
         FROM failed WHERE provider IS NOT NULL
         ON CONFLICT (notification_id, attempt) DO NOTHING
     ), ended AS (
         -- The ending keeps its number: who follows events has had it.
         INSERT INTO events (id, notification_id, status, detail, created_at) OVERRIDING SYSTEM VALUE
         SELECT coalesce(event_id, nextval('events_id_seq')), id, status, error_message, coalesce(failed_at, updated_at)
         FROM failed
     ), began AS (
         INSERT INTO events (notification_id, status, detail) SELECT id, 'RETRYING', $3 FROM failed
     ), letters AS (
         UPDATE dead_letters d SET redriven_at = now() FROM failed f
         WHERE d.notification_id = f.id AND d.redriven_at IS NULL
     )
     UPDATE notifications n
     SET status = 'RETRYING', next_attempt_at = now() + make_interval(secs => f.wait_s), updated_at = now(),
         -- What failed without an attempt has no number to count on from.
         retry_count = f.retry_count + CASE WHEN f.provider IS NULL THEN 0 ELSE 1 END,
         first_attempt = f.retry_count + CASE WHEN f.provider IS NULL THEN 1 ELSE 2 END,
         held_s = 0, provider = NULL, duration_ms = NULL, failed_at = NULL, error_message = NULL, event_id = NULL
     FROM failed f WHERE n.id = f.id
     RETURNING n.id";

impl Db {
    /// Cancels a notification that was not handed to its provider yet.
    pub(crate) async fn cancel(&self, id: Uuid, by: &str) -> Result<Change, DbError> {
        const STATES: [Status; 3] = [Status::Pending, Status::Scheduled, Status::Retrying];
        self.change(id, &STATES, None, async |connection| {
            sqlx::query(
                "WITH changed AS (
                     UPDATE notifications SET status = 'CANCELLED', next_attempt_at = NULL, updated_at = now()
                     WHERE id = $1 RETURNING id)
                 INSERT INTO events (notification_id, status, detail) SELECT id, 'CANCELLED', $2 FROM changed",
            )
            .bind(id)
            .bind(by)
            .execute(connection)
            .await
        })
        .await
    }

    /// Changes what still waits for its time. With `seen`, only if it was last changed at one of these instants.
    pub(crate) async fn reschedule(
        &self,
        id: Uuid,
        to: &Reschedule,
        seen: Option<&[Timestamp]>,
        by: &str,
    ) -> Result<Change, DbError> {
        self.change(id, &[Status::Scheduled], seen, async |connection| {
            sqlx::query(
                "WITH changed AS (
                     UPDATE notifications SET scheduled_for = coalesce($3, scheduled_for),
                         next_attempt_at = coalesce($3, next_attempt_at), payload = coalesce($4, payload),
                         priority = coalesce($5, priority), updated_at = now()
                     WHERE id = $1 RETURNING id)
                 INSERT INTO events (notification_id, status, detail) SELECT id, 'SCHEDULED', $2 FROM changed",
            )
            .bind(id)
            .bind(by)
            .bind(to.scheduled_for.map(ToSqlx::to_sqlx))
            .bind(to.payload.clone().map(serde_json::Value::Object))
            .bind(to.priority.map(nsys_contract::status::Priority::as_str))
            .execute(connection)
            .await
        })
        .await
    }

    /// Tries a failed notification again, with all its attempts; one that waits for its next attempt
    /// is tried now.
    pub(crate) async fn retry(&self, id: Uuid, by: &str) -> Result<Change, DbError> {
        self.change(id, &[Status::Failed, Status::Retrying], None, async |connection| {
            sqlx::query(REVIVE).bind([id]).bind([0.0_f64]).bind(by).execute(&mut *connection).await?;
            sqlx::query(
                "UPDATE notifications SET next_attempt_at = now() WHERE id = $1 AND status = 'RETRYING'",
            )
            .bind(id)
            .execute(connection)
            .await
        })
        .await
    }

    /// Makes a change while nobody else can, if the notification is in one of the states.
    async fn change<T>(
        &self,
        id: Uuid,
        states: &[Status],
        seen: Option<&[Timestamp]>,
        make: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<Change, DbError> {
        let select =
            |lock| sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM notifications WHERE id = $1 {lock}"));
        let change = async {
            let mut transaction = self.main.inner().begin().await?;
            let found = sqlx::query(select("FOR UPDATE")).bind(id).fetch_optional(&mut *transaction).await?;
            let Some(row) = found else { return Ok(Change::Absent) };
            let before = notification(&row)?;
            if seen.is_some_and(|seen| !seen.contains(&before.updated_at)) {
                return Ok(Change::Stale(before.updated_at));
            }
            if !states.contains(&before.status) {
                return Ok(Change::WrongState(before.status));
            }
            make(&mut transaction).await?;
            let row = sqlx::query(select("")).bind(id).fetch_one(&mut *transaction).await?;
            let after = notification(&row)?;
            transaction.commit().await?;
            Ok(Change::Made(Box::new(after)))
        };
        self.timed("update", schema::NOTIFICATIONS, change).await
    }

    /// Everything that happened to a notification, oldest first; empty when there is no row.
    pub(crate) async fn list_events(&self, id: Uuid) -> Result<Vec<NotificationEvent>, DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query(
            "SELECT id, status, detail, created_at FROM notification_events WHERE notification_id = $1
             ORDER BY id = 0 DESC, created_at, id",
        )
        .bind(id)
        .fetch_all(&mut *connection);
        let rows = self.timed("select", schema::EVENTS, query).await?;
        let event = |row: &PgRow| {
            Ok(NotificationEvent {
                id: row.try_get("id")?,
                status: row.try_get("status")?,
                detail: row.try_get("detail")?,
                created_at: instant(row, "created_at")?,
            })
        };
        rows.iter().map(event).collect::<Result<_, sqlx::Error>>().map_err(DbError::from)
    }

    /// Every attempt to deliver a notification, first to last.
    pub(crate) async fn list_attempts(&self, id: Uuid) -> Result<Vec<Attempt>, DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query(
            "SELECT attempt, provider, outcome, error, duration_ms, started_at FROM notification_attempts
             WHERE notification_id = $1 ORDER BY attempt",
        )
        .bind(id)
        .fetch_all(&mut *connection);
        let rows = self.timed("select", schema::DELIVERY_ATTEMPTS, query).await?;
        let attempt = |row: &PgRow| {
            Ok(Attempt {
                attempt: row.try_get("attempt")?,
                provider: row.try_get("provider")?,
                outcome: row.try_get("outcome")?,
                error: row.try_get("error")?,
                duration_ms: row.try_get("duration_ms")?,
                started_at: instant(row, "started_at")?,
            })
        };
        rows.iter().map(attempt).collect::<Result<_, sqlx::Error>>().map_err(DbError::from)
    }
}

fn instant(row: &PgRow, column: &str) -> Result<Timestamp, sqlx::Error> {
    row.try_get::<jiff_sqlx::Timestamp, _>(column).map(jiff_sqlx::Timestamp::to_jiff)
}
