//! Arguments of the commands that look at one component.

use clap::{Args, Subcommand};

/// `nsys metrics …`
#[derive(Clone, Debug, Subcommand)]
pub enum MetricsCommand {
    /// List the named queries with their expressions
    List,
    /// Evaluate one named query now
    Get {
        /// Query name, from `nsys metrics list`
        name: String,
    },
    /// Evaluate any PromQL expression now
    Query {
        /// PromQL expression
        promql: String,
    },
    /// Export queries over a range of time, as CSV, JSON or NDJSON (-o)
    Export(MetricsExportArgs),
}

/// Arguments of `nsys metrics export`.
#[derive(Clone, Debug, Args)]
pub struct MetricsExportArgs {
    /// Named queries, from `nsys metrics list`; default all of them
    pub names: Vec<String>,
    /// PromQL expression to export instead of named queries
    #[arg(long, value_name = "PROMQL", conflicts_with = "names")]
    pub query: Option<String>,
    /// Start: a timestamp (2026-01-31T12:00:00Z) or an age (15m)
    #[arg(long, value_name = "WHEN", default_value = "1h", value_parser = super::parse_instant)]
    pub start: jiff::Timestamp,
    /// End: a timestamp or an age
    #[arg(long, value_name = "WHEN", default_value = "0s", value_parser = super::parse_instant)]
    pub end: jiff::Timestamp,
    /// Step between points; default: as fine as 1,000 points per series allow
    #[arg(long, value_name = "DURATION", value_parser = super::parse_duration)]
    pub step: Option<std::time::Duration>,
    /// Write into this file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub to: Option<std::path::PathBuf>,
}
