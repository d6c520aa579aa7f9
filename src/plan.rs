//! What a change is before it is one: steps with their exact form, risk and way back. No I/O.

mod steps;

pub mod config;
pub mod index;
pub mod merge;
pub mod partitions;
pub mod undo;

pub use steps::{
    CacheStep, ConfigStep, DataStep, DbStep, KafkaStep, Risk, ServiceStep, Step, Undo, UnmaskedValues,
};

use serde::Serialize;

/// A change, whole and not yet made.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ChangePlan {
    /// What it is for, as a short phrase.
    pub title: String,
    /// In the order they are made.
    pub steps: Vec<Step>,
    /// What the operator should know, good or indifferent.
    pub notes: Vec<String>,
    /// What the operator must know.
    pub warnings: Vec<String>,
    /// Reads that should gain, for the proof.
    pub reads: Vec<ReadQuery>,
}

/// A read that a plan is to make cheaper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReadQuery {
    /// What it is, in a few words.
    pub name: String,
    /// The statement.
    pub sql: String,
    /// Whether it has `$1`, `$2`, … in place of values, so that it can be planned but not run.
    pub generic: bool,
}

impl ChangePlan {
    /// A plan without steps.
    #[must_use]
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Why this plan can never be taken back, if it cannot.
    #[must_use]
    pub fn irreversible(&self) -> Option<String> {
        self.steps.iter().find_map(|step| match step.undo() {
            Undo::Impossible(why) => Some(why),
            Undo::By(_) | Undo::NotNeeded => None,
        })
    }
}
