//! What PostgreSQL counted: activity now, counters and statements since their last reset.

use super::Postgres;
use crate::domain::database::{Activity, StatementCount};
use crate::error::{Context, Result};
use sqlx::Row;

impl Postgres {
    /// Activity now and counters since the statistics began, of the current database.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn activity(&mut self) -> Result<Activity> {
        let row = sqlx::query(
            "SELECT a.connections, a.active, a.lock_waits, d.xact_commit, d.blks_read, d.blks_hit, d.temp_bytes, d.deadlocks
             FROM pg_stat_database d,
                  (SELECT count(*) AS connections, count(*) FILTER (WHERE state = 'active') AS active,
                          count(*) FILTER (WHERE wait_event_type = 'Lock') AS lock_waits
                   FROM pg_stat_activity WHERE backend_type = 'client backend' AND coalesce(application_name, '') <> 'nsys') a
             WHERE d.datname = current_database()",
        )
        .fetch_one(self.asked())
        .await
        .context("cannot read the activity")?;
        let count = |index: usize| u64::try_from(row.get::<i64, _>(index)).unwrap_or(0);
        Ok(Activity {
            connections: count(0),
            active: count(1),
            lock_waits: count(2),
            commits: row.get(3),
            blocks_read: row.get(4),
            blocks_hit: row.get(5),
            temp_bytes: row.get(6),
            deadlocks: row.get(7),
        })
    }

    /// Every statement of the current database with its counts since their last reset; what was asked
    /// of the statistics themselves is left out.
    ///
    /// # Errors
    /// When `pg_stat_statements` is not there.
    pub async fn statement_counts(&mut self) -> Result<Vec<StatementCount>> {
        let rows = sqlx::query(
            "SELECT coalesce(queryid, 0), left(regexp_replace(query, '\\s+', ' ', 'g'), 160), calls, total_exec_time
             FROM pg_stat_statements
             WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND query NOT LIKE '%pg\\_stat%'",
        )
        .fetch_all(self.asked())
        .await
        .context("cannot read pg_stat_statements")?;
        let of = |row: &sqlx::postgres::PgRow| StatementCount {
            id: row.get(0),
            query: row.get(1),
            calls: row.get(2),
            total_ms: row.get(3),
        };
        Ok(rows.iter().map(of).collect())
    }
}
