//! No more points than a chart can show, and none of its extremes lost.

/// Keeps the lowest and the highest point of each of `columns` equal spans of x.
pub(super) fn thin(points: &[(f64, f64)], columns: usize) -> Vec<(f64, f64)> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
    let span = last.0 - first.0;
    if points.len() <= 2 * columns || span <= 0.0 {
        return points.to_vec();
    }
    let column = |point: &(f64, f64)| ((point.0 - first.0) / span * columns as f64) as usize;
    points.chunk_by(|one, next| column(one) == column(next)).flat_map(extremes).collect()
}

/// The lowest and the highest of them, in their order.
fn extremes(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let of = |better: fn(f64, f64) -> bool| {
        (0..points.len())
            .reduce(|best, index| if better(points[index].1, points[best].1) { index } else { best })
    };
    let (Some(low), Some(high)) = (of(|one, best| one < best), of(|one, best| one > best)) else {
        return Vec::new();
    };
    let mut kept = vec![low.min(high), low.max(high)];
    kept.dedup();
    kept.into_iter().map(|index| points[index]).collect()
}

#[cfg(test)]
mod tests {
    use super::thin;

    #[test]
    fn the_highest_and_the_lowest_of_an_hour_are_kept() {
        let mut hour: Vec<_> = (0..3_600).map(|second| (f64::from(second), 10.0)).collect();
        hour[1_801].1 = 900.0;
        hour[2_400].1 = 0.5;
        let kept = thin(&hour, 360);
        assert!(kept.len() <= 2 * 361, "{}", kept.len());
        assert!(kept.contains(&(1_801.0, 900.0)) && kept.contains(&(2_400.0, 0.5)));
        assert!(kept.is_sorted_by(|one, next| one.0 < next.0));
    }

    #[test]
    fn few_points_stay_as_they_are() {
        let few = [(0.0, 1.0), (1.0, 2.0), (2.0, 1.0)];
        assert_eq!(thin(&few, 360), few);
    }
}
