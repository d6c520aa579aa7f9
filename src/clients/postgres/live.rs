//! What is read again and again while somebody watches: counters of statements, tables, the database.
//!
//! What asks PostgreSQL about itself is left out of the statements: it is not the load.

use super::Postgres;
use crate::domain::database::TableSize;
use crate::domain::live::{LiveStatement, TableUse, Totals};
use crate::error::{Context, Result};
use sqlx::Row;

impl Postgres {
    /// Statements with their counters, the ones with the most time.
    ///
    /// # Errors
    /// When the server refuses, or the extension is missing.
    pub async fn counted_statements(&mut self, limit: i64) -> Result<Vec<LiveStatement>> {
        let rows = sqlx::query(
            "SELECT queryid, left(regexp_replace(query, '\\s+', ' ', 'g'), 400), calls, total_exec_time, rows
             FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
             AND queryid IS NOT NULL AND query !~ 'pg_(stat|settings|catalog|blocking)' ORDER BY total_exec_time DESC LIMIT $1",
        )
        .bind(limit)
        .fetch_all(self.asked())
        .await
        .context("cannot read pg_stat_statements")?;
        let of = |row: &sqlx::postgres::PgRow| LiveStatement {
            id: row.get(0),
            query: row.get(1),
            calls: row.get(2),
            total_ms: row.get(3),
            rows: row.get(4),
        };
        Ok(rows.iter().map(of).collect())
    }

    /// Counters of the database that is connected to.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn totals(&mut self) -> Result<Totals> {
        let row = sqlx::query(
            "SELECT xact_commit, xact_rollback, blks_hit, blks_read, deadlocks
             FROM pg_stat_database WHERE datname = current_database()",
        )
        .fetch_one(self.asked())
        .await
        .context("cannot read pg_stat_database")?;
        Ok(Totals {
            commits: row.get(0),
            rollbacks: row.get(1),
            hits: row.get(2),
            reads: row.get(3),
            deadlocks: row.get(4),
        })
    }

    /// Tables with their sizes and how they are read, largest first, and the size of the database.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn table_use(&mut self, limit: i64) -> Result<(Vec<TableUse>, i64)> {
        let rows = sqlx::query(
            "SELECT relname::text, pg_total_relation_size(relid), pg_indexes_size(relid), n_live_tup, n_dead_tup,
                    seq_scan, coalesce(idx_scan, 0), pg_database_size(current_database())
             FROM pg_stat_user_tables ORDER BY 2 DESC LIMIT $1",
        )
        .bind(limit)
        .fetch_all(self.asked())
        .await
        .context("cannot list tables")?;
        let of = |row: &sqlx::postgres::PgRow| TableUse {
            size: TableSize {
                table: row.get(0),
                total_bytes: row.get(1),
                index_bytes: row.get(2),
                live_rows: row.get(3),
                dead_rows: row.get(4),
                // An estimate costs a look at the statistics of every column; nobody watches it.
                bloat_bytes: None,
                partition_of: None,
            },
            sequential_scans: row.get(5),
            index_scans: row.get(6),
        };
        Ok((rows.iter().map(of).collect(), rows.first().map_or(0, |row| row.get(7))))
    }
}
