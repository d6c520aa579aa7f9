//! A clock that jumps: one worker's wall clock goes two hours ahead, then two hours behind, under load.
//!
//! The worker is an ordinary one with the clock of `clock.c` before the system's; the clocks that measure
//! spans are left alone, as they are when somebody sets the time.

use super::{Load, reconcile, stack};
use crate::client::{Client, PATIENCE};
use crate::support::{Place, in_containers};
use serde_json::Value;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The clock of `clock.c`, built into this directory.
fn library(dir: &Path) -> PathBuf {
    let library = dir.join("clock.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/chaos/clock.c");
    let built = Command::new("cc").args(["-O1", "-shared", "-fPIC", "-o"]).args([&library, &source]).output();
    let built = built.expect("a C compiler");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    library
}

/// A worker beside the stack's own, with a clock that can be set.
struct Worker {
    child: Child,
    clock: PathBuf,
    health: String,
}

impl Worker {
    /// Started as the supervisor starts its worker, under another clock.
    fn start(place: &Place) -> Self {
        let library = library(place.dir.path());
        let own = PathBuf::from(format!("/proc/{}", place.pid("worker-1")));
        let list = |name: &str| -> Vec<String> {
            let bytes = std::fs::read(own.join(name)).expect("it runs");
            let parts = bytes.split(|byte| *byte == 0).filter(|part| !part.is_empty());
            parts.map(|part| String::from_utf8_lossy(part).into_owned()).collect()
        };
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut args = list("cmdline");
        let listen = args.iter().position(|arg| arg == "--metrics-listen").expect("a metrics listener");
        args[listen + 1] = port.to_string();
        let clock = place.dir.path().join("clock");
        std::fs::write(&clock, 0_i64.to_ne_bytes()).unwrap();
        let log = std::fs::File::create(place.dir.path().join("worker.log")).unwrap();
        let mut command = Command::new(&args[0]);
        command
            .args(&args[1..])
            .env_clear()
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap())
            .stdout(log);
        command.envs(list("environ").iter().filter_map(|pair| pair.split_once('=')));
        command.env("LD_PRELOAD", library).env("CLOCK_FILE", &clock);
        Self { child: command.spawn().unwrap(), clock, health: format!("http://{port}/health/worker") }
    }

    /// Its own time, and how many messages it has stored; absent until it listens.
    async fn state(&self) -> Option<(jiff::Timestamp, u64)> {
        let state: Value = reqwest::get(&self.health).await.ok()?.json().await.ok()?;
        Some((state["timestamp"].as_str()?.parse().ok()?, state["worker"]["processedCount"].as_u64()?))
    }

    /// Sets its clock off by so many hours, and waits until it has worked on under that clock.
    async fn set(&mut self, hours: i64) {
        let file = std::fs::File::options().write(true).open(&self.clock).unwrap();
        // Into the very page that the worker has mapped.
        file.write_all_at(&(hours * 3_600).to_ne_bytes(), 0).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let mut since = None;
        loop {
            if let Some((now, stored)) = self.state().await {
                let off = now.duration_since(jiff::Timestamp::now()).as_secs() - hours * 3_600;
                let since = *since.get_or_insert(stored);
                if off.abs() < 600 && stored > since + 50 {
                    return;
                }
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                let log = std::fs::read_to_string(self.clock.with_file_name("worker.log")).unwrap();
                panic!("the worker ended ({status}) when its clock went {hours} h off:\n{}", tail(&log));
            }
            assert!(
                Instant::now() < deadline,
                "the worker does not work {hours} h off: {:?}",
                self.state().await
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// The last lines of a log.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_puts_nothing_off_and_doubles_nothing() {
    if in_containers() {
        eprintln!("left out: a container's program cannot be started beside it");
        return;
    }
    let place = stack(0.2, "");
    let client = Arc::new(Client::of(&place).await);
    let mut worker = Worker::start(&place);
    let load = Load::start(&client, 6, "clock");
    for hours in [0, 2, -2, 0] {
        worker.set(hours).await;
    }
    let seen = load.end().await;
    seen.only_refusals("clock");
    reconcile(&client, &seen, "clock").await;
}
