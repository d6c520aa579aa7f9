//! Processes of this machine: identity that survives pid reuse, signals, use of CPU and memory,
//! and who holds a port. Reads /proc; Linux only.

use super::{cgroup, machine};
use crate::domain::cores::Cores;
use crate::domain::usage::Usage;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process};
use serde::{Deserialize, Serialize};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::time::{Duration, Instant};

/// A process that cannot be taken for another one with the same pid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The pid, also the id of its process group.
    pub pid: i32,
    /// Clock ticks between boot and its start.
    pub start: u64,
    /// The boot it belongs to.
    pub boot: String,
}

impl Identity {
    /// Of a process that runs now.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        Some(Self { pid, start: start_ticks(pid)?, boot: boot_id() })
    }

    /// Whether exactly this process still runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        boot_id() == self.boot
            && start_ticks(self.pid) == Some(self.start)
            && Pid::from_raw(self.pid).is_some_and(|pid| test_kill_process(pid).is_ok())
    }

    /// Asks its process group to end, waits, and insists. Never signals a stranger.
    pub async fn end(&self, timeout: Duration) {
        let Some(pid) = Pid::from_raw(self.pid) else { return };
        for signal in [Signal::TERM, Signal::KILL] {
            if !self.runs() {
                return;
            }
            // It may end between the check and the signal; that is what we want anyway.
            let _ = kill_process_group(pid, signal);
            let deadline = Instant::now() + timeout;
            while self.runs() && Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Fields of /proc/PID/stat behind the name, which may hold spaces; index 0 is the state.
fn stat_fields(pid: i32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

fn start_ticks(pid: i32) -> Option<u64> {
    let fields = stat_fields(pid)?;
    if fields.first()? == "Z" { None } else { fields.get(19)?.parse().ok() }
}

/// CPU time used so far, in seconds, and resident memory, in bytes.
#[must_use]
pub fn usage(pid: i32) -> Option<(f64, u64)> {
    let fields = stat_fields(pid)?;
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let pages: u64 = fields.get(21)?.parse().ok()?;
    let (hertz, page) = (rustix::param::clock_ticks_per_second(), rustix::param::page_size() as u64);
    Some((ticks as f64 / hertz as f64, pages * page))
}

/// As [`usage`], with the children: those that run, and the CPU time of those that ended. PostgreSQL
/// works in children. Memory that they share with the parent counts once.
#[must_use]
pub fn usage_with_children(pid: i32) -> Option<(f64, u64)> {
    let (mut cpu_s, mut memory) = usage(pid)?;
    let ended = |pid: i32| {
        let fields = stat_fields(pid)?;
        let ticks: u64 = fields.get(13)?.parse::<u64>().ok()? + fields.get(14)?.parse::<u64>().ok()?;
        Some(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    };
    cpu_s += ended(pid).unwrap_or(0.0);
    for child in children(pid) {
        // A child that has just ended is in its parent's count next time.
        let Some((used, resident)) = usage(child) else { continue };
        cpu_s += used;
        let statm = std::fs::read_to_string(format!("/proc/{child}/statm")).unwrap_or_default();
        let shared = statm.split_whitespace().nth(2).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0);
        memory += resident.saturating_sub(shared * rustix::param::page_size() as u64);
    }
    Some((cpu_s, memory))
}

/// Processes that this one started and that have not been reaped.
fn children(pid: i32) -> Vec<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// As [`disk`], with the children that run: the kernel adds a child's bytes only when it was reaped.
fn disk_with_children(pid: i32) -> Option<(u64, u64)> {
    let own = disk(pid)?;
    let running = children(pid).into_iter().filter_map(disk);
    Some(running.fold(own, |sum, one| (sum.0 + one.0, sum.1 + one.1)))
}

/// Bytes read from and written to disks so far; absent where we may not look.
fn disk(pid: i32) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    Some((field("read_bytes:")?, field("write_bytes:")?))
}

/// All that Linux tells of a process and its children; network is not counted by process.
#[must_use]
pub fn usage_of(pid: i32) -> Option<Usage> {
    let (cpu_s, memory_bytes) = usage_with_children(pid)?;
    let disk = disk_with_children(pid);
    Some(Usage {
        cpu_s,
        clock_s: crate::clock::now().as_microsecond() as f64 / 1e6,
        memory_bytes,
        disk_read_bytes: disk.map(|one| one.0),
        disk_write_bytes: disk.map(|one| one.1),
        network_in_bytes: None,
        network_out_bytes: None,
        cores: cores(pid),
    })
}

/// Time that the threads of a process ran, and that they waited for a processor, so far, in seconds.
/// Threads that ended are not counted; absent where the kernel does not tell.
#[must_use]
pub fn scheduling(pid: i32) -> Option<(f64, f64)> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    let (mut ran, mut waited) = (0_u64, 0_u64);
    for task in tasks {
        // A thread may end between the listing and the look.
        let Ok(text) = std::fs::read_to_string(task.path().join("schedstat")) else { continue };
        let mut fields = text.split_whitespace().map_while(|field| field.parse::<u64>().ok());
        ran += fields.next()?;
        waited += fields.next()?;
    }
    Some((ran as f64 / 1e9, waited as f64 / 1e9))
}

/// The processors of this machine as a process has them.
#[must_use]
pub fn cores(pid: i32) -> Option<Cores> {
    let list = allowed_list(pid)?;
    let mut set = DefaultHasher::new();
    list.hash(&mut set);
    let of_machine = machine::processors()? as f64;
    Some(Cores {
        machine: machine::id()?,
        of_machine,
        set: set.finish(),
        // It may be allowed some that are not there.
        in_set: (count_list(&list)? as f64).min(of_machine),
        quota: cgroup::quota(pid),
    })
}

/// Who listens on a port of this machine: pid and name. Absent when nobody does, or that may not be seen.
#[must_use]
pub fn listener(port: u16) -> Option<(i32, String)> {
    let sockets: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .flat_map(|text| listening(&text, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if sockets.is_empty() {
        return None;
    }
    let holds = |pid: &i32| {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files
            .filter_map(|file| std::fs::read_link(file.path()).ok())
            .any(|link| link.to_str().is_some_and(|link| sockets.iter().any(|socket| socket == link)))
    };
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let pid = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(holds)?;
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some((pid, name.trim().to_owned()))
}

/// Sockets that listen on a port, by inode.
fn listening(text: &str, port: u16) -> Vec<String> {
    let socket = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let own = u16::from_str_radix(fields.get(1)?.rsplit(':').next()?, 16).ok()? == port;
        // 0A: it listens.
        (own && *fields.get(3)? == "0A").then(|| fields.get(9).map(|inode| (*inode).to_owned())).flatten()
    };
    text.lines().skip(1).filter_map(socket).collect()
}

/// How many processors a process may use: those that it may run on, or the quota of its control group where that
/// is less.
#[must_use]
pub fn usable_cpus(pid: i32) -> Option<f64> {
    let allowed = count_list(&allowed_list(pid)?)? as f64;
    Some(cgroup::quota(pid).map_or(allowed, |quota| quota.min(allowed)))
}

fn allowed_list(pid: i32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let list = text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(list.trim().to_owned())
}

/// `0-3,8` are five.
fn count_list(list: &str) -> Option<usize> {
    let count = |range: &str| match range.split_once('-') {
        Some((first, last)) => Some(last.parse::<usize>().ok()? - first.parse::<usize>().ok()? + 1),
        None => range.parse::<usize>().ok().map(|_| 1),
    };
    list.split(',').map(count).sum()
}

/// How many files a process holds open; absent where we may not look.
#[must_use]
pub fn open_files(pid: i32) -> Option<u64> {
    std::fs::read_dir(format!("/proc/{pid}/fd")).ok().map(|files| files.count() as u64)
}

/// Most files that a process may open.
#[must_use]
pub fn open_files_limit(pid: i32) -> Option<u64> {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Busy and all time of the machine's processors so far, in clock ticks.
#[must_use]
pub fn machine() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest time is part of user time.
    let all: u64 = fields.iter().take(8).sum();
    let idle = fields.get(3)? + fields.get(4)?;
    Some((all - idle, all))
}

/// Memory that is available without swapping, in MiB.
#[must_use]
pub fn available_memory_mb() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib / 1_024.0)
}

