//! Arguments of the commands that change the stack.

use super::{ChangeFlags, parse_duration};
use clap::{Args, Subcommand, ValueEnum};
use std::time::Duration;

/// `nsys db …`
#[derive(Clone, Debug, Subcommand)]
pub enum DbCommand {
    /// Show the top statements
    Slow {
        /// Only statements whose mean time is at least this many milliseconds
        #[arg(long, default_value_t = 0.0)]
        min_ms: f64,
        /// Count from this snapshot on (a file or a run's level), not since the statistics began
        #[arg(long, value_name = "SNAPSHOT")]
        since: Option<String>,
        /// Most statements to show
        #[arg(long, default_value_t = 10)]
        limit: u32,
    },
    /// Show connections by state against the limit
    Pool,
    /// Show table sizes with an estimate of their bloat
    Size,
    /// Show who waits for whom
    Locks,
    /// Show indexes: use, duplicates, invalid ones
    Indexes,
    /// Apply the migrations that are missing
    Migrate {
        /// Common flags of changes.
        #[command(flatten)]
        change: ChangeFlags,
    },
    /// Show which migrations are applied
    Status,
    /// Fill the tables with test data
    Seed {
        /// Users to have in the end
        #[arg(long, default_value_t = 10_000)]
        users: u64,
        /// Notifications to have in the end
        #[arg(long, default_value_t = 100_000)]
        notifications: u64,
        /// Common flags of changes.
        #[command(flatten)]
        change: ChangeFlags,
    },
    /// Empty every table (asks first)
    Reset {
        /// Common flags of changes.
        #[command(flatten)]
        change: ChangeFlags,
    },
}

/// `nsys cache …`
#[derive(Clone, Debug, Subcommand)]
pub enum CacheCommand {
    /// Show hit rate, memory and evictions
    Stats {
        /// Length of the window that the hit rate is taken over
        #[arg(long, value_parser = parse_duration, default_value = "2s")]
        window: Duration,
    },
    /// Count keys by prefix
    Keys {
        /// List keys with this prefix
        #[arg(long)]
        prefix: Option<String>,
        /// Most keys to list
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Remove cached entries
    Flush(FlushArgs),
}

/// Arguments of `nsys cache flush` and `nsys flush`.
#[derive(Clone, Debug, Args)]
pub struct FlushArgs {
    /// Only keys with this prefix; default every cache prefix
    #[arg(long, conflicts_with = "all")]
    pub prefix: Option<String>,
    /// Every key, protected ones too (typed confirmation)
    #[arg(long)]
    pub all: bool,
    /// Preload the most active users afterwards
    #[arg(long)]
    pub warm: bool,
    /// Common flags of changes.
    #[command(flatten)]
    pub change: ChangeFlags,
}

/// `nsys tune …`
#[derive(Clone, Debug, Subcommand)]
pub enum TuneCommand {
    /// Indexes, connection pool, read replica
    Db(TuneDbArgs),
    /// Partitions, compression, batching
    Kafka(TuneKafkaArgs),
    /// Times to live, warming
    Cache(TuneCacheArgs),
    /// Instances, workers, threads
    Service(TuneServiceArgs),
    /// Everything that the evidence asks for, as one plan
    Plan {
        /// The run to read; default the latest
        #[arg(long)]
        run: Option<String>,
        /// Common flags of changes.
        #[command(flatten)]
        change: ChangeFlags,
    },
    /// Try changes one at a time with short A/B/A runs
    Experiment {
        /// Changes to try, for example indexes,pool-size=20,partitions=10
        #[arg(long, value_delimiter = ',')]
        steps: Vec<String>,
        /// Common flags of changes.
        #[command(flatten)]
        change: ChangeFlags,
    },
    /// Print what the tuned overlay would add to config.toml
    Export,
}

/// Arguments of `nsys tune db`.
#[derive(Clone, Debug, Args)]
pub struct TuneDbArgs {
    /// Create the guide's indexes where they are missing
    #[arg(long)]
    pub indexes: bool,
    /// Only the index of this name
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,
    /// Refresh the planner's statistics
    #[arg(long)]
    pub analyze: bool,
    /// Suggest indexes from the statements seen
    #[arg(long)]
    pub suggest: bool,
    /// Drop tuning indexes that were never used
    #[arg(long)]
    pub drop_unused: bool,
    /// Connections in each process's pool
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub pool_size: Option<u32>,
    /// Longest wait for a connection
    #[arg(long, value_parser = parse_duration)]
    pub pool_timeout: Option<Duration>,
    /// Address of a read replica; `none` reads from the primary
    #[arg(long, value_name = "URL")]
    pub read_replica: Option<String>,
    /// Longest wait for the table lock before an index build gives up
    #[arg(long, value_parser = parse_duration, default_value = "3s")]
    pub lock_timeout: Duration,
    /// Longest time for one index build
    #[arg(long, value_parser = parse_duration, default_value = "10m")]
    pub build_timeout: Duration,
    /// Common flags of changes.
    #[command(flatten)]
    pub change: ChangeFlags,
}

/// A codec of produced batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Codec {
    /// zlib.
    Gzip,
    /// The fastest.
    Lz4,
    /// The smallest.
    Zstd,
    /// As it is.
    None,
}

