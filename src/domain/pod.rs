//! Pods and deployments as a cluster describes them, and what their figures mean.

/// One pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// `app`, `worker` or `prepare`.
    pub role: String,
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: String,
    /// Whether it takes work.
    pub ready: bool,
    /// Whether it was told to end.
    pub leaving: bool,
    /// How often its container was started again.
    pub restarts: u32,
    /// Seconds since the epoch.
    pub started_s: i64,
    /// Its address inside the cluster.
    pub address: Option<String>,
    /// What keeps it from starting, in the cluster's words.
    pub waits_for: Option<String>,
    /// How its container last ended.
    pub ended: Option<String>,
}

/// One deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// Replicas that shall run.
    pub wanted: u32,
    /// Replicas of the newest definition.
    pub updated: u32,
    /// Replicas that take work.
    pub ready: u32,
    /// Replicas of any definition.
    pub total: u32,
    /// Whether the cluster has looked at the newest definition yet.
    pub seen: bool,
    /// What is wrong with it, in the cluster's words.
    pub complaint: Option<String>,
}

impl Workload {
    /// What it still waits for; nothing when it is rolled out.
    #[must_use]
    pub fn pending(&self) -> Option<String> {
        if let Some(complaint) = &self.complaint {
            return Some(complaint.clone());
        }
        if !self.seen {
            return Some("the cluster has not observed it yet".into());
        }
        if self.updated < self.wanted {
            return Some(format!("{} of {} replicas are new", self.updated, self.wanted));
        }
        if self.total > self.updated {
            return Some(format!("{} old replicas are ending", self.total - self.updated));
        }
        (self.ready < self.wanted).then(|| format!("{} of {} replicas are ready", self.ready, self.wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollout_is_done_only_when_new_replicas_are_ready_and_old_ones_are_gone() {
        let done = Workload {
            name: "app".into(),
            wanted: 3,
            updated: 3,
            ready: 3,
            total: 3,
            seen: true,
            complaint: None,
        };
        assert_eq!(done.pending(), None);
        let pending = |workload: Workload| workload.pending().unwrap();
        assert_eq!(pending(Workload { seen: false, ..done.clone() }), "the cluster has not observed it yet");
        assert_eq!(pending(Workload { updated: 1, ..done.clone() }), "1 of 3 replicas are new");
        assert_eq!(pending(Workload { total: 5, ..done.clone() }), "2 old replicas are ending");
        assert_eq!(pending(Workload { ready: 2, ..done }), "2 of 3 replicas are ready");
    }
}
