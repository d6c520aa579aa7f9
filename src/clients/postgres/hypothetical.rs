//! What the planner would do: generic plans of counted statements, and indexes that are not there.
//!
//! Everything happens in one transaction that is rolled back, so that not even the extension stays.

use super::Postgres;
use crate::domain::advice::Candidate;
use crate::error::{Context, Result};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Row};

/// A plan with the planner's estimate of its cost.
#[derive(Clone, Debug)]
pub struct PlannedQuery {
    /// The plan's top node, as `EXPLAIN (VERBOSE, FORMAT JSON)` writes it.
    pub plan: Value,
    /// Its cost, in the planner's own unit.
    pub cost: f64,
}

impl Postgres {
    /// Begins a transaction in which statements are planned without their constants.
    ///
    /// # Errors
    /// When the server refuses the transaction.
    pub async fn begin_supposing(&mut self) -> Result<()> {
        self.execute("BEGIN").await.context("cannot begin a transaction")?;
        self.execute("SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL statement_timeout = '10s'")
            .await
            .context("cannot prepare the session")
    }

    /// Whether indexes can be supposed: hypopg is installed on the server, and this role may create
    /// an extension for the time of the transaction. Inside [`Postgres::begin_supposing`].
    ///
    /// # Errors
    /// When the server goes away.
    pub async fn can_suppose(&mut self) -> Result<bool> {
        self.execute("SAVEPOINT suppose").await.context("cannot set a savepoint")?;
        let there = self.execute("CREATE EXTENSION IF NOT EXISTS hypopg").await.is_ok();
        if !there {
            self.execute("ROLLBACK TO suppose").await.context("cannot roll back")?;
        }
        Ok(there)
    }

    /// Ends it; nothing stays.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn end_supposing(&mut self) -> Result<()> {
        self.execute("ROLLBACK").await.context("cannot roll back")
    }

    /// The generic plan of a statement whose constants are `$1`, `$2`, …; absent when it cannot be
    /// planned without them. Inside [`Postgres::begin_supposing`].
    ///
    /// # Errors
    /// When the server goes away.
    pub async fn generic_plan(&mut self, query: &str) -> Result<Option<PlannedQuery>> {
        self.execute("SAVEPOINT plan").await.context("cannot set a savepoint")?;
        let planned = self.explain_prepared(query).await;
        self.execute("ROLLBACK TO plan").await.context("cannot roll back")?;
        if planned.is_some() {
            self.execute("DEALLOCATE nsys_suppose").await.context("cannot forget a statement")?;
        }
        Ok(planned)
    }

    async fn explain_prepared(&mut self, query: &str) -> Option<PlannedQuery> {
        let prepare = format!("PREPARE nsys_suppose AS {}", query.trim().trim_end_matches(';'));
        self.execute(&prepare).await.ok()?;
        let count = (1..100).take_while(|number| query.contains(&format!("${number}"))).count();
        let arguments = match count {
            0 => String::new(),
            count => format!("({})", vec!["NULL"; count].join(", ")),
        };
        let explain = format!("EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE nsys_suppose{arguments}");
        let explained = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_one(self.asked()).await;
        let planned = explained.ok().and_then(|row| {
            let plan: Value = row.try_get(0).ok()?;
            let plan = plan[0]["Plan"].clone();
            let cost = plan["Total Cost"].as_f64()?;
            Some(PlannedQuery { plan, cost })
        });
        if planned.is_none() {
            // The statement outlives the savepoint.
            let _ = self.execute("ROLLBACK TO plan; DEALLOCATE nsys_suppose").await;
        }
        planned
    }

    /// Supposes an index; the only one until the next. Tells its estimated size in bytes.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn suppose(&mut self, candidate: &Candidate) -> Result<i64> {
        self.execute("SELECT hypopg_reset()").await.context("cannot forget a hypothetical index")?;
        let sql = format!("CREATE INDEX ON {} ({})", candidate.table, candidate.columns.join(", "));
        let row = sqlx::query("SELECT hypopg_relation_size(indexrelid) FROM hypopg_create_index($1)")
            .bind(sql)
            .fetch_one(self.asked())
            .await
            .context("cannot suppose an index")?;
        Ok(row.get(0))
    }

    /// Forgets the supposed index.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn suppose_nothing(&mut self) -> Result<()> {
        self.execute("SELECT hypopg_reset()").await.context("cannot forget a hypothetical index")
    }

    async fn execute(&mut self, sql: &str) -> std::result::Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(self.asked()).await.map(|_| ())
    }
}
