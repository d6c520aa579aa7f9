//! What became of each row, now that they are known together: of many looks one finds something by chance.

use super::metrics::{Family, MetricKind, Source};
use super::{
    ComparisonMethod, DifferenceScale, LevelComparison, MetricChange, MetricComparison, NoiseFloor,
    SIGNIFICANCE, TENTH, buckets, power,
};
use crate::domain::statistics::{self, EstimatedDifference};

/// Scatter that grows by less than this share is no finding …
const LEAST_SPREAD: f64 = 0.5;
/// … and neither is one below this share of the noise floor.
const SPREAD_OF_FLOOR: f64 = 0.5;
/// A drift from run to run that explains so much of a difference hides it.
const DRIFT_SHARE: f64 = 0.4;

/// What was found on one level.
pub(super) struct Rows {
    pub(super) level: usize,
    pub(super) target_rps: Option<u32>,
    pub(super) rows: Vec<Row>,
}

/// What was found of one metric, before it is known as one of many.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) family: Family,
    pub(super) more_is_better: bool,
    pub(super) scale: DifferenceScale,
    /// Whether its values come from coarse buckets.
    pub(super) coarse: bool,
    pub(super) before: Option<f64>,
    pub(super) after: Option<f64>,
    /// On the scale on which it was compared: logarithms but for an absolute difference.
    pub(super) shift: Option<EstimatedDifference>,
    /// Nothing scatters at all and nothing differs: no look that could find anything.
    pub(super) constant: bool,
    pub(super) floor: f64,
    /// Length of the steady window.
    pub(super) seconds: u64,
    /// What the runs drift by between the middles of both sides, as the shift is told.
    pub(super) drift: f64,
    /// Why nothing can be said.
    pub(super) obstacle: Option<String>,
}

impl Row {
    /// An empty one of a metric.
    pub(super) fn of(kind: &MetricKind, noise: &NoiseFloor) -> Self {
        Self {
            name: kind.name.to_owned(),
            family: kind.family,
            more_is_better: kind.more_is_better,
            scale: if kind.is_difference() { DifferenceScale::Absolute } else { DifferenceScale::Relative },
            coarse: matches!(kind.source, Source::Buckets(_)),
            before: None,
            after: None,
            shift: None,
            constant: false,
            floor: noise.floor_of(kind),
            seconds: 0,
            drift: 0.0,
            obstacle: None,
        }
    }
}

/// Judges every row of a comparison of so many runs on each side.
pub(super) fn judged(
    levels: Vec<Rows>,
    runs: (usize, usize),
    method: ComparisonMethod,
) -> Vec<LevelComparison> {
    let families = [Family::Primary, Family::Rest, Family::Spread];
    let mut corrected = families.map(|family| {
        let all = levels.iter().flat_map(|level| &level.rows);
        let looks = all.filter(|row| row.family == family && !row.constant);
        let by_chance: Vec<_> = looks.filter_map(|row| row.shift).map(|shift| shift.p).collect();
        let looks = by_chance.len();
        let held = statistics::holm(&by_chance).into_iter().map(|p| (p / family.weight()).min(1.0));
        (looks, held.collect::<Vec<_>>().into_iter())
    });
    let mut metric = |row: Row| {
        let (looks, held) = &mut corrected[row.family as usize];
        let p = row.shift.map(|_| if row.constant { 1.0 } else { held.next().unwrap_or(1.0) });
        let mut row = row;
        if method == ComparisonMethod::MannWhitney && row.obstacle.is_none() && !row.constant {
            row.obstacle = power::lacking(runs, row.family, *looks);
        }
        row.judged(p, *looks)
    };
    let whole = |Rows { level, target_rps, rows }| LevelComparison {
        level,
        target_rps,
        metrics: rows.into_iter().map(&mut metric).collect(),
    };
    levels.into_iter().map(whole).collect()
}

impl Row {
    /// With its corrected probability, as one of so many looks.
    fn judged(self, p: Option<f64>, looks: usize) -> MetricComparison {
        let (verdict, reason) = match (&self.obstacle, self.shift, p) {
            (None, Some(shift), Some(p)) => self.verdict(&shift, p),
            (why, ..) => (MetricChange::Inconclusive, why.clone()),
        };
        // The one that is looked at first is judged the most sternly, and which it is depends on chance.
        let significance = SIGNIFICANCE * self.family.weight() / looks.max(1) as f64;
        let shift = self.shift.filter(|_| reason.is_none() && self.scale == DifferenceScale::Relative);
        let precision = shift.and_then(|shift| shift.precision);
        let times = precision.and_then(|it| it.lengthening(TENTH, significance, self.floor));
        let change = |by: f64| if self.scale == DifferenceScale::Absolute { by } else { by.exp_m1() };
        let interval = self.shift.map(|shift| (change(shift.low), change(shift.high)));
        MetricComparison {
            name: self.name,
            before: self.before,
            after: self.after,
            scale: self.scale,
            change: self.shift.map(|shift| change(shift.by)),
            interval: interval.filter(|(low, high)| low.is_finite() && high.is_finite()),
            p,
            noise: self.floor,
            detectable: precision.and_then(|it| it.detectable(significance, self.floor)),
            tenth_needs_s: times.map(|times| times * self.seconds as f64),
            verdict,
            reason,
        }
    }

    fn verdict(&self, shift: &EstimatedDifference, p: f64) -> (MetricChange, Option<String>) {
        let found = match self.family {
            Family::Spread => self.spread(shift, p),
            Family::Primary | Family::Rest => self.moved(shift, p),
        };
        if found.is_finding()
            && self.drift * shift.by > 0.0
            && self.drift.abs() >= DRIFT_SHARE * shift.by.abs()
        {
            let why = "the values drift from run to run as well: make the runs of both sides in turns";
            return (MetricChange::Inconclusive, Some(why.to_owned()));
        }
        match (self.coarse, self.before, self.after) {
            (true, Some(before), Some(after)) => buckets::tempered(found, before, after),
            _ => (found, None),
        }
    }

    fn moved(&self, shift: &EstimatedDifference, p: f64) -> MetricChange {
        let change = |by: f64| if self.scale == DifferenceScale::Absolute { by } else { by.exp_m1() };
        if p < SIGNIFICANCE && change(shift.by).abs() >= self.floor {
            return self.way(shift.by);
        }
        // Two floors, so that what is within one floor can be told from noise at all.
        let within = change(shift.low) > -2.0 * self.floor && change(shift.high) < 2.0 * self.floor;
        if within { MetricChange::Unchanged } else { MetricChange::Inconclusive }
    }

    fn spread(&self, shift: &EstimatedDifference, p: f64) -> MetricChange {
        let most = self.before.into_iter().chain(self.after).fold(0.0, f64::max);
        let enough = shift.by.abs() >= LEAST_SPREAD.ln_1p() && most >= SPREAD_OF_FLOOR * self.floor;
        if p < SIGNIFICANCE && enough { self.way(shift.by) } else { MetricChange::Inconclusive }
    }

    fn way(&self, by: f64) -> MetricChange {
        if (by > 0.0) == self.more_is_better { MetricChange::Improved } else { MetricChange::Regressed }
    }
}

impl MetricChange {
    const fn is_finding(self) -> bool {
        matches!(self, Self::Improved | Self::Regressed)
    }
}
