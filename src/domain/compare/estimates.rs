//! The value of one metric on one level of one run, and what tells how well it is known.

use super::client;
use super::metrics::{MetricKind, Source};
use crate::domain::run::{LevelResult, Sample};
use crate::domain::statistics::{self, Estimate};

/// Whether a level keeps what its client counted, slice by slice.
pub(super) fn keeps_slices(level: &LevelResult) -> bool {
    level.slices.len() > 1
}

/// The estimate of a metric, on the scale on which it is compared. `by_slices` tells whether the runs that
/// are compared keep slices, all of them.
pub(super) fn estimate(kind: &MetricKind, level: &LevelResult, by_slices: bool) -> Option<Estimate> {
    match kind.source {
        Source::Client(value) if by_slices => {
            let found = client::estimate(&client::blocks(&level.slices), value)?;
            // The generator's own value is that of the same counts, in finer steps.
            let exact = client::value_of(level, value).map(|value| kind.scaled(value));
            Some(Estimate { value: exact.filter(|value| value.is_finite()).unwrap_or(found.value), ..found })
        }
        Source::Client(value) => {
            let seconds = window(level, client::second(value));
            if kind.is_difference() { plain_mean(&seconds) } else { typical(&seconds) }
        }
        Source::Mean(of) => mean(&window(level, of)),
        Source::Buckets(of) => typical(&window(level, of)),
    }
}

/// The value of a metric as it is told: that of its estimate, else what the level itself says.
pub(super) fn value(kind: &MetricKind, level: &LevelResult, by_slices: bool) -> Option<f64> {
    let own = match kind.source {
        Source::Client(value) => client::value_of(level, value),
        Source::Mean(_) | Source::Buckets(_) => None,
    };
    let exact = own.filter(|_| by_slices);
    let found = || estimate(kind, level, by_slices).map(|found| kind.displayed(found.value));
    exact.or_else(found).or(own)
}

/// The logarithm of the mean.
fn mean(values: &[f64]) -> Option<Estimate> {
    let sum: f64 = values.iter().sum();
    statistics::jackknife(values.len(), |without| match without {
        None => Some((sum / values.len() as f64).ln()),
        Some(index) => Some(((sum - values[index]) / (values.len() as f64 - 1.0)).ln()),
    })
}

fn plain_mean(values: &[f64]) -> Option<Estimate> {
    let value = values.iter().sum::<f64>() / values.len() as f64;
    value.is_finite().then(|| Estimate { value, parts: values.to_vec() })
}

/// The mean of logarithms: what a second is like.
fn typical(values: &[f64]) -> Option<Estimate> {
    let parts: Vec<f64> = values.iter().filter(|value| **value > 0.0).map(|value| value.ln()).collect();
    plain_mean(&parts)
}

/// The seconds of the steady window.
fn window(level: &LevelResult, of: fn(&Sample) -> Option<f64>) -> Vec<f64> {
    let end = level.steady_from_s + level.steady_s as f64;
    let inside = level.samples.iter().filter(|one| one.at_s >= level.steady_from_s && one.at_s <= end);
    inside.filter_map(of).filter(|value| value.is_finite()).collect()
}
