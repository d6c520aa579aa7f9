//! The schema and its rows: migrations, seeded rows, a new start.

use super::{MIGRATIONS, Postgres};
use crate::domain::database::{Migration, MigrationState};
use crate::domain::ownership::{SchemaOwner, Tables, owner};
use crate::error::{Context, Error, Result};
use crate::permit::ChangePermit;
use sqlx::Row;
use std::collections::HashMap;
use std::time::Duration;

/// Names of the indexes that the migrations make: they belong to the schema, whoever uses them.
#[must_use]
pub fn own_indexes() -> Vec<String> {
    MIGRATIONS.iter().flat_map(|one| indexes_of(one.sql.as_str())).collect()
}

fn indexes_of(sql: &str) -> Vec<String> {
    let words: Vec<_> = sql.split_whitespace().collect();
    let after = |at: usize| {
        let mut rest = words[at + 1..].iter();
        rest.find(|word| !["CONCURRENTLY", "IF", "NOT", "EXISTS"].contains(&word.to_uppercase().as_str()))
    };
    let indexes = (0..words.len()).filter(|at| words[*at].eq_ignore_ascii_case("index"));
    indexes.filter_map(after).map(|name| name.trim_matches(['"', ';']).to_owned()).collect()
}

impl Postgres {
    /// Every migration that this nsys knows or the database has, in order.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn migrations(&mut self) -> Result<Vec<Migration>> {
        let migrated: bool = sqlx::query("SELECT to_regclass('public._sqlx_migrations') IS NOT NULL")
            .fetch_one(self.asked())
            .await
            .context("cannot look for the schema")?
            .get(0);
        let mut applied = HashMap::new();
        if migrated {
            let rows = sqlx::query(
                "SELECT version, description, success, checksum, to_char(installed_on, 'YYYY-MM-DD HH24:MI') FROM _sqlx_migrations",
            )
            .fetch_all(self.asked())
            .await
            .context("cannot list migrations")?;
            applied.extend(rows.into_iter().map(|row| (row.get::<i64, _>(0), row)));
        }
        let mut found: Vec<_> = MIGRATIONS
            .iter()
            .map(|known| {
                let row = applied.remove(&known.version);
                let state = row.as_ref().map_or(MigrationState::Pending, |row| {
                    match (row.get(2), row.get::<Vec<u8>, _>(3) == *known.checksum) {
                        (false, _) => MigrationState::Failed,
                        (true, false) => MigrationState::Changed,
                        (true, true) => MigrationState::Applied,
                    }
                });
                Migration {
                    version: known.version,
                    name: known.description.replace(' ', "_"),
                    state,
                    at: row.map(|row| row.get(4)),
                }
            })
            .collect();
        found.extend(applied.into_values().map(|row| Migration {
            version: row.get(0),
            name: row.get::<String, _>(1).replace(' ', "_"),
            state: MigrationState::Newer,
            at: Some(row.get(4)),
        }));
        found.sort_by_key(|one| one.version);
        Ok(found)
    }

    /// Whose schema this database holds.
    ///
    /// # Errors
    /// Refused when this role cannot read which migrations were applied.
    pub async fn schema_owner(&mut self) -> Result<SchemaOwner> {
        let migrations = self.migrations().await.map_err(|cause| {
            Error::refused(format!("whose schema this database holds cannot be told: {}", cause.message))
        })?;
        Ok(owner(&migrations, &self.columns().await?))
    }

    /// Every table that is nobody's extension, with its columns; of any schema but the server's own.
    async fn columns(&mut self) -> Result<Tables> {
        // Not information_schema, which leaves out what this role may not read.
        let rows = sqlx::query(
            "SELECT CASE WHEN n.nspname = 'public' THEN c.relname::text ELSE n.nspname || '.' || c.relname END,
                    coalesce(array_agg(a.attname::text) FILTER (WHERE a.attname IS NOT NULL), '{}')
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             WHERE c.relkind IN ('r', 'p', 'f') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
               AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
             GROUP BY 1",
        )
        .fetch_all(self.asked())
        .await
        .context("cannot list the tables")?;
        Ok(rows.iter().map(|row| (row.get(0), row.get::<Vec<String>, _>(1).into_iter().collect())).collect())
    }

    /// How many seeded notifications there are.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn seeded(&mut self) -> Result<u32> {
        let row = sqlx::query("SELECT count(*) FROM notifications WHERE starts_with(user_id, 'seed-user-')")
            .fetch_one(self.asked())
            .await
            .context("cannot count the seeded rows")?;
        Ok(u32::try_from(row.get::<i64, _>(0)).unwrap_or(u32::MAX))
    }

    /// Removes the seeded notifications numbered from `from` up to, not including, `to`. Returns how
    /// many there were.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn unseed_range(&mut self, _permit: &ChangePermit, from: u32, to: u32) -> Result<u64> {
        let done = sqlx::query(
            "DELETE FROM notifications WHERE id IN (SELECT md5('nsys-seed-' || n)::uuid FROM generate_series($1::int8, $2::int8 - 1) AS n)",
        )
        .bind(i64::from(from))
        .bind(i64::from(to))
        .execute(self.asked())
        .await
        .context("cannot remove the seeded rows")?;
        Ok(done.rows_affected())
    }

    /// Drops every table and migrates anew. Waits at most `timeout` for what holds them.
    ///
    /// # Errors
    /// When a table is held, which names who holds it, or this role may not.
    pub async fn reset_schema(&mut self, permit: &ChangePermit, timeout: Duration) -> Result<()> {
        let sql = format!(
            "BEGIN; SET LOCAL lock_timeout = '{}ms'; DROP SCHEMA public CASCADE; CREATE SCHEMA public; COMMIT",
            timeout.as_millis()
        );
        let dropped = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(self.asked()).await;
        if let Err(cause) = dropped {
            let _ = sqlx::raw_sql("ROLLBACK").execute(self.asked()).await;
            return Err(match cause.as_database_error().and_then(|error| error.code()).as_deref() {
                Some("55P03") => {
                    let holders = self.any_holders("notifications").await?;
                    Error::refused(format!("notifications is held: {}", holders.join("; ")))
                        .hint("nothing was changed; try again when it has ended, or see: nsys db locks")
                }
                Some("42501") => Error::refused(format!("this role may not drop the schema: {cause}")),
                _ => Error::failed(format!("cannot drop the schema: {cause}")),
            });
        }
        self.migrate(permit).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schemas_own_indexes_are_known() {
        let own = own_indexes();
        for name in ["events_created_at_brin", "notifications_due_idx", "dead_letters_log_key"] {
            assert!(own.iter().any(|one| one == name), "{name} is missing: {own:?}");
        }
        assert_eq!(indexes_of("CREATE INDEX CONCURRENTLY IF NOT EXISTS \"a\" ON t (b);"), ["a"]);
    }
}
