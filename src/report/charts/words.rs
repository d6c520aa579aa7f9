//! A chart in words, for a screen reader.

use super::ChartLine;

/// `throughput in requests/s: planned from 100 to 1000, answered from 98 to 1003`.
pub(super) fn describe(title: &str, unit: &str, lines: &[ChartLine]) -> String {
    let parts: Vec<_> = lines.iter().filter_map(range).collect();
    let what = if parts.is_empty() { "not measured".to_owned() } else { parts.join(", ") };
    format!("{title} in {unit}: {what}")
}

fn range(line: &ChartLine) -> Option<String> {
    let values = || line.points().map(|point| point.1);
    let (low, high) = (values().reduce(f64::min)?, values().reduce(f64::max)?);
    let name = &line.name;
    let text = if low < high {
        format!("{name} from {} to {}", number(low), number(high))
    } else {
        format!("{name} {}", number(low))
    };
    Some(text)
}

/// As many digits as matter.
fn number(value: f64) -> String {
    let digits = if value.abs() >= 100.0 { 0 } else { 2 };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
