//! Scenarios: what each one is for, and the plan that a run follows.

use super::level::{Level, Model};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which load is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// A few requests, to check that it works.
    Smoke,
    /// Moderate load, as a baseline to compare with.
    Baseline,
    /// Increase level by level up to the breaking point.
    Incremental,
    /// Load beyond the breaking point.
    Stress,
    /// A sudden burst, and the recovery from it.
    Spike,
    /// Constant load over a long time, to find leaks
    Soak,
    /// The highest rate that keeps the objectives.
    FindMax,
}

impl Scenario {
    /// Every scenario, from the lightest load on.
    pub const ALL: [Self; 7] = [
        Self::Smoke,
        Self::Baseline,
        Self::Incremental,
        Self::Stress,
        Self::Spike,
        Self::Soak,
        Self::FindMax,
    ];

    /// The name used in paths and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Baseline => "baseline",
            Self::Incremental => "incremental",
            Self::Stress => "stress",
            Self::Spike => "spike",
            Self::Soak => "soak",
            Self::FindMax => "find-max",
        }
    }

    /// Whether a cache has the time to warm, so that its hit rate can be judged.
    #[must_use]
    pub const fn warms_caches(self) -> bool {
        !matches!(self, Self::Smoke)
    }
}

/// What makes the requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LoadEngine {
    /// k6, the reference.
    #[default]
    K6,
    /// nsys' own open-loop generator.
    Native,
}

impl LoadEngine {
    /// The name used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::K6 => "k6",
            Self::Native => "native",
        }
    }
}

/// Where the generators run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GeneratorPlacement {
    /// On this machine.
    #[default]
    Here,
    /// On these hosts, by SSH: one generator on each.
    Hosts(Vec<String>),
    /// In a cluster, by the k6 operator.
    Cluster,
}

impl GeneratorPlacement {
    /// Whether they run on this machine.
    #[must_use]
    pub const fn is_here(&self) -> bool {
        matches!(self, Self::Here)
    }
}

/// What shall run. A run keeps it, so that an interrupted one can go on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LoadPlan {
    /// Which scenario.
    pub scenario: Scenario,
    /// Open or closed.
    pub model: Model,
    /// What makes the requests.
    #[serde(default)]
    pub engine: LoadEngine,
    /// The levels, in order; the first one to try, of a search.
    pub levels: Vec<Level>,
    /// Longest wait after a level for the backlog to drain, in seconds.
    pub stabilise_s: u64,
    /// Stop rules as they were written.
    #[serde(default)]
    pub stop: Vec<String>,
    /// Shell command to run before each level.
    #[serde(default)]
    pub before_level: Option<String>,
    /// Whether successful requests must equal what the service counted.
    #[serde(default)]
    pub reconcile: bool,
    /// Generator processes that share the load of one level.
    #[serde(default = "one")]
    pub generators: u32,
    /// Where they run.
    #[serde(default, skip_serializing_if = "GeneratorPlacement::is_here")]
    pub place: GeneratorPlacement,
    /// The user's remark.
    #[serde(default)]
    pub note: Option<String>,
    /// Who runs it.
    #[serde(default)]
    pub engineer: Option<String>,
    /// Free labels.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

const fn one() -> u32 {
    1
}

impl LoadPlan {
    /// Length without the waits between levels, in seconds.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        self.levels.iter().map(|level| level.seconds).sum()
    }

    /// Seconds that each level measures; none for a search, which takes another path each time and is not compared.
    #[must_use]
    pub fn measured_s(&self, warmup_share: f64) -> Option<Vec<u64>> {
        let measured = |level: &Level| {
            let windows = level.windows(warmup_share);
            windows.iter().filter(|window| window.measured).map(|window| window.seconds).sum()
        };
        (self.scenario != Scenario::FindMax).then(|| self.levels.iter().map(measured).collect())
    }

    /// Most virtual users of any level.
    #[must_use]
    pub fn most_users(&self) -> u32 {
        self.levels.iter().map(|level| level.vus).max().unwrap_or(0)
    }

    /// The highest rate of any level; absent in the closed model.
    #[must_use]
    pub fn highest_rate(&self) -> Option<u32> {
        self.levels.iter().filter_map(|level| level.rate).max()
    }
}
