//! Did it help: two runs, or two sets of runs, level by level, metric by metric. Pure.
//!
//! Of single runs the service's per-second series are compared (Welch on logarithms, with as many
//! samples as are independent). Of repeated runs, four and more on each side, their levels' values
//! are compared by ranks (Mann-Whitney), which also covers what differs from run to run. Either way
//! a difference counts only when chance makes it less often than one in twenty over all rows
//! together (Holm), and when it exceeds the noise floor.

mod differences;
mod metrics;
mod noise;
mod power;

pub use differences::{differences, obstacles, other_place};
pub use noise::NoiseFloor;

use super::run::{LevelResult, Run, Sample};
use super::statistics::{self, SeriesEffect};
use super::verdict::Verdict;
use metrics::{KINDS, MetricKind};
use serde::{Deserialize, Serialize};

/// A difference counts when chance makes it less often than this.
const SIGNIFICANCE: f64 = 0.05;
/// The increase that one wants to be able to see.
const TENTH: f64 = 0.1;

/// What became of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ComparisonMethod {
    /// Welch on logarithms of the per-second series of one run each.
    Welch,
    /// Mann-Whitney on the values of repeated runs.
    MannWhitney,
}

/// One metric of one level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricComparison {
    /// Its name with the unit last.
    pub name: String,
    /// The level's value before; of repeated runs the median.
    pub before: Option<f64>,
    /// The level's value after; of repeated runs the median.
    pub after: Option<f64>,
    /// Relative change of what was compared; 0.1 is ten per cent more.
    pub change: Option<f64>,
    /// 95 % interval of that change.
    pub interval: Option<(f64, f64)>,
    /// Probability by chance, corrected for the number of metrics.
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

/// One level of both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LevelComparison {
    /// Counted from 1.
    pub level: usize,
    /// Planned requests per second.
    pub target_rps: Option<u32>,
    /// The metrics.
    pub metrics: Vec<MetricComparison>,
}

/// Two sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

/// Compares two sets of runs, each set of the same load. Sets of fewer than four runs, other than
/// one and one, come out inconclusive.
#[must_use]
pub fn compare_all(before: &[&Run], after: &[&Run], noise: &NoiseFloor, changes: Vec<String>) -> Comparison {
    let single = before.len() == 1 && after.len() == 1;
    let method = if single { ComparisonMethod::Welch } else { ComparisonMethod::MannWhitney };
    let count = before.iter().chain(after).map(|run| run.levels.len()).min().unwrap_or(0);
    let levels = (0..count).map(|index| {
        let of = |runs: &[&Run]| -> Vec<LevelResult> {
            runs.iter().map(|run| run.levels[index].clone()).collect()
        };
        rows(&of(before), &of(after), method, noise)
    });
    let levels = judged(levels.collect());
    let names = |runs: &[&Run]| runs.iter().map(|run| run.id.clone()).collect::<Vec<_>>().join(",");
    let around = before.first().zip(after.last()).map(|(one, two)| differences(one, two));
    Comparison {
        before: names(before),
        after: names(after),
        method,
        differences: around.unwrap_or_default(),
        changes,
        noise: noise.origin.clone(),
        levels,
    }
}

/// What was found on one level.
struct LevelRows {
    level: usize,
    target_rps: Option<u32>,
    rows: Vec<MetricRow>,
}

/// What was found of one metric, before it is known as one of many.
struct MetricRow {
    kind: &'static MetricKind,
    before: Option<f64>,
    after: Option<f64>,
    effect: Option<SeriesEffect>,
    floor: f64,
    /// Length of the steady window.
    seconds: u64,
    reason: Option<&'static str>,
}

fn rows(
    before: &[LevelResult],
    after: &[LevelResult],
    method: ComparisonMethod,
    noise: &NoiseFloor,
) -> LevelRows {
    let blocked = before.iter().chain(after).find_map(|level| match level.verdict {
        Verdict::GeneratorLimited => Some("the load could not be offered"),
        Verdict::Interrupted => Some("the level was interrupted"),
        _ => None,
    });
    let row = |kind: &'static MetricKind| {
        let (effect, lacking) = match method {
            ComparisonMethod::Welch => (welch(kind, &before[0], &after[0]), "too few independent seconds"),
            ComparisonMethod::MannWhitney => {
                (ranks(kind, before, after), "four runs on each side are needed")
            }
        };
        let value = |levels: &[LevelResult]| {
            let all: Option<Vec<f64>> = levels.iter().map(kind.value).collect();
            statistics::median(&all?)
        };
        MetricRow {
            kind,
            before: value(before),
            after: value(after),
            effect,
            floor: noise.of(kind.name),
            seconds: before[0].steady_s,
            reason: blocked.or_else(|| effect.is_none().then_some(lacking)),
        }
    };
    let first = &before[0];
    LevelRows { level: first.level, target_rps: first.target_rps, rows: KINDS.iter().map(row).collect() }
}

