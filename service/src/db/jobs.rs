//! Jobs: work that one worker does once each period, and the statements of those jobs.

use super::{Db, DbError};
use nsys_contract::schema;
use std::time::Duration;

impl Db {
    /// Whether it is this process's turn: true for one process in each `period`. The time of the
    /// database counts, so clocks of workers do not have to agree.
    pub(crate) async fn claim_job_run(&self, job: &str, period: Duration) -> Result<bool, DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query_scalar::<_, String>(
            "INSERT INTO jobs AS j (name, next_run_at, ran_at, ran_by)
             VALUES ($1, now() + make_interval(secs => $2), now(), $3)
             ON CONFLICT (name) DO UPDATE SET next_run_at = excluded.next_run_at, ran_at = now(), ran_by = excluded.ran_by
             WHERE j.next_run_at <= now() RETURNING name",
        )
        .bind(job)
        .bind(period.as_secs_f64())
        .bind(format!("pid {}", std::process::id()))
        .fetch_optional(&mut *connection);
        Ok(self.timed("update", schema::JOBS, query).await?.is_some())
    }

    /// Deletes up to `limit` notifications that ended longer than `age` ago, with what belongs to them. Returns
    /// how many. What was accepted long before its time is kept as long as any other.
    pub(crate) async fn delete_old_notifications(&self, age: Duration, limit: u32) -> Result<u64, DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query_scalar::<_, i64>(
            "WITH old AS (
                 DELETE FROM notifications WHERE id IN (
                     SELECT id FROM notifications
                     WHERE created_at < now() - make_interval(secs => $1)
                         AND updated_at < now() - make_interval(secs => $1)
                         AND status IN ('SENT', 'DELIVERED', 'FAILED', 'CANCELLED', 'EXPIRED')
                     LIMIT $2 FOR UPDATE SKIP LOCKED)
                 RETURNING id
             ), attempts AS (
                 DELETE FROM delivery_attempts WHERE notification_id IN (SELECT id FROM old)
             ), happened AS (
                 DELETE FROM events WHERE notification_id IN (SELECT id FROM old)
             ), letters AS (
                 DELETE FROM dead_letters WHERE notification_id IN (SELECT id FROM old)
             )
             SELECT count(*) FROM old",
        )
        .bind(age.as_secs_f64())
        .bind(i64::from(limit))
        .fetch_one(&mut *connection);
        let deleted = self.timed("delete", schema::NOTIFICATIONS, query).await?;
        Ok(u64::try_from(deleted).unwrap_or(0))
    }

    /// Deletes up to `limit` events older than `age`. Returns how many.
    pub(crate) async fn delete_old_events(&self, age: Duration, limit: u32) -> Result<u64, DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query(
            "DELETE FROM events WHERE id IN (
                 SELECT id FROM events WHERE created_at < now() - make_interval(secs => $1) LIMIT $2)",
        )
        .bind(age.as_secs_f64())
        .bind(i64::from(limit))
        .execute(&mut *connection);
        Ok(self.timed("delete", schema::EVENTS, query).await?.rows_affected())
    }

    /// Deletes up to `limit` dead letters without a notification that are older than `age`. Returns how many.
    pub(crate) async fn delete_old_dead_letters(&self, age: Duration, limit: u32) -> Result<u64, DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query(
            "DELETE FROM dead_letters WHERE id IN (
                 SELECT id FROM dead_letters
                 WHERE notification_id IS NULL AND created_at < now() - make_interval(secs => $1) LIMIT $2)",
        )
        .bind(age.as_secs_f64())
        .bind(i64::from(limit))
        .execute(&mut *connection);
        Ok(self.timed("delete", schema::DEAD_LETTERS, query).await?.rows_affected())
    }

    /// The users with the most notifications of the last day, as (tenant, user).
    pub(crate) async fn most_active_users(
        &self,
        limit: u32,
    ) -> Result<Vec<(Option<String>, String)>, DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query_as(
            "SELECT tenant_id, user_id FROM notifications WHERE created_at > now() - interval '1 day'
             GROUP BY tenant_id, user_id ORDER BY count(*) DESC, user_id LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(&mut *connection);
        self.timed("select", schema::NOTIFICATIONS, query).await
    }
}
