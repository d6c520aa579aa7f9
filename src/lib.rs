//! nsys: bring up, load-test, diagnose and tune a notification stack.

pub mod cli;
pub mod config;
pub mod error;
pub mod render;

use std::process::ExitCode;

/// Runs one command.
#[must_use]
pub fn run(_cli: cli::Cli) -> ExitCode {
    ExitCode::FAILURE
}
