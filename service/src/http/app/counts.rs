//! Counts over whole tables, taken at most once in a while however often they are asked for.

use crate::db::{Db, DbError};
use jiff::Timestamp;
use nsys_contract::api::DeadLetterFilter;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How old counts may be.
const MAX_AGE: Duration = Duration::from_secs(10);

/// What was counted.
pub(crate) struct TableCounts {
    pub(crate) notifications: BTreeMap<String, u64>,
    pub(crate) dead_letters: u64,
    pub(crate) counted_at: Timestamp,
}

/// The last counts of this process.
pub(crate) struct CachedCounts(moka::future::Cache<(), Arc<TableCounts>>);

impl Default for CachedCounts {
    fn default() -> Self {
        Self(moka::future::Cache::builder().max_capacity(1).time_to_live(MAX_AGE).build())
    }
}

impl CachedCounts {
    /// The counts, taken now when the last ones are too old.
    pub(crate) async fn current(&self, db: &Db) -> Result<Arc<TableCounts>, DbError> {
        let count = async {
            let notifications = db.count_by_status().await?;
            let dead_letters = db.count_dead_letters(&DeadLetterFilter::default()).await?;
            Ok::<_, DbError>(Arc::new(TableCounts {
                notifications,
                dead_letters,
                counted_at: crate::clock::now(),
            }))
        };
        self.0.try_get_with((), count).await.map_err(|cause| cause.as_ref().clone())
    }
}
