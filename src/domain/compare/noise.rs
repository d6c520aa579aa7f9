//! How much runs differ when nothing was changed: the floor below which a difference means nothing.

use super::metrics::{KINDS, MetricKind};
use super::{differences, estimates, obstacles};
use crate::domain::run::Run;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Differences below this share are noise on any machine.
const LEAST: f64 = 0.05;
/// A share of failed requests that differs by less is noise on any machine.
const LEAST_DIFFERENCE: f64 = 0.001;
/// Share of the pairs of equal runs whose difference lies within the floor.
const COVERED: f64 = 0.95;

/// The floor by metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct NoiseFloor {
    /// Share by metric; a metric that is not named has the least one.
    pub shares: BTreeMap<String, f64>,
    /// Where it comes from, in words.
    pub origin: String,
}

impl Default for NoiseFloor {
    fn default() -> Self {
        Self { shares: BTreeMap::new(), origin: "5 % for every metric: no equal runs were measured".into() }
    }
}

impl NoiseFloor {
    /// The floor of a metric.
    #[must_use]
    pub fn of(&self, metric: &str) -> f64 {
        self.shares.get(metric).copied().unwrap_or(LEAST).max(LEAST)
    }

    /// The floor of a metric, on its own scale.
    pub(super) fn floor_of(&self, kind: &MetricKind) -> f64 {
        if kind.is_difference() { LEAST_DIFFERENCE } else { self.of(kind.name) }
    }

    /// The floor that equal runs show: for each metric the difference that nineteen of twenty pairs
    /// stay within.
    ///
    /// # Errors
    /// When there are fewer than two runs, or they are not equal; the message names why.
    pub fn measured(runs: &[&Run]) -> Result<Self, String> {
        let Some((first, rest)) = runs.split_first().filter(|(_, rest)| !rest.is_empty()) else {
            return Err("two equal runs or more are needed".into());
        };
        for run in rest {
            let mut unlike = obstacles(first, run);
            // The table grows from run to run; everything else must be the same.
            unlike.extend(
                differences(first, run).into_iter().filter(|one| !one.starts_with("stored notifications")),
            );
            if let Some(why) = unlike.first() {
                return Err(format!("{} and {} are not equal: {why}", first.id, run.id));
            }
        }
        let relative = KINDS.iter().filter(|kind| !kind.is_difference());
        let shares = relative.filter_map(|kind| Some((kind.name.to_owned(), widest(runs, kind)?)));
        Ok(Self { shares: shares.collect(), origin: format!("measured by {} equal runs", runs.len()) })
    }
}

fn widest(runs: &[&Run], kind: &MetricKind) -> Option<f64> {
    let by_slices = runs.iter().flat_map(|run| &run.levels).all(estimates::keeps_slices);
    let mut found = Vec::new();
    for (index, one) in runs.iter().enumerate() {
        for two in &runs[index + 1..] {
            for (before, after) in one.levels.iter().zip(&two.levels) {
                let value = |level| estimates::value(kind, level, by_slices);
                let (Some(before), Some(after)) = (value(before), value(after)) else { continue };
                if before > 0.0 && after > 0.0 {
                    // The same however the two are ordered.
                    found.push((after / before).max(before / after) - 1.0);
                }
            }
        }
    }
    found.sort_by(f64::total_cmp);
    let last = found.len().checked_sub(1)?;
    Some(found[(last as f64 * COVERED).ceil() as usize])
}
