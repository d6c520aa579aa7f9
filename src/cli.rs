//! The command line: every command, flag and help text. No I/O.
//!
//! Names are a contract with scripts; adding is fine, renaming is not.

mod change;
mod load;
mod look;
mod stack;

pub use change::*;
pub use load::*;
pub use look::*;
pub use stack::*;

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Bring up, load-test, diagnose and tune a notification stack.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "nsys",
    version,
    propagate_version = true,
    max_term_width = 100,
    disable_help_subcommand = true
)]
#[command(
    after_help = "Start with:\n  nsys setup                         install what the local stack needs\n  \
    nsys up                            start it and wait until it is ready\n  \
    nsys loadtest incremental --quick  measure it\n  nsys next                          what to do now\n\n\
    Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 unreachable, 4 refused,\n\
    10 thresholds not met, 11 load could not be offered, 20 regression, 130 interrupted."
)]
pub struct Cli {
    /// Flags that every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Configuration file; default ./config.toml, then the user's configuration directory
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub config: Option<PathBuf>,
    /// Where nsys keeps its state; default .nsys beside the configuration file
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub state_dir: Option<PathBuf>,
    /// Say nothing but data and errors
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub quiet: bool,
    /// Say more: -v what is done, -vv every call
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    pub verbose: u8,
    /// No colour, as with the NO_COLOR variable
    #[arg(long, global = true, help_heading = "Global options")]
    pub no_color: bool,
    /// Refuse every change
    #[arg(long, global = true, help_heading = "Global options")]
    pub read_only: bool,
    /// Form of the answer
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT", help_heading = "Global options")]
    pub output: Option<Format>,
}

/// Every output format any command knows; most know `text` and `json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs; stable and documented.
    Json,
    /// Markdown (report, compare).
    Md,
    /// HTML (report).
    Html,
    /// JUnit XML (report).
    Junit,
    /// Comma-separated values (exports).
    Csv,
    /// One JSON object per line (exports).
    Ndjson,
}

/// The two formats of [`crate::render::Out`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Flags of every command that changes something.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct ChangeFlags {
    /// Show the plan and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// Everything nsys can do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Find what the local stack needs and install what is missing
    Setup(SetupArgs),
    /// Start the stack and wait until every part is ready
    Up(UpArgs),
    /// Stop what `up` started
    Down(DownArgs),
    /// List the parts of the stack
    Ps,
    /// Show the logs of parts
    Logs(LogsArgs),
    /// Restart parts
    Restart(RestartArgs),
    /// Set how many replicas run
    Scale(ScaleArgs),
    /// Show CPU, memory, disk and network of each part
    Stats(StatsArgs),
    /// Show the health of every component
    Health(HealthArgs),
    /// Check that the stack and the measurement can work
    Doctor(DoctorArgs),
    /// Send one notification and follow it to its final status
    Trace,
    /// Open a web page of the stack
    Open(OpenArgs),
    /// Show and check the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Show consumer lag by partition
    Lag(LagArgs),
    /// Look at topics and groups
    #[command(subcommand)]
    Kafka(KafkaCommand),
    /// Look at and manage the database
    #[command(subcommand)]
    Db(DbCommand),
    /// Look at and flush the cache
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Flush the cache (same as `cache flush`)
    Flush(FlushArgs),
    /// Query metrics by name or by PromQL
    #[command(subcommand)]
    Metrics(MetricsCommand),
    /// Show traces, slowest first
    Traces(TracesArgs),
    /// Open the terminal dashboard
    Watch(WatchArgs),
    /// Tune the database, Kafka, the cache and the service
    #[command(subcommand)]
    Tune(TuneCommand),
    /// Show the journal of changes
    History(HistoryArgs),
    /// Take a change back
    Undo(UndoArgs),
    /// Inspect and redrive dead letters
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Manage test users
    #[command(subcommand)]
    User(UserCommand),
    /// Print a token for the API
    Token(TokenArgs),
    /// Send one notification
    Send(SendArgs),
    /// Export data as a stream
    #[command(subcommand)]
    Export(ExportCommand),
    /// Run and manage load tests
    #[command(subcommand)]
    Loadtest(LoadtestCommand),
    /// Write and show the report of a run
    Report(ReportArgs),
    /// Name what saturated first and the command that mends it
    Diagnose(DiagnoseArgs),
    /// Repeat the measurements after a change and compare
    Verify(VerifyArgs),
    /// Compare two runs
    Compare(CompareArgs),
    /// Show the one most useful next step
    Next,
    /// Profile the service and write a flame graph
    Profile(ProfileArgs),
    /// Print a shell completion script
    Completions(CompletionsArgs),
    /// Print the manual page
    Man,
    /// Keep the local stack alive (started by `up`)
    #[command(hide = true)]
    Supervise(SuperviseArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_go_anywhere() {
        let cli = Cli::parse_from(["nsys", "ps", "-o", "json", "--state-dir", "/tmp/x"]);
        assert_eq!(cli.global.output, Some(Format::Json));
        assert_eq!(cli.global.state_dir, Some("/tmp/x".into()));
    }
}
