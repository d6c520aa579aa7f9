//! Arguments of the commands that look at one component.

use clap::Subcommand;

/// `nsys metrics …`
#[derive(Clone, Debug, Subcommand)]
pub enum MetricsCommand {
    /// List the named queries with their expressions
    List,
    /// Evaluate one named query now
    Get {
        /// Its name, from `nsys metrics list`
        name: String,
    },
    /// Evaluate any PromQL expression now
    Query {
        /// The expression
        promql: String,
    },
}

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
    },
    /// Show connections by state against the limit
    Pool,
    /// Show table sizes, live and dead rows
    Size,
    /// Show who waits for whom
    Locks,
    /// Show indexes with their use, duplicates and what interrupted builds left
    Indexes,
}
