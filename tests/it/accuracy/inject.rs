//! Bottlenecks to inject into the stack of a test. Each is taken back when it is dropped.

use crate::support::Place;
use crate::tune::psql;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Something that is to be done.
pub(super) struct Injection(Box<dyn FnOnce() -> Held>);

/// Something that was done, until it is dropped.
pub(super) struct Held {
    undo: Vec<Box<dyn FnOnce()>>,
    running: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Injection {
    fn new(work: impl FnOnce() -> Held + 'static) -> Self {
        Self(Box::new(work))
    }

    pub(super) fn hold(self) -> Held {
        (self.0)()
    }
}

impl Held {
    fn undone_by(undo: impl FnOnce() + 'static) -> Self {
        Self { undo: vec![Box::new(undo)], running: None }
    }

    /// Something that goes on in a thread until it is told to stop.
    fn going_on(work: impl FnOnce(&AtomicBool) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || work(&seen));
        Self { undo: Vec::new(), running: Some((stop, thread)) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            stop.store(true, Ordering::Relaxed);
            let _ = thread.join();
        }
        for undo in self.undo.drain(..) {
            undo();
        }
    }
}

/// Runs SQL on the stack's database.
fn sql(place: &Place, text: &str) -> Command {
    let mut command = psql(place);
    command.args(["-c", text]).stdout(Stdio::null());
    command
}

fn run(mut command: Command) {
    let status = command.status().expect("the program starts");
    assert!(status.success(), "{command:?}");
}

/// Takes something back. It may run while a test unwinds, so it tells of a failure instead of panicking.
fn take_back(mut command: Command) {
    if !command.status().is_ok_and(|status| status.success()) {
        eprintln!("could not be taken back: {command:?}");
    }
}

/// Every transaction that writes takes so much longer, as on a disk that is slow to sync, without a use of
/// processors: how fast this machine's disk is must not decide what a partition worker can do.
pub(super) fn slow_commits(place: &Place, delay: Duration) -> Injection {
    let set = |values: [String; 2]| {
        // A change of the server's settings takes no part in a transaction: each is a command of its own.
        let mut command = psql(place);
        for value in values {
            command.args(["-c", &format!("ALTER SYSTEM {value}")]);
        }
        command.args(["-c", "SELECT pg_reload_conf()"]).stdout(Stdio::null());
        command
    };
    let wait = [format!("SET commit_delay = {}", delay.as_micros()), "SET commit_siblings = 0".to_owned()];
    let (slow, back) =
        (set(wait), set(["RESET commit_delay".to_owned(), "RESET commit_siblings".to_owned()]));
    Injection::new(move || {
        run(slow);
        Held::undone_by(move || take_back(back))
    })
}

/// The indexes that reads need are gone, until they are made again.
pub(super) fn without_indexes(place: &Place) -> Injection {
    let names = ["user_status_created", "scheduled", "correlation"];
    let drop: String =
        names.iter().map(|name| format!("DROP INDEX IF EXISTS idx_notifications_{name};")).collect();
    let (drop, mut again) = (sql(place, &drop), place.command(&["tune", "db", "--indexes", "--yes"]));
    Injection::new(move || {
        run(drop);
        Held::undone_by(move || {
            again.output().expect("nsys starts");
        })
    })
}

/// A session that locks the table half of the time.
pub(super) fn table_lock(place: &Place) -> Injection {
    let body = "BEGIN; LOCK TABLE notifications IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(0.6); COMMIT; SELECT pg_sleep(0.3);";
    let command = sql(place, &format!("SET application_name = 'injected'; {}", body.repeat(120)));
    // The server would go through the rest of the script without its client.
    let stop = sql(
        place,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'injected'",
    );
    Injection::new(move || {
        let child = spawn(command);
        Held::undone_by(move || {
            end(child);
            take_back(stop);
        })
    })
}

fn spawn(mut command: Command) -> Child {
    command.stderr(Stdio::null()).spawn().expect("the program starts")
}

fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Where the groups of version 2 are, beside the controllers of version 1.
const UNIFIED: &str = "unified";

