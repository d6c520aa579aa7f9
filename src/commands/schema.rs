//! `nsys db status|migrate|seed|reset`.

use super::change::carry_out;
use super::db::connect;
use crate::cli::{PlanFlags, SeedArgs};
use crate::clients::{kafka, redis::Redis};
use crate::domain::database::{Migration, MigrationState};
use crate::error::{Error, Result};
use crate::permit::Reach;
use crate::plan::{CacheStep, DbStep, KafkaStep, Plan, Step};
use crate::render::{Out, Report, Tone, format, style::paint, table::Table};
use crate::stack::{Stack, safety, up as rise};
use nsys_contract::{schema, topics};
use serde::Serialize;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct SchemaStatus {
    version: i64,
    needed: i64,
    migrations: Vec<Migration>,
}

impl Report for SchemaStatus {
    fn text(&self) -> String {
        let mut table = Table::new(["migration", "state", "applied"]);
        for one in &self.migrations {
            let (tone, state) = match one.state {
                MigrationState::Applied => (Tone::Good, "applied"),
                MigrationState::Pending => (Tone::Warn, "pending"),
                MigrationState::Failed => (Tone::Bad, "failed"),
                MigrationState::Changed => (Tone::Bad, "changed since it was applied"),
                MigrationState::Newer => (Tone::Warn, "unknown to this nsys"),
            };
            table.row([
                format!("{:04}_{}", one.version, one.name),
                paint(tone, state),
                one.at.clone().unwrap_or_else(|| format::MISSING.into()),
            ]);
        }
        format!("{}\nschema {}, the service needs {}", table.text(), self.version, self.needed)
    }
}

pub(super) async fn status(stack: &Stack, out: Out) -> Result<()> {
    let migrations = connect(stack).await?.migrations().await?;
    let status =
        SchemaStatus { version: version(&migrations), needed: schema::REQUIRED_SCHEMA_VERSION, migrations };
    out.report(&status)?;
    if status.version < status.needed {
        return Err(Error::failed(format!(
            "schema {} is older than the {} the service needs",
            status.version, status.needed
        ))
        .hint("nsys db migrate"));
    }
    Ok(())
}

/// The newest migration that the database has.
fn version(migrations: &[Migration]) -> i64 {
    let there = |one: &&Migration| {
        matches!(one.state, MigrationState::Applied | MigrationState::Changed | MigrationState::Newer)
    };
    migrations.iter().filter(there).map(|one| one.version).max().unwrap_or(0)
}

pub(super) async fn migrate(stack: &Stack, flags: &PlanFlags, out: Out) -> Result<()> {
    carry_out(stack, &plan_migration(stack).await?, flags, None, out).await.map(|_| ())
}

/// Plans what `up` makes on a stack that nsys starts: the schema and the topics, as far as they are missing.
/// Answers whether there is nothing left to do.
///
/// # Errors
/// When PostgreSQL or Kafka does not answer; as [`carry_out`].
pub(super) async fn lay_ground(
    stack: &Stack,
    (schema, topics): (bool, bool),
    flags: &PlanFlags,
    out: Out,
) -> Result<bool> {
    safety::check(stack, "up --migrate", Reach::Schema).await?;
    let mut plan = Plan::new("schema and topics");
    if schema {
        plan = plan_migration(stack).await?;
        plan.title = "schema and topics".into();
    }
    if topics {
        let there = kafka::topics(&stack.endpoints.brokers(), PATIENCE).await?;
        let missing = rise::wanted_topics(stack).into_iter();
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

async fn plan_migration(stack: &Stack) -> Result<Plan> {
    let migrations = connect(stack).await?.migrations().await?;
    let of = |state: MigrationState| migrations.iter().filter(move |one| one.state == state);
    if let Some(changed) = of(MigrationState::Changed).next() {
        return Err(Error::refused(format!(
            "migration {:04}_{} was applied with another content than this nsys knows",
            changed.version, changed.name
        ))
        .hint("use the nsys that belongs to this database, or start anew with: nsys db reset"));
    }
    let mut plan = Plan::new("migrate");
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

pub(super) async fn seed(stack: &Stack, args: &SeedArgs, out: Out) -> Result<()> {
    let settings = &stack.loaded.config.loadtest;
    let users = args.users.unwrap_or(settings.seed_users);
    let wanted = args.notifications.unwrap_or(settings.seed_notifications);
    let there = connect(stack).await?.seeded().await?;
    let mut plan = Plan::new("seed");
    if there < wanted {
        plan.steps.push(Step::Db(DbStep::Seed { users, from: there, to: wanted }));
        plan.steps.push(Step::Db(DbStep::Analyze { table: schema::NOTIFICATIONS.into() }));
    } else {
        plan.notes.push(format!("there are {there} seeded notifications; fewer are had by: nsys undo"));
    }
    carry_out(stack, &plan, &args.flags, None, out).await.map(|_| ())
}

pub(super) async fn reset(stack: &Stack, flags: &PlanFlags, out: Out) -> Result<()> {
    let tables = connect(stack).await?.table_sizes().await?;
    let rows = tables.iter().map(|one| one.live_rows).sum();
    let mut plan = Plan::new("reset the database");
    plan.steps.push(Step::Db(DbStep::Reset { rows }));
    // Idempotency records of dropped rows would answer for notifications that are no more.
    let keys = Redis::connect(&stack.endpoints.redis_url(), PATIENCE).await?.keys_by_prefix("").await?;
    plan.steps.push(Step::Cache(CacheStep::Flush { prefix: String::new(), keys: keys.values().sum() }));
    plan.warnings.push("accounts go too; the load-test account is made again, others are not".into());
    let (brokers, read) =
        (stack.endpoints.brokers(), [topics::NOTIFICATIONS, topics::RETRY].map(str::to_owned));
    let lag = kafka::lag(&brokers, topics::WORKER_GROUP, &read, PATIENCE).await;
    match lag.map(|all| all.iter().map(|one| one.lag).sum::<i64>()) {
        Ok(0) => {}
        Ok(waits) => {
            plan.warnings.push(format!("{waits} messages wait in Kafka and will be stored afterwards"));
        }
        Err(error) => {
            plan.warnings.push(format!("whether messages wait in Kafka is unknown: {error}"));
        }
    }
    carry_out(stack, &plan, flags, None, out).await.map(|_| ())
}
