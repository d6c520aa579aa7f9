//! What machine this is: its name, and the disk that a directory lies on. Linux only.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;

/// The machine's name.
#[must_use]
pub fn host() -> Option<String> {
    sysinfo::System::host_name().ok()
}

/// Which machine this is, until it is started anew: equal in all its containers.
#[must_use]
pub fn id() -> Option<u128> {
    static ID: OnceLock<u128> = OnceLock::new();
    if let Some(known) = ID.get() {
        return Some(*known);
    }
    let read = read_id(&std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?)?;
    Some(*ID.get_or_init(|| read))
}

/// The number of a boot, as a service tells it.
#[must_use]
pub fn read_id(text: &str) -> Option<u128> {
    u128::from_str_radix(&text.trim().replace('-', ""), 16).ok()
}

/// Addresses of its interfaces.
#[must_use]
pub fn addresses() -> Vec<core::net::IpAddr> {
    let Ok(networks) = sysinfo::Networks::new_with_refreshed_list() else { return Vec::new() };
    networks.values().flat_map(|one| one.ip_networks().iter().map(|network| network.addr)).collect()
}

/// Processors that are there, whatever this process may use of them.
#[must_use]
pub fn processors() -> Option<usize> {
    // Asked anew each time: processors come and go while a dashboard runs.
    count_processors(&std::fs::read_to_string("/proc/stat").ok()?)
}

fn count_processors(text: &str) -> Option<usize> {
    let is_one = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()))
    };
    Some(text.lines().filter(is_one).count()).filter(|count| *count > 0)
}

/// The kind of disk under a directory: `SSD (nvme0n1, ext4)`, `rotating disk (sda, xfs)`, `tmpfs`.
#[must_use]
pub fn disk_of(dir: &Path) -> Option<String> {
    let device = std::fs::metadata(dir).ok()?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let kind = file_system(&mounts, &format!("{major}:{minor}"));
    let block = std::fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok();
    let Some(block) = block else { return kind };
    // A partition has no queue of its own; the disk above it has.
    let disk = [Some(block.as_path()), block.parent()].into_iter().flatten().find_map(|disk| {
        let turns = std::fs::read_to_string(disk.join("queue/rotational")).ok()?;
        Some((disk.file_name()?.to_string_lossy().into_owned(), turns.trim() == "1"))
    });
    let Some((name, turns)) = disk else { return kind };
    let kind = kind.map_or_else(String::new, |kind| format!(", {kind}"));
    // A hypervisor's disk says that it turns, whatever lies behind it.
    let what = match (name.starts_with("vd") || name.starts_with("xvd"), turns) {
        (true, _) => "virtual disk",
        (false, true) => "rotating disk",
        (false, false) => "SSD",
    };
    Some(format!("{what} ({name}{kind})"))
}

/// CPU time of all processors since boot, in seconds: busy, and all of it.
#[must_use]
pub fn cpu_time_s() -> Option<(f64, f64)> {
    read_cpu_time(&std::fs::read_to_string("/proc/stat").ok()?)
}

fn read_cpu_time(text: &str) -> Option<(f64, f64)> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<f64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    let hertz = rustix::param::clock_ticks_per_second() as f64;
    // User, nice, system, idle, waiting for disks, interrupts, soft interrupts, stolen; guests count as user.
    let all: f64 = ticks.iter().take(8).sum();
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some(((all - idle) / hertz, all / hertz))
}

/// Share of a directory's file system that is used, as one who is not root sees it, 0 to 1.
#[must_use]
pub fn disk_used_share(dir: &Path) -> Option<f64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    let (used, free) = ((stat.f_blocks - stat.f_bfree) as f64, stat.f_bavail as f64);
    (used + free > 0.0).then(|| used / (used + free))
}

/// Open files of the machine, and the most that there may be.
#[must_use]
pub fn open_files() -> Option<(f64, f64)> {
    read_open_files(&std::fs::read_to_string("/proc/sys/fs/file-nr").ok()?)
}

/// Handles that are allocated, those of them that are free, and the most.
fn read_open_files(text: &str) -> Option<(f64, f64)> {
    let fields: Vec<f64> = text.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    let [allocated, free, most] = fields[..] else { return None };
    Some((allocated - free, most))
}

/// Processes and threads, and the most that kernel and control group allow.
#[must_use]
pub fn tasks() -> Option<(f64, f64)> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let number = |path: &str| read(path)?.trim().parse::<f64>().ok();
    let running = read_tasks(&read("/proc/loadavg")?)?;
    let kernel = [number("/proc/sys/kernel/threads-max"), number("/proc/sys/kernel/pid_max")];
    let kernel = kernel.into_iter().flatten().reduce(f64::min).map(|most| (running, most));
    let group = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"]
        .iter()
        .find_map(|dir| Some((number(&format!("{dir}/pids.current"))?, number(&format!("{dir}/pids.max"))?)));
    let share = |one: &(f64, f64)| one.0 / one.1.max(1.0);
    [kernel, group].into_iter().flatten().max_by(|one, two| share(one).total_cmp(&share(two)))
}

/// All tasks, of `0.20 0.18 0.12 1/80 11206`.
fn read_tasks(text: &str) -> Option<f64> {
    text.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()
}

/// The type of the file system with this device number.
fn file_system(mounts: &str, device: &str) -> Option<String> {
    let line = mounts.lines().find(|line| line.split(' ').nth(2) == Some(device))?;
    line.split_once(" - ")?.1.split(' ').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_waiting_for_disks_is_not_busy() {
        let (busy, all) = read_cpu_time("cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 1 1 1\n").unwrap();
        assert!((busy / all - 0.2).abs() < 1e-9);
    }

    #[test]
    fn open_files_and_tasks_are_read() {
        assert_eq!(read_open_files("1344\t0\t9223372036854775807\n").unwrap().0, 1_344.0);
        assert_eq!(read_tasks("0.20 0.18 0.12 1/80 11206\n"), Some(80.0));
        let (used, most) = tasks().unwrap();
        assert!(used > 0.0 && used < most);
    }

    #[test]
    fn processors_and_the_boot_are_read() {
        assert_eq!(count_processors("cpu  9 9\ncpu0 1 1\ncpu11 1 1\nintr 5\n"), Some(2));
        assert_eq!(count_processors("intr 5\n"), None);
        assert_eq!(read_id("00000000-0000-0000-0000-0000000000ff\n"), Some(255));
        assert_eq!(read_id("?"), None);
    }

    #[test]
    fn the_type_of_a_file_system_stands_behind_the_dash() {
        let mounts =
            "22 1 254:0 / / rw,noatime shared:1 - ext4 /dev/root rw\n23 22 0:5 / /proc rw - proc proc rw\n";
        assert_eq!(file_system(mounts, "254:0").as_deref(), Some("ext4"));
        assert_eq!(file_system(mounts, "8:1"), None);
    }
}
