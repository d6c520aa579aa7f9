//! Indexes: the catalogue, builds with two lock budgets, and the proof that they pay.

use super::Postgres;
use crate::domain::index::Index;
use crate::error::{Context, Error, Result};
use crate::permit::ChangePermit;
use sqlx::Row;
use std::time::Duration;

/// How far an index build is.
#[derive(Clone, Debug)]
pub struct BuildProgress {
    /// `building index: scanning table`, `waiting for old snapshots`, …
    pub phase: String,
    /// Done, 0 to 1, when the phase counts blocks.
    pub share: Option<f64>,
    /// Who is waited for: pid, seconds its transaction is open, its statement.
    pub waits_for: Option<(i32, f64, String)>,
}

/// How a query runs, and the plan's nodes from the top.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct Execution {
    /// Median execution time of three, in ms; absent when it was only planned.
    pub ms: Option<f64>,
    /// The planner's estimate, in its own unit.
    pub cost: f64,
    /// For example `Limit > Index Scan (idx)`.
    pub nodes: String,
}

impl Postgres {
    /// The user's indexes in every schema, by table and name.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn indexes(&mut self) -> Result<Vec<Index>> {
        let rows = sqlx::query(
            "SELECT c.oid::regclass::text AS name, t.oid::regclass::text AS tab, pg_get_indexdef(i.indexrelid) AS definition,
                    i.indisvalid AND i.indisready AS valid,
                    -- An index of a partitioned table, or a part of one, cannot go by itself.
                    i.indisunique OR i.indisprimary OR i.indisexclusion OR c.relkind = 'I' OR c.relispartition AS rule,
                    pg_relation_size(i.indexrelid) AS bytes, coalesce(s.idx_scan, 0) AS scans, p.pid AS built_by
             FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
             JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_stat_user_indexes s USING (indexrelid)
             LEFT JOIN pg_stat_progress_create_index p ON p.index_relid = i.indexrelid AND p.datname = current_database()
             WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)' ORDER BY 2, 1",
        )
        .fetch_all(self.asked())
        .await
        .context("cannot list indexes")?;
        let of = |row: &sqlx::postgres::PgRow| Index {
            name: row.get("name"),
            table: row.get("tab"),
            definition: row.get("definition"),
            valid: row.get("valid"),
            constraint: row.get("rule"),
            bytes: row.get("bytes"),
            scans: row.get("scans"),
            built_by: row.get("built_by"),
        };
        Ok(rows.iter().map(of).collect())
    }

    /// Since when use is counted.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn statistics_since(&mut self) -> Result<String> {
        let row = sqlx::query(
            "SELECT to_char(coalesce(stats_reset, pg_postmaster_start_time()), 'YYYY-MM-DD HH24:MI')
             FROM pg_stat_database WHERE datname = current_database()",
        )
        .fetch_one(self.asked())
        .await
        .context("cannot read the statistics' age")?;
        Ok(row.get(0))
    }

    /// How long use has been counted.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn counted_for(&mut self) -> Result<Duration> {
        let row = sqlx::query(
            "SELECT extract(epoch FROM now() - coalesce(stats_reset, pg_postmaster_start_time()))::float8
             FROM pg_stat_database WHERE datname = current_database()",
        )
        .fetch_one(self.asked())
        .await
        .context("cannot read the statistics' age")?;
        Ok(Duration::from_secs_f64(row.get::<f64, _>(0).max(0.0)))
    }

    /// Our backend's pid.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn backend(&mut self) -> Result<i32> {
        let row = sqlx::query("SELECT pg_backend_pid()")
            .fetch_one(self.asked())
            .await
            .context("cannot ask for the backend")?;
        Ok(row.get(0))
    }

    /// Tries the lock that a concurrent build takes, and gives it back at once. The build itself
    /// then has its own, longer budget.
    ///
    /// # Errors
    /// When the lock is not to be had in time, which names who holds it, or the table is missing.
    pub async fn probe_table_lock(
        &mut self,
        _permit: &ChangePermit,
        table: &str,
        timeout: Duration,
    ) -> Result<()> {
        let sql = format!(
            "BEGIN; SET LOCAL lock_timeout = '{}ms'; LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE",
            timeout.as_millis()
        );
        let tried = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(self.asked()).await;
        // It gives the lock back; a connection that broke has lost it anyway.
        let _ = sqlx::raw_sql("ROLLBACK").execute(self.asked()).await;
        let Err(cause) = tried else { return Ok(()) };
        match cause.as_database_error().and_then(|error| error.code()).as_deref() {
            Some("55P03") => {
                let holders = self.holders(table).await?;
                Err(Error::refused(format!(
                    "{table} is locked: {}",
                    if holders.is_empty() { "the holder has just gone".into() } else { holders.join("; ") }
                ))
                .hint("nothing was changed; try again when it has ended, or see: nsys db locks"))
            }
            Some("42P01") => Err(Error::failed(format!("there is no table {table}")).hint("nsys db migrate")),
            Some("42501") => Err(Error::refused(format!("this role may not change {table}: {cause}"))
                .hint("let the owner of the table do it, or a superuser")),
            _ => Err(Error::failed(format!("cannot lock {table}: {cause}"))),
        }
    }

    /// Who holds a lock on a table that keeps a build from it.
    async fn holders(&mut self, table: &str) -> Result<Vec<String>> {
        const AGAINST_BUILDS: [&str; 5] = [
            "ShareUpdateExclusiveLock",
            "ShareLock",
            "ShareRowExclusiveLock",
            "ExclusiveLock",
            "AccessExclusiveLock",
        ];
        self.holders_in(table, &AGAINST_BUILDS).await
    }

    /// Who holds any lock on a table.
    pub(super) async fn any_holders(&mut self, table: &str) -> Result<Vec<String>> {
        self.holders_in(table, &[]).await
    }

    /// Who holds a lock on a table, in one of these modes, or in any when none is named.
    async fn holders_in(&mut self, table: &str, modes: &[&str]) -> Result<Vec<String>> {
        let rows = sqlx::query(
            "SELECT a.pid, coalesce(nullif(a.application_name, ''), '-'), l.mode,
                    extract(epoch FROM clock_timestamp() - a.xact_start)::float8, left(a.query, 60)
             FROM pg_locks l JOIN pg_stat_activity a USING (pid)
             WHERE l.relation = to_regclass($1) AND l.granted AND a.pid <> pg_backend_pid()
               AND (l.mode = ANY($2) OR cardinality($2) = 0)",
        )
        .bind(table)
        .bind(modes)
        .fetch_all(self.asked())
        .await
        .context("cannot list the lock's holders")?;
        Ok(rows
            .iter()
            .map(|row| {
                let (pid, application, mode): (i32, String, String) = (row.get(0), row.get(1), row.get(2));
                let (age, query): (Option<f64>, String) = (row.get(3), row.get(4));
                format!("pid {pid} ({application}) holds {mode} for {:.0} s: {query}", age.unwrap_or(0.0))
            })
            .collect())
    }

    /// Runs one statement, waits for locks included, within a budget.
    ///
    /// # Errors
    /// The server's own message.
    pub async fn run_within(&mut self, _permit: &ChangePermit, sql: &str, budget: Duration) -> Result<()> {
        // A build waits for several locks, and one budget bounds them all. By the name `builds` and
        // `cancel_builds` find it from another connection.
        let limits = format!(
            "SET lock_timeout = 0; SET statement_timeout = {}; SET application_name = 'nsys-tune'",
            budget.as_millis()
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(limits))
            .execute(self.asked())
            .await
            .context("cannot prepare the session")?;
        // By itself: statements that are sent together are one transaction, in which CONCURRENTLY is refused.
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
            .execute(self.asked())
            .await
            .map(|_| ())
            .map_err(|cause| failure(sql, &cause))
    }

    /// How far the build in this backend is; absent when there is none.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn build_progress(&mut self, backend: i32) -> Result<Option<BuildProgress>> {
        let row = sqlx::query(
            "SELECT p.phase, p.blocks_done, p.blocks_total, a.pid, extract(epoch FROM clock_timestamp() - a.xact_start)::float8,
                    left(regexp_replace(a.query, '\\s+', ' ', 'g'), 60)
             FROM pg_stat_progress_create_index p LEFT JOIN pg_stat_activity a ON a.pid = nullif(p.current_locker_pid, 0)
             WHERE p.pid = $1",
        )
        .bind(backend)
        .fetch_optional(self.asked())
        .await
        .context("cannot read the build's progress")?;
        Ok(row.map(|row| {
            let (done, total): (i64, i64) = (row.get(1), row.get(2));
            let pid: Option<i32> = row.get(3);
            BuildProgress {
                phase: row.get(0),
                share: (total > 0).then(|| done as f64 / total as f64),
                waits_for: pid.map(|pid| {
                    (
                        pid,
                        row.get::<Option<f64>, _>(4).unwrap_or(0.0),
                        row.get::<Option<_>, _>(5).unwrap_or_default(),
                    )
                }),
            }
        }))
    }

    /// Stops what a backend does; the connection stays.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn cancel(&mut self, _permit: &ChangePermit, backend: i32) -> Result<()> {
        sqlx::query("SELECT pg_cancel_backend($1)")
            .bind(backend)
            .execute(self.asked())
            .await
            .context("cannot cancel the statement")?;
        Ok(())
    }

    /// How many of our builds run.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn builds(&mut self) -> Result<i64> {
        let row = sqlx::query(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nsys-tune' AND datname = current_database() AND state = 'active' AND query LIKE 'CREATE INDEX%'",
        )
        .fetch_one(self.asked())
        .await
        .context("cannot list builds")?;
        Ok(row.get(0))
    }

    /// Stops our builds, for when the command that began them was interrupted.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn cancel_builds(&mut self, _permit: &ChangePermit) -> Result<()> {
        sqlx::query(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'nsys-tune' AND datname = current_database() AND query LIKE 'CREATE INDEX%'",
        )
        .execute(self.asked())
        .await
        .context("cannot cancel builds")?;
        Ok(())
    }

    /// The reads that the tuning indexes serve, each with values of a row that is there; a read
    /// without such a row is left out. In the order of the contract's indexes.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn representative_reads(&mut self) -> Result<Vec<(&'static str, String)>> {
        let row = sqlx::query(
            "SELECT format('SELECT * FROM notifications WHERE user_id = %L AND status = %L ORDER BY created_at DESC, id DESC LIMIT 20', user_id, status),
                    format('SELECT * FROM notifications WHERE correlation_id = %L ORDER BY created_at DESC, id DESC LIMIT 20', correlation_id)
             FROM notifications WHERE correlation_id IS NOT NULL LIMIT 1",
        )
        .fetch_optional(self.asked())
        .await
        .context("cannot choose representative reads")?;
        let scheduled = "SELECT id FROM notifications WHERE status = 'SCHEDULED' AND scheduled_for <= now() ORDER BY scheduled_for LIMIT 100";
        let mut reads = vec![("due notifications", scheduled.to_owned())];
        if let Some(row) = row {
            reads.insert(0, ("list of one user by status", row.get(0)));
            reads.push(("look-up by correlation id", row.get(1)));
        }
        Ok(reads)
    }

    /// Runs a read three times and tells the median time and the plan.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn explain(&mut self, read: &str) -> Result<Execution> {
        let mut times = Vec::new();
        let (mut nodes, mut cost) = (String::new(), f64::NAN);
        for _ in 0..3 {
            let sql = sqlx::AssertSqlSafe(format!("EXPLAIN (ANALYZE, FORMAT JSON) {read}"));
            let row = sqlx::query(sql).fetch_one(self.asked()).await.context("cannot explain a read")?;
            let plan: serde_json::Value = row.get(0);
            times.push(plan[0]["Execution Time"].as_f64().unwrap_or(f64::NAN));
            nodes = chain(&plan[0]["Plan"]);
            cost = plan[0]["Plan"]["Total Cost"].as_f64().unwrap_or(f64::NAN);
        }
        times.sort_by(f64::total_cmp);
        Ok(Execution { ms: Some(times[1]), cost, nodes })
    }

    /// The generic plan of a statement whose constants are `$1`, `$2`, …, without running it; absent
    /// when it cannot be planned without them.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn explain_generic(&mut self, query: &str) -> Result<Option<Execution>> {
        self.begin_supposing().await?;
        let planned = self.generic_plan(query).await;
        self.end_supposing().await?;
        Ok(planned?.map(|one| Execution { ms: None, cost: one.cost, nodes: chain(&one.plan) }))
    }
}

