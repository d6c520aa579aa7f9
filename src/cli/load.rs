//! Arguments of load tests and of what is done with their results.

use super::parse_duration;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Which load is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScenarioName {
    /// A few requests: does it work at all.
    Smoke,
    /// Moderate load, the yardstick (the guide's `load`).
    #[value(alias = "load")]
    Baseline,
    /// Level by level up to the breaking point.
    Incremental,
    /// Up to the highest level.
    Stress,
    /// A sudden surge and the recovery from it.
    Spike,
    /// A long steady load.
    Soak,
}

impl ScenarioName {
    /// The name used in paths and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Baseline => "baseline",
            Self::Incremental => "incremental",
            Self::Stress => "stress",
            Self::Spike => "spike",
            Self::Soak => "soak",
        }
    }
}

/// How load is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModelChoice {
    /// At a rate, whatever the answers do.
    Open,
    /// By virtual users that wait for each answer.
    Closed,
}

/// Who offers the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineChoice {
    /// The reference.
    K6,
    /// The generator built into nsys, for rates k6 cannot offer.
    Native,
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
    /// Open (by rate) or closed (by virtual users)
    #[arg(long, value_enum)]
    pub model: Option<ModelChoice>,
    /// A ladder sized for a laptop, about two minutes
    #[arg(long)]
    pub quick: bool,
    /// Who offers the load
    #[arg(long, value_enum)]
    pub engine: Option<EngineChoice>,
    /// Afterwards check that everything acknowledged is stored once and final
    #[arg(long)]
    pub reconcile: bool,
    /// Spread the load over several generators
    #[arg(long)]
    pub distributed: bool,
    /// Run this command before each level
    #[arg(long, value_name = "CMD")]
    pub before_level: Option<String>,
    /// Remember this about the run (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    pub tag: Vec<String>,
    /// A sentence about the run
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Who ran it, for the report
    #[arg(long, value_name = "NAME")]
    pub engineer: Option<String>,
    /// Only POST requests instead of the mixed traffic
    #[arg(long)]
    pub post_only: bool,
}

/// `nsys loadtest …`
#[derive(Clone, Debug, Subcommand)]
pub enum LoadtestCommand {
    /// Does it work at all: a few requests, no error allowed
    Smoke(RunFlags),
    /// Moderate load, the yardstick
    #[command(alias = "load")]
    Baseline(RunFlags),
    /// Level by level up to the breaking point
    Incremental(RunFlags),
    /// Up to the highest level
    Stress(RunFlags),
    /// A sudden surge and the recovery from it
    Spike(RunFlags),
    /// A long steady load
    Soak(RunFlags),
    /// Search the highest rate that keeps the objectives
    FindMax {
        /// Where to start, requests per second
        #[arg(long, default_value_t = 200)]
        start_rate: u32,
        /// Where to stop at the latest
        #[arg(long, default_value_t = 100_000)]
        max_rate: u32,
        /// Length of one probe
        #[arg(long, value_parser = parse_duration, default_value = "20s")]
        probe: Duration,
        /// Common flags of load tests.
        #[command(flatten)]
        run: RunFlags,
    },
    /// Compare both engines on one endpoint and measure the noise floor
    Calibrate(RunFlags),
    /// Smoke, baseline, incremental, stress and spike in a row
    All {
        /// Also soak for this long
        #[arg(long, value_parser = parse_duration)]
        soak: Option<Duration>,
        /// Common flags of load tests.
        #[command(flatten)]
        run: RunFlags,
    },
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
    /// Continue an interrupted run at the level where it stopped
    Resume {
        /// A directory, its name, latest or latest~1
        #[arg(default_value = "latest")]
        run: String,
    },
    /// Delete a run
    Rm {
        /// A directory, its name, latest or latest~1
        run: String,
        /// Common flags of changes.
        #[command(flatten)]
        change: super::ChangeFlags,
    },
}

/// Arguments of `nsys report`.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// A directory, its name, latest or latest~1
    #[arg(default_value = "latest")]
    pub run: String,
    /// Recompute everything from the raw data and fail on a difference
    #[arg(long)]
    pub verify: bool,
}

/// Arguments of `nsys diagnose`.
#[derive(Clone, Debug, Args)]
pub struct DiagnoseArgs {
    /// A directory, its name, latest or latest~1; default latest
    pub run: Option<String>,
    /// Look at the running stack instead of a run
    #[arg(long, conflicts_with = "run")]
    pub live: bool,
    /// Explain one rule
    #[arg(long, value_name = "RULE")]
    pub explain: Option<String>,
}

/// Arguments of `nsys verify`.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// The run from before the change
    #[arg(long, value_name = "RUN")]
    pub against: String,
    /// A ladder sized for a laptop
    #[arg(long)]
    pub quick: bool,
    /// Common flags of changes.
    #[command(flatten)]
    pub change: super::ChangeFlags,
}

/// Arguments of `nsys compare`.
#[derive(Clone, Debug, Args)]
pub struct CompareArgs {
    /// The run from before
    pub before: String,
    /// The run from after
    pub after: String,
    /// Exit with 20 when something regressed
    #[arg(long)]
    pub fail_on_regression: bool,
    /// Further runs from before, for repeated measurements
    #[arg(long, value_name = "RUN")]
    pub also_before: Vec<PathBuf>,
    /// Further runs from after
    #[arg(long, value_name = "RUN")]
    pub also_after: Vec<PathBuf>,
}
