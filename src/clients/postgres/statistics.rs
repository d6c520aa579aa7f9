//! Counters that can be compared with a later look: statements, tables, indexes.

use super::Postgres;
use crate::domain::advice::TableNames;
use crate::domain::snapshot::{CountedStatement, Snapshot};
use crate::error::{Context, Result};
use sqlx::Row;
use std::collections::HashMap;

impl Postgres {
    /// Messages of which the workers have recorded in the last seven days that the log lost them.
    ///
    /// # Errors
    /// When the server refuses, or the schema is older than that record.
    pub async fn lost_messages(&mut self) -> Result<i64> {
        let row = sqlx::query(
            "SELECT coalesce(sum(next_offset - first_offset), 0)::int8 FROM log_gaps
             WHERE found_at > now() - interval '7 days'",
        )
        .fetch_one(self.asked())
        .await
        .context("cannot read what the log has lost")?;
        Ok(row.get(0))
    }

    /// Every statement of this database with its counters.
    ///
    /// # Errors
    /// When the server refuses, or does not count statements.
    pub async fn statements(&mut self) -> Result<Vec<CountedStatement>> {
        let rows = sqlx::query(
            "SELECT queryid, min(query), sum(calls)::int8, sum(total_exec_time)::float8
             FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND queryid IS NOT NULL GROUP BY queryid",
        )
        .fetch_all(self.asked())
        .await
        .context("cannot read pg_stat_statements")?;
        let of = |row: &sqlx::postgres::PgRow| CountedStatement {
            id: row.get(0),
            query: row.get(1),
            calls: row.get(2),
            total_ms: row.get(3),
        };
        Ok(rows.iter().map(of).collect())
    }

    /// Since when statements are counted.
    ///
    /// # Errors
    /// When the server does not count statements.
    pub async fn statements_since(&mut self) -> Result<String> {
        let row = sqlx::query("SELECT stats_reset::text FROM pg_stat_statements_info")
            .fetch_one(self.asked())
            .await
            .context("cannot read pg_stat_statements_info")?;
        Ok(row.get(0))
    }

    /// Whether this server is a replica, and what its receiver of the primary's log does.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn recovery(&mut self) -> Result<(bool, Option<String>)> {
        let row = sqlx::query("SELECT pg_is_in_recovery(), (SELECT status FROM pg_stat_wal_receiver)")
            .fetch_one(self.asked())
            .await
            .context("cannot ask whether this is a replica")?;
        Ok((row.get(0), row.get(1)))
    }

    /// Everything that a later look can be compared with.
    ///
    /// # Errors
    /// When the server refuses, or does not count statements.
    pub async fn snapshot(&mut self) -> Result<Snapshot> {
        Ok(Snapshot {
            at: crate::clock::now(),
            statements_since: self.statements_since().await?,
            use_since: self.statistics_since().await?,
            statements: self.statements().await?,
            tables: self.table_sizes().await?,
            indexes: self.indexes().await?,
        })
    }

    /// How SQL spells each table, by schema and name: quoted where it must be, with its schema unless
    /// that is `public`.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn table_names(&mut self) -> Result<TableNames> {
        let rows = sqlx::query(
            "SELECT n.nspname::text, c.relname::text, c.oid::regclass::text
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')",
        )
        .fetch_all(self.asked())
        .await
        .context("cannot list tables")?;
        Ok(rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect())
    }

    /// How many distinct values the columns of a table have, as far as the statistics know. Table and
    /// columns are spelled as SQL spells them.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn distinct_values(&mut self, table: &str) -> Result<HashMap<String, f64>> {
        // Negative numbers are shares of the rows.
        let rows = sqlx::query(
            "SELECT quote_ident(s.attname), CASE WHEN s.n_distinct < 0 THEN -s.n_distinct * greatest(c.reltuples, 1) ELSE s.n_distinct END::float8
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname
             WHERE c.oid = to_regclass($1)",
        )
        .bind(table)
        .fetch_all(self.asked())
        .await
        .context("cannot read the statistics of columns")?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }
}