/// How many ports outgoing connections may use.
#[must_use]
pub fn outgoing_ports() -> Option<u64> {
    let (first, last) = outgoing_range()?;
    last.checked_sub(first).map(|between| u64::from(between) + 1)
}

/// The lowest port that outgoing connections may use.
#[must_use]
pub fn first_outgoing_port() -> Option<u16> {
    outgoing_range().map(|(first, _)| first)
}

fn outgoing_range() -> Option<(u16, u16)> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut ends = text.split_whitespace().map_while(|end| end.parse().ok());
    Some((ends.next()?, ends.next()?))
}

/// Most files this process may be allowed to open; absent when there is no limit.
#[must_use]
pub fn file_limit_hard() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum
}

/// Allows this process, and what it starts, up to `wanted` open files, as far as the system does. It is
/// never allowed fewer than before.
pub fn raise_file_limit(wanted: u64) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let allowed = wanted.min(limit.maximum.unwrap_or(u64::MAX));
    if limit.current.is_some_and(|current| current < allowed) {
        limit.current = Some(allowed);
        // Where that fails, the old limit holds.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

/// Bytes free for us on the file system of this directory.
#[must_use]
pub fn free_disk(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(stat.f_bavail * stat.f_frsize)
}

/// How long the threads of a process have waited for a processor, in ms, and how often they got one.
#[must_use]
pub fn waits_for_cpu(pid: i32) -> Option<(f64, u64)> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    let one = |text: String| {
        let mut fields = text.split_whitespace().skip(1);
        Some((fields.next()?.parse::<f64>().ok()? / 1e6, fields.next()?.parse::<u64>().ok()?))
    };
    // A thread that ends between the listing and the look is not missed.
    let all = tasks.filter_map(|task| one(std::fs::read_to_string(task.path().join("schedstat")).ok()?));
    all.reduce(|sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// Memory of the machine, in bytes.
#[must_use]
pub fn machine_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib << 10)
}

