//! The `nsys` program.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    nsys::run(nsys::cli::Cli::parse())
}
