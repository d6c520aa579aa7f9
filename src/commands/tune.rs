//! `nsys tune`: snapshots for the planners, and the proof afterwards.

use super::change::{Proof, carry_out, tell};
use crate::cli::{PlanFlags, TuneCacheArgs, TuneCommand, TuneDbArgs, TuneKafkaArgs, TuneServiceArgs};
use crate::clients::{kafka, postgres::Postgres};
use crate::config::overlay;
use crate::error::{Context, Error, Result};
use crate::plan::{CacheStep, Plan, Step, config, index, partitions};
use crate::render::Out;
use crate::stack::{Stack, spec};
use nsys_contract::{schema, topics};
use std::time::Duration;
use toml::Value;

const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn tune(stack: &Stack, command: TuneCommand, out: Out) -> Result<()> {
    match command {
        TuneCommand::Db(args) => database(stack, args, out).await,
        TuneCommand::Kafka(args) => broker(stack, args, out).await,
        TuneCommand::Cache(args) => cache(stack, args, out).await,
        TuneCommand::Service(args) => service(stack, args, out).await,
        TuneCommand::Export => export(stack, out),
    }
}

fn export(stack: &Stack, out: Out) -> Result<()> {
    let path = &stack.loaded.overlay;
    if !path.is_file() {
        out.say("nothing is tuned");
        return Ok(());
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    out.line(text.trim_end())
}

/// Plans and carries out a change of the configuration; the replicas keep their number.
async fn settings(
    stack: &Stack,
    title: &str,
    wanted: &[(&str, Value)],
    replicas: impl Fn((u32, u32)) -> (u32, u32),
    flags: &PlanFlags,
    out: Out,
) -> Result<()> {
    let records = stack.records().await?;
    stack.runtime.must_run_parts("change the configuration of the service")?;
    let now = spec::replicas(&records);
    let rolled = (!records.is_empty()).then(|| (now, replicas(now)));
    let plan = config::plan_settings(title, &overlay::known(&stack.loaded), wanted, rolled)
        .map_err(|why| Error::refused(why).hint("unset the variable, then run the command again"))?;
    let entry = carry_out(stack, &plan, flags, None, out).await?;
    tell(entry.as_ref(), None, out)
}

async fn database(stack: &Stack, args: TuneDbArgs, out: Out) -> Result<()> {
    if let Some(size) = args.pool_size {
        let mut wanted = vec![("db.pool_size", Value::from(i64::from(size)))];
        wanted.extend(args.pool_timeout.map(|timeout| ("db.pool_timeout", Value::from(timeout))));
        return settings(stack, "connection pool", &wanted, |now| now, &args.flags, out).await;
    }
    let url = stack.database_url()?;
    let mut database = Postgres::connect(&url, PATIENCE).await.map_err(|error| error.hint("nsys health"))?;
    let present = database.indexes().await?;
    if args.drop_unused {
        let plan = index::plan_drop_unused(&present, &database.statistics_since().await?);
        let entry = carry_out(stack, &plan, &args.flags, None, out).await?;
        return tell(entry.as_ref(), None, out);
    }
    let wanted: Vec<_> = schema::TUNING_INDEXES
        .into_iter()
        .filter(|one| args.only.as_ref().is_none_or(|only| only == one.name))
        .collect();
    if wanted.is_empty() {
        let names = schema::TUNING_INDEXES.map(|one| one.name).join(", ");
        return Err(Error::usage(format!("--only names none of the indexes: {names}")));
    }
    let plan = index::plan_indexes(&present, &wanted, &schema::ANALYZE_TABLES).map_err(|why| {
        Error::refused(why).hint("drop or rename that index, or leave it out with --only NAME")
    })?;
    let will_build = !plan.is_empty() && !args.flags.change.dry_run;
    let reads = if will_build { database.representative_reads().await? } else { Vec::new() };
    let mut before = Vec::new();
    for (_, read) in &reads {
        before.push(database.explain(read).await?);
    }
    let Some(entry) = carry_out(stack, &plan, &args.flags, None, out).await? else { return Ok(()) };
    let mut proof = Vec::new();
    for ((read, sql), before) in reads.into_iter().zip(before) {
        proof.push(Proof { read, before, after: database.explain(&sql).await? });
    }
    tell(Some(&entry), Some(&proof), out)
}

async fn broker(stack: &Stack, args: TuneKafkaArgs, out: Out) -> Result<()> {
    let Some(total) = args.partitions else {
        let mut wanted = Vec::new();
        wanted.extend(args.compression.map(|codec| ("kafka.compression", Value::from(codec))));
        wanted.extend(args.linger.map(|linger| ("kafka.linger", Value::from(linger))));
        wanted.extend(args.batch_size.map(|bytes| ("kafka.batch_size", Value::from(i64::from(bytes)))));
        return settings(stack, "producer", &wanted, |now| now, &args.flags, out).await;
    };
    let (brokers, topic) = (stack.endpoints.brokers(), topics::NOTIFICATIONS);
    let lag = kafka::lag(&brokers, topics::WORKER_GROUP, &[topic.to_owned()], PATIENCE)
        .await
        .map_err(|error| error.hint("nsys health"))?;
    if lag.is_empty() {
        return Err(Error::failed(format!("there is no topic {topic}")).hint("nsys up"));
    }
    let group = kafka::group(&brokers, topics::WORKER_GROUP, PATIENCE).await?;
    let recent = kafka::recent_keys(&brokers, topic, 2_000, PATIENCE).await?;
    let known = partitions::Topic {
        name: topic,
        partitions: u32::try_from(lag.len()).unwrap_or(u32::MAX),
        lag: lag.iter().map(|one| one.lag).sum(),
        members: group.members.len(),
        recent_keys: &recent,
    };
    let plan = partitions::plan_partitions(&known, total, args.force, &overlay::known(&stack.loaded))
        .map_err(|why| {
            let waits = known.lag > 0 && total > known.partitions;
            let hint = if waits {
                "wait until nsys lag is 0, or add --force"
            } else {
                "nsys kafka describe notifications"
            };
            Error::refused(why).hint(hint)
        })?;
    let entry = carry_out(stack, &plan, &args.flags, None, out).await?;
    tell(entry.as_ref(), None, out)
}

async fn cache(stack: &Stack, args: TuneCacheArgs, out: Out) -> Result<()> {
    if !args.ttl.is_empty() {
        let wanted: Vec<_> =
            args.ttl.iter().map(|(key, ttl)| (key.as_str(), Value::from(ttl.as_str()))).collect();
        settings(stack, "time to live", &wanted, |now| now, &args.flags, out).await?;
    }
    if let Some(entries) = args.warm {
        let mut plan = Plan::new("cache ahead");
        plan.steps.push(Step::Cache(CacheStep::Warm { entries }));
        let entry = carry_out(stack, &plan, &args.flags, None, out).await?;
        tell(entry.as_ref(), None, out)?;
    }
    Ok(())
}

async fn service(stack: &Stack, args: TuneServiceArgs, out: Out) -> Result<()> {
    let mut wanted = Vec::new();
    let pairs =
        [("stack.app", args.instances), ("stack.worker", args.workers), ("service.threads", args.threads)];
    for (key, value) in pairs {
        wanted.extend(value.map(|value| (key, Value::from(i64::from(value)))));
    }
    let replicas = |now: (u32, u32)| (args.instances.unwrap_or(now.0), args.workers.unwrap_or(now.1));
    settings(stack, "replicas and threads", &wanted, replicas, &args.flags, out).await
}
