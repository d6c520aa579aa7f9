//! Whether repeated runs differ: one number for each run, by ranks, so that no shape is assumed, and by every
//! way in which the ranks could have fallen, so that few runs are enough.

use super::{EstimatedDifference, median};

/// Most runs a side that are counted up to when so many are asked for.
const MOST_RUNS: usize = 50;

/// The smallest probability that so many runs before and after can come to.
#[must_use]
pub fn smallest_p(before: usize, after: usize) -> f64 {
    (2.0 / ways(before, after)).min(1.0)
}

/// How many runs a side can prove a difference of probability `wanted`.
#[must_use]
pub fn runs_needed(wanted: f64) -> usize {
    (1..MOST_RUNS).find(|runs| smallest_p(*runs, *runs) < wanted).unwrap_or(MOST_RUNS)
}

/// In how many ways so many runs can be called before and after.
fn ways(before: usize, after: usize) -> f64 {
    (1..=before).map(|one| (after + one) as f64 / one as f64).product()
}

/// Compares runs before with runs after by ranks (the exact permutation test of Wilcoxon, Mann and Whitney,
/// ties by their mean rank). The difference is the median of all pairs' (Hodges and Lehmann), its interval
/// what the same test does not refuse; it is endless with too few runs. Absent without runs.
#[must_use]
pub fn compare_runs(before: &[f64], after: &[f64]) -> Option<EstimatedDifference> {
    let mut pairs: Vec<f64> = before.iter().flat_map(|one| after.iter().map(move |two| two - one)).collect();
    pairs.sort_by(f64::total_cmp);
    let by = median(&pairs)?;
    let outside = outside(before.len(), after.len());
    let (low, high) = match outside.checked_sub(1) {
        Some(index) => (pairs[index], pairs[pairs.len() - 1 - index]),
        None => (f64::NEG_INFINITY, f64::INFINITY),
    };
    Some(EstimatedDifference { by, low, high, p: rank_p(before, after), precision: None })
}

/// How much more, or less, runs after scatter around their own median than runs before: the logarithm of the
/// ratio of their median distances, by ranks of the distances. Absent with fewer than three runs a side, or
/// where either does not scatter at all.
#[must_use]
pub fn spread_of_runs(before: &[f64], after: &[f64]) -> Option<EstimatedDifference> {
    let (one, two) = (distances(before)?, distances(after)?);
    let by = median(&two)?.ln() - median(&one)?.ln();
    by.is_finite().then(|| EstimatedDifference {
        by,
        low: f64::NEG_INFINITY,
        high: f64::INFINITY,
        p: rank_p(&one, &two),
        precision: None,
    })
}

/// Distances to the median. Of an odd number the one in the middle is left out: its distance is always 0.
fn distances(values: &[f64]) -> Option<Vec<f64>> {
    let middle = median(values).filter(|_| values.len() >= 3)?;
    let mut found: Vec<_> = values.iter().map(|value| (value - middle).abs()).collect();
    found.sort_by(f64::total_cmp);
    Some(found.split_off(values.len() % 2))
}

/// What the values move by from one place in an order to the next, on either side by itself: the median of
/// all pairs' slopes (Theil and Sen). Absent with fewer than three on each side.
#[must_use]
pub fn drift(before: &[(f64, f64)], after: &[(f64, f64)]) -> Option<f64> {
    if before.len().min(after.len()) < 3 {
        return None;
    }
    let slopes = |side: &[(f64, f64)]| -> Vec<f64> {
        let pair = |index: usize, other: usize| {
            let ((at, value), (then, next)) = (side[index], side[other]);
            (next - value) / (then - at)
        };
        (0..side.len()).flat_map(|one| (one + 1..side.len()).map(move |two| pair(one, two))).collect()
    };
    median(&[slopes(before), slopes(after)].concat()).filter(|slope| slope.is_finite())
}

/// Probability of ranks that are at least as uneven, over every way in which they could have fallen.
fn rank_p(before: &[f64], after: &[f64]) -> f64 {
    let all: Vec<f64> = before.iter().chain(after).copied().collect();
    let ranks: Vec<usize> = all.iter().map(|value| doubled_rank(*value, &all)).collect();
    let sum: usize = ranks[..before.len()].iter().sum();
    // Twice the mean of all ranks is one more than their number.
    let expected = before.len() * (all.len() + 1);
    let sums = sums(&ranks, before.len());
    let uneven = |index: usize| index.abs_diff(expected) >= sum.abs_diff(expected);
    let (mut as_uneven, mut whole) = (0.0, 0.0);
    for (index, count) in sums.iter().enumerate() {
        whole += count;
        as_uneven += if uneven(index) { *count } else { 0.0 };
    }
    if whole > 0.0 { (as_uneven / whole).min(1.0) } else { 1.0 }
}

