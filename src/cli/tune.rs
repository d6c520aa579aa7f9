//! Arguments of `nsys tune`.

use super::PlanFlags;
use crate::domain::remedy::{SettingChange, Tuning};
use clap::{Args, Parser, Subcommand};
use std::time::Duration;

/// `nsys tune …`
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum TuneCommand {
    /// Build indexes, drop unused ones, size the connection pool
    Db(TuneDbArgs),
    /// Add partitions, set compression and batching of the producer
    Kafka(TuneKafkaArgs),
    /// Set TTLs, warm the cache
    Cache(TuneCacheArgs),
    /// Set replicas and threads
    Service(TuneServiceArgs),
    /// Plan every remedy of a diagnosed run, most valuable first
    Plan(TunePlanArgs),
    /// Try changes one at a time with short load tests, and keep those that help
    Experiment(ExperimentArgs),
    /// Print what the tuned overlay would add to config.toml
    Export,
}

impl TuneCommand {
    /// The flags of a command that makes a plan by itself.
    #[must_use]
    pub const fn flags(&self) -> Option<&PlanFlags> {
        match self {
            Self::Db(args) => Some(&args.flags),
            Self::Kafka(args) => Some(&args.flags),
            Self::Cache(args) => Some(&args.flags),
            Self::Service(args) => Some(&args.flags),
            Self::Plan(args) => Some(&args.flags),
            Self::Experiment(_) | Self::Export => None,
        }
    }
}

/// Arguments of `nsys tune plan`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct TunePlanArgs {
    /// Run: a directory, its name, latest or latest~1
    #[arg(long, default_value = "latest")]
    pub run: String,
    /// Accept a run of another stack
    #[arg(long, requires = "run")]
    pub foreign: bool,
    /// Flags of changes by plan.
    #[command(flatten)]
    pub flags: PlanFlags,
}

/// Arguments of `nsys tune experiment`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ExperimentArgs {
    /// Changes, for example "db --indexes; kafka --compression lz4"; default the remedies of the newest run
    #[arg(long, value_name = "STEPS", value_delimiter = ';', value_parser = experiment_step)]
    pub steps: Vec<ExperimentStep>,
    /// Load of each measurement
    #[arg(long, value_name = "RATE/s:DURATION", default_value = "200/s:40s")]
    pub rates: String,
    /// Flags of changes by plan.
    #[command(flatten)]
    pub flags: PlanFlags,
}

/// One change to try, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExperimentStep {
    /// As it was written.
    pub text: String,
    /// What it does.
    pub command: TuneCommand,
}

/// A step alone, as `nsys tune` takes it.
#[derive(Debug, Parser)]
#[command(name = "nsys tune", no_binary_name = true, disable_help_flag = true)]
struct LoneStep {
    #[command(subcommand)]
    command: TuneCommand,
}

/// Reads one change to try: `db --indexes`, also with `nsys tune` before it.
fn experiment_step(text: &str) -> Result<ExperimentStep, String> {
    let words: Vec<_> = text.split_whitespace().skip_while(|word| matches!(*word, "nsys" | "tune")).collect();
    let wrong = |why: &str| format!("{why}; write for example \"db --indexes; kafka --compression lz4\"");
    #[expect(clippy::disallowed_methods, reason = "a step is typed by a person")]
    let read = LoneStep::try_parse_from(&words).map_err(|error| {
        let said = error.to_string();
        wrong(said.lines().next().unwrap_or_default().trim_start_matches("error: "))
    })?;
    if matches!(read.command, TuneCommand::Plan(_)) || read.command.flags().is_none() {
        return Err(wrong(&format!("{text:?} is no single change")));
    }
    Ok(ExperimentStep { text: format!("nsys tune {}", words.join(" ")), command: read.command })
}