/// Arguments of `nsys tune kafka`.
#[derive(Clone, Debug, Args)]
pub struct TuneKafkaArgs {
    /// Total partitions of the topic (never fewer than now)
    #[arg(long, value_name = "N")]
    pub partitions: Option<u32>,
    /// The topic whose partitions change
    #[arg(long, default_value = nsys_contract::topics::NOTIFICATIONS)]
    pub topic: String,
    /// Codec of produced batches
    #[arg(long, value_enum)]
    pub compression: Option<Codec>,
    /// How long the producer waits to fill a batch
    #[arg(long, value_parser = parse_duration)]
    pub linger: Option<Duration>,
    /// Largest batch, in bytes
    #[arg(long, value_name = "BYTES")]
    pub batch_size: Option<u32>,
    /// Change partitions although messages wait (per-user order may break)
    #[arg(long)]
    pub force: bool,
    /// Common flags of changes.
    #[command(flatten)]
    pub change: ChangeFlags,
}

/// Arguments of `nsys tune cache`.
#[derive(Clone, Debug, Args)]
pub struct TuneCacheArgs {
    /// Times to live, for example user=15m,notification=5m
    #[arg(long, value_delimiter = ',', value_name = "CLASS=TTL")]
    pub ttl: Vec<String>,
    /// Preload this many of the most active users, now and every hour
    #[arg(long, value_name = "N")]
    pub warm: Option<u32>,
    /// Common flags of changes.
    #[command(flatten)]
    pub change: ChangeFlags,
}

/// Arguments of `nsys tune service`.
#[derive(Clone, Copy, Debug, Args)]
pub struct TuneServiceArgs {
    /// Replicas of the API
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub instances: Option<u32>,
    /// Replicas of the worker
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub workers: Option<u32>,
    /// Async threads of each process; 0 means one per core
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Common flags of changes.
    #[command(flatten)]
    pub change: ChangeFlags,
}

/// Arguments of `nsys history`.
#[derive(Clone, Debug, Args)]
pub struct HistoryArgs {
    /// Show this change with before and after
    pub id: Option<String>,
}

/// Arguments of `nsys undo`.
#[derive(Clone, Debug, Args)]
pub struct UndoArgs {
    /// The change; default the last one that can be undone
    pub id: Option<String>,
    /// Common flags of changes.
    #[command(flatten)]
    pub change: ChangeFlags,
}

/// `nsys dlq …`
#[derive(Clone, Debug, Subcommand)]
pub enum DlqCommand {
    /// List dead letters
    List {
        /// Only this reason
        #[arg(long)]
        reason: Option<String>,
        /// Most rows to show
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show one dead letter whole
    Show {
        /// Its id
        id: String,
    },
    /// Send dead letters through the pipeline again
    Redrive {
        /// Only this reason
        #[arg(long)]
        reason: Option<String>,
        /// At most this many per second, for example 100/s
        #[arg(long, value_name = "N/s")]
        rate: Option<String>,
        /// Common flags of changes.
        #[command(flatten)]
        change: ChangeFlags,
    },
    /// Delete dead letters (asks first)
    Purge {
        /// Only this reason
        #[arg(long)]
        reason: Option<String>,
        /// Common flags of changes.
        #[command(flatten)]
        change: ChangeFlags,
    },
}

/// `nsys user …`
#[derive(Clone, Debug, Subcommand)]
pub enum UserCommand {
    /// Create a user; the password is generated and kept in the state directory
    Add {
        /// The address it signs in with
        email: String,
        /// USER, OPERATOR or ADMIN
        #[arg(long, default_value = "USER")]
        role: String,
        /// The person's name
        #[arg(long, default_value = "Load Test User")]
        name: String,
        /// Common flags of changes.
        #[command(flatten)]
        change: ChangeFlags,
    },
    /// List users
    List,
    /// Give a user another role
    Role {
        /// The address it signs in with
        email: String,
        /// USER, OPERATOR or ADMIN
        role: String,
        /// Common flags of changes.
        #[command(flatten)]
        change: ChangeFlags,
    },
}

/// Arguments of `nsys token`.
#[derive(Clone, Debug, Args)]
pub struct TokenArgs {
    /// Whose token; default the load-test user
    #[arg(long, value_name = "EMAIL")]
    pub user: Option<String>,
}

/// Arguments of `nsys send`.
#[derive(Clone, Debug, Args)]
pub struct SendArgs {
    /// EMAIL, SMS, PUSH, WEBHOOK or IN_APP
    #[arg(long, default_value = "IN_APP")]
    pub channel: String,
    /// Whom it is for
    #[arg(long, default_value = "user-1")]
    pub to: String,
    /// Text of the message
    #[arg(long, default_value = "Hello from nsys")]
    pub message: String,
    /// LOW, MEDIUM, HIGH or URGENT
    #[arg(long, default_value = "MEDIUM")]
    pub priority: String,
    /// Makes a repeat harmless
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
}

/// `nsys export …`
#[derive(Clone, Debug, Subcommand)]
pub enum ExportCommand {
    /// Stream notifications, oldest first, in constant memory
    Notifications {
        /// Only from this time on (RFC 3339 or an age such as 1h)
        #[arg(long)]
        from: Option<String>,
        /// Only before this time
        #[arg(long)]
        to: Option<String>,
    },
}
