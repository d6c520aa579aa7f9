//! What a run found: the schema `nsys.run/1` of results.json. A value that could not be had is null.
//!
//! Later versions only add fields; every added field has a default, so that older runs stay readable.

mod level;
pub mod sample;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod testing;

pub use super::search::SearchResult;
pub use super::slices::Slice;
pub use super::spike::Spike;
pub use super::trend::Trend;
pub use level::{
    CacheResult, Condition, Db, GeneratorResult, Kafka, Latency, LevelResult, Measuring, PartUse,
    PartitionLoad, Reconciliation, Service, StageResult, Statement,
};
pub use sample::Sample;
#[cfg(test)]
pub(crate) use testing::test_run;

use super::check::Verdict;
use super::level::Model;
use super::scenario::{LoadPlan, Scenario};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Name of the schema.
pub const SCHEMA: &str = "nsys.run/1";

/// The stack that a run measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StackIdentity {
    /// Its name; two stacks may have the same.
    pub name: String,
    /// A digest that no two stacks share and that stays the same when ports, credentials or replicas
    /// change.
    pub id: String,
}

impl StackIdentity {
    /// In a few words.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{} ({})", self.name, self.id)
    }
}

/// What a run keeps of the profile of its stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileSummary {
    /// Its name.
    pub name: String,
    /// What was asked.
    pub requests: Vec<String>,
    /// What could not be known, because the profile names nothing that would tell it.
    pub not_measured: Vec<ProfileGap>,
}

/// Something that a profile leaves unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ProfileGap {
    /// What is not measured.
    pub what: String,
    /// Why.
    pub why: String,
}

impl ProfileGap {
    /// For a list of remarks.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!("not measured: {}: {}", self.what, self.why)
    }
}

/// A whole run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// [`SCHEMA`].
    pub schema: String,
    /// `smoke`, `baseline`, `incremental`, `stress`, `spike`, `soak` or `find-max`.
    pub kind: String,
    /// Name of its directory.
    pub id: String,
    /// The stack that was measured; absent in runs of older versions, which are nobody's.
    #[serde(default)]
    pub stack: Option<StackIdentity>,
    /// `running`, `finished`, `stopped` (by a rule) or `interrupted`.
    pub state: String,
    /// RFC 3339.
    pub started_at: String,
    /// RFC 3339; absent while it runs.
    pub finished_at: Option<String>,
    /// Open or closed.
    pub model: Model,
    /// The user's remark.
    pub note: Option<String>,
    /// Who ran it.
    #[serde(default)]
    pub engineer: Option<String>,
    /// Free labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// What was to run; absent in runs of older versions, which cannot be resumed.
    #[serde(default)]
    pub plan: Option<LoadPlan>,
    /// Where it was interrupted and continued.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(alias = "seams")]
    pub resume_points: Vec<ResumePoint>,
    /// The rule that stopped it, and why.
    #[serde(default)]
    pub stopped_by: Option<String>,
    /// Why it could not go on to its end, when something failed between two levels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken_off: Option<String>,
    /// The highest rate that keeps the objectives, of a search for it.
    #[serde(default)]
    pub search: Option<SearchResult>,
    /// The profile that described the stack; absent of the notification service, which is built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileSummary>,
    /// Where it was measured.
    pub environment: Environment,
    /// What it was judged by.
    #[serde(alias = "targets")]
    pub objectives: serde_json::Value,
    /// The levels, in order.
    pub levels: Vec<LevelResult>,
    /// The worst of the levels.
    pub verdict: Verdict,
}

impl Run {
    /// The plan that offers the same load again.
    ///
    /// # Errors
    /// Why there is none, to follow the run's name in a sentence.
    pub fn plan_to_repeat(&self) -> Result<&LoadPlan, &'static str> {
        if self.state != "finished" || self.levels.is_empty() {
            return Err("did not finish");
        }
        match &self.plan {
            None => Err("has no plan: an older nsys made it"),
            Some(plan) if plan.scenario == Scenario::FindMax => {
                Err("is a search, which takes a different path each time")
            }
            Some(plan) => Ok(plan),
        }
    }
}

/// A place where a run was interrupted and continued.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResumePoint {
    /// The first level after it.
    pub level: usize,
    /// RFC 3339.
    pub resumed_at: String,
    /// What is different since, as sentences; empty when nothing is.
    pub differences: Vec<String>,
}

impl Environment {
    /// Where the generator ran beside the stack.
    #[must_use]
    pub fn generator_place(&self) -> &'static str {
        let is_elsewhere = matches!(self.runtime.as_deref(), Some("external" | "kubernetes"));
        match self.shared_machine {
            true => "generator and stack shared the machine",
            false if is_elsewhere && self.stack_here.is_none() => {
                "whether generator and stack shared a machine is not known"
            }
            false => "the generator had a machine of its own",
        }
    }
}

/// Where it was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Environment {
    /// Version of nsys.
    pub nsys: String,
    /// Version of the load generator, as it says itself.
    pub k6: String,
    /// Operating system.
    pub os: String,
    /// Processors.
    pub cpus: usize,
    /// Memory, in MiB.
    pub memory_mb: u64,
    /// Replicas of the api.
    pub app: usize,
    /// Replicas of the worker.
    pub worker: usize,
    /// Whether generator and stack share the machine.
    pub shared_machine: bool,
    /// Whether the stack runs on the machine that nsys runs on; absent when that is not known.
    #[serde(default)]
    pub stack_here: Option<bool>,
    /// The machine's name.
    #[serde(default)]
    pub host: Option<String>,
    /// Where the stack runs: `local`, `docker`, ….
    #[serde(default)]
    pub runtime: Option<String>,
    /// The kind of disk under the data.
    #[serde(default)]
    pub disk: Option<String>,
    /// What each part says of its version.
    #[serde(default)]
    pub versions: BTreeMap<String, String>,
    /// SHA-256 of the load script and of what it is told beside rates, shortened.
    #[serde(default)]
    pub script: String,
    /// Notifications stored when the run began, as the statistics estimate them.
    #[serde(default)]
    pub rows: Option<i64>,
    /// Every setting of the service, secrets left out.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}