/// A control group that is removed when its processes have left it.
fn group(controller: &str, name: &str) -> PathBuf {
    let dir = PathBuf::from(format!("/sys/fs/cgroup/{controller}/nsys-test-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("control groups of version 1 (and 2 beside them), as root");
    dir
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
}

fn leave(controller: &str, home: &str, dir: &Path) {
    let tasks = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    let home = PathBuf::from(format!("/sys/fs/cgroup/{controller}")).join(home.trim_start_matches('/'));
    for pid in tasks.lines() {
        // A process that has ended meanwhile has left by itself.
        let _ = std::fs::write(home.join("cgroup.procs"), pid);
    }
    let _ = std::fs::remove_dir(dir);
}

/// The group of a controller that a process is in; that of version 2 has no name.
fn home_of(pid: i32, controller: &str) -> String {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let line = groups.lines().find(|line| line.split(':').nth(1) == Some(controller));
    line.and_then(|line| line.rsplit(':').next()).unwrap_or("/").to_owned()
}

/// These parts share so many per cent of one core.
pub(super) fn cpu_quota(place: &Place, parts: &'static [&'static str], pct: u32) -> Injection {
    let pids: Vec<_> = parts.iter().map(|part| place.pid(part)).collect();
    Injection::new(move || quota(&pids, parts[0], pct))
}

fn quota(pids: &[i32], name: &str, pct: u32) -> Held {
    let dir = group("cpu", name);
    write(&dir.join("cpu.cfs_period_us"), "100000");
    write(&dir.join("cpu.cfs_quota_us"), &(pct * 1_000).to_string());
    let home = home_of(pids[0], "cpu");
    for pid in pids {
        write(&dir.join("cgroup.procs"), &pid.to_string());
    }
    Held::undone_by(move || leave("cpu", &home, &dir))
}

/// Once a load is under way, a part may use this many times the memory that it uses then. It is started
/// anew in its group: what a process used before it came stays with the group it comes from.
pub(super) fn memory_limit(place: &Place, part: &'static str, factor: f64) -> Injection {
    let (pid, mut restart) = (place.pid(part), place.command(&["restart", part]));
    let claim = claim(place);
    Injection::new(move || {
        let parent = parent(pid);
        let dir = group("memory", part);
        let home = home_of(parent, "memory");
        // A new process is in the group of the one that starts it.
        write(&dir.join("cgroup.procs"), &parent.to_string());
        let restarted = restart.status();
        let back = PathBuf::from("/sys/fs/cgroup/memory").join(home.trim_start_matches('/'));
        write(&back.join("cgroup.procs"), &parent.to_string());
        let (used, limit) = (dir.join("memory.usage_in_bytes"), dir.join("memory.limit_in_bytes"));
        let mut held = Held::going_on(move |stop| {
            while !stop.load(Ordering::Relaxed) && generator(&claim).is_none() {
                std::thread::sleep(Duration::from_millis(50));
            }
            std::thread::sleep(Duration::from_secs(5));
            let used: f64 =
                std::fs::read_to_string(used).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0.0);
            let _ = std::fs::write(limit, ((used * factor) as u64).to_string());
        });
        held.undo.push(Box::new(move || leave("memory", &home, &dir)));
        assert!(restarted.is_ok_and(|status| status.success()), "{part} did not come back");
        held
    })
}

/// Where a load test says who makes the load.
fn claim(place: &Place) -> PathBuf {
    place.state().join("run/loadtest.json")
}

/// The process that makes the load, as soon as there is one.
fn generator(claim: &Path) -> Option<i32> {
    let claim: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(claim).ok()?).ok()?;
    claim["generator"]["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok())
}

/// The process that started another one.
fn parent(pid: i32) -> i32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("its parent");
    line.trim().parse().expect("a number")
}