/// The command that makes a change which a diagnosis asks for.
impl From<&Tuning> for TuneCommand {
    fn from(tuning: &Tuning) -> Self {
        let db = TuneDbArgs { unused_for: DEFAULT_UNUSED_FOR, ..TuneDbArgs::default() };
        let (kafka, cache) = (TuneKafkaArgs::default(), TuneCacheArgs::default());
        let service = TuneServiceArgs::default();
        match tuning {
            Tuning::BuildIndexes => Self::Db(TuneDbArgs { indexes: true, ..db }),
            Tuning::PoolSize(SettingChange { to, .. }) => Self::Db(TuneDbArgs { pool_size: Some(*to), ..db }),
            Tuning::Partitions(SettingChange { to, .. }) => {
                Self::Kafka(TuneKafkaArgs { partitions: Some(*to), ..kafka })
            }
            Tuning::Compression(SettingChange { to, .. }) => {
                Self::Kafka(TuneKafkaArgs { compression: Some(to.as_str().to_owned()), ..kafka })
            }
            Tuning::Linger(SettingChange { to, .. }) => {
                Self::Kafka(TuneKafkaArgs { linger: Some(to.to_string()), ..kafka })
            }
            Tuning::NotificationTtl(SettingChange { to, .. }) => {
                let ttl = vec![("cache.ttl_notification".to_owned(), to.to_string())];
                Self::Cache(TuneCacheArgs { ttl, ..cache })
            }
            Tuning::WarmCache { entries } => Self::Cache(TuneCacheArgs { warm: Some(*entries), ..cache }),
            Tuning::Workers(SettingChange { to, .. }) => {
                Self::Service(TuneServiceArgs { workers: Some(*to), ..service })
            }
            Tuning::Instances(SettingChange { to, .. }) => {
                Self::Service(TuneServiceArgs { instances: Some(*to), ..service })
            }
            Tuning::Threads(SettingChange { to, .. }) => {
                Self::Service(TuneServiceArgs { threads: Some(*to), ..service })
            }
        }
    }
}

/// How long an index must have been unused to be dropped; the same as in the help text.
const DEFAULT_UNUSED_FOR: Duration = Duration::from_secs(168 * 3_600);

/// Arguments of `nsys tune db`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true).args(["indexes", "suggest", "drop_unused", "pool_size", "pool_timeout", "read_replica"])))]
pub struct TuneDbArgs {
    /// Build the indexes that the service's reads need (CONCURRENTLY)
    #[arg(long)]
    pub indexes: bool,
    /// Build only this index
    #[arg(long, value_name = "NAME", requires = "indexes")]
    pub only: Option<String>,
    /// Run ANALYZE even if no index is missing
    #[arg(long, requires = "indexes")]
    pub analyze: bool,
    /// Build the indexes that would speed up the executed statements, by the estimates of PostgreSQL's planner
    #[arg(long)]
    pub suggest: bool,
    /// Only statements executed since this snapshot; `latest` means the newest
    #[arg(long, value_name = "SNAPSHOT", requires = "suggest")]
    pub since: Option<String>,
    /// Drop unused indexes other than the schema's own
    #[arg(long, conflicts_with_all = ["indexes", "suggest"])]
    pub drop_unused: bool,
    /// How long an index must have been unused, by the primary and by a replica that serves reads
    #[arg(long, value_name = "DURATION", value_parser = super::parse_duration, default_value = "168h", requires = "drop_unused")]
    pub unused_for: Duration,
    /// Maximum connections of each process of the service
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub pool_size: Option<u32>,
    /// Maximum wait for a free connection
    #[arg(long, value_name = "DURATION", value_parser = duration_text)]
    pub pool_timeout: Option<String>,
    /// Where reads go: a PostgreSQL address, `local` for the stack's own replica, `none` for the primary
    #[arg(long, value_name = "URL", value_parser = read_replica)]
    pub read_replica: Option<String>,
    /// Flags of changes by plan.
    #[command(flatten)]
    pub flags: PlanFlags,
}

/// Arguments of `nsys tune kafka`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true).args(["partitions", "compression", "linger", "batch_size"])))]
pub struct TuneKafkaArgs {
    /// Partitions of the notifications topic in total; never fewer than there are
    #[arg(long, value_name = "N", conflicts_with_all = ["compression", "linger", "batch_size"], value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub partitions: Option<u32>,
    /// Add partitions despite pending messages; their per-user order is lost
    #[arg(long, requires = "partitions")]
    pub force: bool,
    /// Compression codec of the producer
    #[arg(long, value_parser = ["none", "gzip", "lz4", "zstd"])]
    pub compression: Option<String>,
    /// Producer linger; every accept waits that long too
    #[arg(long, value_name = "DURATION", value_parser = duration_text)]
    pub linger: Option<String>,
    /// Maximum producer batch size, in bytes
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1_024..))]
    pub batch_size: Option<u32>,
    /// Flags of changes by plan.
    #[command(flatten)]
    pub flags: PlanFlags,
}

