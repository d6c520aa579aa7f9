//! The only place that names kuva: charts as inline SVG that takes its colours from the page, so that
//! one drawing serves light and dark, screen and paper.

use kuva::backend::svg::SvgBackend;
use kuva::plot::LinePlot;
use kuva::plot::annotations::{ReferenceLine, ShadedRegion, TextAnnotation};
use kuva::plot::band::BandPlot;
use kuva::plot::legend::LegendPosition;
use kuva::plot::scatter::ScatterPlot;
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::plots::Plot;
use kuva::render::render::render_multiple;
use kuva::render::theme::Theme;
use std::sync::Arc;

const WIDTH: f64 = 1_000.0;
/// Of charts that stand two in a row, so that their words are as large as the others'.
const HALF_WIDTH: f64 = 520.0;
const HEIGHT: f64 = 290.0;
/// The same on every chart, so that one second stands below itself.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;

/// One line of a chart.
#[derive(Clone, Debug)]
pub(super) struct ChartLine {
    /// Its name in the legend.
    pub(super) name: String,
    /// A colour of the page: `--c1` to `--c6`.
    pub(super) colour: &'static str,
    /// Its points, x ascending.
    pub(super) points: Vec<(f64, f64)>,
    /// Whether it is an objective, not a measurement.
    pub(super) dashed: bool,
}

/// A span of the time axis.
#[derive(Clone, Debug)]
pub(super) struct Band {
    /// First second.
    pub(super) from: f64,
    /// Last second.
    pub(super) to: f64,
    /// What it is.
    pub(super) name: String,
}

/// A moment of the time axis.
#[derive(Clone, Debug)]
pub(super) struct Marker {
    /// Its second.
    pub(super) at: f64,
    /// What happened.
    pub(super) name: String,
}

/// The time axis that several charts share.
#[derive(Clone, Debug)]
pub(super) struct TimeAxis {
    /// Its length, in seconds.
    pub(super) seconds: f64,
    /// The levels.
    pub(super) bands: Vec<Band>,
    /// What operators did.
    pub(super) markers: Vec<Marker>,
}

fn theme() -> Theme {
    Theme {
        background: "none".into(),
        axis_color: "var(--line)".into(),
        grid_color: "var(--grid)".into(),
        tick_color: "var(--line)".into(),
        text_color: "currentColor".into(),
        legend_bg: "none".into(),
        legend_border: "none".into(),
        font_family: Some("system-ui, sans-serif".into()),
        ..Theme::light()
    }
}

/// A chart over the shared time axis; absent without a point, for an empty frame looks like zero.
pub(super) fn over_time(axis: &TimeAxis, lines: &[ChartLine]) -> Option<String> {
    let top = highest(lines)?;
    let (plots, seconds) = (plots(lines), axis.seconds.max(1.0));
    let mut layout = frame(&plots, (0.0, seconds), top)
        .with_width(WIDTH)
        .with_x_tick_format(TickFormat::Custom(Arc::new(clock)))
        .with_x_tick_step(tick_step(seconds));
    for (index, band) in axis.bands.iter().enumerate() {
        let shade = ShadedRegion::vertical(band.from, band.to).with_color("var(--band)");
        layout = layout.with_shaded_region(shade.with_opacity(if index % 2 == 0 { 0.10 } else { 0.22 }));
        // A name that is wider than its band would run into the next one.
        let wide = (band.to - band.from) / seconds * WIDTH > 9.0 * band.name.len() as f64;
        if wide {
            let name = TextAnnotation::new(&band.name, f64::midpoint(band.from, band.to), top * 0.97);
            layout = layout.with_annotation(name.with_color("var(--dim)").with_font_size(11));
        }
    }
    for marker in &axis.markers {
        let line = ReferenceLine::vertical(marker.at).with_color("var(--mark)").with_label(&marker.name);
        layout = layout.with_reference_line(line);
    }
    Some(svg(plots, layout))
}

/// Seconds between ticks: about eight of them, on round times.
fn tick_step(seconds: f64) -> f64 {
    let steps = [5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0];
    steps.into_iter().find(|step| seconds / step <= 9.0).unwrap_or(3_600.0)
}