/// The load generator gets so many per cent of one core as soon as it is there.
pub(super) fn starved_generator(place: &Place, pct: u32) -> Injection {
    let claim = claim(place);
    Injection::new(move || {
        Held::going_on(move |stop| {
            while !stop.load(Ordering::Relaxed) {
                if let Some(pid) = generator(&claim) {
                    let held = quota(&[pid], "generator", pct);
                    while !stop.load(Ordering::Relaxed) {
                        std::thread::sleep(Duration::from_millis(100));
                    }
                    drop(held);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        })
    })
}

/// A part is stopped and let go again and again: it answers late without using CPU.
pub(super) fn stop_and_go(place: &Place, part: &str, stopped_ms: u64, running_ms: u64) -> Injection {
    let pid = Pid::from_raw(place.pid(part)).expect("a pid");
    Injection::new(move || {
        Held::going_on(move |stop| {
            while !stop.load(Ordering::Relaxed) {
                let _ = kill_process(pid, Signal::STOP);
                std::thread::sleep(Duration::from_millis(stopped_ms));
                let _ = kill_process(pid, Signal::CONT);
                std::thread::sleep(Duration::from_millis(running_ms));
            }
        })
    })
}

/// Redis may use hardly more than it uses now.
pub(super) fn small_redis(place: &Place) -> Injection {
    let address = SocketAddr::from(([127, 0, 0, 1], 6_379 + place.offset));
    Injection::new(move || {
        let info = redis(address, "INFO memory");
        let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("its memory");
        let used: u64 = used.trim().parse().expect("a number");
        redis(address, &format!("CONFIG SET maxmemory {}", used.saturating_sub(100_000)));
        Held::undone_by(move || {
            redis(address, "CONFIG SET maxmemory 268435456");
        })
    })
}

/// Sends an inline command and returns what arrives of the answer.
fn redis(address: SocketAddr, command: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("redis listens");
    stream.set_read_timeout(Some(Duration::from_millis(300))).expect("a time-out");
    stream.write_all(format!("{command}\r\n").as_bytes()).expect("redis reads");
    let (mut answer, mut part) = (Vec::new(), [0; 16_384]);
    while let Ok(count @ 1..) = stream.read(&mut part) {
        answer.extend_from_slice(&part[..count]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// Every client may send so many bytes per second to the broker.
pub(super) fn broker_quota(place: &Place, bytes: u32) -> Injection {
    let jars = class_path(place).expect("the broker's jars");
    let broker = format!("127.0.0.1:{}", 9_092 + place.offset);
    let tool = move |change: &[&str]| {
        let mut command = Command::new("java");
        command.args(["-Xmx128m", "-cp", &jars, "kafka.admin.ConfigCommand", "--bootstrap-server", &broker]);
        command.args(["--alter", "--entity-type", "clients", "--entity-default"]).args(change);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        run(command);
    };
    Injection::new(move || {
        tool(&["--add-config", &format!("producer_byte_rate={bytes}")]);
        Held::undone_by(move || tool(&["--delete-config", "producer_byte_rate"]))
    })
}

/// The class path that the running broker was started with.
fn class_path(place: &Place) -> Option<String> {
    let line = std::fs::read(format!("/proc/{}/cmdline", place.pid("kafka"))).ok()?;
    let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let at = words.iter().position(|word| word == "-cp")?;
    words.get(at + 1).map(|path| path.to_string())
}

/// The topic is made anew with a single partition, and afterwards with three again.
pub(super) fn one_partition(place: &Place) -> Injection {
    let remake = |place: &Place, partitions: &'static str| {
        let mut down = place.command(&["down"]);
        let mut up = place.command(&["up", "--scale", "worker=3"]);
        up.env("NSYS_KAFKA__PARTITIONS", partitions).envs(super::ONE_BY_ONE.iter().copied());
        let data = place.state().join("data/kafka");
        move || {
            down.output().expect("nsys starts");
            let _ = std::fs::remove_dir_all(&data);
            let output = up.output().expect("nsys starts");
            assert!(output.status.success(), "{}", crate::support::text(&output));
        }
    };
    let (mut one, three) = (remake(place, "1"), remake(place, "3"));
    Injection::new(move || {
        one();
        Held::undone_by(three)
    })
}

/// The comment on every rule of the packet filter that is made here.
const MARK: &str = "nsys-test";

/// What a test that was killed has left in the packet filter is taken out.
pub(super) fn forget_stale_rules() {
    let output = Command::new("iptables").args(["-w", "-t", "nat", "-S", "OUTPUT"]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    for rule in text.lines().filter(|line| line.contains(MARK)) {
        let words = rule.split_whitespace().map(|word| word.trim_matches('"'));
        let mut command = Command::new("iptables");
        command.args(["-w", "-t", "nat", "-D"]).args(words.skip(1));
        run(command);
    }
}

/// What the service sends to a port of this machine, and what comes back, is held up for a while, by a
/// proxy that the packet filter puts in between. Nobody else's connections are touched: the rule is for
/// the processes of a control group.
pub(super) fn slow_network(place: &Place, port: u16, delay: Duration) -> Injection {
    let port = port + place.offset;
    let pids: Vec<_> =
        ["app-1", "worker-1", "worker-2", "worker-3"].iter().map(|part| place.pid(part)).collect();
    let again = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'notification-service'";
    let (through, back) = (sql(place, again), sql(place, again));
    Injection::new(move || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let own = listener.local_addr().expect("its address").port();
        let mut held = Held::going_on(move |stop| proxy(&listener, port, delay, stop));
        let dir = group(UNIFIED, "network");
        let home = home_of(pids[0], "");
        for pid in &pids {
            write(&dir.join("cgroup.procs"), &pid.to_string());
        }
        let path = dir.file_name().expect("a name").to_string_lossy().into_owned();
        held.undo.push(Box::new(move || leave(UNIFIED, &home, &dir)));
        run(redirect("-A", &path, port, own));
        held.undo.insert(0, Box::new(move || take_back(redirect("-D", &path, port, own))));
        // Connections that are open already know their way; new ones are sent through the proxy.
        run(through);
        held.undo.push(Box::new(move || take_back(back)));
        held
    })
}

/// Adds (`-A`) or takes away (`-D`) the rule that sends a group's connections to another port.
fn redirect(action: &str, group: &str, from: u16, to: u16) -> Command {
    let mut command = Command::new("iptables");
    command.args(["-w", "-t", "nat", action, "OUTPUT", "-p", "tcp", "-d", "127.0.0.1"]);
    command.args(["-m", "cgroup", "--path", group, "-m", "comment", "--comment", MARK]);
    command.args(["--dport", &from.to_string(), "-j", "REDIRECT", "--to-ports", &to.to_string()]);
    command
}

fn proxy(listener: &TcpListener, port: u16, delay: Duration, stop: &AtomicBool) {
    listener.set_nonblocking(true).expect("a listener that can be polled");
    while !stop.load(Ordering::Relaxed) {
        let Ok((client, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        };
        client.set_nonblocking(false).expect("a stream that waits");
        let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
        for (from, to) in [(&client, &server), (&server, &client)] {
            let (from, to) = (from.try_clone().expect("a handle"), to.try_clone().expect("a handle"));
            std::thread::spawn(move || copy(from, to, delay));
        }
    }
}

/// Passes on what arrives, late by `delay`. A protocol of question and answer feels each delay.
fn copy(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let mut part = [0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut part) {
        std::thread::sleep(delay / 2);
        if to.write_all(&part[..count]).is_err() {
            return;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}
