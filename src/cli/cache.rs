//! Arguments of `nsys cache`.

use super::PlanFlags;
use clap::{Args, Subcommand};
use std::time::Duration;

/// `nsys cache …`
#[derive(Clone, Debug, Subcommand)]
pub enum CacheCommand {
    /// Show hit rate, memory, evictions and keys
    Stats {
        /// Window over which reads are counted
        #[arg(long, default_value = "2s", value_parser = super::parse_duration)]
        window: Duration,
    },
    /// Count keys by prefix
    Keys {
        /// Only keys that begin with this
        #[arg(long, default_value = "")]
        prefix: String,
    },
    /// Remove cached entries; idempotency, rate-limit, lease and session keys stay unless named
    Flush(FlushArgs),
}

/// Arguments of `nsys cache flush`.
#[derive(Clone, Debug, Args)]
pub struct FlushArgs {
    /// Remove the keys that begin with this
    #[arg(long, conflicts_with = "all")]
    pub prefix: Option<String>,
    /// Remove every key, including protected ones
    #[arg(long)]
    pub all: bool,
    /// Warm the cache with the newest 1,000 notifications
    #[arg(long)]
    pub warm: bool,
    /// Flags of changes by plan.
    #[command(flatten)]
    pub flags: PlanFlags,
}
