//! The Universal Scalability Law fitted to levels: X(N) = λN / (1 + σ(N−1) + κN(N−1)). Pure.
//!
//! N is the number of requests in progress, X the throughput. σ is contention (work that is done
//! one after the other), κ coherency (work that grows with every pair). Gunther, "Guerrilla Capacity
//! Planning", 2007. The fit is linear least squares of N/X, weighted so that each level counts by
//! its relative error, with σ and κ kept from going below zero.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

/// Fewest levels for a fit of three parameters with something left to judge it by.
pub const FEWEST_LEVELS: usize = 5;
/// Resampled fits behind the band.
const RESAMPLES: u64 = 400;

/// One level.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Point {
    /// Requests in progress on average.
    pub concurrency: f64,
    /// Requests per second.
    pub throughput_rps: f64,
}

/// The fitted law.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Fit {
    /// Requests per second of a single request at a time, λ.
    pub unit_rps: f64,
    /// Contention, σ.
    pub contention: f64,
    /// Coherency, κ.
    pub coherency: f64,
    /// The concurrency with the highest throughput; absent when throughput never turns down.
    pub best_concurrency: Option<f64>,
    /// The highest throughput there can be; absent when neither σ nor κ bounds it.
    pub ceiling_rps: Option<f64>,
    /// 5th and 95th percentile of the ceiling over resampled residuals.
    pub ceiling_band_rps: Option<(f64, f64)>,
    /// Share of the variance of N/X that the law explains, 0 to 1.
    pub r_squared: f64,
    /// The levels it was fitted to.
    pub points: Vec<Point>,
}

/// A fit, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum FitOutcome {
    /// The fit.
    Fitted(Fit),
    /// The reason.
    Missing {
        /// In words.
        reason: String,
    },
}

impl Fit {
    /// The law's throughput at a concurrency.
    #[must_use]
    pub fn throughput(&self, concurrency: f64) -> f64 {
        law([self.unit_rps, self.contention, self.coherency], concurrency)
    }

    /// What the law says, in a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let ceiling = match (self.ceiling_rps, self.ceiling_band_rps) {
            (Some(ceiling), Some((low, high))) => {
                format!("ceiling {ceiling:.0}/s ({low:.0} to {high:.0})")
            }
            (Some(ceiling), None) => format!("ceiling {ceiling:.0}/s"),
            _ => "no ceiling in sight".to_owned(),
        };
        let best =
            self.best_concurrency.map_or_else(String::new, |best| format!(" at {best:.0} in progress"));
        let kind = if self.coherency > 0.0 && self.best_concurrency.is_some() {
            "coherency limits it: more concurrency lowers throughput"
        } else if self.contention > 0.0 {
            "contention limits it"
        } else {
            "it scales linearly up to the load offered"
        };
        format!("{ceiling}{best}; contention {:.3}, coherency {:.5}; {kind}", self.contention, self.coherency)
    }
}

fn law([unit, contention, coherency]: [f64; 3], n: f64) -> f64 {
    unit * n / (1.0 + contention * (n - 1.0) + coherency * n * (n - 1.0))
}

/// Fits the law, or says why it cannot be fitted.
#[must_use]
pub fn fit(points: &[Point]) -> FitOutcome {
    let missing = |reason: String| FitOutcome::Missing { reason };
    let usable: Vec<_> =
        points.iter().copied().filter(|one| one.concurrency > 0.0 && one.throughput_rps > 0.0).collect();
    if usable.len() < FEWEST_LEVELS {
        return missing(format!("too few levels: {} of at least {FEWEST_LEVELS}", usable.len()));
    }
    let most = usable.iter().map(|one| one.concurrency).fold(0.0, f64::max);
    let least = usable.iter().map(|one| one.concurrency).fold(f64::MAX, f64::min);
    if most < 2.0 || most < 2.0 * least {
        return missing(format!("the levels are too alike: {least:.1} to {most:.1} requests in progress"));
    }
    let Some(parameters) = solve(&usable) else {
        return missing("the levels do not determine the law".into());
    };
    let (best_concurrency, ceiling_rps) = peak(parameters);
    FitOutcome::Fitted(Fit {
        unit_rps: parameters[0],
        contention: parameters[1],
        coherency: parameters[2],
        best_concurrency,
        ceiling_rps,
        ceiling_band_rps: ceiling_rps.and_then(|_| band(&usable, parameters)),
        r_squared: r_squared(&usable, parameters),
        points: usable,
    })
}

