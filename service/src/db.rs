//! PostgreSQL: the only SQL of the service.

/// A notification's row as the message on the log that it came by, as bytes.
macro_rules! envelope_sql {
    () => {
        "convert_to(
             (jsonb_strip_nulls(jsonb_build_object(
                 'id', id, 'version', '1.0.0',
                 'timestamp', CASE WHEN isfinite(created_at) THEN (extract(epoch FROM created_at) * 1000)::bigint END,
                 'idempotencyKey', idempotency_key, 'requestHash', request_hash, 'userId', user_id,
                 'tenantId', tenant_id, 'type', type, 'channel', channel, 'priority', priority, 'status', status,
                 'scheduledFor', CASE WHEN isfinite(scheduled_for) THEN (extract(epoch FROM scheduled_for) * 1000)::bigint END,
                 'expiresAt', CASE WHEN isfinite(expires_at) THEN (extract(epoch FROM expires_at) * 1000)::bigint END,
                 'correlationId', correlation_id, 'causationId', causation_id, 'retryCount', retry_count))
                 -- Apart, because an empty value inside the payload is not to be stripped.
                 || jsonb_build_object('payload', payload))::text, 'UTF8')"
    };
}

mod api_keys;
mod audit;
mod bounded_pool;
mod dead_letters;
mod delivery;
mod endpoint_attempts;
mod endpoints;
mod events;
mod export;
mod insert;
mod jobs;
mod lifecycle;
mod log_gaps;
mod notifications;
mod pooler;
mod preferences;
mod repeats;
mod replica;
mod rows;
mod senders;
mod signing_keys;
mod stats;
mod templates;
mod users;
mod walk;

pub(crate) use audit::{Act, AuditFilter};
pub(crate) use dead_letters::{OutgoingDeadLetter, Reached, Undecodable};
pub(crate) use delivery::{
    AttemptMade, ChannelCapacity, ClaimedRow, Due, ExistingRow, FinishedAttempt, RowState, UnreadableClaim,
};
pub(crate) use endpoint_attempts::{EndpointAttempt, EndpointKey};
pub(crate) use endpoints::{EndpointChange, NewEndpoint, StoredEndpoint};
pub(crate) use events::{EventFilter, Happened, StretchLimit};
pub(crate) use export::ExportPage;
pub(crate) use insert::{Insertion, NewRow};
pub(crate) use lifecycle::Change;
pub(crate) use preferences::RecipientKey;
pub(crate) use replica::Standing;
pub(crate) use rows::{Read, parted};
pub(crate) use senders::{NewSender, Verification};
pub(crate) use signing_keys::SigningKeyRow;
pub(crate) use templates::Existing;
pub(crate) use users::{NewUser, RegisterError, UserFilter};
pub(crate) use walk::{ListFilter, Place, WALKED};

use crate::domain::scope::Scope;
use crate::telemetry::{Metrics, trace};
use anyhow::Context;
use bounded_pool::{BoundedPool, PooledConnection, TenantShares};
use nsys_contract::config::Db as Settings;
use nsys_contract::schema::{NOTIFICATIONS, REQUIRED_SCHEMA_VERSION};
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use repeats::Repeats;
use replica::Replica;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::{Postgres, QueryBuilder, Row};
use std::time::{Duration, Instant};

/// A failed query, as text that may be logged.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct DbError {
    text: String,
    kind: Kind,
}

/// Whose fault it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The values': the same statement would fail again.
    Data,
    /// What is stored is not what this build reads.
    Unreadable,
    /// The server ended the statement: it took too long.
    Slow,
    /// Too much of the same tenant is in progress.
    Busy,
    /// The database is away, or has no connection.
    Away,
}

impl DbError {
    /// Whether the values were the fault: the same statement would fail again.
    pub(crate) const fn is_data(&self) -> bool {
        matches!(self.kind, Kind::Data)
    }

    /// Whether the database answered with what this build cannot read: asking again would not help.
    pub(crate) const fn is_unreadable(&self) -> bool {
        matches!(self.kind, Kind::Unreadable)
    }

    /// Whether the statement took longer than one may: another server would take as long.
    pub(crate) const fn is_slow(&self) -> bool {
        matches!(self.kind, Kind::Slow)
    }

    /// Whether what the same tenant has in progress was the reason.
    pub(crate) const fn is_busy(&self) -> bool {
        matches!(self.kind, Kind::Busy)
    }
}

/// SQLSTATE of a statement that was cancelled, by its timeout for one.
const QUERY_CANCELED: &str = "57014";

impl From<sqlx::Error> for DbError {
    fn from(cause: sqlx::Error) -> Self {
        let code = cause.as_database_error().and_then(|error| error.code());
        // Classes of SQLSTATE: data exception, integrity violation, program limit.
        let is_data =
            code.as_ref().is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)));
        let is_slow = code.as_deref() == Some(QUERY_CANCELED);
        let is_unreadable = matches!(cause, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_));
        let kind = if is_data {
            Kind::Data
        } else if is_unreadable {
            Kind::Unreadable
        } else if is_slow {
            Kind::Slow
        } else {
            Kind::Away
        };
        Self { text: cause.to_string(), kind }
    }
}

