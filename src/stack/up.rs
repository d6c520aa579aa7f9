//! What the service stands on: database, schema and topics, made as far as they are missing.

use super::{Stack, log};
use crate::clients::{kafka, postgres::Postgres};
use crate::error::Result;
use crate::permit::ChangePermit;
use nsys_contract::{schema, topics};
use std::time::Duration;
use tokio::time::Instant;

/// Database, schema and topics of a stack that nsys starts, as far as they are missing.
///
/// # Errors
/// When PostgreSQL or Kafka refuses.
pub async fn ensure_schema_and_topics(permit: &ChangePermit, stack: &Stack, deadline: Instant) -> Result<()> {
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_secs(5));
    let database = async {
        let timeout = Duration::from_secs(5);
        // By way of the database that every server has: the service's own may not be there to connect to.
        let server = stack.endpoints.postgres_url(&stack.layout.secret("postgres")?, "postgres");
        Postgres::connect(&server, timeout).await?.ensure_database(permit, "notifications").await?;
        let mut ours = Postgres::connect(&stack.database_url()?, timeout).await?;
        // A database that was never migrated is an error here; any other one shows itself in `migrate`.
        if ours.schema_version().await.unwrap_or(0) < schema::REQUIRED_SCHEMA_VERSION {
            ours.migrate(permit).await?;
        }
        Ok(())
    };
    let number = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    let wanted = wanted_topics(stack).map(|(name, partitions)| (name, number(partitions)));
    let brokers = stack.endpoints.brokers();
    let topics = kafka::ensure_topics(
        permit,
        &brokers,
        &wanted,
        number(stack.loaded.config.kafka.replication),
        stack.loaded.config.kafka.retention,
        left.min(Duration::from_secs(30)),
    );
    tokio::try_join!(database, topics)?;
    log::keep_by_time(permit, stack).await
}

/// The service's topics with their partitions.
#[must_use]
pub fn wanted_topics(stack: &Stack) -> [(&'static str, u32); 3] {
    let partitions = stack.loaded.config.kafka.partitions;
    [(topics::NOTIFICATIONS, partitions), (topics::RETRY, partitions), (topics::DEAD_LETTERS, 1)]
}
