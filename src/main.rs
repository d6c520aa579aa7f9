//! The `nsys` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    nsys::main(std::env::args_os())
}
