//! A clock that jumps: one worker's wall clock goes two hours ahead, then two hours behind, under load.
//!
//! The worker is an ordinary one that runs under libfaketime; the clock that measures spans is left alone,
//! as it is when somebody sets the time.

use super::{Load, reconcile, stack};
use crate::client::{Client, PATIENCE};
use crate::support::Place;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn library() -> Option<PathBuf> {
    let dirs = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|dir| dir.path());
    dirs.map(|dir| dir.join("faketime/libfaketimeMT.so.1")).find(|path| path.is_file())
}

/// A worker beside the stack's own, with a clock that can be set.
struct Worker {
    child: Child,
    clock: PathBuf,
    health: String,
}

impl Worker {
    /// Started as the supervisor starts its worker, under another clock.
    fn start(place: &Place, library: &Path) -> Self {
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
        std::fs::write(&clock, "+0\n").unwrap();
        let log = std::fs::File::create(place.dir.path().join("worker.log")).unwrap();
        let mut command = Command::new(&args[0]);
        command
            .args(&args[1..])
            .env_clear()
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap())
            .stdout(log);
        command.envs(list("environ").iter().filter_map(|pair| pair.split_once('=')));
        command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &clock);
        command.env("FAKETIME_CACHE_DURATION", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        Self { child: command.spawn().unwrap(), clock, health: format!("http://{port}/health/worker") }
    }

    /// Its own time, and how many messages it has stored; absent until it listens.
    async fn state(&self) -> Option<(jiff::Timestamp, u64)> {
        let state: Value = reqwest::get(&self.health).await.ok()?.json().await.ok()?;
        Some((state["timestamp"].as_str()?.parse().ok()?, state["worker"]["processedCount"].as_u64()?))
    }

    /// Sets its clock off by so many hours, and waits until it has worked on under that clock.
    async fn set(&mut self, hours: i64) {
        let other = self.clock.with_extension("new");
        std::fs::write(&other, format!("{hours:+}h\n")).unwrap();
        std::fs::rename(&other, &self.clock).unwrap();
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
            assert!(self.child.try_wait().unwrap().is_none(), "the worker ended");
            assert!(
                Instant::now() < deadline,
                "the worker does not work {hours} h off: {:?}",
                self.state().await
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_puts_nothing_off_and_doubles_nothing() {
    let Some(library) = library() else {
        eprintln!("left out: libfaketime is not installed (apt-get install libfaketime)");
        return;
    };
    let place = stack(0.2, "");
    let client = Arc::new(Client::of(&place).await);
    let mut worker = Worker::start(&place, &library);
    let load = Load::start(&client, 6, "clock");
    for hours in [0, 2, -2, 0] {
        worker.set(hours).await;
    }
    let seen = load.end().await;
    seen.only_refusals("clock");
    reconcile(&client, &seen, "clock").await;
}
