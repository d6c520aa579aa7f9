//! The whole service against its peers, on one machine in one run: `make bench`.
//!
//! Everything shares the machine: broker, database, Redis, service and client. Absolute figures belong
//! to it; ratios are of figures that were measured interleaved, round after round.
#![allow(missing_docs, reason = "a program, not a library")]
#![allow(clippy::disallowed_methods, reason = "it starts programs and is told by variables")]

mod accepting;
mod client;
mod figures;
mod hs256;
mod page;
mod peer;
mod phases;
mod requests;
mod rounds;
mod stack;
mod working;

use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command};

/// How this program calls itself to be a peer: the address, then the brokers of the prototype.
const AS_PEER: &str = "as-peer";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    if let Some(place) = args.iter().position(|arg| arg == AS_PEER) {
        // Sessions share processors evenly (autogroups): in the client's own, a peer would get what the
        // service, which has one of its own too, has to wait for.
        rustix::process::setsid()?;
        let listen: SocketAddr = args.get(place + 1).context("an address is needed")?.parse()?;
        let serving = peer::serve(listen, args.get(place + 2).map(String::as_str));
        return tokio::runtime::Runtime::new()?.block_on(serving);
    }
    // One thread: several would spend on waking each other what the service could do with it.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure())
}

async fn measure() -> Result<()> {
    notification_service::raise_open_files();
    let from =
        |name: &str| std::env::var_os(name).map(PathBuf::from).with_context(|| format!("{name} is not set"));
    let (nsys, state, page) = (from("BENCH_NSYS")?, from("BENCH_STATE")?, from("BENCH_PAGE")?);
    let wanted = phases::Wanted::read()?;
    let sink = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let otlp = format!("http://{}", sink.local_addr()?);
    tokio::spawn(take_spans(sink));
    let stack = stack::Stack::up(nsys, state, &otlp)?;
    let figures = phases::all(stack, &wanted).await?;
    page::show(&figures)?;
    // Part of a run says nothing of what it left out.
    if wanted.is_whole() { page::write(&page, &figures) } else { Ok(()) }
}

/// A peer of the service, as a process of its own.
struct Peer {
    child: Child,
    address: SocketAddr,
}

impl Peer {
    /// Starts the bare route, or the prototype on `brokers`.
    async fn start(brokers: Option<&str>) -> Result<Self> {
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(AS_PEER).arg(address.to_string()).args(brokers);
        let peer = Self { child: command.spawn()?, address };
        for _ in 0..100 {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return Ok(peer);
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        anyhow::bail!("a peer did not come up")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It keeps nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A collector that takes every span and keeps none, so that tracing costs what it costs.
async fn take_spans(sink: tokio::net::TcpListener) {
    let routes = axum::Router::new().fallback(async |_: axum::body::Bytes| "");
    if let Err(cause) = axum::serve(sink, routes).await {
        tracing::error!(%cause, "the collector ended");
    }
}
