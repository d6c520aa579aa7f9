//! Whom PostgreSQL admits, and who holds the connections that there are.

use super::Postgres;
use crate::domain::database::ConnectionUse;
use crate::error::{Context, Result};
use sqlx::{Connection, Row};
use std::time::Duration;

/// How a server answered to one that wants in.
#[derive(Debug)]
pub enum Connecting {
    /// It let it in.
    Admitted(Postgres),
    /// It admits no more connections; its own words.
    Full(String),
}

impl Postgres {
    /// Whether the connection still answers, and in time.
    pub async fn is_alive(&mut self, timeout: Duration) -> bool {
        matches!(tokio::time::timeout(timeout, self.connection.ping()).await, Ok(Ok(())))
    }

    /// Who holds how many of the connections that it admits. What is reserved for superusers is admitted only
    /// where the role that asks is one.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn connection_use(&mut self) -> Result<ConnectionUse> {
        let rows = sqlx::query(
            "SELECT coalesce(nullif(application_name, ''), usename::text, '-'), count(*),
                    (sum(count(*)) OVER ())::int8,
                    (SELECT setting::int8 FROM pg_settings WHERE name = 'max_connections')
                    - CASE WHEN (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN 0
                           ELSE (SELECT coalesce(sum(setting::int8), 0)::int8 FROM pg_settings
                                 WHERE name IN ('superuser_reserved_connections', 'reserved_connections')) END
             FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY 1 ORDER BY 2 DESC LIMIT 4",
        )
        .fetch_all(self.asked())
        .await
        .context("cannot count who holds connections")?;
        let first = rows.first();
        Ok(ConnectionUse {
            // The one that asks is among them.
            held: first.map_or(1, |row| row.get(2)),
            admitted: first.map_or(1, |row| row.get(3)),
            holders: rows.iter().map(|row| (row.get(0), row.get(1))).collect(),
        })
    }
}
