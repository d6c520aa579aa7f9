//! Clocks that jump: the wall clock of a part, and then that of all parts, goes two hours behind and two
//! hours ahead, under load.
//!
//! The parts are the stack's own with the clock of `clock.c` before the system's; the clocks that measure
//! spans are left alone, as they are when somebody sets the time. Kafka keeps its clock: a Java machine
//! waits in ways that a clock before the system's would break. So does Redis: one whose entries run out at
//! once is one that was flushed.

use super::{Load, healthy, reconcile, stack};
use crate::client::{Client, TIMEOUT};
use crate::support::{Place, in_containers};
use nsys::stack::spec::{Request, Spec};
use serde_json::{Value, json};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The parts whose clocks are set.
const PARTS: [&str; 3] = ["worker-1", "app-1", "postgres"];
/// Whose clocks are off by how many hours, one after the other.
type Jumps = [(&'static [&'static str], &'static [i64]); 2];
/// Those of the service alone: nothing that a clock of the service decided may wait for hours.
const OF_THE_SERVICE: Jumps = [(&["worker-1"], &[2, -2, 0]), (&["app-1"], &[-2, 0])];
/// When PostgreSQL's goes back, what waits for its time waits so much longer; it goes ahead again each time.
const WITH_POSTGRES: Jumps = [(&PARTS, &[-2, 0]), (&["postgres"], &[2])];
/// So many more have to be acknowledged, and as many stored, under each clock.
const UNDER_EACH: u64 = 60;

/// Clocks of parts, one for each.
struct Clocks {
    dir: TempDir,
}

impl Clocks {
    /// Starts the parts anew, each under a clock of its own that is right.
    async fn start(place: &Place) -> Self {
        let clocks = Self { dir: tempfile::tempdir().unwrap() };
        // PostgreSQL may run as somebody else.
        std::fs::set_permissions(clocks.dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let library = library(clocks.dir.path());
        let specs = PARTS.map(|part| {
            std::fs::write(clocks.of(part), 0_i64.to_ne_bytes()).unwrap();
            std::fs::set_permissions(clocks.of(part), PermissionsExt::from_mode(0o644)).unwrap();
            let mut spec = spec_of(place, part);
            spec.env.push(("LD_PRELOAD".to_owned(), library.display().to_string()));
            spec.env.push(("CLOCK_FILE".to_owned(), clocks.of(part).display().to_string()));
            spec
        });
        start(place, &Request::Start { specs: specs.into() });
        clocks
    }

    fn of(&self, part: &str) -> PathBuf {
        self.dir.path().join(part)
    }

    /// Sets a part's clock off by so many hours.
    fn set(&self, part: &str, hours: i64) {
        let file = std::fs::File::options().write(true).open(self.of(part)).unwrap();
        // Into the very page that the part has mapped.
        file.write_all_at(&(hours * 3_600).to_ne_bytes(), 0).unwrap();
    }
}

/// Tells the supervisor as nsys does, without its checks: these parts are the test's own.
fn start(place: &Place, request: &Request) {
    let run = std::fs::File::open(place.state().join("run")).unwrap();
    // The path of the directory may be too long for a socket.
    let socket = format!("/proc/self/fd/{}/supervisor.sock", std::os::fd::AsRawFd::as_raw_fd(&run));
    let mut stream = std::os::unix::net::UnixStream::connect(socket).expect("the supervisor runs");
    let line = format!("{}\n", serde_json::to_string(request).unwrap());
    std::io::Write::write_all(&mut stream, line.as_bytes()).unwrap();
    let mut answer = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stream), &mut answer).unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert!(answer["error"].is_null(), "{answer}");
}

/// The clock of `clock.c`, built into this directory.
fn library(dir: &Path) -> PathBuf {
    let library = dir.join("clock.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/chaos/clock.c");
    let built = Command::new("cc").args(["-O1", "-shared", "-fPIC", "-o"]).args([&library, &source]).output();
    let built = built.expect("a C compiler");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    library
}

/// How a part that runs was started.
fn spec_of(place: &Place, part: &str) -> Spec {
    let own = PathBuf::from(format!("/proc/{}", place.pid(part)));
    let list = |name: &str| -> Vec<String> {
        let bytes = std::fs::read(own.join(name)).expect("it runs");
        let parts = bytes.split(|byte| *byte == 0).filter(|part| !part.is_empty());
        parts.map(|part| String::from_utf8_lossy(part).into_owned()).collect()
    };
    let pairs = list("environ").into_iter().filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    });
    let owner = std::fs::metadata(&own).unwrap();
    let is_app = part.starts_with("app-");
    let api = std::net::SocketAddr::from(([127, 0, 0, 1], 3_000 + place.offset));
    Spec {
        name: part.to_owned(),
        program: std::fs::read_link(own.join("exe")).unwrap(),
        args: list("cmdline")[1..].to_vec(),
        env: pairs.collect(),
        user: (part == "postgres").then_some((owner.uid(), owner.gid())),
        listen: is_app.then_some(api),
        port: port(place, part),
        stage: 0,
        stop_by_interrupt: part == "postgres",
        stop_timeout_s: 20,
        restart_limit: 100,
    }
}

