//! Containers as an engine describes them, and the arithmetic of their figures: the same as that of
//! `docker stats`, for both versions of control groups.

use super::cores::Cores;
use super::usage::Usage;
use std::collections::HashMap;

/// What the engine says a container does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerPhase {
    /// Made, not started yet: it waits for what it depends on.
    Created,
    /// Its process runs.
    Running,
    /// It ended, and the engine starts it again.
    Restarting,
    /// It is held still.
    Paused,
    /// It ended.
    Exited,
}

/// What a container's own health check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerVerdict {
    /// It has none.
    None,
    /// Not known yet.
    Starting,
    /// It can do its work.
    Healthy,
    /// It cannot.
    Unhealthy,
}

/// One container of a Compose project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// The service it belongs to.
    pub service: String,
    /// Counts the containers of one service, from 1.
    pub number: u32,
    /// Digest of the service's definition that it was made from.
    pub config_hash: String,
    /// Whether it is to do its work once and end.
    pub once: bool,
    /// What it does.
    pub phase: ContainerPhase,
    /// What its health check says.
    pub health: ContainerVerdict,
    /// How it ended, if it did.
    pub exit_code: Option<i64>,
    /// Whether the kernel ended it for want of memory.
    pub out_of_memory: bool,
    /// Start of its process, seconds since the epoch.
    pub started_s: i64,
    /// How often the engine started it again.
    pub restarts: u32,
    /// Its ports and where this machine has them.
    pub ports: Vec<(u16, u16)>,
}

impl Container {
    /// Where this machine has one of its ports.
    #[must_use]
    pub fn published(&self, port: u16) -> Option<u16> {
        self.ports.iter().find(|(inside, _)| *inside == port).map(|(_, outside)| *outside)
    }

    /// How it ended, as people say it.
    #[must_use]
    pub fn ending(&self) -> Option<String> {
        let code = self.exit_code.filter(|code| self.phase != ContainerPhase::Running || *code != 0)?;
        let signal = match code {
            137 if self.out_of_memory => " (killed for want of memory)",
            137 => " (killed)",
            143 => " (asked to end)",
            126 => " (its program cannot be run)",
            127 => " (its program was not found)",
            _ => "",
        };
        Some(format!("exit code {code}{signal}"))
    }
}

/// The engine's counters of one container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerCounters {
    /// CPU time of the container, in ns.
    pub cpu_ns: u64,
    /// CPU time of the whole machine, in ns; absent on engines that do not tell.
    pub system_ns: Option<u64>,
    /// Cores that `system_ns` adds up.
    pub cpus: u32,
    /// Memory in use, caches included, in bytes.
    pub memory_bytes: u64,
    /// Details of the memory; the names differ between the versions of control groups.
    pub memory: HashMap<String, u64>,
    /// Bytes read from and written to disks; absent where the platform does not say.
    pub disk: Option<(u64, u64)>,
    /// Bytes received and sent on all interfaces; absent on the network of the host.
    pub network: Option<(u64, u64)>,
    /// When they were read, seconds since the epoch.
    pub read_s: f64,
}

impl ContainerCounters {
    /// The look at the part. CPU counts against the machine's own clock, as `docker stats` does:
    /// the machine's CPU time divided by its cores is time that passed.
    #[must_use]
    pub fn usage(&self, machine: u128) -> Usage {
        let clock = |system: u64| system as f64 / 1e9 / f64::from(self.cpus.max(1));
        Usage {
            cpu_s: self.cpu_ns as f64 / 1e9,
            clock_s: self.system_ns.filter(|ns| *ns > 0).map_or(self.read_s, clock),
            memory_bytes: used_memory(self.memory_bytes, |name| self.memory.get(name).copied()),
            disk_read_bytes: self.disk.map(|one| one.0),
            disk_write_bytes: self.disk.map(|one| one.1),
            network_in_bytes: self.network.map(|one| one.0),
            network_out_bytes: self.network.map(|one| one.1),
            // The engine of a stack is one machine, which it does not name: this one.
            cores: Some(Cores {
                machine,
                of_machine: f64::from(self.cpus.max(1)),
                set: 0,
                in_set: f64::from(self.cpus.max(1)),
                quota: None,
            }),
        }
    }
}

/// Memory of a control group without what the kernel can drop at once, by a look into its `memory.stat`:
/// `total_inactive_file` under version 1 of control groups, which counts a group with its children,
/// `inactive_file` under version 2.
#[must_use]
pub fn used_memory(bytes: u64, detail: impl Fn(&str) -> Option<u64>) -> u64 {
    let droppable = detail("total_inactive_file").or_else(|| detail("inactive_file")).unwrap_or(0);
    if droppable < bytes { bytes - droppable } else { bytes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::usage::cpu_pct;

    fn counters(cpu_ns: u64, system_ns: u64) -> ContainerCounters {
        ContainerCounters {
            cpu_ns,
            system_ns: Some(system_ns),
            cpus: 4,
            memory_bytes: 1_000,
            ..ContainerCounters::default()
        }
    }

    #[test]
    fn cpu_is_what_docker_stats_shows() {
        // (delta of the container / delta of the machine) * cores * 100.
        let (before, after) =
            (counters(1_000_000_000, 400_000_000_000), counters(1_500_000_000, 404_000_000_000));
        let pct = cpu_pct(&before.usage(1), &after.usage(1)).unwrap();
        assert!((pct - 0.5 / 4.0 * 4.0 * 100.0).abs() < 1e-6, "{pct}");
    }

    #[test]
    fn memory_leaves_droppable_pages_out_in_both_versions() {
        let with = |details: &[(&str, u64)]| {
            let memory = details.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes)).collect();
            ContainerCounters { memory, ..counters(0, 0) }.usage(1).memory_bytes
        };
        assert_eq!(with(&[("total_inactive_file", 300), ("inactive_file", 1)]), 700);
        assert_eq!(with(&[("inactive_file", 400)]), 600);
        assert_eq!(with(&[("inactive_file", 5_000)]), 1_000);
        assert_eq!(with(&[]), 1_000);
    }

    #[test]
    fn an_ending_says_why() {
        let container = Container {
            id: "x".into(),
            service: "app".into(),
            number: 1,
            config_hash: String::new(),
            once: false,
            phase: ContainerPhase::Exited,
            health: ContainerVerdict::None,
            exit_code: Some(137),
            out_of_memory: true,
            started_s: 0,
            restarts: 0,
            ports: vec![(9400, 49_153)],
        };
        assert_eq!(container.ending().as_deref(), Some("exit code 137 (killed for want of memory)"));
        assert_eq!(container.published(9400), Some(49_153));
        let running = Container { phase: ContainerPhase::Running, exit_code: Some(0), ..container };
        assert_eq!(running.ending(), None);
    }
}