/// Twice the mean rank of a value, counted from 1.
fn doubled_rank(value: f64, all: &[f64]) -> usize {
    let below = all.iter().filter(|one| **one < value).count();
    let equal = all.iter().filter(|one| **one == value).count();
    2 * below + equal + 1
}

/// How many choices of `count` ranks have each sum.
fn sums(ranks: &[usize], count: usize) -> Vec<f64> {
    let most: usize = ranks.iter().sum();
    let mut found = vec![vec![0.0; most + 1]; count + 1];
    found[0][0] = 1.0;
    for rank in ranks {
        for chosen in (1..=count).rev() {
            let (fewer, more) = found.split_at_mut(chosen);
            for sum in *rank..=most {
                more[0][sum] += fewer[chosen - 1][sum - rank];
            }
        }
    }
    found.pop().unwrap_or_default()
}

/// How many of the sorted pairs lie outside of the interval at each end.
fn outside(before: usize, after: usize) -> usize {
    let ranks: Vec<usize> = (1..=before + after).map(|rank| 2 * rank).collect();
    let least = before * (before + 1);
    let whole = ways(before, after);
    let mut below = 0.0;
    let each = sums(&ranks, before).into_iter().skip(least).step_by(2);
    each.take_while(|count| {
        below += count;
        below / whole <= 0.025
    })
    .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_runs_that_never_overlap_differ_by_the_rarest_way_there_is() {
        let before = [10.0, 10.5, 9.8, 10.2, 10.1];
        let after = [12.0, 12.4, 11.9, 12.2, 12.1];
        let found = compare_runs(&before, &after).unwrap();
        assert!((found.p - 2.0 / 252.0).abs() < 1e-12, "{found:?}");
        assert!((found.p - smallest_p(5, 5)).abs() < 1e-12);
        assert!(found.low > 1.4 && found.high < 2.6 && (found.by - 2.0).abs() < 0.1, "{found:?}");
        let four = compare_runs(&before[..4], &after[..4]).unwrap();
        assert!((four.p - 2.0 / 70.0).abs() < 1e-12, "{four:?}");
    }

    #[test]
    fn the_probability_is_that_of_the_published_tables() {
        // U = 3 and U = 4 of 5 and 5: 0.0556 and 0.0952.
        let u = |after: &[f64]| compare_runs(&[1.0, 2.0, 3.0, 4.0, 8.5], after).unwrap().p;
        assert!((u(&[5.0, 6.0, 7.0, 8.0, 9.0]) - 0.0952).abs() < 1e-4);
        assert!((u(&[4.5, 6.0, 8.0, 9.0, 10.0]) - 0.0556).abs() < 1e-4);
        // All are the same: nothing is rarer.
        assert_eq!(compare_runs(&[1.0; 5], &[1.0; 5]).unwrap().p, 1.0);
    }

    #[test]
    fn runs_that_overlap_do_not_differ_and_few_have_an_endless_interval() {
        let found = compare_runs(&[10.0, 11.0, 9.0, 10.5], &[10.2, 10.8, 9.3, 10.4]).unwrap();
        assert!(found.p > 0.5 && found.low < 0.0 && found.high > 0.0, "{found:?}");
        let few = compare_runs(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]).unwrap();
        assert!(few.p >= 0.1 && few.low == f64::NEG_INFINITY && few.high == f64::INFINITY, "{few:?}");
        assert_eq!(compare_runs(&[], &[]), None);
    }

    #[test]
    fn how_many_runs_it_takes_is_known_before_they_are_made() {
        assert_eq!((runs_needed(0.05), runs_needed(0.01), runs_needed(0.002)), (4, 5, 7));
        assert!(smallest_p(4, 4) > 0.02 && smallest_p(3, 3) >= 0.1);
    }

    #[test]
    fn more_scatter_at_the_same_median_is_found() {
        let calm = [10.0, 10.1, 9.9, 10.05, 9.95, 10.08, 9.93];
        let wild = [10.0, 12.0, 8.0, 11.5, 8.6, 12.4, 7.5];
        let found = spread_of_runs(&calm, &wild).unwrap();
        assert!(found.p < 0.005 && found.by > 2.0, "{found:?}");
        assert!(compare_runs(&calm, &wild).unwrap().p > 0.5);
        assert_eq!(spread_of_runs(&[1.0; 5], &calm), None, "nothing scatters");
    }

    #[test]
    fn a_drift_is_what_moves_within_both_sides() {
        let side = |from: f64| [0.0, 1.0, 2.0, 3.0].map(|step| (from + step, 5.0 + 2.0 * (from + step)));
        assert_eq!(drift(&side(0.0), &side(4.0)), Some(2.0));
        let step = |from: f64, value: f64| [0.0, 1.0, 2.0, 3.0].map(|step| (from + step, value));
        assert_eq!(drift(&step(0.0, 5.0), &step(4.0, 9.0)), Some(0.0));
        assert_eq!(drift(&side(0.0)[..2], &side(4.0)), None);
    }
}
