//! Arguments of the commands that follow single notifications and requests.

use super::OfferFlags;
use clap::{Args, Subcommand, ValueEnum};
use std::time::Duration;

/// Arguments of `nsys trace`.
#[derive(Clone, Debug, Args)]
pub struct TraceArgs {
    /// Maximum wait for the final status
    #[arg(long, value_parser = super::parse_duration, default_value = "30s")]
    pub timeout: Duration,
    /// The stack's name, for a protected stack
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
}

/// Arguments of `nsys traces`.
#[derive(Clone, Debug, Args)]
pub struct TracesArgs {
    /// Only traces slower than the p95 objective
    #[arg(long)]
    pub slow: bool,
    /// Only traces at least this long
    #[arg(long, value_parser = super::parse_duration, conflicts_with = "slow", value_name = "DURATION")]
    pub min: Option<Duration>,
    /// Only traces with an error
    #[arg(long)]
    pub errors: bool,
    /// Only this operation, for example "POST /notifications"
    #[arg(long, value_name = "OP")]
    pub operation: Option<String>,
    /// How far back to search
    #[arg(long, value_parser = super::parse_duration, default_value = "1h")]
    pub since: Duration,
    /// Maximum number of traces to show
    #[arg(long, default_value_t = 20)]
    pub limit: u32,
}

/// A page that can be opened in a browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BrowserPage {
    /// Dashboards.
    Grafana,
    /// Metrics.
    Prometheus,
    /// Traces.
    Jaeger,
    /// Topics and groups.
    KafkaUi,
    /// The service's API documentation.
    ApiDocs,
}

/// Arguments of `nsys open`.
#[derive(Clone, Copy, Debug, Args)]
pub struct OpenArgs {
    /// Page to open
    #[arg(value_enum)]
    pub page: BrowserPage,
    /// Print the URL instead of opening it
    #[arg(long)]
    pub print: bool,
}

/// Arguments of `nsys profile`.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub struct ProfileArgs {
    /// What to do with the profile of the stack.
    #[command(subcommand)]
    pub command: Option<ProfileCommand>,
    /// The flame graph of a replica.
    #[command(flatten)]
    pub flame: FlameArgs,
}

/// `nsys profile check` and `show`, of the profile that describes the stack.
#[derive(Clone, Debug, Subcommand)]
pub enum ProfileCommand {
    /// Ask every part of the stack whether what its profile says is true
    Check {
        /// Send the requests that may change something too, once each
        #[arg(long)]
        all: bool,
        /// Whether those may be sent there.
        #[command(flatten)]
        offer: OfferFlags,
    },
    /// Show the profile of the stack
    Show,
}

/// Arguments of the flame graph.
#[derive(Clone, Debug, Args)]
pub struct FlameArgs {
    /// Replica to profile: app, worker, app-2, …
    #[arg(value_name = "PART")]
    pub part: Option<String>,
    /// Sampling duration
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub seconds: u32,
    /// Output file; default <part>-<time>.svg in the current directory
    #[arg(long, value_name = "FILE")]
    pub file: Option<std::path::PathBuf>,
}