/// Arguments of `nsys tune cache`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true).args(["ttl", "warm"])))]
pub struct TuneCacheArgs {
    /// TTLs, for example user=15m,notification=5m
    #[arg(long, value_name = "WHAT=DURATION", value_delimiter = ',', value_parser = ttl)]
    pub ttl: Vec<(String, String)>,
    /// Warm the cache with the newest N notifications
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub warm: Option<u32>,
    /// Flags of changes by plan.
    #[command(flatten)]
    pub flags: PlanFlags,
}

/// Arguments of `nsys tune service`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true).args(["instances", "workers", "threads"])))]
pub struct TuneServiceArgs {
    /// Replicas of the API
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub instances: Option<u32>,
    /// Replicas of the worker
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub workers: Option<u32>,
    /// Async threads of each process; 0 means one per core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_024))]
    pub threads: Option<u32>,
    /// Flags of changes by plan.
    #[command(flatten)]
    pub flags: PlanFlags,
}

/// A duration that stays as it was written.
fn duration_text(text: &str) -> Result<String, String> {
    super::parse_duration(text).map(|_| text.to_owned())
}

/// The value of `db.read_url` for what was asked.
fn read_replica(text: &str) -> Result<String, String> {
    match text {
        "none" => Ok(text.to_owned()),
        // The replica that the local stack runs needs no address.
        "local" => Ok(String::new()),
        url if url.starts_with("postgres://") || url.starts_with("postgresql://") => Ok(url.to_owned()),
        _ => Err(format!("{text:?} is neither postgres://…, nor local, nor none")),
    }
}

fn ttl(text: &str) -> Result<(String, String), String> {
    let wrong = || format!("{text:?} is not WHAT=DURATION, for example user=15m");
    let (what, duration) = text.split_once('=').ok_or_else(wrong)?;
    if !matches!(what, "user" | "notification" | "negative" | "idempotency") {
        return Err(format!("{what:?} has no TTL; user, notification, negative and idempotency have one"));
    }
    Ok((format!("cache.ttl_{what}"), duration_text(duration)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Command;
    use crate::domain::remedy::Operation;

    /// What a command line parses to.
    fn parsed(words: impl IntoIterator<Item = String>) -> Command {
        let cli = crate::cli::parse(words).unwrap_or_else(|error| panic!("{error}"));
        cli.command
    }

    #[test]
    fn every_change_that_a_rule_names_is_read_back_from_its_text() {
        let mut seen = std::collections::BTreeSet::new();
        for now in crate::domain::remedy::configurations() {
            for rule in crate::domain::diagnosis::rules() {
                for remedy in (rule.remedies)(&now) {
                    let Some(tuning) = remedy.tuning() else { continue };
                    let text = tuning.to_string();
                    let Command::Tune(command) = parsed(text.split(' ').map(str::to_owned)) else {
                        panic!("{}: {text} is no nsys tune", rule.id)
                    };
                    assert_eq!(command, TuneCommand::from(tuning), "{}: {text}", rule.id);
                    assert!(command.flags().is_some(), "{}: {text} makes no plan", rule.id);
                    seen.insert(format!("{:?}", std::mem::discriminant(tuning)));
                }
            }
        }
        assert_eq!(seen.len(), 10, "every kind of change is named by some rule: {seen:?}");
    }

    #[test]
    fn every_command_that_a_rule_names_is_one() {
        for operation in Operation::ALL {
            let words = std::iter::once("nsys").chain(operation.words().iter().copied());
            parsed(words.map(str::to_owned));
            // A shell reads the text to the same words.
            let shown = operation.to_string();
            let whole = format!("nsys {}", operation.words().join(" "));
            assert_eq!(shown.replace('\'', ""), whole);
        }
    }

    #[test]
    fn a_step_of_an_experiment_is_one_change() {
        let step = experiment_step(" nsys tune db --indexes ").unwrap();
        assert_eq!(
            (step.text.as_str(), &step.command),
            ("nsys tune db --indexes", &TuneCommand::from(&Tuning::BuildIndexes))
        );
        assert_eq!(
            experiment_step("kafka --compression lz4").unwrap().text,
            "nsys tune kafka --compression lz4"
        );
        for wrong in ["", "export", "plan", "experiment", "lag", "db --indexing", "use a larger machine"] {
            let why = experiment_step(wrong).unwrap_err();
            assert!(why.contains("write for example"), "{wrong}: {why}");
        }
    }

    #[test]
    fn a_ttl_names_its_key() {
        assert_eq!(ttl("user=15m"), Ok(("cache.ttl_user".into(), "15m".into())));
        assert!(ttl("users=15m").unwrap_err().contains("has no TTL"));
        assert!(ttl("user=15").is_err());
    }
}
