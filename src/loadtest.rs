//! Load tests: the run from its plan to its results. k6 offers the load, nsys watches everything else.

pub mod engine;
pub mod measure;
pub mod run;
pub mod store;

use crate::domain::level::{INCREMENTAL, Level, Model, QUICK, SMOKE};
use crate::error::{Error, Result};

/// What shall run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `smoke` or `incremental`.
    pub kind: &'static str,
    /// Open or closed.
    pub model: Model,
    /// The levels, in order.
    pub levels: Vec<Level>,
    /// The user's remark.
    pub note: Option<String>,
    /// Longest wait after a level for the backlog to drain.
    pub stabilise: std::time::Duration,
}

impl Plan {
    /// The plan that flags describe.
    ///
    /// # Errors
    /// When a level cannot be read.
    pub fn new(
        kind: &'static str,
        flags: &crate::cli::RunFlags,
        stabilise: std::time::Duration,
    ) -> Result<Self> {
        let read = |texts: &[String], parse: fn(&str) -> Result<Level, String>| {
            texts.iter().map(|text| parse(text).map_err(Error::usage)).collect::<Result<Vec<_>>>()
        };
        let (model, levels) = if !flags.levels.is_empty() {
            (Model::Closed, read(&flags.levels, Level::by_users)?)
        } else if !flags.rates.is_empty() {
            (Model::Open, read(&flags.rates, Level::by_rate)?)
        } else if kind == "smoke" {
            (Model::Open, SMOKE.to_vec())
        } else if flags.quick {
            (Model::Open, QUICK.to_vec())
        } else {
            (Model::Open, INCREMENTAL.to_vec())
        };
        Ok(Self {
            kind,
            model,
            levels,
            note: flags.note.clone(),
            stabilise: flags.stabilise.unwrap_or(stabilise),
        })
    }

    /// Length without the waits between levels.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        self.levels.iter().map(|level| level.seconds).sum()
    }
}
