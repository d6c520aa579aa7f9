//! The notification service.
//!
//! # Layout
//! Each module names only those before it; [`run`] is the composition root above them all: it builds every
//! dependency in order, then serves until it is to stop.
//! - `clock`: what time it is
//! - [`settings`]: the configuration, from defaults, file and environment
//! - `secret`: private files that every replica of a machine shares; encryption of what rests in the database
//! - `tls`: which cryptography TLS uses
//! - `domain`: validation, decisions and arithmetic; pure
//! - [`telemetry`]: metrics under the contract's names, logs, traces
//! - `queue`: the message log, the only place that names rdkafka
//! - `db`: the only SQL
//! - `cache`: the only redis, and the in-process level before it
//! - `channels`: providers and their receivers
//! - `parts`: what the API and the worker share, connected once
//! - `worker`: receive, store, deliver, record, commit
//! - `auth`: who calls
//! - `http`: the API; its state, its gate, one file per resource

mod auth;
mod cache;
mod channels;
mod clock;
mod db;
mod domain;
mod http;
mod parts;
mod queue;
mod secret;
pub mod settings;
pub mod telemetry;
mod tls;
mod worker;

pub use http::bench;

use anyhow::Context;
use clap::ValueEnum;
use http::App;
use nsys_contract::config::ServiceConfig;
use parts::Parts;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::str::FromStr;
use std::sync::Arc;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use worker::WorkerState;

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Serves the API.
    Api,
    /// Consumes and delivers.
    Worker,
    /// Both, for development.
    All,
}

impl Role {
    const fn serves(self) -> bool {
        matches!(self, Self::Api | Self::All)
    }

    const fn works(self) -> bool {
        matches!(self, Self::Worker | Self::All)
    }
}

/// Where the API's listening socket comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Bind this address.
    Address(SocketAddr),
    /// A listening socket was passed as standard input; replicas share it.
    Inherited,
}

impl FromStr for Listen {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "fd:0" { Ok(Self::Inherited) } else { text.parse().map(Self::Address) }
    }
}

/// How this process was started.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What it does.
    pub role: Role,
    /// Where the API listens.
    pub listen: Listen,
    /// Where metrics and this replica's own health are served.
    pub metrics_listen: SocketAddr,
    /// How long readiness says no while requests are still taken, on the way down.
    pub drain_delay: std::time::Duration,
}

/// Runs the service until a signal says stop, then drains: no request that was taken is dropped and no
/// batch is left half done. It blocks: what is asynchronous below is compiled here, once, and not again
/// in the program.
///
/// # Errors
/// When a part cannot be reached at start, the schema is too old, or an address is in use.
pub fn run(runtime: &tokio::runtime::Runtime, config: ServiceConfig, options: Options) -> anyhow::Result<()> {
    runtime.block_on(serve_until_stopped(config, options))
}

async fn serve_until_stopped(config: ServiceConfig, options: Options) -> anyhow::Result<()> {
    let stop = stop_signal();
    let deadline = config.service.shutdown_timeout;
    let parts = Arc::new(Parts::connect(config, options.role.serves()).await?);
    let worker_state = Arc::new(WorkerState::default());
    let app = Arc::new(App::open(Arc::clone(&parts), Arc::clone(&worker_state)).await?);
    let stopping = CancellationToken::new();

    // Metrics and health first: whoever watches this process sees it from now on, ready or not.
    let metrics_listener = tokio::net::TcpListener::bind(options.metrics_listen)
        .await
        .with_context(|| format!("cannot listen on {} for metrics", options.metrics_listen))?;
    let metrics_server =
        tokio::spawn(http::serve_plain(metrics_listener, http::metrics_router(Arc::clone(&app))?));

    spawn_background(&app, options.role, &stopping);
    let mut worker = options
        .role
        .works()
        .then(|| tokio::spawn(worker::run(Arc::clone(&parts), worker_state, stopping.clone())));
    let keys = tokio::spawn(follow_keys(Arc::clone(&app)));
    let database = tokio::spawn(watch_database(Arc::clone(&parts)));
    // The API last: from its first request on everything behind it works. Until then connections wait in the
    // queue of the socket that replicas share, so a restart refuses nobody.
    let api = if options.role.serves() {
        let listener = listener(options.listen).await?;
        tracing::info!(address = ?listener.local_addr().ok(), "The API accepts requests.");
        Some(tokio::spawn(http::serve(listener, Arc::clone(&app), stopping.clone())))
    } else {
        None
    };

    let failed = tokio::select! {
        () = stop => None,
        why = producer_failed(&parts) => Some(why),
        // Whoever keeps this process alive starts it again; without its worker it would only seem alive.
        outcome = ended(worker.as_mut()) => {
            outcome.context("the worker ended abnormally")??;
            anyhow::bail!("the worker stopped unexpectedly");
        }
    };
    tracing::info!("Stopping: draining what is in progress.");
    app.set_draining(true);
    if options.role.serves() {
        // A load balancer needs a moment to notice; until then it sends requests here.
        tokio::time::sleep(options.drain_delay).await;
    }
    stopping.cancel();
    let drain = async {
        if let Some(api) = api {
            api.await.context("the API ended abnormally")??;
        }
        if let Some(worker) = worker {
            worker.await.context("the worker ended abnormally")??;
        }
        anyhow::Ok(())
    };
    let drained = tokio::time::timeout(deadline, drain).await;
    // Only now: a request in progress waits for its own delivery report, and what is left was accepted with
    // 202. Metrics are served to the very end, so that the last scrape sees the drain.
    parts.producer.flush(deadline);
    metrics_server.abort();
    keys.abort();
    database.abort();
    match drained {
        Ok(result) => result?,
        Err(_) => anyhow::bail!("shutdown timed out after {deadline:?}; exiting anyway"),
    }
    match failed {
        Some(why) => anyhow::bail!("the producer has failed for good: {why}"),
        None => Ok(()),
    }
}

