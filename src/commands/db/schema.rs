//! `nsys db status|migrate|seed|reset`.

use crate::change::carry_out;
use crate::change::schema::{plan_migration, version};
use crate::cli::{PlanFlags, SeedArgs};
use crate::clients::{kafka, redis::Redis};
use crate::domain::database::{Migration, MigrationState};
use crate::error::{Error, Result};
use crate::plan::{CacheStep, ChangePlan, DbStep, Step};
use crate::render::{Out, Report, Tone, format, style::paint, table::Table};
use crate::stack::Stack;
use nsys_contract::{schema, topics};
use serde::Serialize;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Serialize, schemars::JsonSchema)]
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
    let migrations = stack.postgres().await?.migrations().await?;
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

pub(super) async fn migrate(stack: &Stack, flags: &PlanFlags, out: Out) -> Result<()> {
    carry_out(stack, &plan_migration(stack).await?, flags, None, out).await.map(|_| ())
}

pub(super) async fn seed(stack: &Stack, args: &SeedArgs, out: Out) -> Result<()> {
    let settings = &stack.loaded.config.loadtest;
    let users = args.users.unwrap_or(settings.seed_users);
    let wanted = args.notifications.unwrap_or(settings.seed_notifications);
    let there = stack.postgres().await?.seeded().await?;
    let mut plan = ChangePlan::new("seed");
    if there < wanted {
        plan.steps.push(Step::Db(DbStep::Seed { users, from: there, to: wanted }));
        plan.steps.push(Step::Db(DbStep::Analyze { table: schema::NOTIFICATIONS.into() }));
    } else {
        plan.notes.push(format!("there are {there} seeded notifications already; to remove some: nsys undo"));
    }
    carry_out(stack, &plan, &args.flags, None, out).await.map(|_| ())
}

pub(super) async fn reset(stack: &Stack, flags: &PlanFlags, out: Out) -> Result<()> {
    let tables = stack.postgres().await?.table_sizes().await?;
    let rows = tables.iter().map(|one| one.live_rows).sum();
    let mut plan = ChangePlan::new("reset the database");
    plan.steps.push(Step::Db(DbStep::Reset { rows }));
    // Idempotency records of dropped rows would answer for notifications that are no more.
    let keys = Redis::connect(&stack.endpoints.redis_url(), TIMEOUT).await?.keys_by_prefix("").await?;
    plan.steps.push(Step::Cache(CacheStep::Flush { prefix: String::new(), keys: keys.values().sum() }));
    plan.warnings.push("accounts are dropped too; only the load-test account is recreated".into());
    let (brokers, read) =
        (stack.endpoints.brokers(), [topics::NOTIFICATIONS, topics::RETRY].map(str::to_owned));
    let lag = kafka::settled_lag(&brokers, topics::WORKER_GROUP, &read, TIMEOUT).await;
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

/// The shape of what `db status` answers.
pub(super) fn schema_of_status() -> crate::render::schema::AnswerSchema {
    crate::render::schema::AnswerSchema::of::<SchemaStatus>("db status", 1)
}
