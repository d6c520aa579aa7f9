//! PostgreSQL: the only SQL of the service.

mod notifications;
mod users;

pub(crate) use notifications::{Finished, ListFilter};
pub(crate) use users::RegisterError;

use crate::telemetry::Metrics;
use anyhow::Context;
use nsys_contract::config::Db as Settings;
use nsys_contract::schema::REQUIRED_SCHEMA_VERSION;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use std::time::Instant;

/// A failed query, as text that may be logged.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct DbError(String);

impl From<sqlx::Error> for DbError {
    fn from(cause: sqlx::Error) -> Self {
        Self(cause.to_string())
    }
}

/// The pool of one process.
pub(crate) struct Db {
    pool: PgPool,
    metrics: Metrics,
    pool_size: u32,
}

impl Db {
    pub(crate) async fn connect(settings: &Settings, metrics: Metrics) -> anyhow::Result<Self> {
        let options: PgConnectOptions = settings.url.parse().context("db.url is not a PostgreSQL address")?;
        let options = options
            .application_name("notification-service")
            .options([("statement_timeout", settings.statement_timeout.as_millis().to_string())]);
        let pool = PgPoolOptions::new()
            .max_connections(settings.pool_size)
            .acquire_timeout(settings.pool_timeout)
            .connect_with(options)
            .await
            .context("it does not answer")?;
        Ok(Self { pool, metrics, pool_size: settings.pool_size })
    }

    /// Refuses a schema that is older than this build.
    pub(crate) async fn require_schema(&self) -> anyhow::Result<()> {
        let version: Option<i64> =
            sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
                .fetch_one(&self.pool)
                .await
                .context("the schema is missing; run `nsys db migrate`")?;
        let version = version.unwrap_or(0);
        anyhow::ensure!(
            version >= REQUIRED_SCHEMA_VERSION,
            "schema version {version} is older than the {REQUIRED_SCHEMA_VERSION} this build needs; run `nsys db migrate`"
        );
        Ok(())
    }

    /// Whether a query gets through.
    pub(crate) async fn ping(&self) -> Result<(), DbError> {
        let mut connection = self.acquire().await?;
        sqlx::query("SELECT 1").execute(&mut *connection).await?;
        Ok(())
    }

    /// (connections in use, connections open, most connections).
    pub(crate) fn pool_state(&self) -> (usize, u32, u32) {
        let open = self.pool.size();
        let active = (open as usize).saturating_sub(self.pool.num_idle());
        self.metrics.pool(i64::try_from(active).unwrap_or(i64::MAX), i64::from(self.pool_size));
        (active, open, self.pool_size)
    }

    /// A connection; the wait for it is measured apart from the query.
    async fn acquire(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Postgres>, DbError> {
        let started = Instant::now();
        let connection = self.pool.acquire().await;
        self.metrics.pool_wait(started.elapsed());
        self.pool_state();
        Ok(connection?)
    }

    /// Runs a query and measures it.
    async fn timed<T>(
        &self,
        operation: &'static str,
        table: &'static str,
        query: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, DbError> {
        let started = Instant::now();
        let result = query.await;
        self.metrics.query(operation, table, started.elapsed(), result.is_err());
        Ok(result?)
    }
}
