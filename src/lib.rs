//! nsys: bring up and load-test a notification stack.
//!
//! # Layout
//! Each module names only those above it:
//! - [`clock`]: what time it is
//! - [`secret`]: what may be shown of a value, an address, a command line
//! - [`error`]: what went wrong, the next command, the exit code
//! - [`process_env`]: the environment variables of this process
//! - [`measured`]: a value that may be missing, with the reason
//! - [`domain`]: data and arithmetic without I/O
//! - [`permit`]: what it takes to change something
//! - [`plan`]: changes before they are made
//! - [`config`]: layers and the origin of every value
//! - [`clients`]: one driver, one file
//! - [`render`]: the only way to standard output
//! - [`stack`]: runtimes, parts, readiness, the supervisor
//! - [`journal`]: what was changed
//! - [`apply`]: makes the steps of a plan
//! - [`diagnose`]: what only a look around can tell
//! - [`generate`]: the native load generator
//! - [`loadtest`]: offer, watch, drain, reconcile, judge
//! - [`report`]: what people read of a run
//! - [`publish`]: has the reports of a run written
//! - [`tui`]: the terminal dashboard
//! - [`cli`]: the command line as types
//! - [`change`]: the way of every change
//! - [`tune`]: what each `nsys tune` command would do
//! - [`commands`]: one noun per file

pub mod apply;
pub mod change;
pub mod cli;
pub mod clients;
pub mod clock;
pub mod commands;
pub mod config;
pub mod diagnose;
pub mod domain;
pub mod error;
pub mod generate;
pub mod journal;
pub mod loadtest;
pub mod measured;
pub mod permit;
pub mod plan;
pub mod process_env;
pub mod publish;
pub mod render;
pub mod report;
pub mod secret;
pub mod stack;
pub mod tui;
pub mod tune;

use std::ffi::OsString;
use std::process::ExitCode;

/// Open files that nsys, and every part that it starts, wants to be allowed. Shells give a plain user about
/// a thousand; more than this nobody needs, and some programs walk through all that they are allowed.
const OPEN_FILES: u64 = 65_536;

/// Reads the command line and runs it.
#[must_use]
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match commands::answer_completion() {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => {}
        // A shell that asks shows nothing but names.
        Err(error) => return error.exit_code(),
    }
    let arguments = cli::translated(arguments);
    match cli::parse(&arguments) {
        Ok(cli) => run(cli),
        Err(error) => render::command_line_error(&error, &arguments),
    }
}

/// Runs one command.
#[must_use]
pub fn run(cli: cli::Cli) -> ExitCode {
    clients::process::raise_file_limit(OPEN_FILES);
    if cli.global.no_color {
        anstream::ColorChoice::Never.write_global();
    }
    let out = commands::output(&cli);
    let level = match cli.global.verbose {
        0 => tracing::Level::WARN,
        1 => tracing::Level::INFO,
        _ => tracing::Level::DEBUG,
    };
    // A log on a full disk must not end who writes it: the fallback would be a panic.
    // What the log's driver complains of, a dozen lines a second, is said once by the error that follows.
    let drivers = if cli.global.verbose < 2 { ",librdkafka=off,rdkafka=off" } else { "" };
    let filter = tracing_subscriber::EnvFilter::new(format!("{level}{drivers}"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(render::log_writer);
    log.log_internal_errors(false).without_time().init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(cause) => {
            let error = error::Error::failed(format!("cannot start: {cause}"));
            out.error(&error);
            return error.exit_code();
        }
    };
    let result = runtime.block_on(commands::run(cli, out));
    // A reader of a log or a blocking client must not hold the end up.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            out.error(&error);
            error.exit_code()
        }
    }
}
