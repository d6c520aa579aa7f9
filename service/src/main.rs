//! The `notification-service` program: one binary, three roles.

use clap::{Parser, Subcommand};
use notification_service::{Listen, Options, Role, run, settings};
use std::path::PathBuf;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// High-throughput notification service.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Configuration (TOML); NSYS_<SECTION>__<KEY> overrides single keys
    #[arg(long)]
    config: Option<PathBuf>,
    /// What this process does
    #[arg(long, value_enum, default_value_t = Role::All)]
    role: Role,
    /// Where the API listens: an address, or fd:0 for a socket passed as standard input
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: Listen,
    /// Where this replica serves /metrics and its own health
    #[arg(long, default_value = "127.0.0.1:0")]
    metrics_listen: std::net::SocketAddr,
    /// On its way down, answer "not ready" this long before refusing connections, so that whoever
    /// sends requests here stops first
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    drain_delay: u64,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Ask a running service whether it is healthy; exit code 0 when it is
    Healthcheck {
        /// host:port of its metrics listener
        address: std::net::SocketAddr,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Some(Command::Healthcheck { address }) => notification_service::healthcheck(address),
        None => serve(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            // Before the configuration is read there is no subscriber yet.
            if !tracing::event_enabled!(tracing::Level::ERROR) {
                use std::io::Write;
                let _ = writeln!(std::io::stderr(), "error: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Takes second place on processors that callers need. Threads that come later inherit it.
fn yield_to_others(nice: u8) {
    // Where that is not allowed, everybody has the same part.
    let _ = rustix::process::setpriority_process(None, i32::from(nice.min(19)));
}

fn serve(arguments: Arguments) -> anyhow::Result<()> {
    notification_service::raise_open_files();
    let config = settings::load(arguments.config.as_deref(), settings::environment()?.into_iter())?;
    if arguments.role == Role::Worker {
        yield_to_others(config.worker.nice);
    }
    notification_service::telemetry::install_logs(&config.telemetry);
    // Lives until the runtime has ended: its last spans are sent then.
    let _exporter = notification_service::telemetry::install_traces(&config.telemetry)?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if config.service.threads > 0 {
        runtime.worker_threads(config.service.threads);
    }
    let options = Options {
        role: arguments.role,
        listen: arguments.listen,
        metrics_listen: arguments.metrics_listen,
        drain_delay: std::time::Duration::from_secs(arguments.drain_delay),
    };
    run(&runtime.enable_all().build()?, config, options)
}
