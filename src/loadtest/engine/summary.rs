//! What a generator counted, whichever it was, and how the counts of several become one.

use crate::domain::run::Latency;
use crate::domain::slices::SliceCounts;
use crate::measured::Measured;
use std::collections::BTreeMap;

/// Quantiles of merged distributions are exact to this share.
const QUANTILE_ERROR: f64 = 1e-4;
/// Sums of counts may be off by this much.
const COUNT_ERROR: f64 = 1e-6;

/// What matters of a generator's summary.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GeneratorSummary {
    /// Everything that counts, all measured windows together.
    pub measured: WindowSummary,
    /// Each window by its name, the warm-up too.
    pub windows: BTreeMap<String, WindowSummary>,
    /// The measured time in slices; empty where it was not cut.
    pub slices: Vec<SliceCounts>,
    /// When the load began, seconds since the epoch.
    pub began_s: Option<f64>,
    /// Requests, warm-up included.
    pub requests: u64,
    /// Failed requests, warm-up included.
    pub failed: u64,
    /// Answers 201, warm-up included.
    pub accepted: u64,
    /// Creations that were sent, warm-up included.
    pub created: u64,
    /// Correlation ids of creations that were sent and have no answer 201: they may be stored or not. None
    /// where the generator cannot name them all.
    pub unacknowledged: Option<Vec<String>>,
    /// All ids that were sent, where the generator knows: a first part, and how many follow it from 0 on.
    pub sent: Vec<(String, u64)>,
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
    /// Requests that were started: answered, failed, or left without an answer.
    pub requests: u64,
    /// Those that failed, those without an answer too.
    pub failed: u64,
    /// How long all that were due took or waited, whatever their end was.
    pub due: TimeDistribution,
    /// Answer times of what succeeded; empty when nothing did.
    pub succeeded: TimeDistribution,
    /// Mean time that a virtual user was busy with one request, in ms.
    pub busy_ms: Option<f64>,
}

/// A distribution of times, and what is told of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimeDistribution {
    /// Its smallest, its percentiles, its largest.
    pub latency: Latency,
    /// All of it, for merging.
    pub histogram: Option<Histogram>,
}

/// Counts of times that lie evenly between two bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Lower bound, in ms.
    pub from_ms: f64,
    /// Upper bound, in ms; the same where it is one value.
    pub to_ms: f64,
    /// How many lie here; a share of them where only quantiles are known.
    pub count: f64,
}

/// A distribution as the counts of its buckets, which add up with those of others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// In no order.
    pub buckets: Vec<Bucket>,
}

impl Histogram {
    /// The time within which this share of the requests had ended, in ms.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = self.buckets.iter().map(|one| one.count).sum::<f64>() * share;
        let below = |ms: f64| -> f64 { self.buckets.iter().map(|one| one.below(ms)).sum() };
        let mut low = self.buckets.iter().map(|one| one.from_ms).reduce(f64::min)?;
        let mut high = self.buckets.iter().map(|one| one.to_ms).reduce(f64::max)?;
        // The smallest time that the share has ended within, to a thousandth.
        if below(low) >= wanted {
            return Some(low);
        }
        while high - low > (high * QUANTILE_ERROR).max(f64::MIN_POSITIVE) {
            let middle = low.midpoint(high);
            if below(middle) >= wanted - COUNT_ERROR { high = middle } else { low = middle }
        }
        Some(high)
    }
}

impl Bucket {
    /// How many of it lie at or below a time.
    fn below(&self, ms: f64) -> f64 {
        if ms >= self.to_ms {
            self.count
        } else if ms <= self.from_ms {
            0.0
        } else {
            self.count * (ms - self.from_ms) / (self.to_ms - self.from_ms)
        }
    }
}

impl TimeDistribution {
    /// Both together. Percentiles come from the sum of the histograms and are absent without them: they
    /// cannot be averaged.
    fn plus(&self, other: &Self) -> Self {
        let nothing = Self::default();
        if *self == nothing || *other == nothing {
            return if *self == nothing { other.clone() } else { self.clone() };
        }
        let histogram = self.histogram.as_ref().zip(other.histogram.as_ref());
        let histogram =
            histogram.map(|(one, two)| Histogram { buckets: [&one.buckets[..], &two.buckets[..]].concat() });
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
        Self { latency, histogram }
    }
}

/// Both values as one, or the one that is there.
fn fold(one: Option<f64>, two: Option<f64>, pick: fn(f64, f64) -> f64) -> Option<f64> {
    match (one, two) {
        (Some(one), Some(two)) => Some(pick(one, two)),
        (one, two) => one.or(two),
    }
}

impl WindowSummary {
    /// Share of failed requests.
    #[must_use]
    pub fn error_rate(&self) -> Measured<f64> {
        let share = (self.requests > 0).then(|| self.failed as f64 / self.requests as f64);
        Measured::or_missing(share, "there was no request")
    }

