//! What one change gained, from a measurement before, with and after it (A/B/A). Pure.
//!
//! The second A tells a change from a machine that became faster or slower meanwhile: when the two
//! differ, the change must beat each of them by itself.

use super::compare::ClientValue;
use super::compare::client::{self, Block};
use super::run::Slice;
use super::statistics::{self, Estimate, EstimatedDifference};
use serde::Serialize;

/// A difference counts when chance makes it less often than this, of each of the two metrics.
const SIGNIFICANCE: f64 = 0.025;
/// Differences below this share are noise, whatever chance says.
const NOISE_FLOOR: f64 = 0.05;

/// One measurement: what the client counted in each slice of each level.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MeasuredSeries {
    /// The slices by level.
    pub levels: Vec<Vec<Slice>>,
}

impl MeasuredSeries {
    fn blocks(&self) -> Vec<Block> {
        self.levels.iter().flat_map(|slices| client::blocks(slices)).collect()
    }
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExperimentVerdict {
    /// Faster answers or more of them, and neither got worse.
    Helped,
    /// Slower answers or fewer of them.
    Harmed,
    /// No difference that chance and noise could not make.
    Nothing,
    /// Too little was measured to tell.
    Unknown,
}

/// The gain of one metric.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct MetricGain {
    /// Value without the change.
    pub without: f64,
    /// Value with it.
    pub with: f64,
    /// Relative change; -0.2 is a fifth less.
    pub change: f64,
    /// Its 95 % interval.
    pub interval: (f64, f64),
    /// Probability by chance.
    pub p: f64,
}

/// What one change came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct ExperimentOutcome {
    /// Of the 95th percentile; less is better.
    pub p95: Option<MetricGain>,
    /// Of the rate; more is better.
    pub rate: Option<MetricGain>,
    /// Whether the measurements without the change differ from each other.
    pub drifted: bool,
    /// What it comes to.
    pub verdict: ExperimentVerdict,
}

