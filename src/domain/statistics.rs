//! Whether two series, or two values with their parts, differ: Welch's test with as many samples as are
//! independent.
//!
//! Seconds of a load test depend on the seconds before them, so a series of n seconds holds fewer
//! than n independent samples; the effective number follows from its autocorrelation (initial
//! positive sequence, Geyer 1992).

mod onset;
mod repeated;

pub use onset::{ChangePoint, change_point, onset};
pub use repeated::{compare_runs, drift, runs_needed, smallest_p, spread_of_runs};

use statrs::distribution::{ContinuousCDF, StudentsT};

/// Fewest independent samples on each side for a judgement.
pub const FEWEST: f64 = 4.0;
/// How often a difference must be found to be called detectable.
const POWER: f64 = 0.9;

/// How well a ratio is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Precision {
    /// Standard error of the ratio's logarithm.
    pub error: f64,
    /// Degrees of freedom of that error.
    pub freedom: f64,
}

impl Precision {
    /// The smallest true increase that is found nine times in ten, as a share, when a difference counts
    /// from a probability of `significance` and a share of `floor` on. Absent when no increase is.
    #[must_use]
    pub fn detectable(self, significance: f64, floor: f64) -> Option<f64> {
        let student = StudentsT::new(0.0, 1.0, self.freedom.max(1.0)).ok()?;
        let counts = (student.inverse_cdf(1.0 - significance / 2.0) * self.error).max(floor.ln_1p());
        let found = (counts + student.inverse_cdf(POWER) * self.error).exp_m1();
        found.is_finite().then_some(found)
    }

    /// How many times as long both series must be until an increase by the share `wanted` is found nine
    /// times in ten. Absent when no length is enough, because such an increase is noise.
    #[must_use]
    pub fn lengthening(self, wanted: f64, significance: f64, floor: f64) -> Option<f64> {
        let enough = |times: &f64| {
            let longer = Self { error: self.error / times.sqrt(), freedom: self.freedom * times };
            longer.detectable(significance, floor).is_some_and(|found| found <= wanted)
        };
        // By steps of a tenth, up to ten thousand times.
        std::iter::successors(Some(1.0), |times| Some(times * 1.1)).take(97).find(enough)
    }
}

/// A value, and what tells how well it is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// The value, on the scale on which it is compared: a logarithm where ratios are.
    pub value: f64,
    /// Values in order of time whose mean is about the value and whose scatter is that of its parts.
    pub parts: Vec<f64>,
}

/// How far the second of two differs from the first, on the scale on which they were compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EstimatedDifference {
    /// The difference.
    pub by: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Probability of such a difference by chance.
    pub p: f64,
    /// How well the difference is known, where series were compared.
    pub precision: Option<Precision>,
}

/// A value of a whole with what it is without each of its `count` parts, as an estimate (delete-one
/// jackknife, Tukey 1958). Absent when one of them cannot be had.
#[must_use]
pub fn jackknife(count: usize, mut of: impl FnMut(Option<usize>) -> Option<f64>) -> Option<Estimate> {
    let value = of(None).filter(|value| value.is_finite())?;
    let all = count as f64;
    let without = |part| Some(all * value - (all - 1.0) * of(Some(part)).filter(|it| it.is_finite())?);
    Some(Estimate { value, parts: (0..count).map(without).collect::<Option<_>>()? })
}

/// Compares two series of positive values by their logarithms; zero counts as the smallest positive value
/// of both. Absent when either side has too few independent samples.
#[must_use]
pub fn compare(before: &[f64], after: &[f64]) -> Option<EstimatedDifference> {
    let least = before.iter().chain(after).copied().filter(|value| *value > 0.0).reduce(f64::min)?;
    let estimate = |values: &[f64]| {
        let parts: Vec<_> = values.iter().map(|value| value.max(least).ln()).collect();
        let value = parts.iter().sum::<f64>() / parts.len().max(1) as f64;
        Estimate { value, parts }
    };
    shift(&estimate(before), &estimate(after))
}

/// Compares two estimates (Welch). Absent when the parts of either hold too few independent ones.
#[must_use]
pub fn shift(before: &Estimate, after: &Estimate) -> Option<EstimatedDifference> {
    let (one, two) = (Moments::of(&before.parts)?, Moments::of(&after.parts)?);
    let by = after.value - before.value;
    let (a, b) = (one.variance / one.samples, two.variance / two.samples);
    let error = (a + b).sqrt();
    if error <= f64::EPSILON {
        let p = if by.abs() < 1e-12 { 1.0 } else { 0.0 };
        return Some(EstimatedDifference { by, low: by, high: by, p, precision: None });
    }
    // That of the smaller side: Welch's own is for normal parts, and those of a busy machine have long tails.
    let freedom = (one.samples.min(two.samples) - 1.0).max(1.0);
    let student = StudentsT::new(0.0, 1.0, freedom).ok()?;
    let p = 2.0 * student.sf((by / error).abs());
    let margin = student.inverse_cdf(0.975) * error;
    let precision = Some(Precision { error, freedom });
    Some(EstimatedDifference { by, low: by - margin, high: by + margin, p, precision })
}