/// A chart over levels, which are whole numbers.
pub(super) fn over_levels(lines: &[ChartLine]) -> Option<String> {
    over("level", lines, |level| if level.fract() == 0.0 { format!("{level:.0}") } else { String::new() })
}

/// The names of the percentiles that a distribution is drawn at, at 0, 1, 2, ….
const PERCENTILES: [&str; 6] = ["min", "p50", "p90", "p95", "p99", "p99.9"];

/// A chart over percentiles, evenly spaced: the tail is what matters.
pub(super) fn over_percentiles(lines: &[ChartLine]) -> Option<String> {
    over("", lines, |index| {
        let whole = index.fract() == 0.0 && index >= 0.0;
        PERCENTILES.get(index as usize).filter(|_| whole).map_or_else(String::new, |name| (*name).to_owned())
    })
}

fn over(x_name: &str, lines: &[ChartLine], tick: fn(f64) -> String) -> Option<String> {
    let top = highest(lines)?;
    let plots = plots(lines);
    let layout = frame(&plots, range(lines)?, top)
        .with_x_label(x_name)
        .with_x_tick_step(1.0)
        .with_x_tick_format(TickFormat::Custom(Arc::new(tick)));
    Some(svg(plots, layout))
}

/// Throughput over concurrency: the levels, the law, and its band.
pub(super) fn scalability(levels: &[(f64, f64)], law: ChartLine, band: Option<(f64, f64)>) -> Option<String> {
    let top =
        highest(std::slice::from_ref(&law))?.max(nice(levels.iter().map(|one| one.1).fold(0.0, f64::max)));
    let (from, to) = range(std::slice::from_ref(&law))?;
    let mut all: Vec<Plot> = Vec::new();
    if let Some((low, high)) = band {
        let xs = [from, to];
        let flat = BandPlot::new(xs, [low, low], [high.min(top), high.min(top)]);
        all.push(flat.with_color("var(--band)").with_opacity(0.25).with_legend("ceiling, 90 % band").into());
    }
    all.extend(plots(std::slice::from_ref(&law)));
    let dots = ScatterPlot::new().with_data(levels.to_vec()).with_color("var(--c2)").with_size(5.0);
    all.push(dots.with_legend("levels").into());
    let layout = frame(&all, (0.0, to), top).with_x_label("requests in progress").with_y_label("requests/s");
    Some(svg(all, layout))
}