/// Judges a change by the measurements before, with and after it.
#[must_use]
pub fn judge(before: &MeasuredSeries, with: &MeasuredSeries, after: &MeasuredSeries) -> ExperimentOutcome {
    let p95 = ExperimentMetric { value: ClientValue::Percentile(0.95), more_is_better: false };
    let rate = ExperimentMetric { value: ClientValue::Throughput, more_is_better: true };
    let drifted =
        [&p95, &rate].into_iter().any(|metric| metric.effect_of(before, after) != Some(MetricEffect::Same));
    let effects = [p95.verdict(before, with, after, drifted), rate.verdict(before, with, after, drifted)];
    let verdict = if effects.contains(&Some(MetricEffect::Worse)) {
        ExperimentVerdict::Harmed
    } else if effects.contains(&Some(MetricEffect::Better)) {
        ExperimentVerdict::Helped
    } else if effects.contains(&None) {
        ExperimentVerdict::Unknown
    } else {
        ExperimentVerdict::Nothing
    };
    ExperimentOutcome {
        p95: p95.gain(before, with, after),
        rate: rate.gain(before, with, after),
        drifted,
        verdict,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MetricEffect {
    Better,
    Worse,
    Same,
}

struct ExperimentMetric {
    value: ClientValue,
    more_is_better: bool,
}

impl ExperimentMetric {
    fn estimate(&self, blocks: &[Block]) -> Option<Estimate> {
        client::estimate(blocks, self.value)
    }

    fn effect_of(&self, one: &MeasuredSeries, other: &MeasuredSeries) -> Option<MetricEffect> {
        let shift = statistics::shift(&self.estimate(&one.blocks())?, &self.estimate(&other.blocks())?)?;
        Some(self.read(&shift))
    }

    fn read(&self, shift: &EstimatedDifference) -> MetricEffect {
        if shift.p >= SIGNIFICANCE || shift.by.exp_m1().abs() < NOISE_FLOOR {
            return MetricEffect::Same;
        }
        if (shift.by > 0.0) == self.more_is_better { MetricEffect::Better } else { MetricEffect::Worse }
    }

    /// The value without the change, before and after together, and with it.
    fn both(
        &self,
        before: &MeasuredSeries,
        with: &MeasuredSeries,
        after: &MeasuredSeries,
    ) -> Option<(Estimate, Estimate)> {
        let without = [before.blocks(), after.blocks()].concat();
        Some((self.estimate(&without)?, self.estimate(&with.blocks())?))
    }

    fn effect(
        &self,
        before: &MeasuredSeries,
        with: &MeasuredSeries,
        after: &MeasuredSeries,
    ) -> Option<EstimatedDifference> {
        let (without, with) = self.both(before, with, after)?;
        statistics::shift(&without, &with)
    }

    fn gain(
        &self,
        before: &MeasuredSeries,
        with: &MeasuredSeries,
        after: &MeasuredSeries,
    ) -> Option<MetricGain> {
        let (without, with) = self.both(before, with, after)?;
        let shift = statistics::shift(&without, &with)?;
        Some(MetricGain {
            without: without.value.exp(),
            with: with.value.exp(),
            change: shift.by.exp_m1(),
            interval: (shift.low.exp_m1(), shift.high.exp_m1()),
            p: shift.p,
        })
    }

    fn verdict(
        &self,
        before: &MeasuredSeries,
        with: &MeasuredSeries,
        after: &MeasuredSeries,
        drifted: bool,
    ) -> Option<MetricEffect> {
        if !drifted {
            return Some(self.read(&self.effect(before, with, after)?));
        }
        let (first, second) = (self.effect_of(before, with)?, self.effect_of(after, with)?);
        Some(if first == second { first } else { MetricEffect::Same })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forty seconds that waver by a tenth around these values.
    fn measured(p95_ms: f64, rate_rps: f64) -> MeasuredSeries {
        let slice = |second: i32| {
            let waver = 1.0 + 0.1 * f64::from(second * 7 % 11 - 5) / 5.0;
            let mut slice = Slice { from_s: f64::from(second), seconds: 1, ..Slice::default() };
            slice.counts.requests = (rate_rps * waver) as u64;
            slice.counts.due.record_ms(p95_ms / 4.0 * waver, 90);
            slice.counts.due.record_ms(p95_ms * waver, 10);
            slice
        };
        MeasuredSeries { levels: vec![(0..40).map(slice).collect()] }
    }

    #[test]
    fn half_the_answer_time_helped_and_twice_harmed() {
        let (slow, fast) = (measured(40.0, 100.0), measured(20.0, 100.0));
        let helped = judge(&slow, &fast, &slow);
        assert_eq!((helped.verdict, helped.drifted), (ExperimentVerdict::Helped, false));
        assert!((helped.p95.unwrap().change + 0.5).abs() < 0.01, "{helped:?}");
        // What is shown and what is judged are one number.
        let gain = helped.p95.unwrap();
        assert!((gain.with / gain.without - 1.0 - gain.change).abs() < 1e-9, "{gain:?}");
        assert_eq!(judge(&fast, &slow, &fast).verdict, ExperimentVerdict::Harmed);
    }

    #[test]
    fn the_same_is_nothing_and_nothing_measured_is_unknown() {
        let same = measured(20.0, 100.0);
        assert_eq!(judge(&same, &same, &same).verdict, ExperimentVerdict::Nothing);
        assert_eq!(judge(&same, &MeasuredSeries::default(), &same).verdict, ExperimentVerdict::Unknown);
    }

    #[test]
    fn a_machine_that_became_faster_is_not_the_changes_merit() {
        let found = judge(&measured(40.0, 100.0), &measured(20.0, 100.0), &measured(20.0, 100.0));
        assert!(found.drifted);
        assert_eq!(found.verdict, ExperimentVerdict::Nothing);
    }

    #[test]
    fn a_better_time_does_not_excuse_a_worse_rate() {
        let before = measured(40.0, 100.0);
        assert_eq!(judge(&before, &measured(20.0, 50.0), &before).verdict, ExperimentVerdict::Harmed);
    }
}