/// Best concurrency and ceiling of the law, as far as it has them.
fn peak(parameters: [f64; 3]) -> (Option<f64>, Option<f64>) {
    let [unit, contention, coherency] = parameters;
    if coherency > 0.0 && contention < 1.0 {
        let best = ((1.0 - contention) / coherency).sqrt();
        (Some(best), Some(law(parameters, best.max(1.0))))
    } else if contention > 0.0 {
        (None, Some(unit / contention))
    } else {
        (None, None)
    }
}

/// λ, σ and κ by weighted least squares of N/X = a + b(N−1) + cN(N−1), b and c not below zero.
fn solve(points: &[Point]) -> Option<[f64; 3]> {
    let all: [&[usize]; 4] = [&[0, 1, 2], &[0, 1], &[0, 2], &[0]];
    let mut best: Option<(f64, [f64; 3])> = None;
    for used in all {
        let Some(found) = least_squares(points, used) else { continue };
        if found[0] <= 0.0 || found[1] < 0.0 || found[2] < 0.0 {
            continue;
        }
        let residual: f64 = points.iter().map(|one| relative_error(one, found).powi(2)).sum();
        if best.is_none_or(|(known, _)| residual < known) {
            best = Some((residual, found));
        }
    }
    let (_, [a, b, c]) = best?;
    Some([1.0 / a, b / a, c / a])
}

fn terms(n: f64) -> [f64; 3] {
    [1.0, n - 1.0, n * (n - 1.0)]
}

fn relative_error(point: &Point, coefficients: [f64; 3]) -> f64 {
    let seen = point.concurrency / point.throughput_rps;
    let said: f64 = terms(point.concurrency).iter().zip(coefficients).map(|(term, one)| term * one).sum();
    (said - seen) / seen
}

/// Normal equations over the named terms, solved by elimination; the others stay zero.
fn least_squares(points: &[Point], used: &[usize]) -> Option<[f64; 3]> {
    let size = used.len();
    let mut matrix = vec![vec![0.0; size + 1]; size];
    for point in points {
        let seen = point.concurrency / point.throughput_rps;
        let all = terms(point.concurrency);
        for (row, one) in used.iter().enumerate() {
            for (column, other) in used.iter().enumerate() {
                matrix[row][column] += all[*one] * all[*other] / (seen * seen);
            }
            matrix[row][size] += all[*one] / seen;
        }
    }
    let solved = eliminate(matrix)?;
    let mut found = [0.0; 3];
    for (index, value) in used.iter().zip(solved) {
        found[*index] = value;
    }
    Some(found)
}

fn eliminate(mut matrix: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let size = matrix.len();
    for pivot in 0..size {
        let largest = (pivot..size)
            .max_by(|one, two| matrix[*one][pivot].abs().total_cmp(&matrix[*two][pivot].abs()))?;
        matrix.swap(pivot, largest);
        if matrix[pivot][pivot].abs() < 1e-12 {
            return None;
        }
        for row in 0..size {
            if row != pivot {
                let factor = matrix[row][pivot] / matrix[pivot][pivot];
                let above = matrix[pivot].clone();
                for (value, above) in matrix[row].iter_mut().zip(above).skip(pivot) {
                    *value -= factor * above;
                }
            }
        }
    }
    Some((0..size).map(|row| matrix[row][size] / matrix[row][row]).collect())
}

fn r_squared(points: &[Point], parameters: [f64; 3]) -> f64 {
    let seen: Vec<_> = points.iter().map(|one| one.throughput_rps).collect();
    let mean = seen.iter().sum::<f64>() / seen.len() as f64;
    let all: f64 = seen.iter().map(|one| (one - mean).powi(2)).sum();
    let left: f64 =
        points.iter().map(|one| (one.throughput_rps - law(parameters, one.concurrency)).powi(2)).sum();
    if all > 0.0 { (1.0 - left / all).clamp(0.0, 1.0) } else { 0.0 }
}

