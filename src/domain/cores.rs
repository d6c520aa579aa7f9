//! How many processors parts may use, and on which machine: what a share of "all cores" is a share of.

/// Processors as one process has them.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Cores {
    /// Which machine: the id of its boot.
    pub machine: u128,
    /// Processors of the machine.
    pub of_machine: f64,
    /// Which of them the process may run on; processes with the same number share them.
    pub set: u64,
    /// How many those are.
    pub in_set: f64,
    /// What its control group may use of them; absent without a limit.
    pub quota: Option<f64>,
}

/// Processors that processes may use together. Absent when that is not known of one of them, and of none.
#[must_use]
pub fn usable(of: impl IntoIterator<Item = Option<Cores>>) -> Option<f64> {
    let all: Vec<Cores> = of.into_iter().collect::<Option<_>>()?;
    let mut machines: Vec<_> = all.iter().map(|one| (one.machine, one.of_machine)).collect();
    machines.sort_by_key(|one| one.0);
    machines.dedup_by_key(|one| one.0);
    let of_machine = |(machine, most): &(u128, f64)| {
        let here: Vec<_> = all.iter().filter(|one| one.machine == *machine).collect();
        let mut sets: Vec<_> = here.iter().map(|one| (one.set, one.in_set)).collect();
        sets.sort_by_key(|one| one.0);
        sets.dedup_by_key(|one| one.0);
        let of_set = |(set, most): &(u64, f64)| {
            let quotas = here.iter().filter(|one| one.set == *set).map(|one| one.quota);
            // Without a limit on one of them nothing but the processors limits them.
            quotas.sum::<Option<f64>>().map_or(*most, |sum| sum.min(*most))
        };
        sets.iter().map(of_set).sum::<f64>().min(*most)
    };
    let sum: f64 = machines.iter().map(of_machine).sum();
    (sum > 0.0).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Cores = Cores { machine: 1, of_machine: 8.0, set: 0, in_set: 8.0, quota: None };

    #[test]
    fn replicas_share_the_processors_of_their_machine() {
        assert_eq!(usable([Some(WHOLE), Some(WHOLE)]), Some(8.0));
        let other = Cores { machine: 2, of_machine: 4.0, in_set: 4.0, ..WHOLE };
        assert_eq!(usable([Some(WHOLE), Some(other), Some(other)]), Some(12.0));
    }

    #[test]
    fn affinity_and_limits_are_respected() {
        let pinned = |set| Cores { set, in_set: 1.0, ..WHOLE };
        assert_eq!(usable([Some(pinned(1)), Some(pinned(1))]), Some(1.0));
        assert_eq!(usable([Some(pinned(1)), Some(pinned(2))]), Some(2.0));
        let limited = Cores { quota: Some(0.5), ..WHOLE };
        assert_eq!(usable([Some(limited), Some(limited)]), Some(1.0));
        assert_eq!(usable([Some(limited), Some(WHOLE)]), Some(8.0));
        assert_eq!(usable([Some(Cores { quota: Some(100.0), ..WHOLE })]), Some(8.0));
    }

    #[test]
    fn what_is_not_known_of_one_is_not_known_of_all() {
        assert_eq!(usable([Some(WHOLE), None]), None);
        assert_eq!(usable([]), None);
    }
}
