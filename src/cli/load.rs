//! Arguments of load tests and of what is done with their results.

use super::{ChangeFlags, parse_duration};
use crate::domain::level::Model;
use crate::domain::request::LoadRequest;
use crate::domain::scenario::{LoadEngine, Scenario};
use crate::permit::Consent;
use clap::{Args, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Whether load may be offered there.
#[derive(Clone, Debug, Default, Args)]
pub struct OfferFlags {
    /// Skip the confirmation on a stack that nsys did not start
    #[arg(short, long)]
    pub yes: bool,
    /// The stack's name, for a protected stack
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
}

impl OfferFlags {
    /// What they say about going on.
    #[must_use]
    pub fn consent(&self) -> Consent<'_> {
        Consent { yes: self.yes, name: self.confirm.as_deref() }
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
    /// Open (rates) or closed (virtual users); explicit levels decide
    #[arg(long, value_enum, value_name = "MODEL")]
    pub model: Option<Model>,
    /// Levels sized for a laptop, about two minutes
    #[arg(long, conflicts_with_all = ["levels", "rates"])]
    pub quick: bool,
    /// Load engine; default from the configuration
    #[arg(long, value_enum, value_name = "ENGINE")]
    pub engine: Option<LoadEngine>,
    /// Number of generator processes that share the load of each level
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub generators: u32,
    /// Run generators on the hosts of loadtest.hosts over SSH, each with its share of the load
    #[arg(long, conflicts_with = "generators")]
    pub distributed: bool,
    /// Maximum wait after each level for the backlog to drain; default from the configuration
    #[arg(long, value_parser = parse_duration)]
    pub stabilise: Option<Duration>,
    /// Stop rule, for example "p99_ms > 2000 for 10s"; repeatable, replaces those configured
    #[arg(long, value_name = "RULE")]
    pub stop: Vec<String>,
    /// Fail a level when the success counts of service and generator differ
    #[arg(long)]
    pub reconcile: bool,
    /// Shell command to run before each level
    #[arg(long, value_name = "CMD")]
    pub before_level: Option<String>,
    /// Label stored with the run; repeatable
    #[arg(long, value_name = "K=V")]
    pub tag: Vec<String>,
    /// Remark stored with the run
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Test engineer named in the report
    #[arg(long, value_name = "NAME")]
    pub engineer: Option<String>,
    /// Whether load may be offered there.
    #[command(flatten)]
    pub offer: OfferFlags,
}

impl RunFlags {
    /// What they ask for.
    #[must_use]
    pub fn request(&self) -> LoadRequest {
        LoadRequest {
            levels: self.levels.clone(),
            rates: self.rates.clone(),
            model: self.model,
            quick: self.quick,
            engine: self.engine,
            generators: self.generators,
            distributed: self.distributed,
            stabilise: self.stabilise,
            stop: self.stop.clone(),
            reconcile: self.reconcile,
            before_level: self.before_level.clone(),
            tags: self.tag.clone(),
            note: self.note.clone(),
            engineer: self.engineer.clone(),
        }
    }
}

/// `nsys loadtest …`
#[derive(Clone, Debug, Subcommand)]
pub enum LoadtestCommand {
    /// Send a few requests to check that it works
    Smoke(RunFlags),
    /// Moderate load, as a baseline to compare with
    #[command(alias = "load")]
    Baseline(RunFlags),
    /// Increase level by level up to the breaking point
    Incremental(RunFlags),
    /// Load beyond the breaking point
    Stress(RunFlags),
    /// A sudden burst, and the recovery from it
    Spike(RunFlags),
    /// Constant load over a long time, to find leaks
    Soak(RunFlags),
    /// Search for the highest rate that meets the objectives; --rates sets the first rate to try
    FindMax(RunFlags),
    /// Run smoke, baseline, incremental, stress and spike in turn, until one fails
    All(AllArgs),
    /// Show the plan and the preflight checks, without running anything
    Plan {
        /// Scenario to plan
        #[arg(value_enum)]
        kind: Scenario,
        /// Common flags of load tests.
        #[command(flatten)]
        run: RunFlags,
    },
    /// List the runs of this stack
    List {
        /// Include runs of other stacks
        #[arg(long)]
        all: bool,
    },
    /// Show one run
    Show {
        /// Run: a directory, its name, latest or latest~1
        #[arg(default_value = "latest")]
        run: String,
    },
    /// Resume an interrupted run at the level where it stopped
    Resume {
        /// Run: a directory, its name, latest or latest~1
        #[arg(default_value = "latest")]
        run: String,
        /// Resume even if the stack or the configuration has changed
        #[arg(long)]
        force: bool,
        /// Whether load may be offered there.
        #[command(flatten)]
        offer: OfferFlags,
    },
    /// Compare the load engines with each other and with oha, and measure the noise floor from
    /// identical runs
    Calibrate(CalibrateArgs),
    /// Delete a run
    Rm {
        /// Run: a directory, its name, latest or latest~1
        run: String,
        /// Flags of every change.
        #[command(flatten)]
        change: ChangeFlags,
    },
}

/// Arguments of `nsys generate`.
#[derive(Clone, Debug, Args)]
pub struct GenerateArgs {
    /// The plan file
    #[arg(long)]
    pub plan: PathBuf,
}

/// Arguments of `nsys loadtest calibrate`.
#[derive(Clone, Debug, Args)]
pub struct CalibrateArgs {
    /// Requests per second of each round and of each identical run
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: u32,
    /// Duration of each, warm-up included
    #[arg(long, value_parser = parse_duration, default_value = "20s")]
    pub duration: Duration,
    /// Rounds per client: the native engine, k6 (up to 500/s, or when it is the only one), and oha
    /// where it is installed and the endpoint needs no token
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub rounds: u32,
    /// Endpoint to request; default the liveness probe, which calls no other part
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
    /// Number of identical runs whose differences give the noise floor; 0 skips them
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=20))]
    pub runs: u32,
    /// Load engine of the identical runs; default from the configuration
    #[arg(long, value_enum, value_name = "ENGINE")]
    pub engine: Option<LoadEngine>,
    /// Also measure each generator's requests per CPU-second: k6, the native
    /// engine, and oha and wrk where they are installed
    #[arg(long)]
    pub ceiling: bool,
    /// Whether load may be offered there.
    #[command(flatten)]
    pub offer: OfferFlags,
}

