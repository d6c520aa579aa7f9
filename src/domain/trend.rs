//! Whether something grows: the Theil–Sen slope of a series with Sen's interval.
//!
//! Seconds depend on the seconds before them, so the slope is taken over at most sixty means of equal
//! spans; Kendall's variance then gives the interval (Sen 1968).

use serde::{Deserialize, Serialize};

/// Fewest spans that can tell.
const FEWEST: usize = 10;
/// Most spans, each the mean of its seconds.
const MOST: usize = 60;
/// Growth in an hour up to this share of the median is none.
const TOLERANCE: f64 = 0.05;
/// 97.5th percentile of the normal distribution.
const Z: f64 = 1.959_964;

/// What became of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// It does not grow, or by less than one can care about.
    Stable,
    /// It surely grows.
    Growing,
    /// The time was too short, or the series too uneven, to tell.
    Unknown,
}

impl Direction {
    /// The word used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Growing => "growing",
            Self::Unknown => "unknown",
        }
    }
}

/// The trend of one quantity over a level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trend {
    /// Its name with the unit last.
    pub metric: String,
    /// Median of the series.
    pub median: Option<f64>,
    /// Growth in an hour, in the unit of the metric.
    pub per_hour: Option<f64>,
    /// Lower end of the 95 % interval.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// What it comes to.
    pub direction: Direction,
}

/// The slope of points (seconds, value) per second, with its 95 % interval. Absent when there are too
/// few points.
#[must_use]
pub fn slope(points: &[(f64, f64)]) -> Option<(f64, f64, f64)> {
    let spans = spans(points);
    if spans.len() < FEWEST {
        return None;
    }
    let mut slopes: Vec<f64> = spans
        .iter()
        .enumerate()
        .flat_map(|(index, one)| spans[index + 1..].iter().map(move |two| (two.1 - one.1) / (two.0 - one.0)))
        .filter(|slope| slope.is_finite())
        .collect();
    slopes.sort_by(f64::total_cmp);
    let (n, pairs) = (spans.len() as f64, slopes.len() as f64);
    let reach = Z * (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
    let at = |rank: f64| slopes[(rank.round().max(0.0) as usize).min(slopes.len() - 1)];
    Some((median(&slopes)?, at((pairs - reach) / 2.0), at((pairs + reach) / 2.0)))
}

/// Judges the growth of a series of points (seconds, value).
#[must_use]
pub fn trend(metric: &str, points: &[(f64, f64)]) -> Trend {
    let mut values: Vec<_> = points.iter().map(|point| point.1).collect();
    values.sort_by(f64::total_cmp);
    let median = median(&values);
    let hourly = slope(points).map(|(slope, low, high)| (slope * 3_600.0, low * 3_600.0, high * 3_600.0));
    let direction = match (median, hourly) {
        (Some(median), Some((slope, low, high))) => {
            let bound = (median.abs() * TOLERANCE).max(f64::EPSILON);
            if low > 0.0 && slope > bound {
                Direction::Growing
            } else if high <= bound {
                Direction::Stable
            } else {
                Direction::Unknown
            }
        }
        _ => Direction::Unknown,
    };
    Trend {
        metric: metric.to_owned(),
        median,
        per_hour: hourly.map(|one| one.0),
        low: hourly.map(|one| one.1),
        high: hourly.map(|one| one.2),
        direction,
    }
}

/// At most [`MOST`] means of equal numbers of points.
fn spans(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let size = points.len().div_ceil(MOST).max(1);
    points
        .chunks(size)
        .map(|chunk| {
            let count = chunk.len() as f64;
            let sum = chunk.iter().fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            (sum.0 / count, sum.1 / count)
        })
        .collect()
}

fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        Some((sorted.get(middle.checked_sub(1)?)? + sorted.get(middle)?) / 2.0)
    } else {
        sorted.get(middle).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` seconds of `level`, growing by `per_s`, with a repeatable unevenness of `noise`.
    fn series(count: u32, level: f64, per_s: f64, noise: f64) -> Vec<(f64, f64)> {
        let uneven = |second: u32| f64::from((second * 7919) % 101) / 50.0 - 1.0;
        (0..count).map(|s| (f64::from(s), level + per_s * f64::from(s) + noise * uneven(s))).collect()
    }

    #[test]
    fn a_leak_is_found_and_its_size_is_right() {
        let found = trend("memory_mb", &series(1_800, 100.0, 0.01, 2.0));
        assert_eq!(found.direction, Direction::Growing);
        assert!((found.per_hour.unwrap() - 36.0).abs() < 2.0, "{found:?}");
        assert!(found.low < found.per_hour && found.per_hour < found.high);
    }

    #[test]
    fn noise_without_growth_is_stable_over_an_hour_and_unknown_over_a_minute() {
        assert_eq!(trend("memory_mb", &series(3_600, 100.0, 0.0, 2.0)).direction, Direction::Stable);
        assert_eq!(trend("memory_mb", &series(60, 100.0, 0.0, 20.0)).direction, Direction::Unknown);
    }

    #[test]
    fn what_shrinks_or_never_changes_is_stable() {
        assert_eq!(trend("files", &series(600, 50.0, 0.0, 0.0)).direction, Direction::Stable);
        assert_eq!(trend("files", &series(600, 50.0, -0.01, 0.0)).direction, Direction::Stable);
        assert_eq!(trend("files", &[]).direction, Direction::Unknown);
    }

    #[test]
    fn a_few_wild_values_do_not_move_it() {
        let mut points = series(1_200, 100.0, 0.0, 1.0);
        for index in [3, 500, 1_100] {
            points[index].1 = 10_000.0;
        }
        let found = trend("p95_ms", &points);
        assert_ne!(found.direction, Direction::Growing, "{found:?}");
    }
}
