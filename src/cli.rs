//! The command line: every command, flag and help text. No I/O.
//!
//! Names are a contract with scripts; adding is fine, renaming is not.

mod cache;
mod change;
mod changes;
mod data;
mod db;
mod history;
mod judge;
mod kafka;
mod load;
mod names;
mod needs;
mod observe;
mod stack;
mod trace;
mod tune;
mod watch;

pub use cache::*;
pub use change::*;
pub use changes::{Asking, CommandChange, Preview};
pub use data::*;
pub use db::*;
pub use history::*;
pub use judge::*;
pub use kafka::*;
pub use load::*;
pub use observe::*;
pub use stack::*;
pub use trace::*;
pub use tune::*;
pub use watch::*;

use crate::render::OutputFormat;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// Bring up and load-test a notification stack.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "nsys",
    version,
    propagate_version = true,
    max_term_width = 100,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
#[command(
    after_help = "Start with:\n  nsys setup                         install what the local stack needs\n  \
    nsys up                            start it and wait until it is ready\n  \
    nsys loadtest incremental --quick  measure it\n\n\
    Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 unreachable, 4 refused,\n\
    10 objectives not met, 11 load could not be offered, 20 regression, 130 interrupted."
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
    /// Profile of the stack, where it is not the notification service; default NSYS_PROFILE, then stack.profile
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub profile: Option<PathBuf>,
    /// Where nsys keeps its state; default .nsys beside the configuration file
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub state_dir: Option<PathBuf>,
    /// Print only data and errors
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub quiet: bool,
    /// More detail on stderr: -v lists what is started, -vv adds driver logs
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    pub verbose: u8,
    /// Disable colour, as NO_COLOR does
    #[arg(long, global = true, help_heading = "Global options")]
    pub no_color: bool,
    /// Refuse every change
    #[arg(long, global = true, help_heading = "Global options")]
    pub read_only: bool,
    /// Output format
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT", help_heading = "Global options")]
    pub output: Option<OutputChoice>,
}

/// What `-o` takes. Text and JSON always work, the others where a command says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputChoice {
    /// Human-readable text.
    #[default]
    Text,
    /// JSON, for programs.
    Json,
    /// CSV with a header line: exports, and the checks of a report.
    Csv,
    /// One JSON object per line: exports.
    Ndjson,
    /// Markdown: a report.
    Md,
    /// HTML page: a report.
    Html,
    /// JUnit XML for CI: a report.
    Junit,
}

impl OutputChoice {
    /// The format of everything that is not streamed.
    #[must_use]
    pub const fn format(self) -> OutputFormat {
        match self {
            Self::Json => OutputFormat::Json,
            _ => OutputFormat::Text,
        }
    }
}

/// Flags of every command that changes something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
pub struct ChangeFlags {
    /// Show the plan and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Skip the confirmation
    #[arg(short, long)]
    pub yes: bool,
}

/// Reads a command line, the program's name first.
///
/// # Errors
/// What is wrong with it, or the help that it asks for.
#[expect(clippy::disallowed_methods, reason = "the one place that reads command lines")]
pub fn parse(words: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(words)
}

/// Reads a duration with its unit: `500ms`, `5s`, `10m`, `1h`, `1h30m`.
///
/// # Errors
/// When the text is no duration, or a negative one.
pub fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    let wrong = || format!("{text:?} is not a duration; write for example 500ms, 30s, 5m or 1h");
    let span: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    span.try_into().map_err(|_| wrong())
}

/// Reads an instant: a time stamp, or a duration that means so long ago.
///
/// # Errors
/// When the text is neither.
pub fn parse_instant(text: &str) -> Result<jiff::Timestamp, String> {
    if let Ok(instant) = text.parse() {
        return Ok(instant);
    }
    let wrong = || {
        format!("{text:?} is no instant; write for example 2026-01-31T12:00:00Z, or 15m for 15 minutes ago")
    };
    let ago = parse_duration(text).map_err(|_| wrong())?;
    crate::clock::now().checked_sub(ago).map_err(|_| wrong())
}

