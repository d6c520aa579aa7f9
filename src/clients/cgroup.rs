//! Control groups of processes: CPU quota and memory limit, in both versions. Reads /proc and
//! /sys/fs/cgroup; Linux only.

use crate::domain::container::used_memory;
use std::path::{Path, PathBuf};

/// Where the groups are.
const CONTROLLERS: &str = "/sys/fs/cgroup";
/// Above this a "limit" is the kernel's way to say that there is none.
const NO_LIMIT: u64 = 1 << 60;

/// How often a group was stopped because its CPU quota was used up, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttling {
    /// Periods in which it ran while it had a quota; 0 without one.
    pub periods: u64,
    /// Periods in which it was stopped.
    pub throttled: u64,
}

/// Throttling of the group that a process belongs to. Absent where it cannot be read.
#[must_use]
pub fn throttling(pid: i32) -> Option<Throttling> {
    let text = std::fs::read_to_string(group_file(pid, "cpu", "cpu.stat")?).ok()?;
    Some(read_throttling(&text))
}

fn read_throttling(text: &str) -> Throttling {
    let field = |name: &str| field(text, name).unwrap_or(0);
    // The root group of version 2 has no such lines: it cannot be throttled.
    Throttling { periods: field("nr_periods"), throttled: field("nr_throttled") }
}

/// Processors that a process' group may use: the least of its own limit and of those of the groups around it.
/// Absent when none has a limit.
#[must_use]
pub fn quota(pid: i32) -> Option<f64> {
    let own = group_file(pid, "cpu", "cpu.max")?;
    // The last of them too: in a container the group that the kernel names may not be there, and what is mounted is
    // the container's own.
    let groups = own.parent()?.ancestors().take_while(|dir| dir.starts_with(CONTROLLERS));
    groups.filter_map(quota_of).reduce(f64::min)
}

/// The limit of one group.
fn quota_of(group: &Path) -> Option<f64> {
    let read = |file| std::fs::read_to_string(group.join(file)).ok();
    let text = read("cpu.max").or_else(|| {
        Some(format!("{} {}", read("cpu.cfs_quota_us")?.trim(), read("cpu.cfs_period_us")?.trim()))
    })?;
    read_quota(&text)
}

fn read_quota(text: &str) -> Option<f64> {
    let mut fields = text.split_whitespace().map_while(|field| field.parse::<f64>().ok());
    let (quota, period) = (fields.next()?, fields.next()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

/// Most memory that a process' group may use, in bytes; absent when it has no limit of its own.
#[must_use]
pub fn memory_limit(pid: i32) -> Option<u64> {
    let limit = memory(pid, "memory.limit_in_bytes").or_else(|| memory(pid, "memory.max"))?;
    limit.trim().parse().ok().filter(|limit| *limit < NO_LIMIT)
}

/// Memory that counts against the limit of a process' group and cannot simply be taken back, in bytes:
/// what is used, less pages of files that nobody asked for lately.
#[must_use]
pub fn memory_used(pid: i32) -> Option<u64> {
    let used = memory(pid, "memory.usage_in_bytes").or_else(|| memory(pid, "memory.current"))?;
    let stat = memory(pid, "memory.stat").unwrap_or_default();
    Some(used_memory(used.trim().parse().ok()?, |name| field(&stat, name)))
}

/// What a file of a process' memory group says.
fn memory(pid: i32, file: &str) -> Option<String> {
    std::fs::read_to_string(group_file(pid, "memory", file)?).ok()
}

/// A number of a file with a name and a number on each line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.trim().parse().ok())
}

/// A file of the group that a process belongs to: of version 1 when that controller is mounted so,
/// else of version 2.
fn group_file(pid: i32, controller: &str, file: &str) -> Option<PathBuf> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let own = |wanted: &dyn Fn(&str) -> bool| {
        text.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            wanted(controllers).then(|| path.trim_start_matches('/').to_owned())
        })
    };
    let root = PathBuf::from(CONTROLLERS);
    match own(&|names| names.split(',').any(|name| name == controller)) {
        Some(path) => Some(root.join(controller).join(path).join(file)),
        None => Some(root.join(own(&str::is_empty)?).join(file)),
    }
}

/// Seconds since boot in which some process waited for memory (pressure stall information).
#[must_use]
pub fn memory_stalled_s() -> Option<f64> {
    read_stalled_s(&std::fs::read_to_string("/proc/pressure/memory").ok()?)
}

fn read_stalled_s(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with("some "))?;
    let total: f64 = line.split_whitespace().find_map(|field| field.strip_prefix("total="))?.parse().ok()?;
    Some(total / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read() {
        let first = "nr_periods 10\nnr_throttled 4\nthrottled_time 123\n";
        let second = "usage_usec 5\nnr_periods 10\nnr_throttled 4\nthrottled_usec 1\n";
        let wanted = Throttling { periods: 10, throttled: 4 };
        assert_eq!((read_throttling(first), read_throttling(second)), (wanted, wanted));
        assert_eq!(read_throttling("usage_usec 5\n"), Throttling::default());
    }

    #[test]
    fn pages_of_files_that_nobody_asks_for_are_not_used_memory() {
        let used = |stat: &str| used_memory(100, |name| field(stat, name));
        assert_eq!(used("inactive_file 7\ntotal_inactive_file 9\n"), 91);
        assert_eq!(used("anon 1\ninactive_file 7\n"), 93);
        assert_eq!(used(""), 100);
    }

    #[test]
    fn a_quota_is_processors() {
        assert_eq!(read_quota("150000 100000\n"), Some(1.5));
        assert_eq!((read_quota("max 100000\n"), read_quota("-1 100000")), (None, None));
    }

    #[test]
    fn a_limit_of_a_group_is_read_in_both_versions() {
        let dir = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| std::fs::write(dir.path().join(file), text).unwrap();
        assert_eq!(quota_of(dir.path()), None);
        write("cpu.cfs_quota_us", "50000\n");
        write("cpu.cfs_period_us", "100000\n");
        assert_eq!(quota_of(dir.path()), Some(0.5));
        write("cpu.max", "25000 100000\n");
        assert_eq!(quota_of(dir.path()), Some(0.25));
    }

    #[test]
    fn stalls_are_seconds() {
        let text = "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 total=1\n";
        assert_eq!(read_stalled_s(text), Some(2.5));
    }

    #[test]
    fn our_own_group_can_be_read_where_there_are_groups() {
        if Path::new("/proc/self/cgroup").exists() {
            let pid = i32::try_from(std::process::id()).unwrap();
            assert!(group_file(pid, "cpu", "cpu.stat").is_some());
        }
    }
}
