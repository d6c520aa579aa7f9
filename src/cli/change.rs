//! Arguments of the commands that change something by a plan, and of the journal.

use super::ChangeFlags;
use crate::permit::Consent;
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

impl PlanFlags {
    /// What they say about going on.
    #[must_use]
    pub fn consent(&self) -> Consent<'_> {
        Consent { yes: self.change.yes, name: self.confirm.as_deref() }
    }
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
