//! Counts over whole tables. They are read seldom: see the caller.

use super::{Db, DbError};
use crate::domain::scope::Scope;
use nsys_contract::schema;
use sqlx::Row;
use std::collections::BTreeMap;

impl Db {
    /// Notifications by status.
    pub(crate) async fn count_by_status(&self) -> Result<BTreeMap<String, u64>, DbError> {
        let mut connection = self.acquire_for_list(&Scope::All).await?;
        let query = sqlx::query("SELECT status, count(*) AS count FROM notifications GROUP BY status")
            .fetch_all(&mut *connection);
        let rows = self.timed("select", schema::NOTIFICATIONS, query).await?;
        let counts = rows.iter().map(|row| {
            let count: i64 = row.try_get("count")?;
            Ok((row.try_get("status")?, count.unsigned_abs()))
        });
        counts.collect::<Result<_, sqlx::Error>>().map_err(DbError::from)
    }

    /// How long the oldest row that is due has waited to be claimed, in s; 0 when none is.
    pub(crate) async fn due_lag_s(&self) -> Result<f64, DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query_scalar::<_, f64>(
            "SELECT coalesce(extract(epoch FROM now() - min(next_attempt_at)), 0)::float8
             FROM notifications WHERE next_attempt_at <= now()",
        )
        .fetch_one(&mut *connection);
        self.timed("select", schema::NOTIFICATIONS, query).await
    }
}
