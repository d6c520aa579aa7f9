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
        /// Most statements to show
        #[arg(long, default_value_t = 10)]
        limit: u32,
        /// Only what was executed since this snapshot; `latest` means the newest
        #[arg(long, value_name = "SNAPSHOT")]
        since: Option<String>,
    },
    /// Show connections by state against the limit
    Pool,
    /// Show table sizes, live and dead rows, and an estimate of bloat
    Size {
        /// Show growth since this snapshot too
        #[arg(long, value_name = "SNAPSHOT")]
        since: Option<String>,
    },
    /// Show who waits for whom
    Locks,
    /// Show indexes with their use, duplicates and what interrupted builds left
    Indexes {
        /// Show use since this snapshot too
        #[arg(long, value_name = "SNAPSHOT")]
        since: Option<String>,
    },
    /// Keep the counters of now, to compare with later: statements, tables, indexes
    Snapshot {
        /// Its name; default the time
        name: Option<String>,
    },
    /// Show which migrations are applied
    Status,
    /// Apply the migrations that are missing
    Migrate(PlanFlags),
    /// Fill the seeded rows up, which load tests read
    Seed(SeedArgs),
    /// Drop every table with its rows and make the schema anew
    Reset(PlanFlags),
}

/// Arguments of `nsys db seed`.
#[derive(Clone, Debug, Args)]
pub struct SeedArgs {
    /// Users whom the rows belong to; default loadtest.seed_users
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub users: Option<u32>,
    /// Notifications in total; default loadtest.seed_notifications
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000_000))]
    pub notifications: Option<u32>,
    /// Flags of changes by plan.
    #[command(flatten)]
    pub flags: PlanFlags,
}