    /// Both together.
    fn plus(&self, other: &Self) -> Self {
        let weighted = |one: &Self| one.busy_ms.map(|ms| ms * one.requests as f64);
        let requests = self.requests + other.requests;
        let busy_ms = fold(weighted(self), weighted(other), |one, two| one + two)
            .filter(|_| requests > 0)
            .map(|sum| sum / requests as f64);
        Self {
            requests,
            failed: self.failed + other.failed,
            due: self.due.plus(&other.due),
            succeeded: self.succeeded.plus(&other.succeeded),
            busy_ms,
        }
    }
}

impl GeneratorSummary {
    fn add_slices(&mut self, more: Vec<SliceCounts>) {
        for (index, slice) in more.into_iter().enumerate() {
            match self.slices.get_mut(index) {
                Some(own) => own.add(&slice),
                None => self.slices.push(slice),
            }
        }
    }

    /// What several generators counted together; none of nothing.
    #[must_use]
    pub fn merge(parts: Vec<Self>) -> Option<Self> {
        parts.into_iter().reduce(|mut sum, part| {
            sum.measured = sum.measured.plus(&part.measured);
            for (name, window) in part.windows {
                let merged = sum.windows.get(&name).map(|own| own.plus(&window)).unwrap_or(window);
                sum.windows.insert(name, merged);
            }
            sum.add_slices(part.slices);
            for (cause, count) in part.errors {
                *sum.errors.entry(cause).or_default() += count;
            }
            sum.began_s = sum.began_s.into_iter().chain(part.began_s).reduce(f64::min);
            sum.requests += part.requests;
            sum.failed += part.failed;
            sum.accepted += part.accepted;
            sum.created += part.created;
            sum.unacknowledged = sum.unacknowledged.zip(part.unacknowledged).map(|(mut ids, more)| {
                ids.extend(more);
                ids
            });
            sum.sent.extend(part.sent);
            sum.dropped += part.dropped;
            sum.late_p99_ms = sum.late_p99_ms.into_iter().chain(part.late_p99_ms).reduce(f64::max);
            sum
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(buckets: &[(f64, f64, f64)]) -> TimeDistribution {
        let buckets = buckets.iter().map(|&(from_ms, to_ms, count)| Bucket { from_ms, to_ms, count });
        let histogram = Histogram { buckets: buckets.collect() };
        TimeDistribution {
            latency: Latency { p99: Some(1.0), ..Latency::default() },
            histogram: Some(histogram),
        }
    }

    fn window(buckets: &[(f64, f64, f64)]) -> WindowSummary {
        WindowSummary {
            requests: buckets.iter().map(|one| one.2 as u64).sum(),
            busy_ms: Some(2.0),
            due: times(buckets),
            ..WindowSummary::default()
        }
    }

    fn near(value: Option<f64>, wanted: f64) -> bool {
        value.is_some_and(|value| (value - wanted).abs() <= wanted * 2.0 * QUANTILE_ERROR)
    }

    #[test]
    fn percentiles_of_several_generators_come_from_the_sum_of_their_counts() {
        let quick = window(&[(1.0, 1.0, 990.0), (2.0, 2.0, 10.0)]);
        let slow = window(&[(1.0, 1.0, 500.0), (50.0, 50.0, 500.0)]);
        let both = quick.plus(&slow);
        assert_eq!((both.requests, both.busy_ms), (2_000, Some(2.0)));
        assert!(
            near(both.due.latency.p50, 1.0) && near(both.due.latency.p99, 50.0),
            "{:?}",
            both.due.latency
        );
    }

    #[test]
    fn between_two_quantiles_times_lie_evenly() {
        let half = times(&[(10.0, 20.0, 50.0), (100.0, 200.0, 50.0)]).histogram.unwrap();
        assert!(near(half.quantile(0.25), 15.0) && near(half.quantile(0.75), 150.0), "{half:?}");
        assert!(near(half.quantile(1.0), 200.0) && near(half.quantile(0.0), 10.0), "{half:?}");
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn without_counts_percentiles_are_not_made_up() {
        let blind = TimeDistribution { histogram: None, ..times(&[(1.0, 1.0, 10.0)]) };
        assert_eq!(blind.plus(&times(&[(1.0, 1.0, 10.0)])).latency.p99, None);
    }

    #[test]
    fn a_generator_that_has_no_answer_takes_nothing_from_the_others() {
        let some = times(&[(1.0, 1.0, 10.0)]);
        assert_eq!(TimeDistribution::default().plus(&some), some);
        assert_eq!(some.plus(&TimeDistribution::default()), some);
    }

    #[test]
    fn one_generator_stays_as_it_is() {
        let one = GeneratorSummary {
            measured: window(&[(1.0, 1.0, 10.0)]),
            accepted: 3,
            ..GeneratorSummary::default()
        };
        assert_eq!(GeneratorSummary::merge(vec![one.clone()]), Some(one));
        assert_eq!(GeneratorSummary::merge(Vec::new()), None);
    }
}
