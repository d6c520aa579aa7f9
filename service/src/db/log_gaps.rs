//! What the log lost: messages that were deleted before a worker read them.

use super::{Db, DbError};
use crate::domain::lag::LogGap;
use nsys_contract::schema;

impl Db {
    /// Records a gap; one that is known already stays as it is.
    pub(crate) async fn keep_gap(&self, gap: &LogGap) -> Result<(), DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query(
            "INSERT INTO log_gaps (topic, log_partition, first_offset, next_offset) VALUES ($1, $2, $3, $4)
             ON CONFLICT DO NOTHING",
        )
        .bind(&gap.topic)
        .bind(gap.partition)
        .bind(gap.first)
        .bind(gap.next)
        .execute(&mut *connection);
        self.timed("insert", schema::LOG_GAPS, query).await.map(|_| ())
    }
}
