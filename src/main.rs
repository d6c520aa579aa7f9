//! The `nsys` program.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    nsys::run(nsys::cli::Cli::parse_from(nsys::cli::translated(std::env::args_os())))
}
