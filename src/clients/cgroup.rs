//! Control groups of processes: CPU quota and memory limit, in both versions. Reads /proc and
//! /sys/fs/cgroup; Linux only.

use std::path::PathBuf;

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
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
    };
    // The root group of version 2 has no such lines: it cannot be throttled.
    Throttling { periods: field("nr_periods"), throttled: field("nr_throttled") }
}

/// Most memory that a process' group may use, in bytes; absent when it has no limit of its own.
#[must_use]
pub fn memory_limit(pid: i32) -> Option<u64> {
    let path = group_file(pid, "memory", "memory.limit_in_bytes")
        .filter(|path| path.exists())
        .or_else(|| group_file(pid, "memory", "memory.max"))?;
    let limit: u64 = std::fs::read_to_string(path).ok()?.trim().parse().ok()?;
    (limit < NO_LIMIT).then_some(limit)
}

/// Memory that counts against the limit of a process' group and cannot simply be taken back, in bytes:
/// what is used, less pages of files that nobody asked for lately.
#[must_use]
pub fn memory_used(pid: i32) -> Option<u64> {
    let file =
        |name: &str| group_file(pid, "memory", name).and_then(|path| std::fs::read_to_string(path).ok());
    let used = file("memory.usage_in_bytes").or_else(|| file("memory.current"))?;
    let stat = file("memory.stat").unwrap_or_default();
    Some(used.trim().parse::<u64>().ok()?.saturating_sub(read_inactive(&stat)))
}

/// Version 1 counts a group with its children under `total_…`.
fn read_inactive(stat: &str) -> u64 {
    let field = |name: &str| {
        let line = stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.trim().parse().ok())
    };
    field("total_inactive_file").or_else(|| field("inactive_file")).unwrap_or(0)
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
    let root = PathBuf::from("/sys/fs/cgroup");
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
        assert_eq!(read_inactive("inactive_file 7\ntotal_inactive_file 9\n"), 9);
        assert_eq!(read_inactive("anon 1\ninactive_file 7\n"), 7);
        assert_eq!(read_inactive(""), 0);
    }

    #[test]
    fn stalls_are_seconds() {
        let text = "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 total=1\n";
        assert_eq!(read_stalled_s(text), Some(2.5));
    }

    #[test]
    fn our_own_group_can_be_read_where_there_are_groups() {
        if std::path::Path::new("/proc/self/cgroup").exists() {
            let pid = i32::try_from(std::process::id()).unwrap();
            assert!(group_file(pid, "cpu", "cpu.stat").is_some());
        }
    }
}