/// Seconds as minutes and seconds.
fn clock(seconds: f64) -> String {
    let seconds = seconds.round().max(0.0) as u64;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

fn plots(lines: &[ChartLine]) -> Vec<Plot> {
    let with_points = lines.iter().filter(|line| !line.points.is_empty());
    with_points
        .map(|line| {
            let plot = LinePlot::new()
                .with_data(line.points.clone())
                .with_color(format!("var({})", line.colour))
                .with_stroke_width(1.8)
                .with_legend(&line.name);
            if line.dashed { plot.with_dashed().into() } else { plot.into() }
        })
        .collect()
}

fn frame(plots: &[Plot], x: (f64, f64), top: f64) -> Layout {
    Layout::auto_from_plots(plots)
        .with_theme(theme())
        .with_width(HALF_WIDTH)
        .with_height(HEIGHT)
        .with_force_margins(LEFT, RIGHT)
        .with_legend_position(LegendPosition::OutsideTopLeft)
        .with_legend_box(false)
        .with_x_axis_min(x.0)
        .with_x_axis_max(x.1)
        .with_y_axis_min(0.0)
        .with_y_axis_max(top)
        .with_tick_size(11)
        .with_label_size(12)
        .with_body_size(12)
}

fn svg(plots: Vec<Plot>, layout: Layout) -> String {
    let text = SvgBackend::new().render_scene(&render_multiple(plots, layout));
    responsive(&text)
}

/// Lets the page decide the width: a view box instead of a fixed size, and no trace of the tool.
fn responsive(text: &str) -> String {
    let Some((head, rest)) = text.split_once('>') else { return text.to_owned() };
    let attribute = |name: &str| {
        let (_, value) = head.split_once(&format!(" {name}=\""))?;
        value.split_once('"').map(|(value, _)| value.to_owned())
    };
    let (width, height) = (attribute("width").unwrap_or_default(), attribute("height").unwrap_or_default());
    let rest = match (rest.find("<!--"), rest.find("-->")) {
        (Some(start), Some(end)) if start < end => format!("{}{}", &rest[..start], &rest[end + 3..]),
        _ => rest.to_owned(),
    };
    let rest = steady_names(rest);
    format!(
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" font-family=\"system-ui, sans-serif\" fill=\"currentColor\">{rest}"
    )
}

/// Clip paths are numbered through the process, and a page must be the same whoever writes it: they are
/// named by the rectangle that they clip to instead, so that equal names on a page mean equal clips.
fn steady_names(mut text: String) -> String {
    const NUMBERED: &str = "<clipPath id=\"kuva-clip-";
    while let Some(start) = text.find(NUMBERED) {
        let rest = &text[start + NUMBERED.len()..];
        let Some((number, shape)) = rest.split_once("\">") else { break };
        let shape = shape.split_once("</clipPath>").map_or("", |(shape, _)| shape);
        let parts =
            shape.split(|sign: char| !sign.is_ascii_digit() && sign != '.').filter(|one| !one.is_empty());
        let name = format!("clip-{}", parts.collect::<Vec<_>>().join("-"));
        let old = format!("kuva-clip-{number}");
        text = text
            .replace(&format!("\"{old}\""), &format!("\"{name}\""))
            .replace(&format!("#{old})"), &format!("#{name})"));
    }
    text
}

fn highest(lines: &[ChartLine]) -> Option<f64> {
    let values = lines.iter().flat_map(|line| &line.points).map(|point| point.1);
    values.filter(|value| value.is_finite()).reduce(f64::max).map(|most| nice(most * 1.08))
}

fn range(lines: &[ChartLine]) -> Option<(f64, f64)> {
    let xs = || lines.iter().flat_map(|line| &line.points).map(|point| point.0);
    let (low, high) = (xs().reduce(f64::min)?, xs().reduce(f64::max)?);
    Some(if high > low { (low, high) } else { (low - 0.5, high + 0.5) })
}

/// The next of 1, 2, 2.5, 4, 5, 8 times a power of ten: an axis with readable ticks.
fn nice(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 2.5, 4.0, 5.0, 8.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|step| *step >= value)
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_is_the_same_however_many_were_drawn_before_it() {
        let draw = || over_time(&axis(), &[line(vec![(0.0, 1.0), (60.0, 5.0)])]).unwrap();
        let first = draw();
        assert!(first.contains("clip-") && !first.contains("kuva"), "{first}");
        assert_eq!(first, draw());
    }

    fn line(points: Vec<(f64, f64)>) -> ChartLine {
        ChartLine { name: "lag".into(), colour: "--c1", points, dashed: false }
    }

    fn axis() -> TimeAxis {
        TimeAxis {
            seconds: 120.0,
            bands: vec![Band { from: 0.0, to: 60.0, name: "level 1".into() }],
            markers: vec![Marker { at: 30.0, name: "restart".into() }],
        }
    }

    #[test]
    fn nothing_measured_is_not_drawn_as_zero() {
        assert_eq!(over_time(&axis(), &[line(vec![])]), None);
    }

    #[test]
    fn a_chart_takes_its_colours_and_its_width_from_the_page() {
        let text = over_time(&axis(), &[line(vec![(0.0, 1.0), (60.0, 5.0)])]).unwrap();
        for wanted in ["viewBox=", "currentColor", "var(--c1)", "level 1", "restart", "1:00", "lag"] {
            assert!(text.contains(wanted), "{wanted} is missing in {text}");
        }
        assert!(!text.contains("<!--") && !text.contains("NaN"), "{text}");
    }

    #[test]
    fn one_point_is_drawn_without_dividing_by_zero() {
        let text = over_levels(&[line(vec![(5.0, 0.0)])]).unwrap();
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }

    #[test]
    fn the_axis_ends_above_the_largest_value() {
        assert_eq!([0.0, 3.0, 42.0, 1_000.0].map(nice), [1.0, 4.0, 50.0, 1_000.0]);
    }
}
