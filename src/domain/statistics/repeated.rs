//! Whether repeated runs differ: one number for each run, by ranks, so that no shape is assumed.

use super::SeriesEffect;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use statrs::stats_tests::Alternative;
use statrs::stats_tests::mannwhitneyu::{MannWhitneyUMethod, mannwhitneyu};

/// Fewest runs on each side: with three and three no order of them is rarer than one in ten.
pub const FEWEST_RUNS: usize = 4;
/// Resamples behind the interval.
const RESAMPLES: usize = 2_000;

/// Compares runs before with runs after (Mann-Whitney). The ratio is the median of all pairs'
/// (Hodges and Lehmann), its interval the middle 95 % of resampled ones. Absent with too few runs.
#[must_use]
pub fn compare_runs(before: &[f64], after: &[f64]) -> Option<SeriesEffect> {
    let positive = |values: &[f64]| values.iter().all(|value| *value > 0.0);
    if before.len() < FEWEST_RUNS || after.len() < FEWEST_RUNS || !positive(before) || !positive(after) {
        return None;
    }
    // The normal approximation is close from four runs on, and errs on the side of caution.
    let method = MannWhitneyUMethod::AsymptoticInclContinuityCorrection;
    let (_, p) = mannwhitneyu(before, after, method, Alternative::TwoSided).ok()?;
    let mut draws = StdRng::seed_from_u64(1);
    let mut draw = |values: &[f64]| -> Vec<f64> {
        values.iter().map(|_| values[draws.random_range(0..values.len())]).collect()
    };
    let mut ratios: Vec<_> = (0..RESAMPLES).map(|_| median_ratio(&draw(before), &draw(after))).collect();
    ratios.sort_by(f64::total_cmp);
    let at = |share: f64| ratios[((RESAMPLES - 1) as f64 * share) as usize];
    Some(SeriesEffect {
        ratio: median_ratio(before, after),
        low: at(0.025),
        high: at(0.975),
        p: p.min(1.0),
        precision: None,
    })
}

fn median_ratio(before: &[f64], after: &[f64]) -> f64 {
    let pairs = before.iter().flat_map(|one| after.iter().map(move |two| two / one));
    super::median(&pairs.collect::<Vec<_>>()).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_never_overlap_differ() {
        let found = compare_runs(&[10.0, 10.5, 9.8, 10.2, 10.1], &[12.0, 12.4, 11.9, 12.2, 12.1]).unwrap();
        assert!(found.p < 0.02, "{found:?}");
        assert!(found.low > 1.1 && found.high < 1.3 && (found.ratio - 1.2).abs() < 0.02, "{found:?}");
    }

    #[test]
    fn runs_that_overlap_do_not() {
        let found = compare_runs(&[10.0, 11.0, 9.0, 10.5], &[10.2, 10.8, 9.3, 10.4]).unwrap();
        assert!(found.p > 0.5, "{found:?}");
        assert!(found.low < 1.0 && found.high > 1.0);
    }

    #[test]
    fn three_runs_are_too_few_to_tell() {
        assert_eq!(compare_runs(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0, 7.0]), None);
    }
}
