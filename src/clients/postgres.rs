//! The only place that names sqlx: everything nsys asks of PostgreSQL.

mod activity;
mod admission;
mod hypothetical;
mod index;
mod journey;
mod ledger;
mod live;
mod migrations;
mod pooler;
mod prebuild;
mod reconcile;
mod schema;
mod statistics;

pub use admission::Connecting;
pub use hypothetical::PlannedQuery;
pub use index::{BuildProgress, Execution};
pub use journey::NotificationState;
pub use reconcile::StoredRows;
pub use schema::own_indexes;

use crate::domain::database::{Connections, LockWait, TableSize};
use crate::domain::run::Statement;
use crate::error::{Context, Error, Result};
use crate::permit::ChangePermit;
use migrations::MIGRATIONS;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection, Row};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What nsys calls itself, so that nobody counts its looks as load.
const APPLICATION: &str = "nsys";
/// The SQLSTATE of a server that admits no more connections.
const TOO_MANY_CONNECTIONS: &str = "53300";

/// The first version that has what the migrations ask for: unique indexes in which nulls are equal.
const OLDEST_SERVER: u32 = 15;

/// What the server counted, at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ServerCounters {
    /// Time in statements of this database since their statistics began, in ms; nsys' own looks left out.
    pub exec_ms: f64,
    /// The part of it that went into reading blocks, in ms.
    pub io_ms: f64,
    /// Sequential scans of the notifications table, and the rows that they read.
    pub scans: (i64, i64),
    /// Notifications that are stored but not delivered, waiting ones for later left out.
    pub undelivered: i64,
}

/// Why the driver failed, in words that do not need its source.
fn reason(cause: &sqlx::Error) -> String {
    match cause {
        sqlx::Error::Io(cause) => super::network_reason(cause),
        // The server's own words, without where in its source it says so.
        sqlx::Error::Database(said) => said.message().to_owned(),
        _ => cause.to_string(),
    }
}

/// A connection for one command.
#[derive(Debug)]
pub struct Postgres {
    connection: PgConnection,
}

/// Statements that this process has asked, over all connections.
static ASKED: AtomicU64 = AtomicU64::new(0);

/// How many statements this process has asked so far: what measuring costs is measured too.
#[must_use]
pub fn statements_asked() -> u64 {
    ASKED.load(Ordering::Relaxed)
}

impl Postgres {
    /// The connection, for one more statement.
    fn asked(&mut self) -> &mut PgConnection {
        ASKED.fetch_add(1, Ordering::Relaxed);
        &mut self.connection
    }

    /// Connects.
    ///
    /// # Errors
    /// When the server does not take the connection in time; the message is the server's own. Refused when
    /// it is a pooler in transaction mode.
    pub async fn connect(url: &str, timeout: Duration) -> Result<Self> {
        match Self::try_connect(url, timeout).await? {
            Connecting::Admitted(admitted) => Ok(admitted),
            Connecting::Full(said) => {
                Err(Error::unreachable(format!("PostgreSQL admits no more connections: {said}"))
                    .hint("nsys db pool shows who holds them, once one is free"))
            }
        }
    }

    /// Connects, and tells a server that admits no more connections from one that cannot be reached.
    ///
    /// # Errors
    /// When the server does not answer in time, or refuses for another reason; the message is its own.
    pub async fn try_connect(url: &str, timeout: Duration) -> Result<Connecting> {
        // A statement that takes long is what we look for, not what we warn of.
        let options: PgConnectOptions = url
            .parse()
            .map_err(|cause| Error::usage(format!("db.url is not a PostgreSQL address: {cause}")))?;
        let options = options.application_name(APPLICATION).disable_statement_logging();
        match tokio::time::timeout(timeout, options.connect()).await {
            Ok(Ok(mut connection)) => {
                Box::pin(pooler::check(&mut connection, &options)).await?;
                Ok(Connecting::Admitted(Self { connection }))
            }
            Ok(Err(sqlx::Error::Database(cause)))
                if cause.code().as_deref() == Some(TOO_MANY_CONNECTIONS) =>
            {
                Ok(Connecting::Full(cause.message().to_owned()))
            }
            Ok(Err(cause)) => Err(pooler::refusal(&cause).unwrap_or_else(|| {
                Error::unreachable(format!("postgres: {}", reason(&cause))).cause(&cause)
            })),
            Err(_) => Err(Error::unreachable(format!("postgres did not answer within {timeout:?}"))),
        }
    }

