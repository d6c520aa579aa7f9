//! Line charts as inline SVG: no script, no font, no network, so that one file is a whole report.

use std::fmt::Write;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 56.0;
const BOTTOM: f64 = 34.0;
const TOP: f64 = 44.0;
const RIGHT: f64 = 12.0;

/// One line of a chart.
#[derive(Clone, Debug)]
pub(super) struct Line<'a> {
    /// Its name in the legend.
    pub(super) name: &'a str,
    /// Its colour.
    pub(super) colour: &'a str,
    /// Its points, x ascending.
    pub(super) points: Vec<(f64, f64)>,
}

/// A chart. Without a point it says so, instead of showing an empty frame that looks like zero.
pub(super) fn line_chart(title: &str, x_name: &str, lines: &[Line<'_>]) -> String {
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\"><text x=\"{LEFT}\" y=\"16\" class=\"title\">{title}</text>"
    );
    let points = || lines.iter().flat_map(|line| &line.points);
    if points().next().is_none() {
        let _ = write!(svg, "<text x=\"{LEFT}\" y=\"120\">not measured</text></svg>");
        return svg;
    }
    let (low, high) =
        points().fold((f64::MAX, f64::MIN), |(low, high), point| (low.min(point.0), high.max(point.0)));
    let top = nice(points().map(|point| point.1).fold(0.0, f64::max));
    let x = |value: f64| {
        let share = if high > low { (value - low) / (high - low) } else { 0.5 };
        LEFT + share * (WIDTH - LEFT - RIGHT)
    };
    let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - TOP);
    for step in 0..=4 {
        let value = top * f64::from(step) / 4.0;
        let at = y(value);
        let _ = write!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\" class=\"grid\"/><text x=\"{}\" y=\"{:.1}\" class=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0,
            label(value)
        );
    }
    let base = HEIGHT - BOTTOM + 16.0;
    let _ = write!(svg, "<text x=\"{LEFT}\" y=\"{base}\">{}</text>", label(low));
    let _ = write!(
        svg,
        "<text x=\"{}\" y=\"{base}\" class=\"end\">{} {x_name}</text>",
        WIDTH - RIGHT,
        label(high)
    );
    for (index, line) in lines.iter().enumerate() {
        let path: Vec<_> =
            line.points.iter().map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1))).collect();
        let _ = write!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>",
            path.join(" "),
            line.colour
        );
        if line.points.len() <= 12 {
            for point in &line.points {
                let _ = write!(
                    svg,
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{}\"/>",
                    x(point.0),
                    y(point.1),
                    line.colour
                );
            }
        }
        let at = LEFT + index as f64 * 110.0;
        let _ = write!(
            svg,
            "<rect x=\"{at}\" y=\"24\" width=\"10\" height=\"10\" fill=\"{}\"/><text x=\"{}\" y=\"33\">{}</text>",
            line.colour,
            at + 15.0,
            line.name
        );
    }
    svg + "</svg>"
}

/// The next of 1, 2, 4, 5, 8 times a power of ten: an axis whose quarters are readable.
fn nice(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 5.0, 8.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|step| *step >= value)
        .unwrap_or(value)
}

fn label(value: f64) -> String {
    match value {
        value if value >= 1_000_000.0 => format!("{:.1}M", value / 1_000_000.0),
        value if value >= 10_000.0 => format!("{:.0}k", value / 1_000.0),
        value if value.fract() == 0.0 => format!("{value:.0}"),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_measured_is_said_not_drawn_as_zero() {
        assert!(
            line_chart("t", "s", &[Line { name: "a", colour: "red", points: vec![] }])
                .contains("not measured")
        );
    }

    #[test]
    fn one_point_is_drawn_without_dividing_by_zero() {
        let svg = line_chart("t", "s", &[Line { name: "a", colour: "red", points: vec![(5.0, 0.0)] }]);
        assert!(!svg.contains("NaN") && svg.contains("<circle"));
    }

    #[test]
    fn the_axis_ends_above_the_largest_value() {
        assert_eq!([0.0, 3.0, 42.0, 1_000.0].map(nice), [1.0, 4.0, 50.0, 1_000.0]);
    }
}
