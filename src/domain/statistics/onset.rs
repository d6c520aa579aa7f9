//! When a series changed: the one split that explains it best, and when it left its bound for good.

/// Samples a crossing must last to count.
const HOLD: usize = 3;

/// A series in two parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChangePoint {
    /// Index of the first sample of the second part.
    pub at: usize,
    /// Mean before.
    pub before: f64,
    /// Mean from there on.
    pub after: f64,
}

/// The split with the largest drop of squared error, when noise alone would not give such a drop.
///
/// The noise is the median absolute difference of neighbours, which a step does not disturb; the
/// drop must exceed 3 ln(n) times its square (a Schwarz-like penalty for one more parameter).
#[must_use]
pub fn change_point(values: &[f64]) -> Option<ChangePoint> {
    let count = values.len();
    if count < 2 * HOLD {
        return None;
    }
    let total: f64 = values.iter().sum();
    let (mut left, mut best) = (0.0, None::<(f64, ChangePoint)>);
    for at in 1..count {
        left += values[at - 1];
        if at < HOLD || count - at < HOLD {
            continue;
        }
        let (before, after) = (left / at as f64, (total - left) / (count - at) as f64);
        let drop = at as f64 * (count - at) as f64 / count as f64 * (before - after).powi(2);
        if best.is_none_or(|(known, _)| drop > known) {
            best = Some((drop, ChangePoint { at, before, after }));
        }
    }
    let (drop, found) = best?;
    let noise = neighbour_noise(values);
    (drop > 3.0 * (count as f64).ln() * noise * noise && drop > 1e-12).then_some(found)
}

/// Standard deviation of the noise, from the median difference of neighbours.
fn neighbour_noise(values: &[f64]) -> f64 {
    let mut steps: Vec<_> = values.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
    steps.sort_by(f64::total_cmp);
    // 0.6745 is the upper quartile of the normal distribution, √2 the width of a difference.
    steps.get(steps.len() / 2).map_or(0.0, |median| median / 0.6745 / std::f64::consts::SQRT_2)
}

/// Index from which a series lies beyond its bound: the change point when it separates what is
/// within from what is beyond, else the first sample of a crossing that holds.
#[must_use]
pub fn onset(values: &[f64], bound: f64, at_least: bool) -> Option<usize> {
    let beyond = |value: f64| if at_least { value < bound } else { value > bound };
    let held = (0..values.len()).find(|start| {
        let rest = &values[*start..values.len().min(start + HOLD)];
        rest.len() == HOLD.min(values.len()) && rest.iter().all(|value| beyond(*value))
    });
    match change_point(values) {
        Some(change) if beyond(change.after) && !beyond(change.before) => {
            Some(held.map_or(change.at, |first| first.max(change.at.saturating_sub(HOLD)).min(change.at)))
        }
        _ => held,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values around a level, wavering by up to a tenth.
    fn around(level: f64, count: usize) -> Vec<f64> {
        (0..count).map(|index| level * (1.0 + 0.1 * ((index * 7919 % 13) as f64 / 6.5 - 1.0))).collect()
    }

    #[test]
    fn a_step_is_found_where_it_is() {
        let values = [around(10.0, 30), around(20.0, 30)].concat();
        let found = change_point(&values).unwrap();
        assert!((29..=31).contains(&found.at), "{found:?}");
        assert!(found.before < 12.0 && found.after > 18.0);
    }

    #[test]
    fn noise_has_no_step() {
        assert_eq!(change_point(&around(10.0, 60)), None);
        assert_eq!(change_point(&[1.0; 60]), None);
        assert_eq!(change_point(&[1.0, 9.0]), None);
    }

    #[test]
    fn a_single_spike_is_no_onset() {
        let mut values = around(10.0, 40);
        values[20] = 500.0;
        assert_eq!(onset(&values, 100.0, false), None);
    }

    #[test]
    fn the_onset_is_where_the_bound_was_left_for_good() {
        let values = [around(10.0, 25), around(300.0, 15)].concat();
        assert_eq!(onset(&values, 100.0, false), Some(25));
        assert_eq!(onset(&around(300.0, 10), 100.0, false), Some(0));
        let falling = [around(0.9, 20), around(0.2, 20)].concat();
        assert_eq!(onset(&falling, 0.7, true), Some(20));
    }
}
