//! What a part uses: counters that only grow, and the rates between two looks at them.

use super::cores::Cores;
use serde::Serialize;

/// One look at a part. Counters run since the part started; a rate needs two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Usage {
    /// CPU time, in seconds.
    pub cpu_s: f64,
    /// The clock that belongs to `cpu_s`, in seconds. An engine tells it with the counter, so that a
    /// late answer does not bend the rate.
    pub clock_s: f64,
    /// Memory that cannot be given back, in bytes.
    pub memory_bytes: u64,
    /// Read from disks, in bytes.
    pub disk_read_bytes: Option<u64>,
    /// Written to disks, in bytes.
    pub disk_write_bytes: Option<u64>,
    /// Received, in bytes; absent where the platform does not count network for one process.
    pub network_in_bytes: Option<u64>,
    /// Sent, in bytes.
    pub network_out_bytes: Option<u64>,
    /// Processors that it may use; absent where nobody tells.
    #[serde(skip)]
    pub cores: Option<Cores>,
}

/// CPU between two looks, in per cent of one core; absent when the part was started anew between
/// them, or when no time has passed.
#[must_use]
pub fn cpu_pct(before: &Usage, after: &Usage) -> Option<f64> {
    let (used, passed) = (after.cpu_s - before.cpu_s, after.clock_s - before.clock_s);
    (used >= 0.0 && passed > 0.0).then(|| used / passed * 100.0)
}

/// Adds up looks at several parts that were taken together; nothing adds up to nothing.
#[must_use]
pub fn total<'a>(usages: impl IntoIterator<Item = &'a Usage>) -> Option<Usage> {
    let add = |one: Option<u64>, other: Option<u64>| Some(one? + other?);
    usages.into_iter().copied().reduce(|sum, one| Usage {
        cpu_s: sum.cpu_s + one.cpu_s,
        clock_s: sum.clock_s.max(one.clock_s),
        memory_bytes: sum.memory_bytes + one.memory_bytes,
        disk_read_bytes: add(sum.disk_read_bytes, one.disk_read_bytes),
        disk_write_bytes: add(sum.disk_write_bytes, one.disk_write_bytes),
        network_in_bytes: add(sum.network_in_bytes, one.network_in_bytes),
        network_out_bytes: add(sum.network_out_bytes, one.network_out_bytes),
        // Of several parts `cores::usable` tells.
        cores: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(cpu_s: f64, clock_s: f64) -> Usage {
        Usage { cpu_s, clock_s, ..Usage::default() }
    }

    #[test]
    fn a_part_that_started_anew_has_no_rate() {
        assert_eq!(cpu_pct(&usage(1.0, 10.0), &usage(2.0, 12.0)), Some(50.0));
        assert_eq!(cpu_pct(&usage(9.0, 10.0), &usage(0.1, 12.0)), None);
        assert_eq!(cpu_pct(&usage(1.0, 10.0), &usage(1.0, 10.0)), None);
    }

    #[test]
    fn what_one_part_does_not_tell_is_not_told_of_the_sum() {
        let known = Usage { network_in_bytes: Some(5), disk_read_bytes: Some(1), ..usage(1.0, 1.0) };
        let unknown = Usage { disk_read_bytes: Some(2), ..usage(2.0, 1.0) };
        let sum = total([&known, &unknown]).unwrap();
        assert_eq!((sum.cpu_s, sum.disk_read_bytes, sum.network_in_bytes), (3.0, Some(3), None));
        assert_eq!(total([]), None);
    }
}
