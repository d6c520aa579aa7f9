//! Plans the schema and the topics that are missing.

use super::carry_out;
use crate::cli::PlanFlags;
use crate::clients::kafka;
use crate::domain::database::{Migration, MigrationState};
use crate::error::{Error, Result};
use crate::permit::Reach;
use crate::plan::{ChangePlan, DbStep, KafkaStep, Step};
use crate::render::Out;
use crate::stack::{Stack, safety, up};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(5);

/// The newest migration that the database has.
#[must_use]
pub fn version(migrations: &[Migration]) -> i64 {
    let there = |one: &&Migration| {
        matches!(one.state, MigrationState::Applied | MigrationState::Changed | MigrationState::Newer)
    };
    migrations.iter().filter(there).map(|one| one.version).max().unwrap_or(0)
}

/// Plans what `up` makes on a stack that nsys starts: the schema and the topics, as far as they are missing.
/// Answers whether there is nothing left to do.
///
/// # Errors
/// When PostgreSQL or Kafka does not answer; as [`carry_out`].
pub async fn ensure_schema_and_topics(
    stack: &Stack,
    (schema, topics): (bool, bool),
    flags: &PlanFlags,
    out: Out,
) -> Result<bool> {
    safety::check(stack, "up --migrate", Reach::Schema).await?;
    let mut plan = ChangePlan::new("schema and topics");
    if schema {
        plan = plan_migration(stack).await?;
        plan.title = "schema and topics".into();
    }
    if topics {
        let there = kafka::topics(&stack.endpoints.brokers(), TIMEOUT).await?;
        let missing = up::wanted_topics(stack).into_iter();
        let missing = missing.filter(|(name, _)| !there.iter().any(|(known, _)| known == name));
        let missing: Vec<_> = missing.map(|(name, partitions)| (name.to_owned(), partitions)).collect();
        if missing.is_empty() {
            plan.notes.push("the topics are there already".into());
        } else {
            let replication = stack.loaded.config.kafka.replication;
            plan.steps.push(Step::Kafka(KafkaStep::Create { topics: missing, replication }));
        }
    }
    let made = carry_out(stack, &plan, flags, None, out).await?;
    Ok(plan.is_empty() || made.is_some())
}

/// Plans the migrations that the database lacks.
///
/// # Errors
/// When PostgreSQL does not answer; refused when one was applied with another content.
pub async fn plan_migration(stack: &Stack) -> Result<ChangePlan> {
    let migrations = stack.postgres().await?.migrations().await?;
    let of = |state: MigrationState| migrations.iter().filter(move |one| one.state == state);
    if let Some(changed) = of(MigrationState::Changed).next() {
        return Err(Error::refused(format!(
            "migration {:04}_{} was applied with different content than this nsys ships",
            changed.version, changed.name
        ))
        .hint("use the nsys that belongs to this database, or start over with: nsys db reset"));
    }
    let mut plan = ChangePlan::new("migrate");
    let pending: Vec<_> = of(MigrationState::Pending).chain(of(MigrationState::Failed)).collect();
    if let Some(newest) = pending.iter().map(|one| one.version).max() {
        plan.steps.push(Step::Db(DbStep::Migrate {
            from: version(&migrations),
            to: newest,
            names: pending.iter().map(|one| format!("{:04}_{}", one.version, one.name)).collect(),
        }));
    } else {
        plan.notes.push(format!("the schema is at {} already", version(&migrations)));
    }
    Ok(plan)
}
