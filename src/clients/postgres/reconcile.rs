//! What a load test sent against what is stored, by correlation ids.

use super::Postgres;
use crate::error::{Context, Result};
use sqlx::Row;

/// Rows of a level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredRows {
    /// All with its prefix.
    pub all: u64,
    /// Those that were acknowledged: all but the ones that are named as not.
    pub acknowledged: u64,
    /// Acknowledged ones in a final state.
    pub r#final: u64,
}

impl Postgres {
    /// How many notifications with this prefix of the correlation id are stored. `unacknowledged` are the
    /// ids without an answer 201, which may be stored or not and replace none that was acknowledged. Rows that
    /// are older than `within_s` and a day more, for clocks that differ, are not read.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn count_stored(
        &mut self,
        prefix: &str,
        unacknowledged: &[String],
        within_s: f64,
    ) -> Result<StoredRows> {
        // Not LIKE, to which the `_` of a run's id is any character; and by `starts_with` `counters` knows
        // that the statement is one of nsys.
        let row = sqlx::query(
            "SELECT count(*), count(*) FILTER (WHERE left_out.id IS NULL),
                    count(*) FILTER (WHERE left_out.id IS NULL
                        AND status IN ('DELIVERED', 'SENT', 'FAILED', 'CANCELLED', 'EXPIRED'))
             FROM notifications LEFT JOIN unnest($2::text[]) AS left_out(id) ON left_out.id = correlation_id
             WHERE starts_with(correlation_id, $1)
               AND created_at >= now() - make_interval(days => 1, secs => $3)",
        )
        .bind(prefix)
        .bind(unacknowledged)
        .bind(within_s)
        .fetch_one(self.asked())
        .await
        .context("cannot count the run's notifications")?;
        let count = |index: usize| u64::try_from(row.get::<i64, _>(index)).unwrap_or(0);
        Ok(StoredRows { all: count(0), acknowledged: count(1), r#final: count(2) })
    }

    /// Correlation ids that were acknowledged and are not stored, at most `limit`. `sent` are the first
    /// parts of ids with how many numbers follow each, from 0 on.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn list_lost(
        &mut self,
        sent: &[(String, u64)],
        unacknowledged: &[String],
        limit: i64,
    ) -> Result<Vec<String>> {
        let (parts, counts): (Vec<_>, Vec<_>) =
            sent.iter().map(|(part, count)| (part.as_str(), i64::try_from(*count).unwrap_or(0))).unzip();
        let rows = sqlx::query(
            "SELECT sent.id FROM (
                 SELECT part || '-' || number AS id FROM unnest($1::text[], $2::int8[]) AS made(part, count),
                        generate_series(0, count - 1) AS number) AS sent
             WHERE NOT EXISTS (SELECT FROM unnest($3::text[]) AS left_out(id) WHERE left_out.id = sent.id)
               AND NOT EXISTS (SELECT FROM notifications WHERE correlation_id = sent.id)
             LIMIT $4",
        )
        .bind(parts)
        .bind(counts)
        .bind(unacknowledged)
        .bind(limit)
        .fetch_all(self.asked())
        .await
        .context("cannot look for lost notifications")?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}
