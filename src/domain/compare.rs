//! Did it help: two runs, or two sets of runs, level by level, metric by metric. Pure.
//!
//! Each row has one clock and one distribution: what the client counted, or what the service's histogram
//! tells, or a mean of seconds. Of single runs a value is compared with what it would be without each part of
//! its level (Welch, with as many parts as are independent). Of repeated runs their values are compared by
//! ranks, over every way in which these could have fallen, which also covers what differs from run to run.
//! Either way a difference counts only when chance makes it less often than one in twenty over all rows
//! together, and when it exceeds the noise floor. What users feel (throughput, errors, p95) is one family
//! (Holm) with six tenths of the errors that may be made, so that what else is measured does not hide it.

mod buckets;
pub(in crate::domain) mod client;
mod differences;
mod estimates;
mod judge;
mod metrics;
mod noise;
mod power;
mod process_age;
mod sets;

pub use differences::{differences, obstacles, other_place};
pub(in crate::domain) use metrics::ClientValue;
pub use noise::NoiseFloor;
pub use power::{RunsNeeded, runs_needed};

use super::run::{LevelResult, Run};
use super::statistics;
use super::verdict::Verdict;
use judge::{Row, judged};
use metrics::{KINDS, MEMORY, MetricKind};
use serde::{Deserialize, Serialize};

/// A difference counts when chance makes it less often than this.
const SIGNIFICANCE: f64 = 0.05;
/// The increase that one wants to be able to see.
const TENTH: f64 = 0.1;

/// What became of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MetricChange {
    /// Better, beyond chance and noise.
    Improved,
    /// Worse, beyond chance and noise.
    Regressed,
    /// Surely within the noise.
    Unchanged,
    /// The measurement cannot tell.
    Inconclusive,
}

impl MetricChange {
    /// The word used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Improved => "improved",
            Self::Regressed => "regressed",
            Self::Unchanged => "unchanged",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// How values were compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ComparisonMethod {
    /// Welch on the parts of one run each.
    Welch,
    /// Mann-Whitney, exact, on the values of repeated runs.
    MannWhitney,
}

/// How a difference is expressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DifferenceScale {
    /// As a share of the value before.
    #[default]
    Relative,
    /// As it is: of a share that may be 0.
    Absolute,
}

/// One metric of one level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct MetricComparison {
    /// Its name with the unit last.
    pub name: String,
    /// The level's value before; of repeated runs the median.
    pub before: Option<f64>,
    /// The level's value after; of repeated runs the median.
    pub after: Option<f64>,
    /// How the change is told.
    #[serde(default)]
    pub scale: DifferenceScale,
    /// Change of what was compared; as a share 0.1 is ten per cent more.
    pub change: Option<f64>,
    /// 95 % interval of that change; absent where it is endless.
    pub interval: Option<(f64, f64)>,
    /// Probability by chance, corrected for all that was looked at; it counts below 0.05.
    pub p: Option<f64>,
    /// Smaller changes are noise.
    pub noise: f64,
    /// The smallest increase that runs like these show nine times in ten; absent where it cannot be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detectable: Option<f64>,
    /// Seconds a level must last to show an increase by a tenth nine times in ten; absent where it cannot
    /// be told, or where a tenth is noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenth_needs_s: Option<f64>,
    /// What became of it.
    pub verdict: MetricChange,
    /// Why nothing can be said, when nothing can.
    pub reason: Option<String>,
}

impl MetricComparison {
    /// A change of it in words.
    #[must_use]
    pub fn change_text(&self, change: f64) -> String {
        match self.scale {
            DifferenceScale::Relative => format!("{:+.1} %", change * 100.0),
            DifferenceScale::Absolute => format!("{:+.2} points", change * 100.0),
        }
    }

    /// Whether its values are shares of one.
    #[must_use]
    pub fn is_share(&self) -> bool {
        self.scale == DifferenceScale::Absolute || self.name.ends_with("_spread")
    }
}

/// One level of both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LevelComparison {
    /// Counted from 1.
    pub level: usize,
    /// Planned requests per second.
    pub target_rps: Option<u32>,
    /// The metrics.
    pub metrics: Vec<MetricComparison>,
}

/// Two sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Comparison {
    /// The first run, or all of them with commas.
    pub before: String,
    /// The second run, or all of them with commas.
    pub after: String,
    /// How it was compared.
    pub method: ComparisonMethod,
    /// What is different around them, as sentences.
    pub differences: Vec<String>,
    /// Changes of the journal made between them.
    pub changes: Vec<String>,
    /// What has to be known of how it was compared, as sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Where the noise floor comes from.
    pub noise: String,
    /// The levels.
    pub levels: Vec<LevelComparison>,
}

impl Comparison {
    /// How many metrics came to this.
    #[must_use]
    pub fn count(&self, wanted: MetricChange) -> usize {
        self.levels.iter().flat_map(|level| &level.metrics).filter(|one| one.verdict == wanted).count()
    }

    /// Whether so few runs were compared that nothing of what users feel could have been found.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.method == ComparisonMethod::MannWhitney
            && power::of_sets_is_blind(self.runs(), self.levels.len())
    }

    /// How many runs there are on each side.
    fn runs(&self) -> (usize, usize) {
        (self.before.split(',').count(), self.after.split(',').count())
    }

    /// Whether any metric became worse.
    #[must_use]
    pub fn regressed(&self) -> bool {
        self.count(MetricChange::Regressed) > 0
    }
}

