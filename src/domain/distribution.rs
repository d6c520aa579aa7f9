//! A distribution of times that adds up with others: counts by bucket, each bucket narrower than a hundredth
//! of its value. Kept as an HdrHistogram (V2, deflated) in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Longest time that is told apart from longer ones, in µs: two minutes.
const LONGEST_US: u64 = 120_000_000;
/// Two significant figures.
const FIGURES: u8 = 2;

/// Counts of times.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution(Histogram<u64>);

impl Default for Distribution {
    fn default() -> Self {
        // Bounds that are plainly valid.
        #[expect(clippy::expect_used, reason = "constants")]
        let made = Histogram::new_with_bounds(1, LONGEST_US, FIGURES).expect("valid bounds");
        Self(made)
    }
}

impl Distribution {
    /// Adds one time; longer than the longest counts as the longest.
    pub fn record_us(&mut self, us: u64) {
        self.0.saturating_record(us);
    }

    /// Adds several times of one value, in ms.
    pub fn record_ms(&mut self, ms: f64, count: u64) {
        self.0.saturating_record_n((ms * 1_000.0).round().max(0.0) as u64, count);
    }

    /// Adds all of another one.
    pub fn add(&mut self, other: &Self) {
        for one in other.0.iter_recorded() {
            self.0.saturating_record_n(one.value_iterated_to(), one.count_at_value());
        }
    }

    /// How many times are counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time within which this share of them lies, in ms; absent where nothing is counted.
    #[must_use]
    pub fn quantile_ms(&self, share: f64) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(share) as f64 / 1_000.0)
    }
}

/// A sum of distributions from which some can be taken away again.
#[derive(Clone, Debug, Default)]
pub struct DistributionSum(BTreeMap<u64, u64>);

impl DistributionSum {
    /// The sum of these.
    #[must_use]
    pub fn of<'a>(all: impl IntoIterator<Item = &'a Distribution>) -> Self {
        let mut sum = Self::default();
        for one in all.into_iter().flat_map(|one| one.0.iter_recorded()) {
            *sum.0.entry(one.value_iterated_to()).or_default() += one.count_at_value();
        }
        sum
    }

    /// Adds another sum.
    pub fn add(&mut self, other: &Self) {
        for (us, count) in &other.0 {
            *self.0.entry(*us).or_default() += count;
        }
    }

    /// Takes away what was added.
    pub fn take(&mut self, other: &Self) {
        for (us, count) in &other.0 {
            let left = self.0.entry(*us).or_default();
            *left = left.saturating_sub(*count);
        }
    }

    /// As [`Distribution::quantile_ms`], with values between those of neighbouring buckets.
    #[must_use]
    pub fn quantile_ms(&self, share: f64) -> Option<f64> {
        let all: u64 = self.0.values().sum();
        if all == 0 {
            return None;
        }
        let wanted = all as f64 * share;
        let (mut below, mut last) = (0.0, None);
        for (us, count) in self.0.iter().filter(|(_, count)| **count > 0) {
            let (us, count) = (*us as f64, *count as f64);
            if below + count >= wanted {
                // Within a bucket its times lie evenly, which a step at its end would hide.
                let from = last.filter(|last: &f64| *last > us * BUCKET).unwrap_or(us * BUCKET);
                return Some((from + (us - from) * ((wanted - below) / count).clamp(0.0, 1.0)) / 1_000.0);
            }
            (below, last) = (below + count, Some(us));
        }
        last.map(|us| us / 1_000.0)
    }
}

/// The lower bound of a bucket as a share of its upper one.
const BUCKET: f64 = 127.0 / 128.0;

impl Serialize for Distribution {
    fn serialize<S: serde::Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        let written = V2DeflateSerializer::new().serialize(&self.0, &mut bytes);
        written.map_err(|cause| serde::ser::Error::custom(format!("{cause:?}")))?;
        into.serialize_str(&STANDARD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Distribution {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = STANDARD.decode(text).map_err(D::Error::custom)?;
        let read: Result<Histogram<u64>, _> = Deserializer::new().deserialize(&mut bytes.as_slice());
        let read = read.map_err(|cause| D::Error::custom(format!("a damaged histogram: {cause:?}")))?;
        let mut whole = Self::default();
        whole.add(&Self(read));
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread() -> Distribution {
        let mut made = Distribution::default();
        (1..=10_000).for_each(|us| made.record_us(us * 10));
        made
    }

    #[test]
    fn it_is_read_as_it_was_written_and_is_small() {
        let made = spread();
        let text = serde_json::to_string(&made).unwrap();
        assert!(text.len() < 2_500, "{}", text.len());
        assert_eq!(serde_json::from_str::<Distribution>(&text).unwrap(), made);
        assert!(serde_json::from_str::<Distribution>("\"nonsense\"").is_err());
    }

    #[test]
    fn quantiles_are_true_to_a_hundredth_and_those_of_a_sum_come_from_all_counts() {
        let made = spread();
        let one = DistributionSum::of([&made]);
        let mut sum = DistributionSum::of([&made, &made]);
        sum.add(&one);
        sum.take(&one);
        for share in [0.01, 0.5, 0.9, 0.99, 0.999] {
            let truth = 100.0 * share;
            for told in [made.quantile_ms(share).unwrap(), sum.quantile_ms(share).unwrap()] {
                assert!((told - truth).abs() <= truth * 0.01, "{share}: {told}, not {truth}");
            }
        }
        sum.take(&one);
        sum.take(&one);
        assert_eq!((sum.quantile_ms(0.5), Distribution::default().quantile_ms(0.5)), (None, None));
    }

    #[test]
    fn a_change_smaller_than_a_bucket_is_not_lost() {
        let at = |ms: f64| {
            let mut made = Distribution::default();
            (0..1_000).for_each(|n| made.record_ms(ms * (1.0 + f64::from(n) / 5_000.0), 1));
            DistributionSum::of([&made]).quantile_ms(0.5).unwrap()
        };
        assert!((at(20.2) / at(20.0) - 1.01).abs() < 0.004, "{} {}", at(20.0), at(20.2));
    }
}
