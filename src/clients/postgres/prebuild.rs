//! Indexes of migrations, built before the migration runs where their table is in use: concurrently, so that
//! writers go on. The migration then finds them there.

use super::migrations::statements;
use super::{MIGRATIONS, Postgres};
use crate::domain::database::MigrationState;
use crate::domain::index::Index;
use crate::error::{Context, Error, Result};
use crate::permit::ChangePermit;
use sqlx::Row;
use std::time::Duration;

/// A smaller table is indexed by the migration itself, in a moment.
const SMALL_BYTES: i64 = 8 << 20;
/// Longest time for one index.
const BUDGET: Duration = Duration::from_secs(24 * 3_600);
const BEGINNING: &str = "CREATE INDEX IF NOT EXISTS ";

/// An index that a migration makes of a table that may be in use.
#[derive(Debug, PartialEq, Eq)]
struct PlannedIndex<'a> {
    name: &'a str,
    table: &'a str,
    /// What follows the name.
    rest: &'a str,
}

impl PlannedIndex<'_> {
    fn concurrent(&self) -> String {
        format!("CREATE INDEX CONCURRENTLY IF NOT EXISTS {} {}", self.name, self.rest)
    }
}

/// The index that a statement makes, if it may be there already.
fn planned(statement: &str) -> Option<PlannedIndex<'_>> {
    let (name, rest) = statement.strip_prefix(BEGINNING)?.split_once(char::is_whitespace)?;
    let table = rest.trim_start().strip_prefix("ON ")?.split_whitespace().next()?;
    Some(PlannedIndex { name, table, rest: rest.trim() })
}

impl Postgres {
    /// Builds the indexes of the migrations that are missing, on tables that are large.
    ///
    /// # Errors
    /// When a build fails: what it left is removed by the next one. Refused while somebody builds the same.
    pub(super) async fn prebuild_indexes(&mut self, permit: &ChangePermit) -> Result<()> {
        let known = self.migrations().await?;
        // Nobody uses what was never migrated.
        if !known.iter().any(|one| one.state == MigrationState::Applied) {
            return Ok(());
        }
        let is_missing = |version: i64| {
            known.iter().any(|one| one.version == version && one.state != MigrationState::Applied)
        };
        let missing = MIGRATIONS.iter().filter(|one| is_missing(one.version));
        let sql: Vec<String> = missing.flat_map(|one| statements(one.sql.as_str())).collect();
        if sql.is_empty() {
            return Ok(());
        }
        let (present, mut was_built) = (self.indexes().await?, false);
        for index in sql.iter().filter_map(|statement| planned(statement)) {
            let there = present.iter().find(|one| one.name == index.name);
            was_built |= self.prebuild(permit, &index, there).await?;
        }
        if was_built {
            sqlx::raw_sql("RESET lock_timeout; RESET statement_timeout; RESET application_name")
                .execute(self.asked())
                .await
                .context("cannot give the session back its settings")?;
        }
        Ok(())
    }

    /// Whether the session's settings are others now.
    async fn prebuild(
        &mut self,
        permit: &ChangePermit,
        index: &PlannedIndex<'_>,
        there: Option<&Index>,
    ) -> Result<bool> {
        if let Some(pid) = there.and_then(|one| one.built_by) {
            return Err(Error::refused(format!("{} is being built by pid {pid}", index.name))
                .hint("wait until that build has ended: nsys db indexes"));
        }
        if there.is_some_and(|one| one.valid) {
            return Ok(false);
        }
        if there.is_some() {
            // What an interrupted build left would be taken for the index itself.
            let drop = format!("DROP INDEX CONCURRENTLY IF EXISTS {}", index.name);
            self.run_within(permit, &drop, BUDGET).await?;
        }
        let bytes: i64 = sqlx::query("SELECT coalesce(pg_table_size(to_regclass($1)), 0)")
            .bind(index.table)
            .fetch_one(self.asked())
            .await
            .context("cannot ask how large a table is")?
            .get(0);
        if bytes < SMALL_BYTES {
            return Ok(there.is_some());
        }
        self.run_within(permit, &index.concurrent(), BUDGET).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_of_a_migration_is_built_as_it_is_written() {
        let sql = "-- A comment; of two\n-- lines.\nSET LOCAL x = 1;\nCREATE INDEX IF NOT EXISTS i\n    ON t (a, b) WHERE a IS NOT NULL;\n";
        let statements = statements(sql);
        assert_eq!(statements.len(), 2);
        assert_eq!(planned(&statements[0]), None);
        let index = planned(&statements[1]).unwrap();
        assert_eq!((index.name, index.table), ("i", "t"));
        assert_eq!(
            index.concurrent(),
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a, b) WHERE a IS NOT NULL"
        );
    }

    /// The first four were released when nobody had a large table yet.
    #[test]
    fn every_index_of_a_table_that_is_in_use_can_be_built_beforehand() {
        let made = |version: i64| {
            let before = MIGRATIONS.iter().filter(move |one| one.version < version);
            before.flat_map(|one| statements(one.sql.as_str())).collect::<Vec<_>>()
        };
        for migration in MIGRATIONS.iter().filter(|one| one.version > 4) {
            let before = made(migration.version);
            let is_old =
                |table: &str| before.iter().any(|sql| sql.starts_with(&format!("CREATE TABLE {table} ")));
            for statement in statements(migration.sql.as_str()) {
                let words: Vec<_> = statement.split_whitespace().collect();
                let is_index = words.starts_with(&["CREATE", "INDEX"])
                    || words.starts_with(&["CREATE", "UNIQUE", "INDEX"]);
                let table = words.iter().position(|word| *word == "ON").map_or("", |at| words[at + 1]);
                assert!(
                    !is_index || !is_old(table) || planned(&statement).is_some(),
                    "it would lock {table} while it is built: {statement}"
                );
            }
        }
        assert!(made(8).iter().filter_map(|sql| planned(sql)).any(|one| one.table == "notifications"));
    }
}