/// Starts what goes on beside requests and batches until `stopping`. Invalidations are followed before the
/// first request or batch fills the in-process caches: what is announced before that reaches nobody.
fn spawn_background(app: &Arc<App>, role: Role, stopping: &CancellationToken) {
    let (state, stop) = (Arc::clone(app), stopping.clone());
    tokio::spawn(async move {
        state.parts.cache.follow_invalidations(|caller| state.auth.changed(caller), &stop).await;
    });
    if !role.serves() {
        return;
    }
    let (state, stop) = (Arc::clone(app), stopping.clone());
    tokio::spawn(async move { state.parts.cache.write_behind(&stop).await });
    let (state, stop) = (Arc::clone(app), stopping.clone());
    tokio::spawn(async move {
        let parts = &state.parts;
        state.ingestion.watch(&parts.config.limits, parts.producer.sizes(), &parts.metrics, &stop).await;
    });
    let (state, stop) = (Arc::clone(app), stopping.clone());
    tokio::spawn(async move {
        let db = &state.parts.db;
        state.follower.run(db, state.parts.config.db.statement_timeout, &stop).await;
    });
}

/// Resolves when the producer has failed for good: only another process can send then.
async fn producer_failed(parts: &Parts) -> String {
    loop {
        if let Some(why) = parts.producer.fatal() {
            return why;
        }
        tokio::time::sleep(PRODUCER_INTERVAL).await;
    }
}

/// How often the producer is asked whether it still can send.
const PRODUCER_INTERVAL: std::time::Duration = std::time::Duration::from_secs(1);
/// How often it is measured whether PostgreSQL answers.
const DATABASE_INTERVAL: std::time::Duration = std::time::Duration::from_secs(5);

/// Keeps the figure of whether PostgreSQL answers.
async fn watch_database(parts: Arc<Parts>) {
    loop {
        // The answer is in the metrics, and why in `/health`.
        let _ = parts.db.ping().await;
        tokio::time::sleep(DATABASE_INTERVAL).await;
    }
}

/// Keeps up with signing keys that other replicas take into use or revoke.
async fn follow_keys(app: Arc<App>) {
    loop {
        tokio::time::sleep(auth::RELOAD_INTERVAL).await;
        if app.auth.keyring.reload(&app.parts.db).await {
            app.auth.forget_all();
        }
    }
}

/// Resolves when a task ends; never without one.
async fn ended<T>(task: Option<&mut JoinHandle<T>>) -> Result<T, JoinError> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

async fn listener(listen: Listen) -> anyhow::Result<tokio::net::TcpListener> {
    match listen {
        Listen::Address(address) => tokio::net::TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}")),
        Listen::Inherited => {
            let socket =
                std::io::stdin().as_fd().try_clone_to_owned().context("no socket on standard input")?;
            let listener = std::net::TcpListener::from(socket);
            listener.set_nonblocking(true).context("standard input is not a listening socket")?;
            tokio::net::TcpListener::from_std(listener).context("standard input is not a listening socket")
        }
    }
}

/// Shells start programs with a limit of about a thousand open files; the system allows more.
pub fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where that is not allowed, what there is has to do.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Resolves at the first SIGTERM or SIGINT.
async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(error) => {
            tracing::warn!(%error, "Cannot listen for SIGTERM; Ctrl-C still works.");
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}

/// Asks a replica for its readiness over plain HTTP.
///
/// # Errors
/// When it does not answer 200 within two seconds.
pub fn healthcheck(address: SocketAddr) -> anyhow::Result<()> {
    use std::io::{Read, Write};
    let timeout = std::time::Duration::from_secs(2);
    let mut stream = std::net::TcpStream::connect_timeout(&address, timeout).context("it does not listen")?;
    stream.set_read_timeout(Some(timeout))?;
    write!(stream, "GET /health/readiness HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    anyhow::ensure!(
        answer.starts_with("HTTP/1.1 200"),
        "not ready: {}",
        answer.lines().next().unwrap_or("no answer")
    );
    Ok(())
}
