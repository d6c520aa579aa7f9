//! Arguments of the commands around the stack itself.

use super::{ChangeFlags, PlanFlags, parse_instant};
use clap::{Args, Subcommand};
use std::str::FromStr;

/// A number of replicas for a part: `app=3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartScale {
    /// `app` or `worker`.
    pub part: String,
    /// How many shall run.
    pub replicas: u32,
}

impl FromStr for PartScale {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (part, count) =
            text.split_once('=').ok_or_else(|| format!("{text:?} is not PART=COUNT, for example app=3"))?;
        if !matches!(part, "app" | "worker") {
            return Err(format!("{part:?} does not scale; app and worker do"));
        }
        let replicas = count.parse().map_err(|_| format!("{count:?} is not a number of replicas"))?;
        if replicas > 64 {
            return Err(format!("{replicas} replicas are more than the 64 that one stack runs"));
        }
        Ok(Self { part: part.to_owned(), replicas })
    }
}

/// Arguments of `nsys setup`.
#[derive(Clone, Debug, Args)]
pub struct SetupArgs {
    /// Also install what this optional part needs: jaeger
    #[arg(long, value_delimiter = ',', value_name = "PART", value_parser = ["jaeger"])]
    pub with: Vec<String>,
    /// Only report what is installed and what is missing
    #[arg(long)]
    pub check: bool,
    /// Common flags of changes.
    #[command(flatten)]
    pub change: ChangeFlags,
}

/// Arguments of `nsys up`.
#[derive(Clone, Debug, Args)]
pub struct UpArgs {
    /// Where the stack runs: docker (containers), local (processes on this machine), kubernetes (a
    /// cluster), external (elsewhere, as configured) or auto
    #[arg(long, value_parser = crate::config::RUNTIMES, hide_possible_values = true)]
    pub runtime: Option<String>,
    /// Replicas, for example app=3,worker=2
    #[arg(long, value_delimiter = ',', value_name = "PART=N")]
    pub scale: Vec<PartScale>,
    /// Start only these parts
    #[arg(long, value_delimiter = ',', value_name = "PARTS", conflicts_with_all = ["with", "without"])]
    pub only: Vec<String>,
    /// Start these optional parts too: jaeger, replica
    #[arg(long, value_delimiter = ',', value_name = "PARTS")]
    pub with: Vec<String>,
    /// Exclude these parts
    #[arg(long, value_delimiter = ',', value_name = "PARTS")]
    pub without: Vec<String>,
    /// On a database that nsys did not start: plan the missing schema and topics, and ask before creating
    /// them
    #[arg(long)]
    pub migrate: bool,
    /// Maximum wait until everything is ready
    #[arg(long, value_parser = super::parse_duration, default_value = "180s")]
    pub timeout: std::time::Duration,
    /// Flags of changes by plan.
    #[command(flatten)]
    pub flags: PlanFlags,
}

/// Arguments of `nsys down`.
#[derive(Clone, Debug, Args)]
pub struct DownArgs {
    /// Delete the data too (asks first)
    #[arg(long)]
    pub volumes: bool,
    /// Flags of changes by plan.
    #[command(flatten)]
    pub flags: PlanFlags,
}

/// Arguments of `nsys logs`.
#[derive(Clone, Debug, Args)]
pub struct LogsArgs {
    /// Parts or replicas, for example app, worker-2, kafka; default all
    pub parts: Vec<String>,
    /// Follow the logs
    #[arg(short, long)]
    pub follow: bool,
    /// Only lines that match this regular expression
    #[arg(long, value_name = "RE")]
    pub grep: Option<String>,
    /// Only lines since: a timestamp or an age (5m)
    #[arg(long, value_name = "WHEN", value_parser = parse_instant)]
    pub since: Option<jiff::Timestamp>,
    /// Number of recent lines per part; default 100, with --since all
    #[arg(short = 'n', long)]
    pub lines: Option<usize>,
}

/// Arguments of `nsys restart`.
#[derive(Clone, Debug, Args)]
pub struct RestartArgs {
    /// Parts or replicas; default the service (app and worker)
    pub parts: Vec<String>,
    /// Flags of changes by plan.
    #[command(flatten)]
    pub flags: PlanFlags,
}

/// Arguments of `nsys scale`.
#[derive(Clone, Debug, Args)]
pub struct ScaleArgs {
    /// Replicas, for example app=3 worker=2
    #[arg(required = true, value_name = "PART=N", value_delimiter = ',')]
    pub scale: Vec<PartScale>,
    /// Flags of changes by plan.
    #[command(flatten)]
    pub flags: PlanFlags,
}

/// Arguments of `nsys health`.
#[derive(Clone, Copy, Debug, Args)]
pub struct HealthArgs {
    /// Wait up to this long for everything to be ok
    #[arg(long, value_parser = super::parse_duration)]
    pub wait: Option<std::time::Duration>,
    /// Refresh every second until interrupted
    #[arg(long, conflicts_with = "wait")]
    pub watch: bool,
}

/// Arguments of `nsys doctor`.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// Explain one check, for example NSYS-D001
    #[arg(long, value_name = "ID")]
    pub explain: Option<String>,
}

/// `nsys config …`
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show every effective value and where it came from
    Show {
        /// Print this one value unmasked, for example db.url
        #[arg(long, value_name = "KEY")]
        reveal: Option<String>,
        /// Only keys that begin with this
        #[arg(value_name = "PREFIX")]
        prefix: Option<String>,
    },
    /// Validate the configuration
    Check,
    /// Print the path of the configuration file in use
    Path,
}

/// Arguments of `nsys completions`.
#[derive(Clone, Copy, Debug, Args)]
pub struct CompletionsArgs {
    /// Shell to generate the script for
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Arguments of `nsys schema`.
#[derive(Clone, Debug, Args)]
pub struct SchemaArgs {
    /// Command, for example: db slow; default lists them all
    #[arg(value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Arguments of `nsys man`.
#[derive(Clone, Debug, Args)]
pub struct ManArgs {
    /// Command, for example: loadtest incremental
    #[arg(value_name = "COMMAND")]
    pub command: Vec<String>,
    /// Write the pages of every command into this directory, for example ~/.local/share/man/man1
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    pub dir: Option<std::path::PathBuf>,
}

/// Arguments of the hidden `nsys supervise`.
#[derive(Clone, Debug, Args)]
pub struct SuperviseArgs {
    /// The stack's directory
    #[arg(long, value_name = "DIR")]
    pub root: std::path::PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_service_scales() {
        assert_eq!("app=3".parse(), Ok(PartScale { part: "app".into(), replicas: 3 }));
        assert!("kafka=3".parse::<PartScale>().unwrap_err().contains("does not scale"));
        assert!("app=three".parse::<PartScale>().is_err());
    }
}
