//! What a load test is asked for, before the configuration has filled in the rest.

use super::level::Model;
use super::scenario::LoadEngine;
use std::time::Duration;

/// A load test as the command line, a verification or an experiment asks for it. What is empty or absent is
/// taken from the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadRequest {
    /// Levels by virtual users, as `100:5m`: the closed model.
    pub levels: Vec<String>,
    /// Levels by rate, as `1000/s:5m`: the open model.
    pub rates: Vec<String>,
    /// How load is offered; the levels decide when they are given.
    pub model: Option<Model>,
    /// Levels sized for a laptop.
    pub quick: bool,
    /// What makes the requests.
    pub engine: Option<LoadEngine>,
    /// Generator processes on this machine; 0 and 1 are one.
    pub generators: u32,
    /// Whether generators run on the configured hosts.
    pub distributed: bool,
    /// Longest wait after each level for the backlog to drain.
    pub stabilise: Option<Duration>,
    /// Stop rules as they were written, instead of those configured.
    pub stop: Vec<String>,
    /// Whether successful requests must equal what the service counted.
    pub reconcile: bool,
    /// Shell command to run before each level.
    pub before_level: Option<String>,
    /// Labels as `KEY=VALUE`.
    pub tags: Vec<String>,
    /// Remark stored with the run.
    pub note: Option<String>,
    /// Who runs it.
    pub engineer: Option<String>,
}
