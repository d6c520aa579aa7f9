//! What the engines say of one endpoint at one rate: how they agree, and how equal turns differ. Pure.

use super::run::Latency;
use super::scenario::Engine;
use super::statistics;
use serde::{Deserialize, Serialize};

/// Two engines agree when they differ by at most this share of the larger value …
const AGREED_SHARE: f64 = 0.10;
/// … or by at most this, in ms: what the timer and the scheduler of any machine do.
const AGREED_MS: f64 = 1.0;

/// A percentile by its name.
type Percentile = (&'static str, fn(&Latency) -> Option<f64>);

/// The percentiles that must agree.
const PERCENTILES: [Percentile; 3] = [("p50", |one| one.p50), ("p95", |one| one.p95), ("p99", |one| one.p99)];

/// One engine's turn at the endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// Which engine.
    pub engine: Engine,
    /// Requests of the steady window.
    pub requests: u64,
    /// Requests per second of the steady window.
    pub throughput_rps: f64,
    /// Share of failed requests; null when there was none at all.
    pub error_rate: Option<f64>,
    /// Answer times of the steady window.
    pub latency_ms: Latency,
    /// CPU of the generator in the steady window, per cent of one core.
    pub cpu_pct: Option<f64>,
}

/// One percentile as the engines saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// `p50`, `p95` or `p99`.
    pub percentile: String,
    /// k6, the median of its turns, in ms.
    pub k6_ms: Option<f64>,
    /// The native engine, the median of its turns, in ms.
    pub native_ms: Option<f64>,
    /// Largest difference of two turns of one engine, in ms.
    pub between_turns_ms: Option<f64>,
    /// Whether they agree; null when one of them has no value.
    pub agrees: Option<bool>,
}

/// How the engines agree. A percentile of several turns is the one of the middle turn: percentiles are
/// never averaged.
#[must_use]
pub fn agreements(turns: &[Turn]) -> Vec<Agreement> {
    let agreement = |(name, of): &(&str, fn(&Latency) -> Option<f64>)| {
        let values = |engine: Engine| -> Vec<f64> {
            turns
                .iter()
                .filter(|turn| turn.engine == engine)
                .filter_map(|turn| of(&turn.latency_ms))
                .collect()
        };
        let (k6, native) = (values(Engine::K6), values(Engine::Native));
        let (k6_ms, native_ms) = (statistics::median(&k6), statistics::median(&native));
        let between = [&k6, &native].into_iter().filter_map(|values| range(values)).reduce(f64::max);
        Agreement {
            percentile: (*name).to_owned(),
            k6_ms,
            native_ms,
            between_turns_ms: between,
            agrees: k6_ms.zip(native_ms).map(|(one, two)| agree(one, two)),
        }
    };
    PERCENTILES.iter().map(agreement).collect()
}

fn agree(one: f64, two: f64) -> bool {
    (one - two).abs() <= (one.max(two) * AGREED_SHARE).max(AGREED_MS)
}

/// Distance between the smallest and the largest of two values or more.
fn range(values: &[f64]) -> Option<f64> {
    let (least, most) = (values.iter().copied().reduce(f64::min)?, values.iter().copied().reduce(f64::max)?);
    (values.len() > 1).then_some(most - least)
}

/// What a generator makes of a processor: requests for each second of CPU time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ceiling {
    /// `k6`, `native`, `oha` or `wrk`.
    pub generator: String,
    /// Requests of all its turns.
    pub requests: u64,
    /// Requests per second of CPU time, turn by turn.
    pub turns: Vec<f64>,
    /// The middle one.
    pub per_cpu_s: f64,
}

/// The ceiling of a generator from its turns: requests, and seconds of CPU time. None when no turn
/// used any.
#[must_use]
pub fn ceiling(generator: &str, turns: &[(u64, f64)]) -> Option<Ceiling> {
    let rates: Vec<_> = turns
        .iter()
        .filter(|(_, cpu_s)| *cpu_s > 0.0)
        .map(|(requests, cpu_s)| *requests as f64 / cpu_s)
        .collect();
    Some(Ceiling {
        generator: generator.to_owned(),
        requests: turns.iter().map(|turn| turn.0).sum(),
        per_cpu_s: statistics::median(&rates)?,
        turns: rates,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(engine: Engine, p50: f64, p99: Option<f64>) -> Turn {
        Turn {
            engine,
            requests: 100,
            throughput_rps: 10.0,
            error_rate: Some(0.0),
            latency_ms: Latency { p50: Some(p50), p95: Some(p50 * 2.0), p99, ..Latency::default() },
            cpu_pct: None,
        }
    }

    #[test]
    fn engines_agree_within_a_tenth_or_a_millisecond() {
        let turns = [
            turn(Engine::K6, 1.0, Some(200.0)),
            turn(Engine::Native, 1.9, Some(215.0)),
            turn(Engine::K6, 1.0, Some(200.0)),
            turn(Engine::Native, 1.9, Some(215.0)),
        ];
        let found = agreements(&turns);
        let agrees: Vec<_> = found.iter().map(|one| one.agrees).collect();
        assert_eq!(agrees, [Some(true), Some(false), Some(true)]);
        assert_eq!(found[0].between_turns_ms, Some(0.0));
    }

    #[test]
    fn the_middle_turn_speaks_and_a_missing_value_is_no_agreement() {
        let turns = [
            turn(Engine::K6, 1.0, None),
            turn(Engine::K6, 9.0, None),
            turn(Engine::K6, 2.0, None),
            turn(Engine::Native, 2.0, Some(3.0)),
        ];
        let found = agreements(&turns);
        assert_eq!((found[0].k6_ms, found[0].between_turns_ms), (Some(2.0), Some(8.0)));
        assert_eq!((found[2].k6_ms, found[2].agrees), (None, None));
    }

    #[test]
    fn a_ceiling_is_that_of_the_middle_turn_and_needs_one() {
        let found = ceiling("wrk", &[(1_000, 0.1), (3_000, 0.1), (2_000, 0.1), (5, 0.0)]).unwrap();
        assert_eq!((found.per_cpu_s.round(), found.requests), (20_000.0, 6_005));
        assert_eq!(ceiling("wrk", &[]), None);
    }
}
