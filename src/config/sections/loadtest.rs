//! `[loadtest]`: load tests.

use crate::domain::level::Level;
use crate::domain::scenario::{LoadEngine, Scenario};
use crate::domain::stop::StopRule;
use crate::error::{Error, Result};
use jiff::fmt::serde::unsigned_duration::friendly::compact::required as span;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The section as it is written in `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadtestSection {
    /// Where runs are kept.
    pub results_dir: String,
    /// The k6 program; empty: found.
    pub k6: String,
    /// Users of the seeded table.
    pub seed_users: u32,
    /// Notifications of the seeded table.
    pub seed_notifications: u32,
    /// Share of creations.
    pub mix_create: f64,
    /// Share of reads by id.
    pub mix_get: f64,
    /// Share of lists.
    pub mix_list: f64,
    /// Share of lookups by correlation id.
    pub mix_correlation: f64,
    /// Part of a level that warms up.
    pub warmup_share: f64,
    /// Longest wait for the stack to settle after a level.
    #[serde(with = "span")]
    pub stabilise_timeout: Duration,
    /// CPU of the service below which it has settled, per cent of all cores.
    pub settled_cpu_pct: f64,
    /// CPU of the generator above which it was the limit, in per cent of one core.
    pub generator_cpu_pct: f64,
    /// Share of planned requests below which the generator was the limit.
    pub min_offered_share: f64,
    /// What makes the requests.
    pub engine: LoadEngine,
    /// Hosts of `--distributed`, as ssh knows them.
    pub hosts: Vec<String>,
    /// The ssh program with its options.
    pub ssh: String,
    /// k6 on those hosts.
    pub remote_k6: String,
    /// Image of k6 in a cluster.
    pub k6_image: String,
    /// Runners in a cluster.
    pub cluster_runners: u32,
    /// Address of the service as those hosts reach it; empty: the stack's own.
    pub target_url: String,
    /// Memory of one virtual user of k6, MiB.
    pub k6_user_mb: f64,
    /// Requests per second and core that k6 reaches.
    pub k6_rate_per_cpu: f64,
    /// Requests per second and core up to which k6's answer times are the service's.
    pub k6_exact_per_cpu: f64,
    /// Requests per second and core that the native engine reaches.
    pub native_rate_per_cpu: f64,
    /// Requests per second and core up to which its answer times are the service's.
    pub native_exact_per_cpu: f64,
    /// Disk that one notification takes, bytes.
    pub notification_bytes: f64,
    /// When to stop before the end.
    pub stop: Vec<String>,
    /// Levels of the smoke test.
    pub levels_smoke: Vec<String>,
    /// Levels of the baseline.
    pub levels_baseline: Vec<String>,
    /// Levels of the incremental test.
    pub levels_incremental: Vec<String>,
    /// Levels of the stress test.
    pub levels_stress: Vec<String>,
    /// The three rates of the spike.
    pub levels_spike: Vec<String>,
    /// Levels of the soak test.
    pub levels_soak: Vec<String>,
    /// A short smoke test.
    pub quick_smoke: Vec<String>,
    /// A short baseline.
    pub quick_baseline: Vec<String>,
    /// A short incremental test.
    pub quick_incremental: Vec<String>,
    /// A short stress test.
    pub quick_stress: Vec<String>,
    /// A short spike.
    pub quick_spike: Vec<String>,
    /// A short soak test.
    pub quick_soak: Vec<String>,
    /// First rate of the search for the highest, requests per second.
    pub find_first: u32,
    /// How long each rate is tried.
    #[serde(with = "span")]
    pub find_probe: Duration,
    /// How long the found rate is confirmed.
    #[serde(with = "span")]
    pub find_confirm: Duration,
}

impl LoadtestSection {
    /// The levels of a scenario as they were written, and the key that holds them. A search has none.
    #[must_use]
    pub fn levels(&self, scenario: Scenario, quick: bool) -> Option<(&'static str, &[String])> {
        let found: (_, &[String]) = match (scenario, quick) {
            (Scenario::Smoke, false) => ("loadtest.levels_smoke", &self.levels_smoke),
            (Scenario::Baseline, false) => ("loadtest.levels_baseline", &self.levels_baseline),
            (Scenario::Incremental, false) => ("loadtest.levels_incremental", &self.levels_incremental),
            (Scenario::Stress, false) => ("loadtest.levels_stress", &self.levels_stress),
            (Scenario::Spike, false) => ("loadtest.levels_spike", &self.levels_spike),
            (Scenario::Soak, false) => ("loadtest.levels_soak", &self.levels_soak),
            (Scenario::Smoke, true) => ("loadtest.quick_smoke", &self.quick_smoke),
            (Scenario::Baseline, true) => ("loadtest.quick_baseline", &self.quick_baseline),
            (Scenario::Incremental, true) => ("loadtest.quick_incremental", &self.quick_incremental),
            (Scenario::Stress, true) => ("loadtest.quick_stress", &self.quick_stress),
            (Scenario::Spike, true) => ("loadtest.quick_spike", &self.quick_spike),
            (Scenario::Soak, true) => ("loadtest.quick_soak", &self.quick_soak),
            (Scenario::FindMax, _) => return None,
        };
        Some(found)
    }

    /// The levels and stop rules must be readable before a run wants them.
    pub(super) fn check(&self) -> Result<()> {
        let written =
            Scenario::ALL.iter().flat_map(|one| [self.levels(*one, false), self.levels(*one, true)]);
        for (key, texts) in written.flatten() {
            if texts.is_empty() {
                return Err(Error::usage(format!("{key}: at least one level is expected")));
            }
            let levels = texts.iter().map(|text| Level::by_rate(text)).collect::<Result<Vec<_>, _>>();
            let whole = levels.and_then(|levels| {
                if key.ends_with("_spike") { Level::spike(&levels).map(|_| ()) } else { Ok(()) }
            });
            whole.map_err(|why| Error::usage(format!("{key}: {why}")))?;
        }
        for rule in &self.stop {
            StopRule::parse(rule).map_err(|why| Error::usage(format!("loadtest.stop: {why}")))?;
        }
        Ok(())
    }
}
