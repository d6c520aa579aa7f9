//! What all levels of a run share.

use super::interrupt::Interrupt;
use super::stream::Stream;
use crate::domain::run::Environment;
use crate::domain::scenario::LoadPlan;
use crate::permit::ChangePermit;
use crate::render::progress::ProgressView;
use crate::stack::Stack;
use std::path::{Path, PathBuf};

/// What all levels of a run share.
#[derive(Debug)]
pub(super) struct RunContext<'a> {
    pub(super) permit: &'a ChangePermit,
    pub(super) interrupt: &'a Interrupt,
    pub(super) stack: &'a Stack,
    pub(super) plan: &'a LoadPlan,
    pub(super) environment: &'a Environment,
    /// The generator's program.
    pub(super) program: PathBuf,
    /// The run's directory.
    pub(super) dir: &'a Path,
    /// The run's name.
    pub(super) id: &'a str,
    /// How often the run was interrupted and went on.
    pub(super) attempt: usize,
    pub(super) stream: &'a Stream,
    pub(super) progress: &'a ProgressView,
}

impl RunContext<'_> {
    /// Correlation ids of a level begin with this. A level that is offered again after an interruption
    /// must not count what was stored before it.
    pub(super) fn prefix(&self, level: usize) -> String {
        format!("{}-L{level}.{}", self.id, self.attempt)
    }

    pub(super) fn settled_cpu_pct(&self) -> f64 {
        self.stack.loaded.config.loadtest.settled_cpu_pct
    }
}
