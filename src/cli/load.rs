//! Arguments of load tests and of what is done with their results.

use super::parse_duration;
use clap::{Args, Subcommand, ValueEnum};
use std::time::Duration;

/// Which load is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScenarioName {
    /// A few requests: does it work at all.
    Smoke,
    /// Level by level up to the breaking point.
    Incremental,
}

impl ScenarioName {
    /// The name used in paths and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Incremental => "incremental",
        }
    }
}

/// Flags of every load test.
#[derive(Clone, Debug, Default, Args)]
pub struct RunFlags {
    /// Levels by virtual users, for example 100:5m,500:10m (closed model)
    #[arg(long, value_delimiter = ',', value_name = "VUS:DURATION")]
    pub levels: Vec<String>,
    /// Levels by rate, for example 1000/s:5m,5000/s:10m (open model)
    #[arg(long, value_delimiter = ',', value_name = "RATE/s:DURATION", conflicts_with = "levels")]
    pub rates: Vec<String>,
    /// A ladder sized for a laptop, about two minutes
    #[arg(long, conflicts_with_all = ["levels", "rates"])]
    pub quick: bool,
    /// Longest wait after each level for the backlog to drain; default from the configuration
    #[arg(long, value_parser = parse_duration)]
    pub stabilise: Option<Duration>,
    /// A remark kept with the run
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
}

/// `nsys loadtest …`
#[derive(Clone, Debug, Subcommand)]
pub enum LoadtestCommand {
    /// A few requests: does it work at all
    Smoke(RunFlags),
    /// Level by level up to the breaking point
    Incremental(RunFlags),
    /// Show what would run, without running it
    Plan {
        /// Which scenario
        #[arg(value_enum)]
        kind: ScenarioName,
        /// Common flags of load tests.
        #[command(flatten)]
        run: RunFlags,
    },
    /// List runs
    List,
    /// Show one run
    Show {
        /// A directory, its name, latest or latest~1
        #[arg(default_value = "latest")]
        run: String,
    },
}

/// A form of the report beside text and JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportForm {
    /// PERFORMANCE_REPORT.md.
    Md,
    /// The page.
    Html,
    /// For CI.
    Junit,
    /// One line for each check.
    Csv,
}

/// Arguments of `nsys report`.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// A directory, its name, latest or latest~1
    #[arg(default_value = "latest")]
    pub run: String,
    /// Print this form instead of the summary
    #[arg(long, value_enum, value_name = "FORM", conflicts_with = "output")]
    pub print: Option<ReportForm>,
}
