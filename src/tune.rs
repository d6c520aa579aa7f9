//! What each `nsys tune` command would do: fetches what is there, and has the planners plan. Each command is
//! first a plan, so that several can be one.

pub mod snapshots;
mod suggest;

use crate::cli::{TuneCacheArgs, TuneCommand, TuneDbArgs, TuneKafkaArgs, TunePlanArgs, TuneServiceArgs};
use crate::clients::kafka::{self, Brokers};
use crate::clients::postgres::{Postgres, own_indexes};
use crate::config::overlay;
use crate::diagnose;
use crate::domain::remedy::{self, Remedy};
use crate::error::{Error, Result};
use crate::loadtest::runs::Runs;
use crate::plan::index::{self, WantedIndex};
use crate::plan::merge::merge;
use crate::plan::{CacheStep, ChangePlan, DbStep, ReadQuery, Step, config, partitions};
use crate::stack::{Stack, index_ages, replica, spec};
use nsys_contract::{schema, topics};
use std::time::Duration;
use toml::Value;

const TIMEOUT: Duration = Duration::from_secs(5);
/// Records of a topic whose keys say which users more partitions would move.
const RECENT_RECORDS: i64 = 2_000;
/// Other groups that are asked whether they read the topic.
const OTHER_GROUPS: usize = 20;

/// What a command would do.
///
/// # Errors
/// When the stack cannot be asked, or the change is refused.
pub async fn planned(stack: &Stack, command: &TuneCommand) -> Result<ChangePlan> {
    match command {
        TuneCommand::Db(args) => database(stack, args).await,
        TuneCommand::Kafka(args) => broker(stack, args).await,
        TuneCommand::Cache(args) => cache(stack, args).await,
        TuneCommand::Service(args) => service(stack, args).await,
        TuneCommand::Plan(args) => Box::pin(evidence(stack, args)).await,
        TuneCommand::Experiment(_) | TuneCommand::Export => Ok(ChangePlan::default()),
    }
}

/// What the findings of a run ask for, in their order, which is that of their worth.
async fn evidence(stack: &Stack, args: &TunePlanArgs) -> Result<ChangePlan> {
    let found = Runs::of(stack).find(&args.run)?;
    let foreign = found.foreign();
    if let Some(whose) = foreign.as_ref().filter(|_| !args.foreign) {
        return Err(Error::refused(format!("{whose}; what it asks for may be wrong for this one"))
            .hint("run a load test on this stack, or plan from that run with --foreign"));
    }
    let run = found.run;
    let (found, now) = (diagnose::of_run(stack, &run), diagnose::current_settings(stack).await?);
    let (mut plans, mut notes, mut warnings, mut seen) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for finding in found.causes() {
        let changes: Vec<_> = finding.remedies.iter().filter_map(Remedy::tuning).collect();
        if changes.is_empty() {
            let others = remedy::line(&finding.remedies, str::to_owned);
            warnings.push(format!("no change of nsys helps where {}: {others}", finding.cause));
        }
        for tuning in changes {
            if seen.contains(tuning) {
                continue;
            }
            seen.push(tuning.clone());
            if tuning.is_in_place(&now) {
                notes.push(format!("{tuning}: nothing left to do"));
                continue;
            }
            match planned(stack, &TuneCommand::from(tuning)).await {
                Ok(plan) if plan.is_empty() => notes.push(format!("{tuning}: nothing left to do")),
                Ok(plan) => {
                    notes.push(format!("{} asks for: {tuning}", finding.cause));
                    plans.push(plan);
                }
                Err(error) => warnings.push(format!("{tuning} is left out: {}", error.message)),
            }
        }
    }
    let mut plan = merge(format!("what {} asks for", run.id), plans);
    plan.notes.splice(0..0, notes);
    plan.warnings.extend(foreign);
    plan.warnings.extend(warnings);
    if found.causes().next().is_none() {
        plan.notes.push(format!("nothing saturated in {}", run.id));
    }
    Ok(plan)
}

/// Plans a change of the configuration; the replicas keep their number unless `replicas` says else.
async fn settings(
    stack: &Stack,
    title: &str,
    wanted: &[(&str, Value)],
    replicas: impl Fn((u32, u32)) -> (u32, u32),
) -> Result<ChangePlan> {
    let records = stack.records().await?;
    stack.runtime.must_run_parts("change the configuration of the service")?;
    let now = spec::replicas(&records);
    let rolled = (now != (0, 0)).then(|| (now, replicas(now)));
    config::plan_settings(title, &overlay::known(&stack.loaded), wanted, rolled)
        .map_err(|why| Error::refused(why).hint("unset the variable, then run the command again"))
}

