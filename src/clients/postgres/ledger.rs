//! What a load test sent against what is stored, by the ledger of a profile: a query of its user's that gives the
//! ids of what is stored, asked in a transaction that only reads.

use super::Postgres;
use super::reconcile::StoredRows;
use crate::error::{Context, Result};
use sqlx::{AssertSqlSafe, Connection, Row};

impl Postgres {
    /// How many ids are stored, and how many of them are final where a query tells. Both queries give ids in their
    /// only column and take the first part of the ids as `$1`. `unacknowledged` are ids that may be stored or not.
    /// An id that is stored twice counts once.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn count_ledger(
        &mut self,
        stored: &str,
        finished: Option<&str>,
        prefix: &str,
        unacknowledged: &[String],
    ) -> Result<StoredRows> {
        let (all, acknowledged) = self.count_ids(stored, prefix, unacknowledged).await?;
        let finished = match finished {
            Some(query) => self.count_ids(query, prefix, unacknowledged).await?.1,
            None => acknowledged,
        };
        Ok(StoredRows { all, acknowledged, r#final: finished })
    }

    /// Distinct ids of a query, and how many of them were acknowledged.
    async fn count_ids(
        &mut self,
        query: &str,
        prefix: &str,
        unacknowledged: &[String],
    ) -> Result<(u64, u64)> {
        let sql = format!(
            "SELECT count(DISTINCT ledger.id::text),
                    count(DISTINCT ledger.id::text) FILTER (WHERE left_out.id IS NULL)
             FROM ({query}) AS ledger(id) LEFT JOIN unnest($2::text[]) AS left_out(id) ON left_out.id = ledger.id::text"
        );
        let what = "cannot ask the ledger of the profile";
        let mut transaction = self.asked().begin_with("BEGIN READ ONLY").await.context(what)?;
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(prefix)
            .bind(unacknowledged)
            .fetch_one(&mut *transaction)
            .await
            .context(what)?;
        transaction.rollback().await.context(what)?;
        let count = |index: usize| u64::try_from(row.get::<i64, _>(index)).unwrap_or(0);
        Ok((count(0), count(1)))
    }

    /// Ids that were acknowledged and that the query does not give, at most `limit`. `sent` are the first parts of
    /// ids with how many numbers follow each, from 0 on.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn list_lost_of_ledger(
        &mut self,
        query: &str,
        prefix: &str,
        sent: &[(String, u64)],
        unacknowledged: &[String],
        limit: i64,
    ) -> Result<Vec<String>> {
        let (parts, counts): (Vec<_>, Vec<_>) =
            sent.iter().map(|(part, count)| (part.as_str(), i64::try_from(*count).unwrap_or(0))).unzip();
        let sql = format!(
            "SELECT sent.id FROM (
                 SELECT part || '-' || number AS id FROM unnest($2::text[], $3::int8[]) AS made(part, count),
                        generate_series(0, count - 1) AS number) AS sent
             WHERE NOT EXISTS (SELECT FROM unnest($4::text[]) AS left_out(id) WHERE left_out.id = sent.id)
               AND sent.id NOT IN (SELECT ledger.id::text FROM ({query}) AS ledger(id) WHERE ledger.id IS NOT NULL)
             LIMIT $5"
        );
        let what = "cannot look for what is lost in the ledger of the profile";
        let mut transaction = self.asked().begin_with("BEGIN READ ONLY").await.context(what)?;
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(prefix)
            .bind(parts)
            .bind(counts)
            .bind(unacknowledged)
            .bind(limit)
            .fetch_all(&mut *transaction)
            .await
            .context(what)?;
        transaction.rollback().await.context(what)?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}
