//! One value over time in constant memory: an hour by the second, a day by ten seconds.

/// Seconds that are kept one by one.
pub const FINE_S: i64 = 3_600;
/// Seconds of one coarse slot.
const COARSE_S: i64 = 10;
/// Coarse slots: a day.
const COARSE: i64 = 8_640;
/// The longest window.
pub const LONGEST_S: i64 = COARSE_S * COARSE;
/// A value holds for so long: sources answer about once a second, never exactly.
const HOLDS_S: i64 = 3;

/// A value over time. NaN inside stands for missing; outside it is `None`.
#[derive(Clone, Debug)]
pub struct Ring {
    fine: Vec<f64>,
    coarse: Vec<f64>,
    newest: Option<i64>,
}

impl Default for Ring {
    fn default() -> Self {
        let nothing = |slots: i64| vec![f64::NAN; usize::try_from(slots).unwrap_or(0)];
        Self { fine: nothing(FINE_S), coarse: nothing(COARSE), newest: None }
    }
}

fn slot(number: i64, slots: i64) -> usize {
    usize::try_from(number.rem_euclid(slots)).unwrap_or(0)
}

impl Ring {
    /// Puts a value at a time. A time further back than the ring reaches is ignored.
    pub fn put(&mut self, at_s: f64, value: Option<f64>) {
        let second = at_s.floor() as i64;
        let newest = self.newest.unwrap_or(second - 1);
        if second <= newest - FINE_S {
            return;
        }
        // Seconds and slots that nothing was said of are empty, not what they were a round ago.
        for passed in (newest + 1).max(second - FINE_S + 1)..=second {
            self.fine[slot(passed, FINE_S)] = f64::NAN;
        }
        let (before, now) = (newest.div_euclid(COARSE_S), second.div_euclid(COARSE_S));
        for passed in (before + 1).max(now - COARSE + 1)..=now {
            self.coarse[slot(passed, COARSE)] = f64::NAN;
        }
        self.newest = Some(newest.max(second));
        self.fine[slot(second, FINE_S)] = value.unwrap_or(f64::NAN);
        let seconds = now * COARSE_S..(now + 1) * COARSE_S;
        let most = largest(seconds.map(|second| self.second(second)));
        self.coarse[slot(now, COARSE)] = most.unwrap_or(f64::NAN);
    }

    fn second(&self, second: i64) -> Option<f64> {
        let newest = self.newest?;
        let kept = second <= newest && second > newest - FINE_S;
        kept.then(|| self.fine[slot(second, FINE_S)]).filter(|value| !value.is_nan())
    }

    fn ten_seconds(&self, number: i64) -> Option<f64> {
        let newest = self.newest?.div_euclid(COARSE_S);
        let kept = number <= newest && number > newest - COARSE;
        kept.then(|| self.coarse[slot(number, COARSE)]).filter(|value| !value.is_nan())
    }

    /// The value that held at a time.
    #[must_use]
    pub fn at(&self, at_s: f64) -> Option<f64> {
        let second = at_s.floor() as i64;
        if self.newest? - second < FINE_S - HOLDS_S {
            return (0..HOLDS_S).find_map(|back| self.second(second - back));
        }
        self.ten_seconds(second.div_euclid(COARSE_S))
    }

    /// The window that ends at `end_s`, in columns, oldest first: the largest value of each, so that a
    /// spike is seen however long the window is. A column without a value is `None`.
    #[must_use]
    pub fn columns(&self, end_s: f64, window_s: i64, columns: usize) -> Vec<Option<f64>> {
        if columns == 0 {
            return Vec::new();
        }
        let width = window_s as f64 / columns as f64;
        // Columns lie on a fixed raster, so that the picture moves but does not shimmer.
        let end = (end_s / width).ceil() * width;
        let fine = self.newest.is_some_and(|newest| newest - (end as i64 - window_s) < FINE_S);
        (0..columns)
            .map(|column| {
                let from = end - (columns - column) as f64 * width;
                let (first, last) = (from.floor() as i64, ((from + width).ceil() as i64 - 1));
                if !fine {
                    let slots = first.div_euclid(COARSE_S)..=last.div_euclid(COARSE_S);
                    return largest(slots.map(|number| self.ten_seconds(number)));
                }
                let here = largest((first..=last.max(first)).map(|second| self.second(second)));
                // Nothing holds beyond the present.
                here.or_else(|| (first as f64 <= end_s).then(|| self.held(first)).flatten())
            })
            .collect()
    }

    fn held(&self, second: i64) -> Option<f64> {
        (1..HOLDS_S).find_map(|back| self.second(second - back))
    }

    /// The seconds from `from_s` to `to_s` with their values, oldest first.
    pub fn seconds(&self, from_s: f64, to_s: f64) -> impl Iterator<Item = (i64, Option<f64>)> {
        (from_s.ceil() as i64..=to_s.floor() as i64).map(|second| (second, self.at(second as f64)))
    }
}

fn largest(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    values.flatten().reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(seconds: std::ops::Range<i64>) -> Ring {
        let mut ring = Ring::default();
        for second in seconds {
            ring.put(second as f64 + 0.3, Some(second as f64));
        }
        ring
    }

    #[test]
    fn what_is_missing_stays_missing() {
        let mut ring = ring(0..10);
        ring.put(10.0, None);
        ring.put(20.0, Some(20.0));
        assert_eq!(ring.at(9.5), Some(9.0));
        assert_eq!(ring.at(15.0), None);
        let columns = ring.columns(20.0, 20, 20);
        assert_eq!(columns[..2], [Some(0.0), Some(1.0)]);
        assert_eq!(columns[14], None);
    }

    #[test]
    fn a_spike_is_seen_in_a_long_window() {
        let mut ring = ring(0..600);
        ring.put(550.0, Some(9_999.0));
        let most = |ring: &Ring, end_s: f64, window_s: i64| {
            ring.columns(end_s, window_s, 10).into_iter().flatten().fold(0.0, f64::max)
        };
        assert_eq!(most(&ring, 600.0, 600), 9_999.0);
        // Nor is it lost where only ten seconds are kept as one.
        (600..8_000).for_each(|second| ring.put(second as f64, Some(1.0)));
        assert_eq!(most(&ring, 8_000.0, LONGEST_S), 9_999.0);
    }

    #[test]
    fn more_columns_than_seconds_hold_the_last_value() {
        let ring = ring(0..60);
        let columns = ring.columns(59.9, 30, 120);
        assert!(columns.iter().all(Option::is_some), "{columns:?}");
    }

    #[test]
    fn a_day_is_kept_and_the_day_before_is_forgotten() {
        let ring = ring(0..2 * LONGEST_S);
        let now = (2 * LONGEST_S) as f64;
        assert_eq!(ring.at(now - 4_000.0).map(|value| (value - (now - 4_000.0)).abs() < 10.0), Some(true));
        assert_eq!(ring.at(now - 90_000.0), None);
        let columns = ring.columns(now - 1.0, LONGEST_S, 100);
        assert!(columns.iter().skip(1).all(Option::is_some));
    }

    #[test]
    fn a_gap_of_hours_is_a_gap() {
        let mut ring = ring(0..100);
        ring.put(20_000.0, Some(1.0));
        assert_eq!(ring.at(10_000.0), None);
        assert_eq!(ring.columns(20_000.0, 3_600, 60).iter().flatten().count(), 1);
    }
}