async fn database(stack: &Stack, args: &TuneDbArgs) -> Result<ChangePlan> {
    let mut plans = Vec::new();
    if args.indexes {
        plans.push(guide_indexes(stack, args).await?);
    }
    if args.suggest {
        plans.push(suggest::plan(stack, args.since.as_deref()).await?);
    }
    if args.drop_unused {
        plans.push(unused_indexes(stack, args.unused_for).await?);
    }
    let mut wanted = Vec::new();
    wanted.extend(args.pool_size.map(|size| ("db.pool_size", Value::from(i64::from(size)))));
    wanted.extend(args.pool_timeout.as_deref().map(|timeout| ("db.pool_timeout", Value::from(timeout))));
    if let Some(url) = args.read_replica.as_deref() {
        if url.is_empty() && !stack.records().await?.iter().any(|part| part.name == replica::PART) {
            return Err(Error::refused("no replica runs").hint("nsys up --with replica"));
        }
        wanted.push(("db.read_url", Value::from(url)));
    }
    if !wanted.is_empty() {
        plans.push(settings(stack, "database", &wanted, |now| now).await?);
    }
    Ok(one_or_merged("database", plans))
}

fn one_or_merged(title: &str, mut plans: Vec<ChangePlan>) -> ChangePlan {
    match plans.pop() {
        Some(only) if plans.is_empty() => only,
        Some(last) => {
            plans.push(last);
            merge(title, plans)
        }
        None => ChangePlan::new(title),
    }
}

async fn guide_indexes(stack: &Stack, args: &TuneDbArgs) -> Result<ChangePlan> {
    let mut database = stack.postgres().await?;
    let fits = |one: &&schema::IndexDefinition| args.only.as_ref().is_none_or(|only| only == one.name);
    let wanted: Vec<_> = schema::TUNING_INDEXES.iter().filter(fits).map(WantedIndex::from).collect();
    if wanted.is_empty() {
        let names = schema::TUNING_INDEXES.map(|one| one.name).join(", ");
        return Err(Error::usage(format!("--only names none of the indexes: {names}")));
    }
    let (present, tables) = (database.indexes().await?, database.table_sizes().await?);
    if let Some(lacks) = wanted.iter().find(|one| !tables.iter().any(|table| table.table == one.table)) {
        return Err(Error::failed(format!("there is no table {}", lacks.table)).hint("nsys db migrate"));
    }
    let mut plan =
        index::plan_indexes(&present, &wanted, &schema::ANALYZE_TABLES, &tables).map_err(conflict)?;
    if plan.is_empty() && args.analyze {
        let analyze = schema::ANALYZE_TABLES.map(|table| Step::Db(DbStep::Analyze { table: table.into() }));
        plan.steps.extend(analyze);
    }
    if !plan.is_empty() {
        let reads = database.representative_reads().await?;
        plan.reads.extend(reads.into_iter().map(|(name, sql)| ReadQuery {
            name: name.to_owned(),
            sql,
            generic: false,
        }));
    }
    Ok(plan)
}

fn conflict(why: index::IndexConflict) -> Error {
    Error::refused(why.to_string()).hint(why.hint())
}

async fn unused_indexes(stack: &Stack, unused_for: Duration) -> Result<ChangePlan> {
    let mut database = stack.postgres().await?;
    let present = database.indexes().await?;
    let replica = match replica_url(stack).await? {
        None => None,
        Some(url) => {
            let asked = async { Postgres::connect(&url, TIMEOUT).await?.indexes().await };
            let indexes = asked.await.map_err(|error| {
                Error::refused(format!("the replica cannot be asked what it uses: {}", error.message))
                    .hint("reads may go there: an index unused on the primary is not unused")
            });
            Some(indexes?)
        }
    };
    let evidence = index::UsageEvidence {
        since: &database.statistics_since().await?,
        counted_for: database.counted_for().await?,
        known_for: &index_ages::note(stack, &present)?,
        unused_for,
        own: &own_indexes(),
        replica: replica.as_deref(),
    };
    Ok(index::plan_drop_unused(&present, &evidence))
}