    /// Creates the database unless it is there. `name` is ours, not the user's.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn ensure_database(&mut self, _permit: &ChangePermit, name: &str) -> Result<()> {
        let there = sqlx::query("SELECT 1 FROM pg_database WHERE datname = $1")
            .bind(name)
            .fetch_optional(self.asked())
            .await
            .context("cannot list databases")?;
        if there.is_none() {
            let statement = sqlx::AssertSqlSafe(format!("CREATE DATABASE \"{name}\""));
            sqlx::raw_sql(statement).execute(self.asked()).await.context("cannot create the database")?;
        }
        Ok(())
    }

    /// Applies the migrations that are missing, under an advisory lock. Their indexes on large tables are built
    /// beforehand, concurrently.
    ///
    /// # Errors
    /// When one fails, or one that was applied has changed since. Refused by a server that is too old for them.
    pub async fn migrate(&mut self, permit: &ChangePermit) -> Result<()> {
        let version = self.connection.server_version_num();
        if let Some(major) = version.map(|version| version / 10_000).filter(|major| *major < OLDEST_SERVER) {
            let why = format!("this is PostgreSQL {major}, and the schema needs {OLDEST_SERVER} or later");
            return Err(Error::refused(why).hint("docs/SUPPORT.md lists the versions that were tried"));
        }
        self.prebuild_indexes(permit).await?;
        MIGRATIONS.run_direct(None, self.asked(), false).await.context("cannot migrate the database")
    }

    /// The newest applied migration; 0 when there is none.
    ///
    /// # Errors
    /// When the schema was never migrated.
    pub async fn schema_version(&mut self) -> Result<i64> {
        let row = sqlx::query("SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success")
            .fetch_one(self.asked())
            .await
            .context("the schema was never migrated")?;
        Ok(row.get(0))
    }

    /// Makes the account at `email` an administrator.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn promote(&mut self, _permit: &ChangePermit, email: &str) -> Result<()> {
        sqlx::query("UPDATE users SET role = 'ADMIN' WHERE lower(email) = lower($1)")
            .bind(email)
            .execute(self.asked())
            .await
            .with_context(|| format!("cannot make {email} an administrator"))?;
        Ok(())
    }

    /// Adds an administrator with a tenant of its own; `hash` is its password's (PHC format).
    ///
    /// # Errors
    /// When the server refuses, as where another account has that address.
    pub async fn add_administrator(
        &mut self,
        _permit: &ChangePermit,
        email: &str,
        name: &str,
        hash: &str,
    ) -> Result<()> {
        let id = uuid::Uuid::now_v7();
        sqlx::query(
            "INSERT INTO users (id, email, name, password_hash, role, tenant_id) VALUES ($1, $2, $3, $4, 'ADMIN', $5)",
        )
        .bind(id)
        .bind(email)
        .bind(name)
        .bind(hash)
        .bind(id.to_string())
        .execute(self.asked())
        .await
        .with_context(|| format!("cannot make {email} an administrator"))?;
        Ok(())
    }

    /// Fills the seeded table up to `rows` notifications of `users` users. Ids are the MD5 of
    /// `nsys-seed-N`, so that a generator can compute them. Returns how many rows were added.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn seed(&mut self, permit: &ChangePermit, users: u32, rows: u32) -> Result<u64> {
        let added = self.seed_range(permit, users, 0, rows).await?;
        sqlx::raw_sql("ANALYZE notifications").execute(self.asked()).await.context("cannot analyze")?;
        Ok(added)
    }

    /// Adds the seeded notifications numbered from `from` up to, not including, `to`, as far as they
    /// are missing. Returns how many were.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn seed_range(
        &mut self,
        _permit: &ChangePermit,
        users: u32,
        from: u32,
        to: u32,
    ) -> Result<u64> {
        let done = sqlx::query(
            "INSERT INTO notifications (id, user_id, channel, type, priority, status, payload, correlation_id, created_at, updated_at)
             SELECT md5('nsys-seed-' || n)::uuid, 'seed-user-' || (n % $1), 'EMAIL', 'SYSTEM', 'MEDIUM', 'DELIVERED',
                    '{\"to\": \"seed@example.com\"}'::jsonb, 'seed-correlation-' || (n / 10), now() - n * interval '1 second', now()
             FROM generate_series($2::int8, $3::int8 - 1) AS n ON CONFLICT DO NOTHING",
        )
        .bind(i64::from(users.max(1)))
        .bind(i64::from(from))
        .bind(i64::from(to))
        .execute(self.asked())
        .await
        .context("cannot seed the tables")?;
        Ok(done.rows_affected())
    }

    /// Ids of the newest notifications.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn newest_ids(&mut self, limit: i64) -> Result<Vec<uuid::Uuid>> {
        let rows = sqlx::query("SELECT id FROM notifications ORDER BY created_at DESC LIMIT $1")
            .bind(limit)
            .fetch_all(self.asked())
            .await
            .context("cannot list notifications")?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Open client connections, our own left out.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn connections(&mut self) -> Result<u64> {
        let row = sqlx::query(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'
             AND coalesce(application_name, '') <> 'nsys'",
        )
        .fetch_one(self.asked())
        .await
        .context("cannot count connections")?;
        Ok(u64::try_from(row.get::<i64, _>(0)).unwrap_or(0))
    }

    /// What the server says of its version.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn version(&mut self) -> Result<String> {
        let row = sqlx::query("SELECT current_setting('server_version')")
            .fetch_one(self.asked())
            .await
            .context("cannot ask for the version")?;
        Ok(row.get(0))
    }

    /// The server's clock, in seconds since the epoch.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn clock_s(&mut self) -> Result<f64> {
        let row = sqlx::query("SELECT extract(epoch FROM clock_timestamp())::float8")
            .fetch_one(self.asked())
            .await
            .context("cannot ask for the time")?;
        Ok(row.get(0))
    }

    /// The statements that took the most time since the reset.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn top_statements(&mut self, limit: i64, min_mean_ms: f64) -> Result<Vec<Statement>> {
        let rows = sqlx::query(
            "SELECT left(regexp_replace(query, '\\s+', ' ', 'g'), 160), calls, total_exec_time, mean_exec_time
             FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND mean_exec_time >= $2
             ORDER BY total_exec_time DESC LIMIT $1",
        )
        .bind(limit)
        .bind(min_mean_ms)
        .fetch_all(self.asked())
        .await
        .context("cannot read pg_stat_statements")?;
        Ok(rows
            .iter()
            .map(|row| Statement {
                query: row.get(0),
                calls: row.get(1),
                total_ms: row.get(2),
                mean_ms: row.get(3),
            })
            .collect())
    }

    /// Client connections by application and state, and the most the server takes.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn connection_states(&mut self) -> Result<(Vec<Connections>, i64)> {
        let rows = sqlx::query(
            "SELECT coalesce(nullif(application_name, ''), '-'), coalesce(state, 'unknown'), count(*) FROM pg_stat_activity
             WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() GROUP BY 1, 2 ORDER BY 3 DESC",
        )
        .fetch_all(self.asked())
        .await
        .context("cannot list connections")?;
        let limit = sqlx::query("SELECT setting::int8 FROM pg_settings WHERE name = 'max_connections'")
            .fetch_one(self.asked())
            .await
            .context("cannot read max_connections")?;
        let of = |row: &sqlx::postgres::PgRow| Connections {
            application: row.get(0),
            state: row.get(1),
            connections: row.get(2),
        };
        Ok((rows.iter().map(of).collect(), limit.get(0)))
    }

    /// Tables with their sizes, largest first.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn table_sizes(&mut self) -> Result<Vec<TableSize>> {
        let rows = sqlx::query(
            "SELECT s.relid::regclass::text, pg_total_relation_size(s.relid), pg_indexes_size(s.relid), s.n_live_tup, s.n_dead_tup,
                    CASE WHEN c.reltuples >= 0 AND width.bytes IS NOT NULL THEN greatest(0, pg_relation_size(s.relid)
                        - ceil(greatest(c.reltuples, s.n_live_tup) * (28 + ceil(width.bytes / 8) * 8)
                            / ((page.bytes - 24) * coalesce(fill.pct, 100) / 100)) * page.bytes)::int8 END,
                    CASE WHEN c.relispartition THEN pg_partition_root(s.relid)::regclass::text END
             FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
             CROSS JOIN (SELECT current_setting('block_size')::float8 AS bytes) page
             LEFT JOIN LATERAL (SELECT sum((1 - null_frac) * avg_width)::float8 AS bytes FROM pg_stats p
                 WHERE p.schemaname = s.schemaname AND p.tablename = s.relname) width ON true
             LEFT JOIN LATERAL (SELECT substring(o FROM 'fillfactor=(.*)')::float8 AS pct FROM unnest(c.reloptions) o
                 WHERE o LIKE 'fillfactor=%') fill ON true
             ORDER BY 2 DESC",
        )
        .fetch_all(self.asked())
        .await
        .context("cannot list tables")?;
        let of = |row: &sqlx::postgres::PgRow| TableSize {
            table: row.get(0),
            total_bytes: row.get(1),
            index_bytes: row.get(2),
            live_rows: row.get(3),
            dead_rows: row.get(4),
            bloat_bytes: row.get(5),
            partition_of: row.get(6),
        };
        Ok(rows.iter().map(of).collect())
    }

    /// Sequential scans of a table and the rows they read, since the statistics began.
    ///
    /// # Errors
    /// When there is no such table.
    pub async fn sequential_scans(&mut self, table: &str) -> Result<(i64, i64)> {
        let row = sqlx::query("SELECT seq_scan, seq_tup_read FROM pg_stat_user_tables WHERE relname = $1")
            .bind(table)
            .fetch_one(self.asked())
            .await
            .with_context(|| format!("cannot read the scans of {table}"))?;
        Ok((row.get(0), row.get(1)))
    }

    /// Time in statements, rows that wait, scans.
    ///
    /// # Errors
    /// When the server refuses, or pg_stat_statements is not there.
    pub async fn counters(&mut self) -> Result<ServerCounters> {
        let read_time = self.read_time_column().await?;
        let sql = format!(
            "SELECT coalesce(sum(total_exec_time), 0)::float8, coalesce(sum({read_time}), 0)::float8,
                    (SELECT count(*) FROM notifications
                     WHERE next_attempt_at < now() + interval '5 minutes' AND status <> 'SCHEDULED'),
                    (SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'notifications'),
                    (SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'notifications')
             FROM pg_stat_statements
             WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND query !~ 'pg_stat_|pg_locks|starts_with\\('",
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .fetch_one(self.asked())
            .await
            .context("cannot read the server's counters")?;
        Ok(ServerCounters {
            exec_ms: row.get(0),
            io_ms: row.get(1),
            undelivered: row.get(2),
            scans: (row.get(3), row.get(4)),
        })
    }

    /// The column of pg_stat_statements that holds the time spent reading blocks. PostgreSQL 17 renamed
    /// `blk_read_time` to `shared_blk_read_time` (release notes of pg_stat_statements 1.11).
    async fn read_time_column(&mut self) -> Result<&'static str> {
        let row = sqlx::query(
            "SELECT EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass('pg_stat_statements')
                            AND attname = 'shared_blk_read_time' AND NOT attisdropped)",
        )
        .fetch_one(self.asked())
        .await
        .context("cannot read the columns of pg_stat_statements")?;
        Ok(if row.get(0) { "shared_blk_read_time" } else { "blk_read_time" })
    }

    /// Sessions that wait for a lock, and who holds it.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn lock_waits(&mut self) -> Result<Vec<LockWait>> {
        let rows = sqlx::query(
            "SELECT w.pid, b.pid, extract(epoch FROM clock_timestamp() - w.query_start)::float8,
                    left(w.query, 80), left(b.query, 80)
             FROM pg_stat_activity w CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) AS holder(pid)
             JOIN pg_stat_activity b ON b.pid = holder.pid ORDER BY 3 DESC",
        )
        .fetch_all(self.asked())
        .await
        .context("cannot list locks")?;
        let of = |row: &sqlx::postgres::PgRow| LockWait {
            pid: row.get(0),
            blocker: row.get(1),
            seconds: row.get(2),
            query: row.get(3),
            blocker_query: row.get(4),
        };
        Ok(rows.iter().map(of).collect())
    }
}
