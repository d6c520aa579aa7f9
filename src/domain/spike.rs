//! How the service took a sudden rise: how soon the load was there, and how long it took to recover.

use super::run::sample::{self, Sample};
use serde::{Deserialize, Serialize};

/// So many seconds in a row must be good before something counts as recovered.
const SETTLED_SECONDS: usize = 3;
/// Answer times above this multiple of those before the spike are not recovered.
const LATENCY_FACTOR: f64 = 1.5;
/// Differences below this are noise, in ms.
const LATENCY_NOISE_MS: f64 = 5.0;
/// A share of failed requests up to this is as good as none.
const ERROR_SHARE: f64 = 0.01;
/// Messages that always wait: what is consumed in a tenth of a second.
const LAG_SECONDS: f64 = 0.1;

/// The response to a spike. Times are in seconds; null when it did not happen while it was watched.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spike {
    /// From the start of the spike until the load was served at nine tenths of its rate.
    pub served_after_s: Option<f64>,
    /// Largest 95th percentile of one second, in ms.
    pub p95_max_ms: Option<f64>,
    /// Largest share of failed requests of one second, 0 to 1.
    pub error_share_max: Option<f64>,
    /// Most messages that waited, during the spike and after it.
    pub lag_max: Option<i64>,
    /// From the end of the spike until the 95th percentile was as before it.
    pub latency_recovered_s: Option<f64>,
    /// From the end of the spike until requests failed no more than before it.
    pub errors_recovered_s: Option<f64>,
    /// From the end of the spike until no more messages waited than before it.
    pub lag_recovered_s: Option<f64>,
}

/// When the spike was, seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpikeSpan {
    /// Its start.
    pub from_s: f64,
    /// Its end.
    pub to_s: f64,
    /// Its rate, requests per second.
    pub rate: f64,
}

/// The 95th percentile of a second: the client's, else the service's own.
fn p95(one: &Sample) -> Option<f64> {
    one.client_p95_ms.or(one.p95_ms)
}

fn served(one: &Sample) -> Option<f64> {
    one.client_rps.or(one.rate_rps)
}

fn error_share(one: &Sample) -> Option<f64> {
    let errors = one.client_errors_per_s.or(one.errors_per_s)?;
    served(one).filter(|rate| *rate > 0.0).map(|rate| errors / rate)
}

fn lag(one: &Sample) -> Option<f64> {
    one.lag.map(|lag| lag as f64)
}

/// Measures the response. `samples` hold the time before the spike, the spike, and after it.
#[must_use]
pub fn response(samples: &[Sample], spike: SpikeSpan) -> Spike {
    let before: Vec<_> = samples.iter().filter(|one| one.at_s < spike.from_s).collect();
    let during = samples.iter().filter(|one| one.at_s >= spike.from_s && one.at_s <= spike.to_s);
    let since: Vec<_> = samples.iter().filter(|one| one.at_s >= spike.from_s).collect();
    let after: Vec<_> = samples.iter().filter(|one| one.at_s > spike.to_s).collect();
    let usual = |of: fn(&Sample) -> Option<f64>| {
        let mut values: Vec<_> = before.iter().filter_map(|one| of(one)).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    let most_before = |of: fn(&Sample) -> Option<f64>| sample::largest(before.iter().copied(), of);
    let recovered = |of: fn(&Sample) -> Option<f64>, bound: Option<f64>| {
        first_settled(&after, of, bound?).map(|at| (at - spike.to_s).max(0.0))
    };
    let latency_bound = usual(p95).map(|ms| (ms * LATENCY_FACTOR).max(ms + LATENCY_NOISE_MS));
    let error_bound = most_before(error_share).map(|share| share.max(ERROR_SHARE));
    let few = usual(served).map_or(0.0, |rate| rate * LAG_SECONDS);
    let lag_bound = most_before(lag).map(|most| most.max(few));
    Spike {
        served_after_s: during
            .into_iter()
            .find(|one| served(one).is_some_and(|rate| rate >= 0.9 * spike.rate))
            .map(|one| (one.at_s - spike.from_s).max(0.0)),
        p95_max_ms: sample::largest(since.iter().copied(), p95),
        error_share_max: sample::largest(since.iter().copied(), error_share),
        lag_max: since.iter().filter_map(|one| one.lag).max(),
        latency_recovered_s: recovered(p95, latency_bound),
        errors_recovered_s: recovered(error_share, error_bound),
        lag_recovered_s: recovered(lag, lag_bound),
    }
}

/// The first second from which on the value stays within its bound for [`SETTLED_SECONDS`]. A second
/// without the value is no proof.
fn first_settled(samples: &[&Sample], of: fn(&Sample) -> Option<f64>, bound: f64) -> Option<f64> {
    let settled = |window: &[&Sample]| window.iter().all(|one| of(one).is_some_and(|value| value <= bound));
    samples.windows(SETTLED_SECONDS).find(|window| settled(window)).map(|window| window[0].at_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPIKE: SpikeSpan = SpikeSpan { from_s: 20.0, to_s: 30.0, rate: 1_000.0 };

    /// Sixty seconds: calm, ten seconds of spike, then a recovery of `slow` seconds.
    fn series(slow: u32) -> Vec<Sample> {
        let second = |second: u32| {
            let (at_s, hot) = (f64::from(second), (20..=30).contains(&second));
            let recovering = second > 30 && second <= 30 + slow;
            Sample {
                at_s,
                client_rps: Some(if hot && second > 21 { 1_000.0 } else { 100.0 }),
                client_p95_ms: Some(if hot || recovering { 900.0 } else { 10.0 }),
                client_errors_per_s: Some(if hot { 50.0 } else { 0.0 }),
                lag: Some(if hot || recovering { 5_000 } else { 3 }),
                ..Sample::default()
            }
        };
        (0..60).map(second).collect()
    }

    #[test]
    fn each_recovery_is_a_number_of_its_own() {
        let found = response(&series(7), SPIKE);
        assert_eq!(found.served_after_s, Some(2.0));
        assert_eq!((found.latency_recovered_s, found.lag_recovered_s), (Some(8.0), Some(8.0)));
        assert_eq!(found.errors_recovered_s, Some(1.0));
        assert_eq!((found.lag_max, found.p95_max_ms), (Some(5_000), Some(900.0)));
        assert_eq!(found.error_share_max, Some(0.5));
    }

    #[test]
    fn what_never_recovers_has_no_time_and_what_was_not_measured_neither() {
        assert_eq!(response(&series(40), SPIKE).latency_recovered_s, None);
        let mut blind = series(0);
        for one in &mut blind {
            one.lag = None;
        }
        assert_eq!(response(&blind, SPIKE).lag_recovered_s, None);
    }
}