/// What a failed statement means for an operator.
fn failure(sql: &str, cause: &sqlx::Error) -> Error {
    let Some(said) = cause.as_database_error() else {
        return Error::unreachable(format!("the connection to postgres broke during {sql}: {cause}"))
            .hint("wait until nsys health is ok, then run the same command again");
    };
    let text = format!("{sql}: {}", said.message());
    match said.code().as_deref() {
        Some("53100") => Error::failed(format!("the disk is full during {text}"))
            .hint("free space on the database's disk, then run the same command again"),
        Some("42501") => Error::refused(format!("this role has not the right for {text}"))
            .hint("let the owner of the table do it, or a superuser"),
        // The server ends, was told to end this session, or starts again.
        Some("57P01" | "57P02" | "57P03") => {
            Error::unreachable(format!("postgres ended the session during {text}"))
                .hint("wait until nsys health is ok, then run the same command again")
        }
        _ => Error::failed(text),
    }
}

/// The nodes of a plan along its first children.
fn chain(node: &serde_json::Value) -> String {
    let kind = node["Node Type"].as_str().unwrap_or("?");
    let name = match node["Index Name"].as_str() {
        Some(index) => format!("{kind} ({index})"),
        None => kind.to_owned(),
    };
    match node["Plans"].get(0) {
        Some(child) => format!("{name} > {}", chain(child)),
        None => name,
    }
}