/// Waits until enough has been acknowledged and stored since now.
async fn goes_on(client: &Client, load: &Load, what: &str) {
    let stored = || async { client.ask("SELECT count(*) FROM notifications").await.parse::<u64>().unwrap() };
    let (acknowledged, rows) = (load.acknowledged() as u64, stored().await);
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let more = (load.acknowledged() as u64 - acknowledged, stored().await - rows);
        if more.0 >= UNDER_EACH && more.1 >= UNDER_EACH {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{what}: only {more:?} more were acknowledged and stored, {:?} were refused, and {:?}",
            load.seen.refused,
            load.seen.broken.lock().unwrap().first()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Waits until a part says that its clock is off by so many hours.
async fn notices(place: &Place, client: &Client, part: &str, hours: i64) {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let now = match part {
            "postgres" => {
                client.ask("SELECT extract(epoch FROM clock_timestamp())::bigint").await.parse().ok()
            }
            "app-1" => timestamp(&format!("http://127.0.0.1:{}/health", 3_000 + place.offset)).await,
            _ => timestamp(&format!("http://127.0.0.1:{}/health/worker", port(place, part))).await,
        };
        let off = now.map(|now: i64| now - jiff::Timestamp::now().as_second() - hours * 3_600);
        if off.is_some_and(|off| off.abs() < 600) {
            return;
        }
        assert!(Instant::now() < deadline, "{part}'s clock is not {hours} h off, but {off:?} s more");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The port that a part shows.
fn port(place: &Place, part: &str) -> u16 {
    let ps = place.json(&["ps"]);
    let found = ps["parts"].as_array().unwrap().iter().find(|one| one["name"] == part);
    let port = found.and_then(|one| u16::try_from(one["port"].as_u64()?).ok());
    port.unwrap_or_else(|| panic!("{part} has no port: {ps}"))
}

/// A process' own time, in seconds since the epoch; absent until it answers.
async fn timestamp(url: &str) -> Option<i64> {
    let answer = crate::client::http().build().ok()?.get(url).send().await.ok()?;
    let state: Value = answer.json().await.ok()?;
    Some(state["timestamp"].as_str()?.parse::<jiff::Timestamp>().ok()?.as_second())
}

/// Kafka takes no message from more than an hour ahead: an API of that clock acknowledges nothing.
async fn refused_from_the_future(place: &Place, client: &Client, clocks: &Clocks) {
    clocks.set("app-1", 2);
    notices(place, client, "app-1", 2).await;
    let body = json!({"userId": "u", "channel": "IN_APP", "type": "SYSTEM", "payload": {"title": "t"}});
    let answer = client.post("/notifications", &body).await.unwrap();
    assert_eq!((answer.status, answer.retry_after.is_some()), (503, true), "{answer:?}");
    clocks.set("app-1", 0);
    notices(place, client, "app-1", 0).await;
}

/// Sets clocks, one after the other; under each the load goes on.
async fn jump(place: &Place, client: &Client, clocks: &Clocks, load: &Load, jumps: Jumps) {
    for (parts, hours) in jumps {
        for &hours in hours {
            for part in parts {
                clocks.set(part, hours);
            }
            for part in parts {
                notices(place, client, part, hours).await;
            }
            goes_on(client, load, &format!("{parts:?} {hours} h off")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_jump_lose_nothing_and_double_nothing() {
    if in_containers() {
        eprintln!("left out: what preloads the clock would have to be in the images");
        return;
    }
    let place = stack(0.2, "");
    // A token would have ended, or not begun.
    let client = Arc::new(Client::of(&place).await.with_a_key().await);
    let clocks = Clocks::start(&place).await;
    healthy(&client).await;

    let load = Load::start(&client, 6, "service-clocks");
    jump(&place, &client, &clocks, &load, OF_THE_SERVICE).await;
    refused_from_the_future(&place, &client, &clocks).await;
    goes_on(&client, &load, "every clock right again").await;
    let seen = load.end().await;
    seen.only_refusals("service-clocks");
    reconcile(&client, &seen, "service-clocks").await;

    let load = Load::start(&client, 6, "clocks");
    jump(&place, &client, &clocks, &load, WITH_POSTGRES).await;
    let seen = load.end().await;
    seen.only_refusals("clocks");
    reconcile(&client, &seen, "clocks").await;
}