/// Compares two runs that can be compared; levels that only one of them has are left out.
#[must_use]
pub fn compare(before: &Run, after: &Run, noise: &NoiseFloor, changes: Vec<String>) -> Comparison {
    compare_all(&[before], &[after], noise, changes)
}

/// Compares two sets of runs, each set of the same load. Sets of too few runs, other than one and one,
/// come out inconclusive and say how many are needed.
#[must_use]
pub fn compare_all(before: &[&Run], after: &[&Run], noise: &NoiseFloor, changes: Vec<String>) -> Comparison {
    let single = before.len() == 1 && after.len() == 1;
    let method = if single { ComparisonMethod::Welch } else { ComparisonMethod::MannWhitney };
    let count = before.iter().chain(after).map(|run| run.levels.len()).min().unwrap_or(0);
    let (order_before, order_after) = sets::order(before, after);
    let levels = (0..count).map(|index| {
        let sides = Sides {
            before: levels_of(before, index),
            after: levels_of(after, index),
            order_before: &order_before,
            order_after: &order_after,
            noise,
        };
        let (level, target_rps) = sides.before.first().map_or((0, None), |one| (one.level, one.target_rps));
        judge::Rows { level, target_rps, rows: sides.rows(method) }
    });
    let levels = judged(levels.collect(), (before.len(), after.len()), method);
    let names = |runs: &[&Run]| runs.iter().map(|run| run.id.clone()).collect::<Vec<_>>().join(",");
    let around = before.first().zip(after.last()).map(|(one, two)| differences(one, two));
    let mut notes: Vec<String> = older(before, after).into_iter().collect();
    if !single {
        notes.extend(power::of_sets((before.len(), after.len()), count));
        notes.extend(sets::not_in_turns(&order_before, &order_after));
    }
    Comparison {
        before: names(before),
        after: names(after),
        method,
        differences: around.unwrap_or_default(),
        changes,
        notes,
        noise: noise.origin.clone(),
        levels,
    }
}

/// Runs that do not keep what their clients counted.
fn older(before: &[&Run], after: &[&Run]) -> Option<String> {
    let all = before.iter().chain(after);
    let without = all.filter(|run| run.levels.iter().any(|level| !estimates::keeps_slices(level)));
    let names: Vec<_> = without.map(|run| run.id.as_str()).collect();
    (!names.is_empty()).then(|| {
        format!(
            "{} keeps no distribution of its client's times, as older versions do not: p50, p95 and p99 are \
             those of a typical second of the client",
            names.join(", ")
        )
    })
}

/// One level of every run.
/// The level with this index, of each run.
fn levels_of<'a>(runs: &[&'a Run], index: usize) -> Vec<&'a LevelResult> {
    runs.iter().map(|run| &run.levels[index]).collect()
}

struct Sides<'a> {
    before: Vec<&'a LevelResult>,
    after: Vec<&'a LevelResult>,
    /// Place of each run in the order in which they were made.
    order_before: &'a [f64],
    order_after: &'a [f64],
    noise: &'a NoiseFloor,
}

impl Sides<'_> {
    fn all(&self) -> impl Iterator<Item = &LevelResult> {
        self.before.iter().chain(&self.after).copied()
    }

    fn rows(&self, method: ComparisonMethod) -> Vec<Row> {
        let blocked = self.all().find_map(|level| match level.verdict {
            Verdict::GeneratorLimited => Some("the load could not be offered"),
            Verdict::Interrupted => Some("the level was interrupted"),
            _ => None,
        });
        let by_slices = self.all().all(estimates::keeps_slices);
        let mut rows: Vec<_> = KINDS
            .iter()
            .flat_map(|kind| match method {
                ComparisonMethod::Welch => vec![self.single(kind, by_slices)],
                ComparisonMethod::MannWhitney => sets::rows(self, kind, by_slices),
            })
            .collect();
        for row in &mut rows {
            row.obstacle = blocked.map(str::to_owned).or_else(|| row.obstacle.take());
        }
        rows
    }

    /// One run against one other.
    fn single(&self, kind: &MetricKind, by_slices: bool) -> Row {
        let [before, after] = [self.before[0], self.after[0]];
        let estimate = |level| estimates::estimate(kind, level, by_slices);
        let (one, two) = (estimate(before), estimate(after));
        let shift = one.as_ref().zip(two.as_ref()).and_then(|(one, two)| statistics::shift(one, two));
        let lacking = if one.is_none() || two.is_none() {
            "not measured second by second"
        } else {
            "too few independent seconds"
        };
        Row {
            before: estimates::value(kind, before, by_slices),
            after: estimates::value(kind, after, by_slices),
            constant: shift.is_some_and(|shift| shift.precision.is_none() && shift.by == 0.0),
            shift,
            seconds: before.steady_s,
            obstacle: self.too_old(kind).or_else(|| shift.is_none().then(|| lacking.to_owned())),
            ..Row::of(kind, self.noise)
        }
    }

    /// Why processes of other ages hide what is asked for.
    fn too_old(&self, kind: &MetricKind) -> Option<String> {
        let levels: Vec<_> = self.all().collect();
        (kind.name == MEMORY).then(|| process_age::obstacle(&levels)).flatten()
    }
}

#[cfg(test)]
mod prescribed;
#[cfg(test)]
mod tests;