/// For reads that can be repeated.
#[derive(Clone, Copy, Debug, Args)]
pub struct WatchFlag {
    /// Refresh every second until interrupted
    #[arg(long)]
    pub watch: bool,
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
    /// Restart parts, one replica at a time
    Restart(RestartArgs),
    /// Set how many replicas run
    Scale(ScaleArgs),
    /// Show CPU and memory of each part
    Stats(WatchFlag),
    /// Check that the stack and the measurement can work
    Doctor(DoctorArgs),
    /// Show the health of every part
    Health(HealthArgs),
    /// Show consumer lag by partition
    Lag(LagArgs),
    /// Send a notification and follow it to its final status
    Trace(TraceArgs),
    /// List recorded traces, slowest first
    Traces(TracesArgs),
    /// Open a page of the stack in the browser
    Open(OpenArgs),
    /// Draw a CPU flame graph of a replica; show and check the profile of the stack
    Profile(ProfileArgs),
    /// Watch the stack in a terminal dashboard
    Watch(WatchArgs),
    /// Inspect topics and consumer groups
    #[command(subcommand)]
    Kafka(KafkaCommand),
    /// Inspect and flush the cache
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Remove cached entries, as `cache flush`
    Flush(FlushArgs),
    /// Tune what limits the stack: planned, verified, reversible with `undo`
    #[command(subcommand)]
    Tune(TuneCommand),
    /// List changes, or show one in full
    History(HistoryArgs),
    /// Undo a change
    Undo(UndoArgs),
    /// Inspect, redrive and delete dead letters
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Create accounts, list them, change their roles
    #[command(subcommand)]
    User(UserCommand),
    /// Print a token to call the API with
    Token(TokenArgs),
    /// Send one notification
    Send(Box<SendArgs>),
    /// Stream rows out of the service
    #[command(subcommand)]
    Export(ExportCommand),
    /// Query metrics by name or by PromQL, and export them
    #[command(subcommand)]
    Metrics(MetricsCommand),
    /// Inspect the database (statements, connections, sizes, locks, indexes); migrate, seed, reset
    #[command(subcommand)]
    Db(DbCommand),
    /// Show and check the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Run and manage load tests
    #[command(subcommand)]
    Loadtest(LoadtestCommand),
    /// Regenerate the report of a run and show its summary
    Report(ReportArgs),
    /// Name the first bottleneck of a run, with evidence and remedies
    Diagnose(DiagnoseArgs),
    /// Compare two runs
    Compare(CompareArgs),
    /// Restart, wait, smoke-test, repeat a load test and compare
    Verify(VerifyArgs),
    /// Suggest the most useful next step
    Next,
    /// Print a shell completion script
    Completions(CompletionsArgs),
    /// Print the manual page of nsys or of one command
    Man(ManArgs),
    /// Print the version and the commit it was built from
    Version,
    /// Print the JSON Schema of what a command answers with -o json
    Schema(SchemaArgs),
    /// Offer the load of one level (started by load tests)
    #[command(hide = true)]
    Generate(GenerateArgs),
    /// Keep the local stack alive (started by `up`)
    #[command(hide = true)]
    Supervise(SuperviseArgs),
}

/// The command line without what only nsys itself calls.
#[must_use]
pub fn visible_commands() -> clap::Command {
    let whole = Cli::command();
    let visible: Vec<_> = whole.get_subcommands().filter(|one| !one.is_hide_set()).cloned().collect();
    let mut top =
        clap::Command::new("nsys").args(whole.get_arguments().cloned()).disable_help_subcommand(true);
    if let Some(about) = whole.get_about() {
        top = top.about(about.clone());
    }
    if let Some(after) = whole.get_after_help() {
        top = top.after_help(after.clone());
    }
    let version = whole.get_version().unwrap_or_default().to_owned();
    top.version(version).propagate_version(true).subcommands(visible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("1h30m"), Ok(std::time::Duration::from_secs(5_400)));
        assert!(parse_duration("90").is_err());
        assert!(parse_duration("-5s").is_err());
    }

    #[test]
    fn an_instant_is_a_time_stamp_or_so_long_ago() {
        assert_eq!(parse_instant("2026-01-31T12:00:00Z").unwrap().as_second(), 1_769_860_800);
        let ago = crate::clock::now().as_second() - parse_instant("15m").unwrap().as_second();
        assert!((900..905).contains(&ago), "{ago}");
        assert!(parse_instant("yesterday").unwrap_err().contains("15m"));
    }

    #[test]
    fn global_flags_go_anywhere() {
        let cli = parse(["nsys", "ps", "-o", "json", "--state-dir", "/tmp/x"]).unwrap();
        assert_eq!(cli.global.output, Some(OutputChoice::Json));
        assert_eq!(cli.global.state_dir, Some("/tmp/x".into()));
    }
}