/// The middle value, or the mean of the two in the middle; absent when there is none.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = sorted[(sorted.len() - 1) / 2];
    Some(f64::midpoint(lower, upper))
}

/// Holm's correction: the probabilities as they must be read when all of them are looked at.
#[must_use]
pub fn holm(probabilities: &[f64]) -> Vec<f64> {
    let mut order: Vec<_> = (0..probabilities.len()).collect();
    order.sort_by(|one, two| probabilities[*one].total_cmp(&probabilities[*two]));
    let mut corrected = vec![1.0; probabilities.len()];
    let mut floor = 0.0_f64;
    for (rank, index) in order.into_iter().enumerate() {
        floor = floor.max((probabilities[index] * (probabilities.len() - rank) as f64).min(1.0));
        corrected[index] = floor;
    }
    corrected
}

struct Moments {
    variance: f64,
    /// Independent samples.
    samples: f64,
}

impl Moments {
    fn of(values: &[f64]) -> Option<Self> {
        let count = values.len() as f64;
        if count < FEWEST {
            return None;
        }
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let samples = independent(values, mean);
        (samples >= FEWEST).then_some(Self { variance, samples })
    }
}

/// The number of independent samples that tell as much about the mean as these do.
fn independent(values: &[f64], mean: f64) -> f64 {
    let count = values.len();
    let covariance = |lag: usize| {
        values.iter().zip(&values[lag..]).map(|(one, two)| (one - mean) * (two - mean)).sum::<f64>()
    };
    let whole = covariance(0);
    if whole <= f64::EPSILON {
        return count as f64;
    }
    let mut sum = 0.0;
    for pair in 0..count / 2 {
        let both = (covariance(2 * pair) + covariance(2 * pair + 1)) / whole;
        if both <= 0.0 {
            break;
        }
        sum += both;
    }
    (count as f64 / (2.0 * sum - 1.0).max(1.0)).min(count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A series of log-normal values, each half made of the one before: like seconds of a load test.
    fn series(seed: u64, count: usize, level: f64) -> Vec<f64> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut uniform = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let mut last = 0.0;
        (0..count)
            .map(|_| {
                let noise = (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
                last = 0.5 * last + 0.866 * noise;
                level * (0.12 * last).exp()
            })
            .collect()
    }

    fn share(found: impl Fn(u64) -> bool) -> f64 {
        (1..=400).filter(|seed| found(*seed)).count() as f64 / 400.0
    }

    #[test]
    fn equal_series_rarely_differ() {
        let differ = |seed| {
            compare(&series(seed, 60, 20.0), &series(seed + 1_000, 60, 20.0))
                .is_some_and(|found| found.p < 0.05)
        };
        let wrong = share(differ);
        assert!(wrong <= 0.08, "{wrong}");
    }

    #[test]
    fn a_shift_of_a_tenth_is_found() {
        let found = |seed| {
            compare(&series(seed, 120, 20.0), &series(seed + 1_000, 120, 22.0))
                .is_some_and(|found| found.p < 0.05 && found.by > 0.0)
        };
        let right = share(found);
        assert!(right >= 0.9, "{right}");
    }

    #[test]
    fn what_is_called_detectable_is_found_nine_times_in_ten() {
        let precision = compare(&series(1, 120, 20.0), &series(2, 120, 20.0)).unwrap().precision.unwrap();
        let least = precision.detectable(0.05, 0.0).unwrap();
        let found = |seed| {
            compare(&series(seed, 120, 20.0), &series(seed + 1_000, 120, 20.0 * (1.0 + least)))
                .is_some_and(|found| found.p < 0.05 && found.by > 0.0)
        };
        let right = share(found);
        assert!((0.8..1.0).contains(&right), "{least}: {right}");
    }

    #[test]
    fn a_small_change_needs_long_series_and_one_below_the_floor_is_never_seen() {
        let precision = Precision { error: 0.05, freedom: 60.0 };
        let times = precision.lengthening(0.1, 0.05, 0.05).unwrap();
        assert!((2.0..5.0).contains(&times), "{times}");
        assert_eq!(precision.lengthening(0.5, 0.05, 0.05), Some(1.0));
        assert_eq!(precision.lengthening(0.04, 0.05, 0.05), None);
    }

    #[test]
    fn dependent_samples_count_less() {
        let values = series(7, 200, 1.0);
        let mean = values.iter().sum::<f64>() / 200.0;
        let samples = independent(&values, mean);
        assert!((25.0..150.0).contains(&samples), "{samples}");
    }

    #[test]
    fn too_few_samples_say_nothing() {
        assert_eq!(compare(&[1.0, 2.0], &[1.0; 40]), None);
        assert_eq!(compare(&[], &[]), None);
        assert_eq!(compare(&[0.0; 40], &[0.0; 40]), None);
    }

    #[test]
    fn holm_reads_many_looks_sternly() {
        let corrected = holm(&[0.01, 0.04, 0.03]);
        assert!((corrected[0] - 0.03).abs() < 1e-12 && (corrected[2] - 0.06).abs() < 1e-12);
        assert!((corrected[1] - 0.06).abs() < 1e-12);
    }
}
