//! Arguments of the commands that change something by a plan, and of the journal.

use super::ChangeFlags;
use clap::{Args, Subcommand};
use std::time::Duration;

/// Flags of every command that makes a plan.
#[derive(Clone, Debug, Default, Args)]
pub struct PlanFlags {
    /// Common flags of changes.
    #[command(flatten)]
    pub change: ChangeFlags,
    /// The stack's name, for a protected stack
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
}

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
    /// Print what the tuned overlay would add to config.toml
    Export,
}

/// Arguments of `nsys tune db`.
#[derive(Clone, Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["indexes", "drop_unused", "pool_size"])))]
pub struct TuneDbArgs {
    /// Build the indexes that the service's reads need, without blocking writers
    #[arg(long)]
    pub indexes: bool,
    /// Only this index
    #[arg(long, value_name = "NAME", requires = "indexes")]
    pub only: Option<String>,
    /// Drop indexes that no read used since the statistics began
    #[arg(long, conflicts_with = "indexes")]
    pub drop_unused: bool,
    /// Most connections each process of the service opens
    #[arg(long, value_name = "N", conflicts_with_all = ["indexes", "drop_unused"], value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub pool_size: Option<u32>,
    /// Longest wait for a free connection
    #[arg(long, value_name = "DURATION", requires = "pool_size", value_parser = duration_text)]
    pub pool_timeout: Option<String>,
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

/// `nsys cache …`
#[derive(Clone, Debug, Subcommand)]
pub enum CacheCommand {
    /// Show hit rate, memory, evictions and keys
    Stats {
        /// Over which time reads are counted
        #[arg(long, default_value = "2s", value_parser = super::parse_duration)]
        window: Duration,
    },
    /// Count keys by prefix
    Keys {
        /// Only keys that begin with this
        #[arg(long, default_value = "")]
        prefix: String,
    },
    /// Remove cached entries; idempotency, rate limits, leases and sessions stay unless named
    Flush(FlushArgs),
}

/// Arguments of `nsys cache flush`.
#[derive(Clone, Debug, Args)]
pub struct FlushArgs {
    /// Remove the keys that begin with this
    #[arg(long, conflicts_with = "all")]
    pub prefix: Option<String>,
    /// Remove every key, protected ones too
    #[arg(long)]
    pub all: bool,
    /// Cache the newest 1,000 notifications again
    #[arg(long)]
    pub warm: bool,
    /// Flags of changes by plan.
    #[command(flatten)]
    pub flags: PlanFlags,
}

/// `nsys kafka …`
#[derive(Clone, Debug, Subcommand)]
pub enum KafkaCommand {
    /// List topics with their partitions
    Topics,
    /// List consumer groups with their members
    Groups,
    /// Show a topic's partitions and settings
    Describe {
        /// The topic
        topic: String,
    },
}

/// Arguments of `nsys lag`.
#[derive(Clone, Debug, Args)]
pub struct LagArgs {
    /// The consumer group; default that of the workers
    #[arg(long)]
    pub group: Option<String>,
    /// Refresh every second until interrupted
    #[arg(long)]
    pub watch: bool,
}

/// Arguments of `nsys history`.
#[derive(Clone, Debug, Args)]
pub struct HistoryArgs {
    /// Show this change in full
    pub id: Option<String>,
}

/// Arguments of `nsys undo`.
#[derive(Clone, Debug, Args)]
pub struct UndoArgs {
    /// Which change; default the newest that was made
    pub id: Option<String>,
    /// Flags of changes by plan.
    #[command(flatten)]
    pub flags: PlanFlags,
}

/// A duration that stays as it was written.
fn duration_text(text: &str) -> Result<String, String> {
    super::parse_duration(text).map(|_| text.to_owned())
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