/// A member of a closed set, from its text.
fn member<T: std::str::FromStr<Err = nsys_contract::status::UnknownMember>>(
    row: &PgRow,
    column: &str,
) -> Result<T, sqlx::Error> {
    let text: &str = row.try_get(column)?;
    text.parse()
        .map_err(|cause| sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(cause) })
}

/// Longest wait for PostgreSQL where it is only asked whether it answers.
const VITAL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the connection for that is kept.
const VITAL_IDLE: Duration = Duration::from_secs(60);

/// Connections of each process for the question who somebody is.
const IDENTITY_CONNECTIONS: u32 = 4;
/// Longest wait for such a connection, and for its statement: a table that is locked must not hold them all.
const IDENTITY_TIMEOUT: Duration = Duration::from_millis(500);

/// Why there is no connection.
fn explained(cause: sqlx::Error) -> anyhow::Error {
    let is_pooler = cause.to_string().contains("unsupported startup parameter");
    anyhow::Error::new(cause).context(if is_pooler {
        "a pooler answers at db.url; PgBouncer wants ignore_startup_parameters = extra_float_digits, options"
    } else {
        "it does not answer"
    })
}

/// Which statements a process asks, and so how its connections are divided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    /// Whether it answers requests, and with them lists.
    pub(crate) has_lists: bool,
    /// Longest time that a request may take: nobody waits longer for a list.
    pub(crate) request_timeout: Duration,
}

/// The pools of one process.
pub(crate) struct Db {
    /// For statements that are short.
    main: BoundedPool,
    /// For lists, counts and exports; `None` in a process that has none.
    lists: Option<BoundedPool>,
    shares: TenantShares,
    /// One connection of its own, so that a busy pool is not taken for a database that is away.
    vital: PgPool,
    /// Connections of their own for the question who somebody is: it must not wait behind lists.
    identity: BoundedPool,
    replica: Option<Replica>,
    metrics: Metrics,
    repeats: Repeats,
}

impl Db {
    pub(crate) async fn connect(
        settings: &Settings,
        workload: Workload,
        metrics: Metrics,
    ) -> anyhow::Result<Self> {
        let options: PgConnectOptions = settings.url.parse().context("db.url is not a PostgreSQL address")?;
        let options = options.application_name("notification-service");
        let vital = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(VITAL_TIMEOUT)
            .idle_timeout(VITAL_IDLE)
            .connect_lazy_with(
                options.clone().options([("statement_timeout", VITAL_TIMEOUT.as_millis().to_string())]),
            );
        let wait = settings.pool_timeout;
        let main = |size| BoundedPool::lazy(&options, size, wait, settings.statement_timeout);
        let identity = BoundedPool::lazy(&options, IDENTITY_CONNECTIONS, IDENTITY_TIMEOUT, IDENTITY_TIMEOUT);
        let list_timeout = settings.statement_timeout.min(workload.request_timeout);
        let (short, long) = bounded_pool::divided(settings.pool_size, settings.list_pool_size);
        let (main, lists) = if workload.has_lists {
            (main(short), Some(BoundedPool::for_lists(&options, long, wait, list_timeout)))
        } else {
            (main(settings.pool_size), None)
        };
        main.acquire().await.map_err(explained)?;
        Box::pin(pooler::check(main.inner(), &vital)).await?;
        let replica = Replica::watch(settings, list_timeout)?;
        let shares = TenantShares::new(long, settings.pool_timeout);
        Ok(Self { main, lists, shares, vital, identity, replica, metrics, repeats: Repeats::default() })
    }

    /// What is known of the read replica, if there is one.
    pub(crate) fn replica(&self) -> Option<Standing> {
        self.replica.as_ref().map(Replica::standing)
    }

    /// A connection to the replica, while reads go there.
    fn replica_connection(&self) -> Option<PooledConnection> {
        self.replica.as_ref()?.connection()
    }

    /// Keeps reads away from the replica until it was probed again.
    fn distrust_replica(&self, cause: &DbError) {
        if let Some(replica) = &self.replica {
            replica.distrust(&cause.to_string());
        }
    }

    /// Refuses a schema that is older than this build.
    pub(crate) async fn require_schema(&self) -> anyhow::Result<()> {
        let version: Option<i64> =
            sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
                .fetch_one(self.main.inner())
                .await
                .context("the schema is missing; run `nsys db migrate`")?;
        let version = version.unwrap_or(0);
        anyhow::ensure!(
            version >= REQUIRED_SCHEMA_VERSION,
            "schema version {version} is older than the {REQUIRED_SCHEMA_VERSION} this build needs; run `nsys db migrate`"
        );
        Ok(())
    }

