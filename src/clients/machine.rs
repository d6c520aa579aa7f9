//! What machine this is: its name, and the disk that a directory lies on. Linux only.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The machine's name.
#[must_use]
pub fn host() -> Option<String> {
    sysinfo::System::host_name().ok()
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
    fn the_type_of_a_file_system_stands_behind_the_dash() {
        let mounts =
            "22 1 254:0 / / rw,noatime shared:1 - ext4 /dev/root rw\n23 22 0:5 / /proc rw - proc proc rw\n";
        assert_eq!(file_system(mounts, "254:0").as_deref(), Some("ext4"));
        assert_eq!(file_system(mounts, "8:1"), None);
    }
}
