//! Whether this machine can carry parts that are about to start: asked by `up` before it starts any,
//! and by `doctor`.

use super::Stack;
use crate::clients::process;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// Open files below which Kafka and PostgreSQL do not come up.
const FEWEST_FILES: u64 = 512;
/// Open files that a load test wants.
pub const ADVISED_FILES: u64 = 4_096;
/// Free bytes below which the first data cannot be made.
const LEAST_DISK: u64 = 256 << 20;
/// Free bytes that a stack wants.
pub const ADVISED_DISK: u64 = 2 << 30;
/// Available memory that a stack with a load test wants, in MiB.
pub const ADVISED_MEMORY_MB: f64 = 3_072.0;

/// What this machine has.
#[derive(Clone, Debug, PartialEq)]
pub struct Capacity {
    /// Most files one process may open; absent when there is no limit.
    files: Option<u64>,
    /// Free bytes where data is kept; absent where that could not be had.
    disks: Vec<(PathBuf, Option<u64>)>,
    /// Memory that is available, in MiB.
    memory_mb: Option<f64>,
}

impl Capacity {
    /// Looks at the machine.
    #[must_use]
    pub fn measure(stack: &Stack) -> Self {
        let as_root = rustix::process::geteuid().is_root();
        let places = [stack.layout.path(""), stack.layout.postgres_home(as_root)];
        let there = |place: PathBuf| place.ancestors().find(|dir| dir.exists()).map(Path::to_owned);
        let mut disks: Vec<_> = places.into_iter().filter_map(there).collect();
        disks.dedup();
        Self {
            files: process::file_limit(),
            disks: disks.into_iter().map(|dir| (dir.clone(), process::free_disk(&dir))).collect(),
            memory_mb: process::available_memory_mb(),
        }
    }

    /// The fullest of the disks: where, and bytes free.
    #[must_use]
    pub fn fullest(&self) -> Option<(&Path, u64)> {
        let known = self.disks.iter().filter_map(|(dir, free)| Some((dir.as_path(), (*free)?)));
        known.min_by_key(|(_, free)| *free)
    }

    /// What is less than advised, in words.
    ///
    /// # Errors
    /// When the parts could not come up at all: one cause, one next command.
    pub fn check(&self) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        match self.files {
            Some(files) if files < FEWEST_FILES => {
                let why = format!("a process may open {files} files here; the parts need {FEWEST_FILES}");
                return Err(Error::failed(why).hint("ulimit -n 20000, or raise the hard limit of this user"));
            }
            _ => {}
        }
        if let Some((dir, free)) = self.fullest() {
            let (dir, mib) = (dir.display(), free >> 20);
            if free < LEAST_DISK {
                let why = format!("{mib} MiB are free in {dir}; the parts need {}", LEAST_DISK >> 20);
                return Err(Error::failed(why).hint("free some disk, or choose another --state-dir"));
            }
            if free < ADVISED_DISK {
                notes.push(format!("{mib} MiB are free in {dir}; {} are advised", ADVISED_DISK >> 20));
            }
        }
        if let Some(mib) = self.memory_mb.filter(|mib| *mib < ADVISED_MEMORY_MB) {
            notes.push(format!("{mib:.0} MiB of memory are available; {ADVISED_MEMORY_MB:.0} are advised"));
        }
        Ok(notes)
    }
}

/// Whether a port of this machine is free for a part.
///
/// # Errors
/// When somebody holds it: who, as far as we may see.
pub fn free_port(port: u16, part: &str) -> Result<()> {
    let Err(cause) = std::net::TcpListener::bind(("127.0.0.1", port)) else { return Ok(()) };
    let holder = process::holder_of_port(port).unwrap_or_else(|| cause.to_string());
    Err(Error::failed(format!("port {port} for {part} is taken: {holder}"))
        .hint("free it, or move the stack: NSYS_STACK__PORT_OFFSET=1000 nsys up"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Capacity {
        let disks = vec![(PathBuf::from("/state"), Some(9 << 30)), (PathBuf::from("/data"), None)];
        Capacity { files: Some(20_000), disks, memory_mb: Some(8_000.0) }
    }

    #[test]
    fn each_lack_is_one_cause_with_one_next_step() {
        assert_eq!(machine().check().unwrap(), Vec::<String>::new());
        assert!(Capacity { files: None, ..machine() }.check().is_ok());
        let few = Capacity { files: Some(64), ..machine() }.check().unwrap_err();
        assert_eq!(few.message, "a process may open 64 files here; the parts need 512");
        let full = vec![(PathBuf::from("/state"), Some(9 << 30)), (PathBuf::from("/data"), Some(40 << 10))];
        let full = Capacity { disks: full, ..machine() }.check().unwrap_err();
        assert_eq!(full.message, "0 MiB are free in /data; the parts need 256");
        assert!(few.hint.is_some() && full.hint.is_some());
    }

    #[test]
    fn less_than_advised_is_said_and_not_refused() {
        let tight = vec![(PathBuf::from("/state"), Some(1 << 30))];
        let notes = Capacity { disks: tight, memory_mb: Some(900.0), ..machine() }.check().unwrap();
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].contains("1024 MiB are free in /state") && notes[1].contains("900 MiB of memory"));
    }
}
