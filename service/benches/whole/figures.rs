//! The figures, by name.

use std::collections::BTreeMap;

/// One figure of one round.
#[derive(Clone, Copy, Default)]
pub(crate) struct Figure {
    pub(crate) per_s: f64,
    /// Per CPU-second of the process that answers.
    pub(crate) per_cpu_s: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Resident memory afterwards, in MiB.
    pub(crate) memory_mb: f64,
}

/// Every figure by its name, a round each.
pub(crate) type Figures = BTreeMap<&'static str, Vec<Figure>>;

pub(crate) const BARE_POST: &str = "bare route, POST";
pub(crate) const PROTOTYPE_64: &str = "prototype, 64 connections";
pub(crate) const PROTOTYPE_512: &str = "prototype, 512 connections";
pub(crate) const ACCEPT_64: &str = "accept, 64 connections";
pub(crate) const ACCEPT_512: &str = "accept, 512 connections";
pub(crate) const ACCEPT_KEY: &str = "accept with an idempotency key, 64 connections";
pub(crate) const BARE_GET: &str = "bare route, GET";
pub(crate) const READ: &str = "read that hits";
pub(crate) const BATCH: &str = "batches of 1,000";
pub(crate) const LINES: &str = "NDJSON stream";
pub(crate) const MANY: &str = "accept, 1,000 connections";
pub(crate) const CAPACITY: &str = "accept, 512 connections, before an overload";
pub(crate) const OVERLOAD: &str = "the same at three times that rate";
pub(crate) const DRAIN: &str = "backlog drained";
pub(crate) const CEILING: &str = "rows inserted by the database alone";
pub(crate) const SUSTAINED_SINGLE: &str = "end to end, one a request";
pub(crate) const SUSTAINED_BATCH: &str = "end to end, batches of 100";
pub(crate) const HALF: &str = "accept at half its maximum, alone";
pub(crate) const HALF_DRAINING: &str = "the same while a backlog drains";

/// The middle one of some figures.
pub(crate) fn middle(rounds: &[Figure], of: impl Fn(&Figure) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
