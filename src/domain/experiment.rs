//! What one change gained, from a measurement before, with and after it (A/B/A). Pure.
//!
//! The second A tells a change from a machine that became faster or slower meanwhile: when the two
//! differ, the change must beat each of them by itself.

use super::statistics::{self, Effect};
use serde::Serialize;

/// A difference counts when chance makes it less often than this.
const SIGNIFICANCE: f64 = 0.05;
/// Differences below this share are noise, whatever chance says.
const NOISE_FLOOR: f64 = 0.05;

/// One measurement: a value for each second of its steady window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// 95th percentile of the answer time, in ms.
    pub p95_ms: Vec<f64>,
    /// Requests per second.
    pub rate_rps: Vec<f64>,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gain {
    /// Relative change; -0.2 is a fifth less.
    pub change: f64,
    /// Its 95 % interval.
    pub interval: (f64, f64),
    /// Probability by chance.
    pub p: f64,
}

/// What one change came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Of the 95th percentile; less is better.
    pub p95: Option<Gain>,
    /// Of the rate; more is better.
    pub rate: Option<Gain>,
    /// Whether the measurements without the change differ from each other.
    pub drifted: bool,
    /// What it comes to.
    pub verdict: Verdict,
}

/// Judges a change by the measurements before, with and after it.
#[must_use]
pub fn judge(before: &Measured, with: &Measured, after: &Measured) -> Outcome {
    let p95 = Metric { values: |one| &one.p95_ms, more_is_better: false };
    let rate = Metric { values: |one| &one.rate_rps, more_is_better: true };
    let drifted = [&p95, &rate].into_iter().any(|metric| metric.told(before, after) != Some(Told::Same));
    let told = [p95.verdict(before, with, after, drifted), rate.verdict(before, with, after, drifted)];
    let verdict = if told.contains(&Some(Told::Worse)) {
        Verdict::Harmed
    } else if told.contains(&Some(Told::Better)) {
        Verdict::Helped
    } else if told.contains(&None) {
        Verdict::Unknown
    } else {
        Verdict::Nothing
    };
    Outcome { p95: p95.gain(before, with, after), rate: rate.gain(before, with, after), drifted, verdict }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Better,
    Worse,
    Same,
}

struct Metric {
    values: fn(&Measured) -> &Vec<f64>,
    more_is_better: bool,
}

impl Metric {
    fn told(&self, one: &Measured, other: &Measured) -> Option<Told> {
        let effect = statistics::compare((self.values)(one), (self.values)(other))?;
        Some(self.read(&effect))
    }

    fn read(&self, effect: &Effect) -> Told {
        if effect.p >= SIGNIFICANCE || (effect.ratio - 1.0).abs() < NOISE_FLOOR {
            return Told::Same;
        }
        if (effect.ratio > 1.0) == self.more_is_better { Told::Better } else { Told::Worse }
    }

    fn effect(&self, before: &Measured, with: &Measured, after: &Measured) -> Option<Effect> {
        let without: Vec<f64> = [(self.values)(before).as_slice(), (self.values)(after)].concat();
        statistics::compare(&without, (self.values)(with))
    }

    fn gain(&self, before: &Measured, with: &Measured, after: &Measured) -> Option<Gain> {
        let effect = self.effect(before, with, after)?;
        let interval = (effect.low - 1.0, effect.high - 1.0);
        Some(Gain { change: effect.ratio - 1.0, interval, p: effect.p })
    }

    fn verdict(&self, before: &Measured, with: &Measured, after: &Measured, drifted: bool) -> Option<Told> {
        if !drifted {
            return Some(self.read(&self.effect(before, with, after)?));
        }
        let (first, second) = (self.told(before, with)?, self.told(after, with)?);
        Some(if first == second { first } else { Told::Same })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forty seconds that waver by a tenth around these values.
    fn measured(p95_ms: f64, rate_rps: f64) -> Measured {
        let waver = |base: f64| {
            (0..40).map(|second| base * (1.0 + 0.1 * f64::from(second * 7 % 11 - 5) / 5.0)).collect()
        };
        Measured { p95_ms: waver(p95_ms), rate_rps: waver(rate_rps) }
    }

    #[test]
    fn half_the_answer_time_helped_and_twice_harmed() {
        let (slow, fast) = (measured(40.0, 100.0), measured(20.0, 100.0));
        let helped = judge(&slow, &fast, &slow);
        assert_eq!((helped.verdict, helped.drifted), (Verdict::Helped, false));
        assert!((helped.p95.unwrap().change + 0.5).abs() < 0.01, "{helped:?}");
        assert_eq!(judge(&fast, &slow, &fast).verdict, Verdict::Harmed);
    }

    #[test]
    fn the_same_is_nothing_and_nothing_measured_is_unknown() {
        let same = measured(20.0, 100.0);
        assert_eq!(judge(&same, &same, &same).verdict, Verdict::Nothing);
        assert_eq!(judge(&same, &Measured::default(), &same).verdict, Verdict::Unknown);
    }

    #[test]
    fn a_machine_that_became_faster_is_not_the_changes_merit() {
        let found = judge(&measured(40.0, 100.0), &measured(20.0, 100.0), &measured(20.0, 100.0));
        assert!(found.drifted);
        assert_eq!(found.verdict, Verdict::Nothing);
    }

    #[test]
    fn a_better_time_does_not_excuse_a_worse_rate() {
        let before = measured(40.0, 100.0);
        assert_eq!(judge(&before, &measured(20.0, 50.0), &before).verdict, Verdict::Harmed);
    }
}
