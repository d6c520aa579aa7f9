//! Whether something grows: the Theil–Sen slope of a series with Sen's interval.
//!
//! Seconds depend on the seconds before them, so the slope is taken over at most sixty means of equal
//! spans; Kendall's variance then gives the interval (Sen 1968).

use super::check::ObjectiveCheck;
use crate::measured::Measured;
use serde::{Deserialize, Serialize};

/// Why a series says nothing of growth.
const TOO_FEW: &str = "its samples are too few, or too uneven, to tell";

/// The metric that shows a leak.
pub const SERVICE_MEMORY: &str = "service_memory_mb";
/// A level as long as this must be able to tell whether the service's memory grows.
const LONG_S: u64 = 1_800;

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
    /// Growth in an hour up to this is none: a twentieth of the median, and what the metric wavers by.
    #[serde(default)]
    pub bound: Option<f64>,
    /// What it comes to.
    pub direction: Direction,
}

impl Trend {
    /// The growth in an hour against its bound: missed where it surely grows. None where the time was too
    /// short to tell, which a long level must have been long enough for.
    #[must_use]
    pub fn check(&self, steady_s: u64) -> Option<ObjectiveCheck> {
        let value = match self.direction {
            Direction::Stable | Direction::Growing => Measured::or_missing(self.per_hour, TOO_FEW),
            Direction::Unknown if steady_s >= LONG_S && self.metric == SERVICE_MEMORY => {
                Measured::missing(TOO_FEW)
            }
            Direction::Unknown => return None,
        };
        let name = format!("{}_growth_per_hour", self.metric);
        let source = "one sample a second, Theil and Sen's slope";
        Some(ObjectiveCheck::new(&name, value, self.bound.unwrap_or(0.0), false, source))
    }
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

/// Judges the growth of a series of points (seconds, value); up to `waver` in an hour is none. What grows
/// over the whole time and not in its second half has levelled off, as caches do that fill: then the
/// second half is told.
#[must_use]
pub fn trend(metric: &str, points: &[(f64, f64)], waver: f64) -> Trend {
    let whole = of(metric, points, waver);
    if whole.direction != Direction::Growing {
        return whole;
    }
    let later = of(metric, &points[points.len() / 2..], waver);
    match later.direction {
        Direction::Stable => later,
        Direction::Growing | Direction::Unknown => whole,
    }
}

fn of(metric: &str, points: &[(f64, f64)], waver: f64) -> Trend {
    let mut values: Vec<_> = points.iter().map(|point| point.1).collect();
    values.sort_by(f64::total_cmp);
    let median = median(&values);
    let bound = median.map(|median| (median.abs() * TOLERANCE).max(waver).max(f64::EPSILON));
    let hourly = slope(points).map(|(slope, low, high)| (slope * 3_600.0, low * 3_600.0, high * 3_600.0));
    let direction = match (bound, hourly) {
        (Some(bound), Some((slope, low, high))) => {
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
        bound,
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
        let found = trend("memory_mb", &series(1_800, 100.0, 0.01, 2.0), 0.0);
        assert_eq!(found.direction, Direction::Growing);
        assert!((found.per_hour.unwrap() - 36.0).abs() < 2.0, "{found:?}");
        assert!(found.low < found.per_hour && found.per_hour < found.high);
    }

    #[test]
    fn growth_is_a_missed_objective_and_a_short_time_is_none() {
        use crate::domain::check::CheckStatus;
        let status = |points: &[(f64, f64)], steady_s| {
            trend(SERVICE_MEMORY, points, 5.0).check(steady_s).map(|check| check.status)
        };
        assert_eq!(
            status(&series(3_600, 100.0, 0.14, 2.0), 3_600),
            Some(CheckStatus::Fail),
            "500 MiB an hour"
        );
        assert_eq!(status(&series(3_600, 100.0, 0.0, 2.0), 3_600), Some(CheckStatus::Pass));
        assert_eq!(status(&series(60, 100.0, 0.0, 20.0), 60), None);
        assert_eq!(status(&[], 3_600), Some(CheckStatus::Unknown), "an hour without its memory");
    }

    #[test]
    fn noise_without_growth_is_stable_over_an_hour_and_unknown_over_a_minute() {
        assert_eq!(trend("memory_mb", &series(3_600, 100.0, 0.0, 2.0), 0.0).direction, Direction::Stable);
        assert_eq!(trend("memory_mb", &series(60, 100.0, 0.0, 20.0), 0.0).direction, Direction::Unknown);
    }

    #[test]
    fn what_shrinks_or_never_changes_is_stable() {
        assert_eq!(trend("files", &series(600, 50.0, 0.0, 0.0), 0.0).direction, Direction::Stable);
        assert_eq!(trend("files", &series(600, 50.0, -0.01, 0.0), 0.0).direction, Direction::Stable);
        assert_eq!(trend("files", &[], 0.0).direction, Direction::Unknown);
    }

    #[test]
    fn what_filled_up_at_first_has_levelled_off() {
        let mut points = series(3_600, 100.0, 0.0, 0.5);
        assert_eq!(trend("memory_mb", &points, 0.0).direction, Direction::Stable);
        for (second, point) in points.iter_mut().enumerate().take(1_500) {
            point.1 -= 40.0 * (1.0 - second as f64 / 1_500.0);
        }
        assert_eq!(of("memory_mb", &points, 0.0).direction, Direction::Growing, "as a whole");
        let found = trend("memory_mb", &points, 0.0);
        assert_eq!(found.direction, Direction::Stable, "{found:?}");
    }

    #[test]
    fn growth_below_what_a_metric_wavers_by_is_none() {
        let points = series(3_600, 1.0, 0.000_1, 0.0);
        assert_eq!(trend("lag", &points, 0.0).direction, Direction::Growing);
        assert_eq!(trend("lag", &points, 1.0).direction, Direction::Stable);
    }

    #[test]
    fn a_few_wild_values_do_not_move_it() {
        let mut points = series(1_200, 100.0, 0.0, 1.0);
        for index in [3, 500, 1_100] {
            points[index].1 = 10_000.0;
        }
        let found = trend("p95_ms", &points, 0.0);
        assert_ne!(found.direction, Direction::Growing, "{found:?}");
    }
}