    /// Whether PostgreSQL answers, on a connection of its own.
    pub(crate) async fn ping(&self) -> Result<(), DbError> {
        let asked = async { sqlx::query("SELECT 1").execute(&self.vital).await };
        let answer = tokio::time::timeout(VITAL_TIMEOUT, asked).await;
        let answer = answer.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(|_| ());
        self.metrics.database_up(answer.is_ok());
        Ok(answer?)
    }

    /// Messages of which workers have recorded in the last seven days that the log lost them.
    pub(crate) async fn lost_messages(&self) -> Result<u64, DbError> {
        let asked = sqlx::query_scalar::<_, i64>(
            "SELECT coalesce(sum(next_offset - first_offset), 0)::int8 FROM log_gaps
             WHERE found_at > now() - interval '7 days'",
        )
        .fetch_one(&self.vital);
        let answer = tokio::time::timeout(VITAL_TIMEOUT, asked).await;
        Ok(answer.unwrap_or(Err(sqlx::Error::PoolTimedOut))?.unsigned_abs())
    }

    /// (connections in use, connections open, most connections).
    pub(crate) fn pool_state(&self) -> (usize, u32, u32) {
        let (mut active, mut open, mut size) = self.main.state();
        if let Some(lists) = &self.lists {
            let (of_lists, open_for_lists, size_of_lists) = lists.state();
            (active, open, size) = (active + of_lists, open + open_for_lists, size + size_of_lists);
        }
        self.metrics.pool(i64::try_from(active).unwrap_or(i64::MAX), i64::from(size));
        (active, open, size)
    }

    /// A connection for a statement that is short; the wait for it is measured apart from the query.
    async fn acquire(&self) -> Result<PooledConnection, DbError> {
        self.acquire_from(&self.main).await
    }

    async fn acquire_from(&self, pool: &BoundedPool) -> Result<PooledConnection, DbError> {
        let started = Instant::now();
        // Boxed: it would make every future that may ask the database four kilobytes larger.
        let connection = Box::pin(pool.acquire()).await;
        self.metrics.pool_wait(started.elapsed());
        self.pool_state();
        Ok(connection?)
    }

    /// A connection for a list, a count or a page of an export, on the primary.
    async fn acquire_for_list(&self, scope: &Scope) -> Result<PooledConnection, DbError> {
        let Some(lists) = &self.lists else { return self.acquire().await };
        let share = Box::pin(self.shares.acquire(scope)).await?;
        Ok(self.acquire_from(lists).await?.with_share(Some(share)))
    }

    /// The rows of a list of notifications: from the replica while reads go there, else from the primary.
    async fn list_rows(
        &self,
        scope: &Scope,
        statement: impl Fn() -> QueryBuilder<Postgres>,
    ) -> Result<Vec<PgRow>, DbError> {
        if let Some(connection) = self.replica_connection() {
            let share = Box::pin(self.shares.acquire(scope)).await?;
            match self.list_rows_on(connection.with_share(Some(share)), statement()).await {
                Ok(found) => return Ok(found),
                Err(cause) if cause.is_slow() => return Err(cause),
                Err(cause) => self.distrust_replica(&cause),
            }
        }
        self.list_rows_on(self.acquire_for_list(scope).await?, statement()).await
    }

    async fn list_rows_on(
        &self,
        mut connection: PooledConnection,
        mut statement: QueryBuilder<Postgres>,
    ) -> Result<Vec<PgRow>, DbError> {
        let query = statement.build();
        self.timed("select", NOTIFICATIONS, query.fetch_all(&mut *connection)).await
    }

    /// A connection for the question who somebody is.
    async fn acquire_for_identity(&self) -> Result<PooledConnection, DbError> {
        Ok(Box::pin(self.identity.acquire()).await?)
    }

    /// Runs a query and measures it.
    async fn timed<T>(
        &self,
        operation: &'static str,
        table: &'static str,
        query: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, DbError> {
        let started = Instant::now();
        let about = || {
            vec![KeyValue::new("db.system.name", "postgresql"), KeyValue::new("db.collection.name", table)]
        };
        let result = trace::step(operation, SpanKind::Client, about, query).await;
        self.metrics.query(operation, table, started.elapsed(), result.is_err());
        Ok(result?)
    }
}

/// Narrows a query to what a caller may see. Tenants are kept apart here and nowhere else.
fn push_scope(sql: &mut QueryBuilder<Postgres>, column: &str, scope: &Scope) {
    match scope {
        Scope::All => {}
        Scope::Tenant(None) => {
            sql.push(format_args!(" AND {column} IS NULL"));
        }
        Scope::Tenant(Some(tenant)) => {
            sql.push(format_args!(" AND {column} = ")).push_bind(tenant.clone());
        }
    }
}

/// The same for tables whose key holds the tenant: there an empty one stands for none.
fn push_scope_or_empty(sql: &mut QueryBuilder<Postgres>, column: &str, scope: &Scope) {
    if let Scope::Tenant(tenant) = scope {
        sql.push(format_args!(" AND {column} = ")).push_bind(tenant.clone().unwrap_or_default());
    }
}
