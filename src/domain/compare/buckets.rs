//! What the coarse buckets of the service's histogram can tell apart.

use super::MetricChange;
use nsys_contract::metrics::DURATION_BUCKETS;

/// What remains of a judgement by values from these buckets: within one of them nothing is told, and a small
/// difference across a bound may be none or a large one.
pub(super) fn tempered(
    verdict: MetricChange,
    before_ms: f64,
    after_ms: f64,
) -> (MetricChange, Option<String>) {
    let (one, two) = (bucket(before_ms), bucket(after_ms));
    let span = |(from, to): (f64, f64)| {
        if to.is_finite() { format!("{from:.0} to {to:.0} ms") } else { format!("{from:.0} ms and more") }
    };
    if one == two {
        let why = format!("the service's histogram tells nothing apart from {}", span(one));
        return (MetricChange::Inconclusive, Some(why));
    }
    match verdict {
        MetricChange::Unchanged => {
            let why =
                format!("the service's buckets, {} and {}, are coarser than that", span(one), span(two));
            (MetricChange::Inconclusive, Some(why))
        }
        verdict => (verdict, None),
    }
}

/// The bounds of a value's bucket, in ms.
fn bucket(ms: f64) -> (f64, f64) {
    let bounds = DURATION_BUCKETS.map(|seconds| seconds * 1_000.0);
    let above = bounds.iter().position(|bound| ms <= *bound);
    let to = above.map_or(f64::INFINITY, |index| bounds[index]);
    let from = match above {
        Some(0) => 0.0,
        Some(index) => bounds[index - 1],
        None => bounds[bounds.len() - 1],
    };
    (from, to)
}