/// Most files this process may open; absent when there is no limit.
#[must_use]
pub fn file_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

/// The process that listens on this TCP port, as "name (pid 123)", as far as we may see.
#[must_use]
pub fn holder_of_port(port: u16) -> Option<String> {
    let (pid, name) = listener(port)?;
    Some(format!("{name} (pid {pid})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_running_child_writes_to_disk_is_its_parent_s() {
        let beside = std::env::current_exe().unwrap();
        let dir = tempfile::tempdir_in(beside.parent().unwrap()).unwrap();
        let write = "(dd if=/dev/zero of=file bs=1M count=4 2>/dev/null; touch done; exec sleep 60) & child=$!; \
            read line; kill $child";
        let mut shell = crate::clients::program::blocking(crate::clients::program::Purpose::Part, "sh")
            .args(["-c", write])
            .current_dir(dir.path())
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while !dir.path().join("done").exists() && Instant::now() < deadline {
            #[expect(clippy::disallowed_methods, reason = "a thread of its own")]
            std::thread::sleep(Duration::from_millis(20));
        }
        let pid = i32::try_from(shell.id()).unwrap();
        let (own, all) = (disk(pid).unwrap(), disk_with_children(pid).unwrap());
        drop(shell.stdin.take());
        shell.wait().unwrap();
        assert!(all.1 >= own.1 + (4 << 20), "own {own:?}, with children {all:?}");
    }
}
