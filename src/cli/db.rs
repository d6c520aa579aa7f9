//! Arguments of `nsys db`.

use super::PlanFlags;
use clap::{Args, Subcommand};

/// `nsys db …`
#[derive(Clone, Debug, Subcommand)]
pub enum DbCommand {
    /// Show the statements that took the most time
    Slow {
        /// Only statements whose mean time is at least this many milliseconds
        #[arg(long, default_value_t = 0.0)]
        min_ms: f64,
        /// Maximum number of statements to show
        #[arg(long, default_value_t = 10)]
        limit: u32,
        /// Only statements executed since this snapshot; `latest` means the newest
        #[arg(long, value_name = "SNAPSHOT")]
        since: Option<String>,
    },
    /// Show connections by state against the limit
    Pool,
    /// Show table sizes, live and dead rows, and estimated bloat
    Size {
        /// Show growth since this snapshot too
        #[arg(long, value_name = "SNAPSHOT")]
        since: Option<String>,
    },
    /// Show which sessions block which
    Locks,
    /// Show indexes with their usage, duplicates and invalid leftovers
    Indexes {
        /// Show use since this snapshot too
        #[arg(long, value_name = "SNAPSHOT")]
        since: Option<String>,
    },
    /// Save the counters of statements, tables and indexes, to compare with later
    Snapshot {
        /// Name; default the time
        name: Option<String>,
    },
    /// Show which migrations are applied
    Status,
    /// Apply pending migrations
    Migrate(PlanFlags),
    /// Top up the seeded rows that load tests read
    Seed(SeedArgs),
    /// Drop every table and recreate the schema
    Reset(PlanFlags),
}

/// Arguments of `nsys db seed`.
#[derive(Clone, Debug, Args)]
pub struct SeedArgs {
    /// Number of users that own the rows; default loadtest.seed_users
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub users: Option<u32>,
    /// Notifications in total; default loadtest.seed_notifications
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000_000))]
    pub notifications: Option<u32>,
    /// Flags of changes by plan.
    #[command(flatten)]
    pub flags: PlanFlags,
}
