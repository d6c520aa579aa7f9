//! Arguments of `nsys tune`.

use super::PlanFlags;
use clap::{Args, Subcommand};
use std::time::Duration;

/// `nsys tune …`
#[derive(Clone, Debug, Subcommand)]
pub enum TuneCommand {
    /// Build indexes, drop unused ones, size the connection pool
    Db(TuneDbArgs),
    /// Add partitions, set compression and batching of the producer
    Kafka(TuneKafkaArgs),
    /// Set how long entries live, cache entries ahead
    Cache(TuneCacheArgs),
    /// Set replicas and threads
    Service(TuneServiceArgs),
    /// Put everything that a diagnosed run asks for into one plan, most valuable first
    Plan(TunePlanArgs),
    /// Try changes one at a time with short load tests, and keep what helped
    Experiment(ExperimentArgs),
    /// Print what the tuned overlay would add to config.toml
    Export,
}

impl TuneCommand {
    /// The flags of a command that makes a plan by itself.
    #[must_use]
    pub const fn flags(&self) -> Option<&PlanFlags> {
        match self {
            Self::Db(args) => Some(&args.flags),
            Self::Kafka(args) => Some(&args.flags),
            Self::Cache(args) => Some(&args.flags),
            Self::Service(args) => Some(&args.flags),
            Self::Plan(args) => Some(&args.flags),
            Self::Experiment(_) | Self::Export => None,
        }
    }
}

/// Arguments of `nsys tune plan`.
#[derive(Clone, Debug, Args)]
pub struct TunePlanArgs {
    /// A directory, its name, latest or latest~1
    #[arg(long, default_value = "latest")]
    pub run: String,
    /// Plan although the run is of another stack
    #[arg(long, requires = "run")]
    pub foreign: bool,
    /// Flags of changes by plan.
    #[command(flatten)]
    pub flags: PlanFlags,
}

/// Arguments of `nsys tune experiment`.
#[derive(Clone, Debug, Args)]
pub struct ExperimentArgs {
    /// The changes, for example "db --indexes; kafka --compression lz4"; default what the newest run asks for
    #[arg(long, value_name = "STEPS", value_delimiter = ';')]
    pub steps: Vec<String>,
    /// The load of each measurement
    #[arg(long, value_name = "RATE/s:DURATION", default_value = "200/s:40s")]
    pub rates: String,
    /// Flags of changes by plan.
    #[command(flatten)]
    pub flags: PlanFlags,
}

/// Arguments of `nsys tune db`.
#[derive(Clone, Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true).args(["indexes", "suggest", "drop_unused", "pool_size", "pool_timeout", "read_replica"])))]
pub struct TuneDbArgs {
    /// Build the indexes that the service's reads need, without blocking writers
    #[arg(long)]
    pub indexes: bool,
    /// Only this index
    #[arg(long, value_name = "NAME", requires = "indexes")]
    pub only: Option<String>,
    /// Renew the planner's statistics although no index is missing
    #[arg(long, requires = "indexes")]
    pub analyze: bool,
    /// Build the indexes that the executed statements ask for, as the planner itself judges them
    #[arg(long)]
    pub suggest: bool,
    /// Only statements executed since this snapshot; `latest` means the newest
    #[arg(long, value_name = "SNAPSHOT", requires = "suggest")]
    pub since: Option<String>,
    /// Drop indexes that nobody used for long enough; the schema keeps its own
    #[arg(long, conflicts_with_all = ["indexes", "suggest"])]
    pub drop_unused: bool,
    /// How long an index must have been unused, by the primary and by a replica that serves reads
    #[arg(long, value_name = "DURATION", value_parser = super::parse_duration, default_value = "168h", requires = "drop_unused")]
    pub unused_for: Duration,
    /// Most connections each process of the service opens
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub pool_size: Option<u32>,
    /// Longest wait for a free connection
    #[arg(long, value_name = "DURATION", value_parser = duration_text)]
    pub pool_timeout: Option<String>,
    /// Where reads go: a PostgreSQL address, `local` for the stack's own replica, `none` for the primary
    #[arg(long, value_name = "URL", value_parser = read_replica)]
    pub read_replica: Option<String>,
    /// Flags of changes by plan.
    #[command(flatten)]
    pub flags: PlanFlags,
}

/// Arguments of `nsys tune kafka`.
#[derive(Clone, Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true).args(["partitions", "compression", "linger", "batch_size"])))]
pub struct TuneKafkaArgs {
    /// Partitions of the notifications topic in total; never fewer than there are
    #[arg(long, value_name = "N", conflicts_with_all = ["compression", "linger", "batch_size"], value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub partitions: Option<u32>,
    /// Add partitions although messages wait; the order of one user's messages is then not kept
    #[arg(long, requires = "partitions")]
    pub force: bool,
    /// Codec of produced batches
    #[arg(long, value_parser = ["none", "gzip", "lz4", "zstd"])]
    pub compression: Option<String>,
    /// How long the producer waits to fill a batch; every accept waits that long too
    #[arg(long, value_name = "DURATION", value_parser = duration_text)]
    pub linger: Option<String>,
    /// Largest produced batch, in bytes
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1_024..))]
    pub batch_size: Option<u32>,
    /// Flags of changes by plan.
    #[command(flatten)]
    pub flags: PlanFlags,
}

/// Arguments of `nsys tune cache`.
#[derive(Clone, Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true).args(["ttl", "warm"])))]
pub struct TuneCacheArgs {
    /// How long entries live, for example user=15m,notification=5m
    #[arg(long, value_name = "WHAT=DURATION", value_delimiter = ',', value_parser = ttl)]
    pub ttl: Vec<(String, String)>,
    /// Cache the newest N notifications now
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub warm: Option<u32>,
    /// Flags of changes by plan.
    #[command(flatten)]
    pub flags: PlanFlags,
}

/// Arguments of `nsys tune service`.
#[derive(Clone, Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true).args(["instances", "workers", "threads"])))]
pub struct TuneServiceArgs {
    /// Replicas of the api
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub instances: Option<u32>,
    /// Replicas of the worker
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub workers: Option<u32>,
    /// Async threads of each process; 0 means one per core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_024))]
    pub threads: Option<u32>,
    /// Flags of changes by plan.
    #[command(flatten)]
    pub flags: PlanFlags,
}

/// A duration that stays as it was written.
fn duration_text(text: &str) -> Result<String, String> {
    super::parse_duration(text).map(|_| text.to_owned())
}

/// The value of `db.read_url` for what was asked.
fn read_replica(text: &str) -> Result<String, String> {
    match text {
        "none" => Ok(text.to_owned()),
        // The replica that the local stack runs needs no address.
        "local" => Ok(String::new()),
        url if url.starts_with("postgres://") || url.starts_with("postgresql://") => Ok(url.to_owned()),
        _ => Err(format!("{text:?} is neither postgres://…, nor local, nor none")),
    }
}

fn ttl(text: &str) -> Result<(String, String), String> {
    let wrong = || format!("{text:?} is not WHAT=DURATION, for example user=15m");
    let (what, duration) = text.split_once('=').ok_or_else(wrong)?;
    if !matches!(what, "user" | "notification" | "negative" | "idempotency") {
        return Err(format!("{what:?} has no TTL; user, notification, negative and idempotency have one"));
    }
    Ok((format!("cache.ttl_{what}"), duration_text(duration)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_names_its_key() {
        assert_eq!(ttl("user=15m"), Ok(("cache.ttl_user".into(), "15m".into())));
        assert!(ttl("users=15m").unwrap_err().contains("has no TTL"));
        assert!(ttl("user=15").is_err());
    }
}