/// Where reads go beside the primary.
async fn replica_url(stack: &Stack) -> Result<Option<String>> {
    let configured = &stack.loaded.config.db.read_url;
    if configured == "none" {
        return Ok(None);
    }
    if !configured.is_empty() {
        return Ok(Some(configured.clone()));
    }
    if stack.records().await?.iter().any(|part| part.name == replica::PART) {
        return Ok(Some(stack.endpoints.replica_url(&stack.layout.secret("postgres")?)));
    }
    Ok(None)
}

async fn broker(stack: &Stack, args: &TuneKafkaArgs) -> Result<ChangePlan> {
    if let Some(total) = args.partitions {
        return more_partitions(stack, total, args.force).await;
    }
    let mut wanted = Vec::new();
    wanted.extend(args.compression.as_deref().map(|codec| ("kafka.compression", Value::from(codec))));
    wanted.extend(args.linger.as_deref().map(|linger| ("kafka.linger", Value::from(linger))));
    wanted.extend(args.batch_size.map(|bytes| ("kafka.batch_size", Value::from(i64::from(bytes)))));
    settings(stack, "producer", &wanted, |now| now).await
}

async fn more_partitions(stack: &Stack, total: u32, force: bool) -> Result<ChangePlan> {
    let (brokers, topic) = (stack.endpoints.brokers(), topics::NOTIFICATIONS);
    let lag = kafka::settled_lag(&brokers, topics::WORKER_GROUP, &[topic.to_owned()], TIMEOUT)
        .await
        .map_err(|error| error.hint("nsys health"))?;
    if lag.is_empty() {
        return Err(Error::usage(format!("there is no topic {topic}")).hint("nsys kafka topics lists them"));
    }
    let group = kafka::group(&brokers, topics::WORKER_GROUP, TIMEOUT).await?;
    let known = partitions::TopicState {
        name: topic,
        partitions: u32::try_from(lag.len()).unwrap_or(u32::MAX),
        lag: lag.iter().map(|one| one.lag).sum(),
        members: group.size(),
        recent_keys: &kafka::recent_keys(&brokers, topic, RECENT_RECORDS, TIMEOUT).await?,
        workers_begin_at: topics::WORKER_OFFSET_RESET,
        other_groups: &other_readers(&brokers, topic).await?,
    };
    partitions::plan_partitions(&known, total, force, &overlay::known(&stack.loaded)).map_err(|why| {
        let waits = known.lag > 0 && total > known.partitions;
        let hint = if waits {
            "wait until nsys lag is 0, or add --force"
        } else {
            "nsys kafka describe notifications"
        };
        Error::refused(why).hint(hint)
    })
}

/// Groups besides the workers that committed to the topic or own partitions of it.
async fn other_readers(brokers: &Brokers, topic: &str) -> Result<Vec<String>> {
    let groups = kafka::groups(brokers, TIMEOUT).await?;
    let others = groups.into_iter().filter(|group| group.name != topics::WORKER_GROUP).take(OTHER_GROUPS);
    let mut readers = Vec::new();
    for group in others {
        let (_, offsets) = kafka::group_offsets(brokers, &group.name, TIMEOUT).await?;
        if offsets.iter().any(|one| one.topic == topic) {
            readers.push(group.name);
        }
    }
    Ok(readers)
}

async fn cache(stack: &Stack, args: &TuneCacheArgs) -> Result<ChangePlan> {
    let wanted: Vec<_> =
        args.ttl.iter().map(|(key, ttl)| (key.as_str(), Value::from(ttl.as_str()))).collect();
    let mut plan = if wanted.is_empty() {
        ChangePlan::new("cache ahead")
    } else {
        settings(stack, "time to live", &wanted, |now| now).await?
    };
    // After the restart of the replicas: what they kept in their own memory is gone then.
    plan.steps.extend(args.warm.map(|entries| Step::Cache(CacheStep::Warm { entries })));
    Ok(plan)
}

async fn service(stack: &Stack, args: &TuneServiceArgs) -> Result<ChangePlan> {
    let mut wanted = Vec::new();
    let pairs =
        [("stack.app", args.instances), ("stack.worker", args.workers), ("service.threads", args.threads)];
    for (key, value) in pairs {
        wanted.extend(value.map(|value| (key, Value::from(i64::from(value)))));
    }
    let replicas = |now: (u32, u32)| (args.instances.unwrap_or(now.0), args.workers.unwrap_or(now.1));
    settings(stack, "replicas and threads", &wanted, replicas).await
}
