//! Arguments of the commands that only look.

use clap::{Args, Subcommand, ValueEnum};

/// Reads a duration with its unit: `500ms`, `5s`, `10m`, `1h`, `1h30m`.
///
/// # Errors
/// When the text is no duration, or a negative one.
pub fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    let wrong = || format!("{text:?} is not a duration; write for example 500ms, 30s, 5m or 1h");
    let span: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    span.try_into().map_err(|_| wrong())
}

/// Arguments of `nsys lag`.
#[derive(Clone, Debug, Args)]
pub struct LagArgs {
    /// Only this consumer group; default the workers' group
    #[arg(long)]
    pub group: Option<String>,
    /// Refresh until interrupted
    #[arg(long)]
    pub watch: bool,
}

/// `nsys kafka …`
#[derive(Clone, Debug, Subcommand)]
pub enum KafkaCommand {
    /// List topics with partitions, leaders and sizes
    Topics,
    /// List groups with state, members and lag
    Groups,
    /// Show one topic: partitions, leaders, configuration
    Describe {
        /// The topic
        topic: String,
    },
    /// Create the topics of the service where they are missing
    EnsureTopics {
        /// Common flags of changes.
        #[command(flatten)]
        change: super::ChangeFlags,
    },
}

/// `nsys metrics …`
#[derive(Clone, Debug, Subcommand)]
pub enum MetricsCommand {
    /// List the named queries of the catalogue
    List,
    /// Evaluate one named query
    Get {
        /// Its name, from `nsys metrics list`
        name: String,
    },
    /// Evaluate any PromQL expression
    Query {
        /// The expression
        promql: String,
    },
    /// Export a range of one query
    Export {
        /// A name from the catalogue or a PromQL expression
        query: String,
        /// Start, as an RFC 3339 time or as an age such as 1h
        #[arg(long, default_value = "1h")]
        start: String,
        /// End, as an RFC 3339 time or as an age
        #[arg(long, default_value = "0s")]
        end: String,
        /// Distance of the points
        #[arg(long, value_parser = parse_duration, default_value = "15s")]
        step: std::time::Duration,
    },
}

/// Arguments of `nsys traces`.
#[derive(Clone, Debug, Args)]
pub struct TracesArgs {
    /// Only traces slower than the objective for p95
    #[arg(long)]
    pub slow: bool,
    /// Only traces with an error
    #[arg(long)]
    pub errors: bool,
    /// Only this operation, for example "POST /notifications"
    #[arg(long, value_name = "OP")]
    pub operation: Option<String>,
    /// Most traces to show
    #[arg(long, default_value_t = 20)]
    pub limit: u32,
}

/// A pane of the dashboard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Pane {
    /// Everything on one time axis.
    #[default]
    Overview,
    /// Consumer lag.
    Lag,
    /// The running load test.
    Load,
    /// PostgreSQL.
    Db,
    /// Redis.
    Cache,
    /// Processes or containers.
    Stack,
}

/// Arguments of `nsys watch`.
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    /// The pane to open on
    #[arg(value_enum, default_value_t)]
    pub pane: Pane,
    /// Record everything shown into this file
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    pub record: Option<std::path::PathBuf>,
    /// Show a recorded session instead of the live stack
    #[arg(long, value_name = "FILE")]
    pub replay: Option<std::path::PathBuf>,
    /// Time between two refreshes
    #[arg(long, value_parser = parse_duration, default_value = "1s")]
    pub interval: std::time::Duration,
    /// Colours: default, safe (colour-blind safe), mono
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub theme: String,
    /// Only ASCII characters
    #[arg(long)]
    pub ascii: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5_400)));
        assert!(parse_duration("90").is_err());
        assert!(parse_duration("-5s").is_err());
    }
}