/// Judges every row, now that they are known together: of many looks one finds something by chance.
fn judged(levels: Vec<LevelRows>) -> Vec<LevelComparison> {
    let all = levels.iter().flat_map(|level| &level.rows).filter_map(|row| row.effect);
    let by_chance: Vec<_> = all.map(|effect| effect.p).collect();
    let tests = by_chance.len();
    let mut corrected = statistics::holm(&by_chance).into_iter();
    let mut metric = |row: MetricRow| {
        let effect = row.effect.map(|effect| SeriesEffect { p: corrected.next().unwrap_or(1.0), ..effect });
        row.judged(effect, tests)
    };
    let whole = |LevelRows { level, target_rps, rows }| LevelComparison {
        level,
        target_rps,
        metrics: rows.into_iter().map(&mut metric).collect(),
    };
    levels.into_iter().map(whole).collect()
}

impl MetricRow {
    /// `effect` with its corrected probability, as one of so many looks.
    fn judged(self, effect: Option<SeriesEffect>, tests: usize) -> MetricComparison {
        let verdict = match (self.reason, &effect) {
            (None, Some(effect)) => judge(self.kind, effect, self.floor),
            _ => MetricChange::Inconclusive,
        };
        // The one that is looked at first is judged the most sternly, and which it is depends on chance.
        let significance = SIGNIFICANCE / tests.max(1) as f64;
        let precision = effect.filter(|_| self.reason.is_none()).and_then(|effect| effect.precision);
        let times = precision.and_then(|it| it.lengthening(TENTH, significance, self.floor));
        MetricComparison {
            name: self.kind.name.to_owned(),
            before: self.before,
            after: self.after,
            change: effect.map(|effect| effect.ratio - 1.0),
            interval: effect.map(|effect| (effect.low - 1.0, effect.high - 1.0)),
            p: effect.map(|effect| effect.p),
            noise: self.floor,
            detectable: precision.and_then(|it| it.detectable(significance, self.floor)),
            tenth_needs_s: times.map(|times| times * self.seconds as f64),
            verdict,
            reason: self.reason.map(str::to_owned),
        }
    }
}

fn welch(kind: &MetricKind, before: &LevelResult, after: &LevelResult) -> Option<SeriesEffect> {
    statistics::compare(&window(before, kind.series), &window(after, kind.series))
}

fn ranks(kind: &MetricKind, before: &[LevelResult], after: &[LevelResult]) -> Option<SeriesEffect> {
    let values = |levels: &[LevelResult]| levels.iter().map(kind.value).collect::<Option<Vec<f64>>>();
    statistics::compare_runs(&values(before)?, &values(after)?)
}

fn judge(kind: &MetricKind, effect: &SeriesEffect, floor: f64) -> MetricChange {
    let beyond_noise = (effect.ratio - 1.0).abs() >= floor;
    if effect.p < SIGNIFICANCE && beyond_noise {
        return if (effect.ratio > 1.0) == kind.more_is_better {
            MetricChange::Improved
        } else {
            MetricChange::Regressed
        };
    }
    // Two floors, so that what is within one floor can be told from noise at all.
    let within = effect.low > 1.0 - 2.0 * floor && effect.high < 1.0 + 2.0 * floor;
    if within { MetricChange::Unchanged } else { MetricChange::Inconclusive }
}

/// The seconds of the steady window.
fn window(level: &LevelResult, of: fn(&Sample) -> Option<f64>) -> Vec<f64> {
    let end = level.steady_from_s + level.steady_s as f64;
    let inside = level.samples.iter().filter(|one| one.at_s >= level.steady_from_s && one.at_s <= end);
    inside.filter_map(of).collect()
}

#[cfg(test)]
mod recorded;
#[cfg(test)]
mod tests;
