//! What this process uses, under the names every Prometheus client gives it. Read from /proc when
//! somebody scrapes; on a system without it these metrics are missing, never 0.

use nsys_contract::metrics::CPU_CORES;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Clock ticks of /proc/self/stat in a second: a constant of the kernel's interface.
const TICKS_PER_SECOND: f64 = 100.0;

/// Collects when it is scraped.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        if let Some(seconds) = cpu_seconds() {
            let metric = ConstCounter::new(seconds);
            let help = "CPU time of the process";
            metric.encode(encoder.encode_descriptor(
                "process_cpu_seconds",
                help,
                None,
                metric.metric_type(),
            )?)?;
        }
        let gauges = [
            ("process_resident_memory_bytes", "Resident memory", resident_bytes()),
            ("process_open_fds", "Open file descriptors", open_files()),
        ];
        for (name, help, value) in gauges {
            let Some(value) = value else { continue };
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
        }
        cores(&mut encoder)
    }
}

/// How many processors there are, and which machine's: what CPU time is a share of.
fn cores(encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
    let Some((machine, of_machine)) = boot_id().zip(machine_cores()) else { return Ok(()) };
    let help = "Processors that the process may use, and those of its machine";
    let mut family = encoder.encode_descriptor(CPU_CORES, help, None, MetricType::Gauge)?;
    for (of, count) in [("process", own_cores(of_machine)), ("machine", of_machine)] {
        let labels = [("machine", machine.as_str()), ("of", of)];
        ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

fn machine_cores() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let is_one = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()))
    };
    let count = stat.lines().filter(is_one).count();
    (count > 0).then_some(count as f64)
}

/// What affinity and the limit of the container leave of them.
fn own_cores(of_machine: f64) -> f64 {
    // The library rounds a limit to whole processors, and never below one.
    let allowed = std::thread::available_parallelism().map_or(of_machine, |count| count.get() as f64);
    quota().map_or(allowed, |quota| quota.min(allowed)).min(of_machine)
}

/// The limit of the control group that is this container's own, in both versions of control groups.
fn quota() -> Option<f64> {
    let read = |file: &str| std::fs::read_to_string(format!("/sys/fs/cgroup/{file}")).ok();
    let text = read("cpu.max")
        .or_else(|| Some(format!("{} {}", read("cpu/cpu.cfs_quota_us")?, read("cpu/cpu.cfs_period_us")?)))?;
    let mut fields = text.split_whitespace().map_while(|field| field.parse::<f64>().ok());
    let (quota, period) = (fields.next()?, fields.next()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name before the last parenthesis may hold spaces.
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? * 1_024.0)
}

fn open_files() -> Option<f64> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::registry::Registry;

    #[test]
    fn the_process_tells_what_it_uses() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for name in
            ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", CPU_CORES]
        {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{text}"));
            let value: f64 = line.rsplit_once(' ').unwrap().1.parse().unwrap();
            assert!(value >= 0.0, "{line}");
        }
        assert!(text.contains("cpu_cores{machine=\""), "{text}");
    }
}
