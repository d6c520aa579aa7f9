//! What a generator counted, whichever it was, and how the counts of several become one.

use crate::domain::run::Latency;
use std::collections::BTreeMap;

/// What matters of a generator's summary.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Everything that counts, all measured windows together.
    pub measured: WindowSummary,
    /// Each window by its name, the warm-up too.
    pub windows: BTreeMap<String, WindowSummary>,
    /// When the load began, seconds since the epoch.
    pub began_s: Option<f64>,
    /// Requests, warm-up included.
    pub requests: u64,
    /// Failed requests, warm-up included.
    pub failed: u64,
    /// Answers 201, warm-up included.
    pub accepted: u64,
    /// Requests that could not be started, warm-up included.
    pub dropped: u64,
    /// Failed requests by cause, warm-up included.
    pub errors: BTreeMap<String, u64>,
    /// 99th percentile of how late requests were sent although a connection was free, in ms.
    pub late_p99_ms: Option<f64>,
}

/// What matters of one window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WindowSummary {
    /// Requests that were answered or failed.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
    /// Answer times; empty when nothing succeeded.
    pub latency: Latency,
    /// Mean time that a virtual user was busy with one request, in ms.
    pub busy_ms: Option<f64>,
    /// Counts of answer times, for merging.
    pub histogram: Option<Histogram>,
}

/// Counts of answer times by upper bound of their bucket, in ms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Upper bound in ms and count, ascending.
    pub buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// The upper bound of the bucket that this share of the answers reaches, in ms.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let total: u64 = self.buckets.iter().map(|(_, count)| count).sum();
        let wanted = (total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        self.buckets.iter().find_map(|(bound, count)| {
            seen += count;
            (total > 0 && seen >= wanted).then_some(*bound)
        })
    }

    /// Adds the counts of another one with the same bounds.
    fn add(&mut self, other: &Self) {
        for (bound, count) in &other.buckets {
            match self.buckets.iter_mut().find(|(own, _)| own == bound) {
                Some((_, own)) => *own += count,
                None => self.buckets.push((*bound, *count)),
            }
        }
        self.buckets.sort_by(|one, two| one.0.total_cmp(&two.0));
    }
}

impl WindowSummary {
    /// Share of failed requests; none when there was no request.
    #[must_use]
    pub fn error_rate(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.failed as f64 / self.requests as f64)
    }

    /// Both together. Percentiles come from the sum of the histograms and are absent without them:
    /// they cannot be averaged.
    fn plus(&self, other: &Self) -> Self {
        let histogram = self.histogram.clone().zip(other.histogram.as_ref()).map(|(mut sum, other)| {
            sum.add(other);
            sum
        });
        let fold = |one: Option<f64>, two: Option<f64>, pick: fn(f64, f64) -> f64| match (one, two) {
            (Some(one), Some(two)) => Some(pick(one, two)),
            (one, two) => one.or(two),
        };
        let at = |share| histogram.as_ref().and_then(|sum| sum.quantile(share));
        let latency = Latency {
            min: fold(self.latency.min, other.latency.min, f64::min),
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: fold(self.latency.max, other.latency.max, f64::max),
        };
        let weighted = |one: &Self| one.busy_ms.map(|ms| ms * one.requests as f64);
        let requests = self.requests + other.requests;
        let busy_ms = fold(weighted(self), weighted(other), |one, two| one + two)
            .filter(|_| requests > 0)
            .map(|sum| sum / requests as f64);
        Self { requests, failed: self.failed + other.failed, latency, busy_ms, histogram }
    }
}

impl Summary {
    /// What several generators counted together; none of nothing.
    #[must_use]
    pub fn merge(parts: Vec<Self>) -> Option<Self> {
        parts.into_iter().reduce(|mut sum, part| {
            sum.measured = sum.measured.plus(&part.measured);
            for (name, window) in part.windows {
                let merged = sum.windows.get(&name).map(|own| own.plus(&window)).unwrap_or(window);
                sum.windows.insert(name, merged);
            }
            for (cause, count) in part.errors {
                *sum.errors.entry(cause).or_default() += count;
            }
            sum.began_s = sum.began_s.into_iter().chain(part.began_s).reduce(f64::min);
            sum.requests += part.requests;
            sum.failed += part.failed;
            sum.accepted += part.accepted;
            sum.dropped += part.dropped;
            sum.late_p99_ms = sum.late_p99_ms.into_iter().chain(part.late_p99_ms).reduce(f64::max);
            sum
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(buckets: &[(f64, u64)]) -> WindowSummary {
        WindowSummary {
            requests: buckets.iter().map(|one| one.1).sum(),
            busy_ms: Some(2.0),
            latency: Latency { p99: Some(1.0), ..Latency::default() },
            histogram: Some(Histogram { buckets: buckets.to_vec() }),
            ..WindowSummary::default()
        }
    }

    #[test]
    fn percentiles_of_several_generators_come_from_the_sum_of_their_counts() {
        let quick = window(&[(1.0, 990), (2.0, 10)]);
        let slow = window(&[(1.0, 500), (50.0, 500)]);
        let both = quick.plus(&slow);
        assert_eq!((both.requests, both.latency.p50, both.latency.p99), (2_000, Some(1.0), Some(50.0)));
        assert_eq!(both.busy_ms, Some(2.0));
    }

    #[test]
    fn without_counts_percentiles_are_not_made_up() {
        let blind = WindowSummary { histogram: None, ..window(&[(1.0, 10)]) };
        assert_eq!(blind.plus(&window(&[(1.0, 10)])).latency.p99, None);
    }

    #[test]
    fn one_generator_stays_as_it_is() {
        let one = Summary { measured: window(&[(1.0, 10)]), accepted: 3, ..Summary::default() };
        assert_eq!(Summary::merge(vec![one.clone()]), Some(one));
        assert_eq!(Summary::merge(Vec::new()), None);
    }
}