/// Arguments of `nsys loadtest all`.
#[derive(Clone, Debug, Args)]
pub struct AllArgs {
    /// Common flags of load tests.
    #[command(flatten)]
    pub run: RunFlags,
    /// Add a soak test of this length at the end
    #[arg(long, value_parser = parse_duration)]
    pub soak: Option<Duration>,
    /// Continue after a scenario failed
    #[arg(long)]
    pub keep_going: bool,
}

/// The arguments with the guide's `loadtest --scenario NAME` in today's form, `loadtest NAME`.
#[must_use]
pub fn translated(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<_> = arguments.collect();
    let Some(at) = arguments.iter().position(|one| one == "loadtest") else { return arguments };
    let Some(flag) = arguments.iter().skip(at).position(|one| one == "--scenario").map(|index| at + index)
    else {
        return arguments;
    };
    if flag + 1 < arguments.len() {
        arguments.remove(flag);
        let name = arguments.remove(flag);
        arguments.insert(at + 1, name);
    }
    arguments
}

/// A form of the report beside text and JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportForm {
    /// Markdown: PERFORMANCE_REPORT.md.
    Md,
    /// HTML page.
    Html,
    /// JUnit XML for CI.
    Junit,
    /// CSV, one line per check.
    Csv,
}

/// Arguments of `nsys report`.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// Run: a directory, its name, latest or latest~1
    #[arg(default_value = "latest")]
    pub run: String,
    /// Recompute every figure from the raw data, and fail on a difference
    #[arg(long, conflicts_with = "print")]
    pub verify: bool,
    /// Print this format instead of the summary
    #[arg(long, value_enum, value_name = "FORM", conflicts_with = "output")]
    pub print: Option<ReportForm>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Command;

    #[test]
    fn the_guide_s_form_of_a_scenario_is_understood() {
        let words = ["nsys", "-q", "loadtest", "--quick", "--scenario", "load"].map(OsString::from);
        let cli = crate::cli::parse(translated(words.into_iter())).unwrap();
        let Command::Loadtest(LoadtestCommand::Baseline(flags)) = cli.command else {
            panic!("{:?}", cli.command)
        };
        assert!(flags.quick);
    }
}