/// Fits again and again to the law's throughput with residuals drawn anew; always the same draws.
fn band(points: &[Point], parameters: [f64; 3]) -> Option<(f64, f64)> {
    let residuals: Vec<_> =
        points.iter().map(|one| one.throughput_rps / law(parameters, one.concurrency)).collect();
    let mut draws = StdRng::seed_from_u64(1);
    let mut ceilings = Vec::new();
    for _ in 0..RESAMPLES {
        let resampled: Vec<_> = points
            .iter()
            .map(|one| Point {
                concurrency: one.concurrency,
                throughput_rps: law(parameters, one.concurrency)
                    * residuals[draws.random_range(0..residuals.len())],
            })
            .collect();
        ceilings.extend(solve(&resampled).and_then(|found| peak(found).1));
    }
    // A law that half of the resampled fits do not bound has no band worth the name.
    if ceilings.len() < RESAMPLES as usize / 2 {
        return None;
    }
    ceilings.sort_by(f64::total_cmp);
    let at = |share: f64| ceilings[((ceilings.len() - 1) as f64 * share) as usize];
    Some((at(0.05), at(0.95)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(parameters: [f64; 3], concurrencies: &[f64]) -> Vec<Point> {
        concurrencies.iter().map(|n| Point { concurrency: *n, throughput_rps: law(parameters, *n) }).collect()
    }

    fn fitted(points: &[Point]) -> Fit {
        match fit(points) {
            FitOutcome::Fitted(fit) => fit,
            FitOutcome::Missing { reason } => panic!("{reason}"),
        }
    }

    #[test]
    fn the_parameters_of_an_exact_law_come_back() {
        let found = fitted(&points([1_000.0, 0.02, 0.0005], &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]));
        assert!((found.unit_rps - 1_000.0).abs() < 1e-3, "{found:?}");
        assert!((found.contention - 0.02).abs() < 1e-6 && (found.coherency - 0.0005).abs() < 1e-8);
        let best = found.best_concurrency.unwrap();
        assert!((best - (0.98_f64 / 0.0005).sqrt()).abs() < 0.1, "{best}");
        assert!(found.r_squared > 0.999);
    }

    #[test]
    fn noise_widens_the_band_but_keeps_the_truth_inside() {
        let mut seen =
            points([200.0, 0.05, 0.0002], &[1.0, 4.0, 8.0, 12.0, 16.0, 20.0, 24.0, 28.0, 48.0, 64.0]);
        for (index, one) in seen.iter_mut().enumerate() {
            one.throughput_rps *= 1.0 + 0.02 * [1.0, -1.0, 0.5, -0.5, 0.0][index % 5];
        }
        let found = fitted(&seen);
        let (low, high) = found.ceiling_band_rps.unwrap();
        let truth = peak([200.0, 0.05, 0.0002]).1.unwrap();
        assert!(low < truth && truth < high, "{low} {truth} {high}");
        assert!((0.03..0.07).contains(&found.contention), "{found:?}");
    }

    #[test]
    fn a_law_that_only_rises_has_no_best_concurrency() {
        let found = fitted(&points([100.0, 0.0, 0.0], &[1.0, 2.0, 4.0, 8.0, 16.0]));
        assert_eq!((found.best_concurrency, found.ceiling_rps), (None, None));
        let found = fitted(&points([100.0, 0.1, 0.0], &[1.0, 2.0, 4.0, 8.0, 16.0]));
        assert_eq!(found.best_concurrency, None);
        assert!((found.ceiling_rps.unwrap() - 1_000.0).abs() < 1.0);
    }

    #[test]
    fn too_few_or_too_similar_levels_are_not_fitted() {
        let few = points([100.0, 0.1, 0.0], &[1.0, 2.0, 4.0, 8.0]);
        assert!(matches!(fit(&few), FitOutcome::Missing { reason } if reason.contains("too few levels")));
        let alike = points([100.0, 0.1, 0.0], &[0.5, 0.6, 0.7, 0.8, 0.9]);
        assert!(matches!(fit(&alike), FitOutcome::Missing { reason } if reason.contains("too alike")));
    }
}
