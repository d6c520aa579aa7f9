//! Repeated runs: one value for each run, in the order in which they were made.

use super::judge::Row;
use super::metrics::{Family, MetricKind};
use super::{DifferenceScale, Sides, estimates};
use crate::domain::run::{LevelResult, Run};
use crate::domain::statistics::{self, compare_runs, drift, spread_of_runs};

/// The place of each run among all, by when they began; equal ones in the order in which they are named.
pub(super) fn order(before: &[&Run], after: &[&Run]) -> (Vec<f64>, Vec<f64>) {
    let all: Vec<&Run> = before.iter().chain(after).copied().collect();
    let began = |run: &Run| run.started_at.parse::<jiff::Timestamp>().ok();
    let mut sorted: Vec<usize> = (0..all.len()).collect();
    sorted.sort_by_key(|index| (began(all[*index]), *index));
    let mut places = vec![0.0; all.len()];
    for (place, index) in sorted.into_iter().enumerate() {
        places[index] = place as f64;
    }
    let after = places.split_off(before.len());
    (places, after)
}

/// What is to be said of runs that were not made in turns.
pub(super) fn not_in_turns(before: &[f64], after: &[f64]) -> Option<String> {
    let ends = |places: &[f64]| {
        let (least, most) = places
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), one| (least.min(*one), most.max(*one)));
        (least, most)
    };
    let (one, two) = (ends(before), ends(after));
    (one.1 < two.0 || two.1 < one.0).then(|| {
        "all runs of one side were made before those of the other: what the machine drifted by meanwhile is in \
         the difference; runs made in turns do not have it"
            .to_owned()
    })
}

/// The rows of a metric: where its values lie, and for what users feel how they scatter.
pub(super) fn rows(sides: &Sides<'_>, kind: &MetricKind, by_slices: bool) -> Vec<Row> {
    let values = |levels: &[&LevelResult]| -> Option<Vec<f64>> {
        levels.iter().map(|level| estimates::value(kind, level, by_slices)).collect()
    };
    let (before, after) = (values(&sides.before), values(&sides.after));
    let scaled = |values: &Option<Vec<f64>>| -> Option<Vec<f64>> {
        let scaled: Vec<_> = values.as_ref()?.iter().map(|value| kind.scaled(*value)).collect();
        scaled.iter().all(|value| value.is_finite()).then_some(scaled)
    };
    let both = scaled(&before).zip(scaled(&after));
    let middle = |values: &Option<Vec<f64>>| values.as_ref().and_then(|values| statistics::median(values));
    let shift = both.as_ref().and_then(|(one, two)| compare_runs(one, two));
    let row = Row {
        before: middle(&before),
        after: middle(&after),
        shift,
        constant: both.as_ref().is_some_and(|(one, two)| is_constant(one, two)),
        seconds: sides.before.first().map_or(0, |level| level.steady_s),
        drift: both.as_ref().map_or(0.0, |(one, two)| drifted(sides, one, two)),
        obstacle: sides
            .too_old(kind)
            .or_else(|| shift.is_none().then(|| "not measured in each run".to_owned())),
        ..Row::of(kind, sides.noise)
    };
    let mut rows = vec![row];
    if let Some((one, two)) = both.filter(|_| kind.family == Family::Primary && !kind.is_difference()) {
        rows.extend(scatter(sides, kind, &one, &two));
    }
    rows
}

fn is_constant(before: &[f64], after: &[f64]) -> bool {
    let first = before.first().or(after.first());
    before.iter().chain(after).all(|value| Some(value) == first)
}

/// How much of a difference the drift within both sides makes.
fn drifted(sides: &Sides<'_>, before: &[f64], after: &[f64]) -> f64 {
    let placed = |places: &[f64], values: &[f64]| -> Vec<(f64, f64)> {
        let mut placed: Vec<_> = places.iter().copied().zip(values.iter().copied()).collect();
        placed.sort_by(|one, two| one.0.total_cmp(&two.0));
        placed
    };
    let (one, two) = (placed(sides.order_before, before), placed(sides.order_after, after));
    let middle = |side: &[(f64, f64)]| side.iter().map(|one| one.0).sum::<f64>() / side.len().max(1) as f64;
    drift(&one, &two).map_or(0.0, |slope| slope * (middle(&two) - middle(&one)))
}

/// How the runs of each side scatter around their own median, as a share of it.
fn scatter(sides: &Sides<'_>, kind: &MetricKind, before: &[f64], after: &[f64]) -> Option<Row> {
    let shift = spread_of_runs(before, after)?;
    let share = |values: &[f64]| {
        let middle = statistics::median(values)?;
        statistics::median(&values.iter().map(|value| (value - middle).abs()).collect::<Vec<_>>())
    };
    Some(Row {
        name: format!("{}_spread", kind.name),
        family: Family::Spread,
        // Whatever is measured, runs that are alike are better.
        more_is_better: false,
        scale: DifferenceScale::Relative,
        before: share(before),
        after: share(after),
        shift: Some(shift),
        ..Row::of(kind, sides.noise)
    })
}
