//! The only place that names kuva: charts as inline SVG that takes its colours from the page, so that
//! one drawing serves light and dark, screen and paper. Each is drawn twice, for wide and for narrow screens:
//! a drawing that is only made smaller has letters that nobody can read.

mod svg;
mod thin;
mod words;

use kuva::backend::svg::SvgBackend;
use kuva::plot::LinePlot;
use kuva::plot::annotations::{ReferenceLine, ShadedRegion, TextAnnotation};
use kuva::plot::band::BandPlot;
use kuva::plot::scatter::ScatterPlot;
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::plots::Plot;
use kuva::render::render::render_multiple;
use kuva::render::theme::Theme;
use std::sync::Arc;

/// Where a drawing is shown. Left and right are the same on every chart of a size, so that one second stands
/// below itself.
struct Size {
    class: &'static str,
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    /// Ticks of the x axis at most.
    ticks: f64,
}

const WIDE: Size = Size { class: "wide", width: 1_000.0, height: 230.0, left: 70.0, right: 20.0, ticks: 9.0 };
/// Of charts that stand two in a row, so that their words are as large as the others'.
const HALF: Size = Size { class: "wide", width: 520.0, height: 230.0, left: 60.0, right: 20.0, ticks: 9.0 };
const NARROW: Size =
    Size { class: "narrow", width: 350.0, height: 190.0, left: 48.0, right: 22.0, ticks: 5.0 };

/// Space above the frame; and below it, for the ticks, and for the name of the axis where it has one.
const TOP: f64 = 12.0;
const BOTTOM: f64 = 24.0;
const AXIS_NAME: f64 = 18.0;

/// Above an objective this many times as high as everything measured, the measurements would be a flat line.
const FAR: f64 = 3.0;

/// One line of a chart.
#[derive(Clone, Debug)]
pub(super) struct ChartLine {
    /// Its name in the legend.
    pub(super) name: String,
    /// A colour of the page: `--c1` to `--c6`.
    pub(super) colour: &'static str,
    /// Its points, x ascending, in pieces: between two of them nothing was measured.
    pub(super) pieces: Vec<Vec<(f64, f64)>>,
    /// Whether it is a plan, not a measurement.
    pub(super) dashed: bool,
}

impl ChartLine {
    fn points(&self) -> impl Iterator<Item = &(f64, f64)> {
        self.pieces.iter().flatten()
    }
}

/// What is to be kept.
#[derive(Clone, Debug)]
pub(super) struct ObjectiveLine {
    /// In the unit of the chart.
    pub(super) value: f64,
    /// In words, with its unit: `at most 100 ms`.
    pub(super) text: String,
}

/// What a chart shows.
#[derive(Clone, Debug, Default)]
pub(super) struct ChartContent {
    /// What it is about.
    pub(super) title: &'static str,
    /// The unit of y.
    pub(super) unit: &'static str,
    /// What was measured.
    pub(super) lines: Vec<ChartLine>,
    /// What is to be kept.
    pub(super) objective: Option<ObjectiveLine>,
}

/// An entry of a legend.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LegendEntry {
    /// What it stands for.
    pub(super) name: String,
    /// A colour of the page.
    pub(super) colour: &'static str,
    /// Whether its line is dashed.
    pub(super) dashed: bool,
}

/// A chart, drawn.
#[derive(Debug)]
pub(super) struct Drawing {
    /// For wide screens and paper, then for narrow screens.
    pub(super) svg: [String; 2],
    /// What its lines are.
    pub(super) legend: Vec<LegendEntry>,
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
        font_family: Some("system-ui, sans-serif".into()),
        ..Theme::light()
    }
}

/// A chart over the shared time axis; absent without a point, for an empty frame looks like zero.
pub(super) fn over_time(axis: &TimeAxis, content: &ChartContent) -> Option<Drawing> {
    let seconds = axis.seconds.max(1.0);
    draw(content, (0.0, seconds), [&WIDE, &NARROW], |layout, size, top| {
        let mut layout = layout
            .with_x_tick_format(TickFormat::Custom(Arc::new(clock)))
            .with_x_tick_step(tick_step(seconds, size.ticks));
        for (index, band) in axis.bands.iter().enumerate() {
            let shade = ShadedRegion::vertical(band.from, band.to).with_color("var(--band)");
            layout = layout.with_shaded_region(shade.with_opacity(if index % 2 == 0 { 0.10 } else { 0.22 }));
            // A name that is wider than its band would run into the next one.
            let wide = (band.to - band.from) / seconds * size.width > 9.0 * band.name.len() as f64;
            if wide {
                let name = TextAnnotation::new(&band.name, f64::midpoint(band.from, band.to), top * 0.97);
                layout = layout.with_annotation(name.with_color("var(--dim)").with_font_size(11));
            }
        }
        for marker in &axis.markers {
            let line = ReferenceLine::vertical(marker.at).with_color("var(--mark)").with_label(&marker.name);
            layout = layout.with_reference_line(line);
        }
        layout
    })
}

/// Seconds between ticks, on round times.
fn tick_step(seconds: f64, ticks: f64) -> f64 {
    let steps = [5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0];
    steps.into_iter().find(|step| seconds / step <= ticks).unwrap_or_else(|| {
        let hours = (seconds / 3_600.0 / ticks).ceil();
        hours * 3_600.0
    })
}

/// A chart over levels, which are whole numbers.
pub(super) fn over_levels(content: &ChartContent) -> Option<Drawing> {
    over("level", content, |level| if level.fract() == 0.0 { format!("{level:.0}") } else { String::new() })
}

/// The names of the percentiles that a distribution is drawn at, at 0, 1, 2, ….
const PERCENTILES: [&str; 6] = ["min", "p50", "p90", "p95", "p99", "p99.9"];

/// A chart over percentiles, evenly spaced: the tail is what matters.
pub(super) fn over_percentiles(content: &ChartContent) -> Option<Drawing> {
    over("", content, |index| {
        let whole = index.fract() == 0.0 && index >= 0.0;
        PERCENTILES.get(index as usize).filter(|_| whole).map_or_else(String::new, |name| (*name).to_owned())
    })
}

fn over(x_name: &str, content: &ChartContent, tick: fn(f64) -> String) -> Option<Drawing> {
    let x = range(&content.lines)?;
    draw(content, x, [&HALF, &NARROW], |layout, size, _| {
        named(layout, x_name)
            .with_x_tick_step(((x.1 - x.0) / size.ticks).ceil().max(1.0))
            .with_x_tick_format(TickFormat::Custom(Arc::new(tick)))
    })
}

/// Throughput over concurrency: the levels, the law, and its band.
pub(super) fn scalability(
    content: &ChartContent,
    levels: &[(f64, f64)],
    band: Option<(f64, f64)>,
) -> Option<Drawing> {
    let top = highest(&content.lines)?.max(nice(levels.iter().map(|one| one.1).fold(0.0, f64::max)));
    let (from, to) = range(&content.lines)?;
    let one = |size: &Size| {
        let mut all: Vec<Plot> = Vec::new();
        if let Some((low, high)) = band {
            let xs = [from, to];
            let flat = BandPlot::new(xs, [low, low], [high.min(top), high.min(top)]);
            all.push(flat.with_color("var(--band)").with_opacity(0.25).into());
        }
        all.extend(plots(&content.lines, size));
        let dots = ScatterPlot::new().with_data(levels.to_vec()).with_color("var(--c2)").with_size(5.0);
        all.push(dots.into());
        let layout = named(frame(&all, size, (0.0, to), top), "requests in progress");
        svg(all, layout, size, content)
    };
    let mut legend = legend(content, top);
    legend.push(LegendEntry { name: "levels".into(), colour: "--c2", dashed: false });
    if band.is_some() {
        legend.push(LegendEntry { name: "ceiling, 90 % band".into(), colour: "--band", dashed: false });
    }
    Some(Drawing { svg: [one(&HALF), one(&NARROW)], legend })
}

/// Seconds as minutes and seconds.
fn clock(seconds: f64) -> String {
    let seconds = seconds.round().max(0.0) as u64;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

fn draw(
    content: &ChartContent,
    x: (f64, f64),
    sizes: [&Size; 2],
    adorn: impl Fn(Layout, &Size, f64) -> Layout,
) -> Option<Drawing> {
    let measured = highest(&content.lines)?;
    let objective = content.objective.as_ref().filter(|one| shown(one, measured));
    let top = objective.map_or(measured, |one| measured.max(nice(one.value * 1.08)));
    let svg = sizes.map(|size| {
        let plots = plots(&content.lines, size);
        let mut layout = adorn(frame(&plots, size, x, top), size, top);
        if let Some(objective) = objective {
            layout = layout
                .with_reference_line(ReferenceLine::horizontal(objective.value).with_color("var(--bad)"));
        }
        svg(plots, layout, size, content)
    });
    Some(Drawing { svg, legend: legend(content, measured) })
}

fn shown(objective: &ObjectiveLine, measured: f64) -> bool {
    objective.value <= measured * FAR
}

fn legend(content: &ChartContent, measured: f64) -> Vec<LegendEntry> {
    let lines = content.lines.iter().filter(|line| line.points().next().is_some());
    let mut entries: Vec<_> = lines
        .map(|line| LegendEntry { name: line.name.clone(), colour: line.colour, dashed: line.dashed })
        .collect();
    entries.extend(content.objective.as_ref().map(|objective| {
        let place = if shown(objective, measured) { "" } else { ", above this chart" };
        let name = format!("objective: {}{place}", objective.text);
        LegendEntry { name, colour: "--bad", dashed: true }
    }));
    entries
}

fn plots(lines: &[ChartLine], size: &Size) -> Vec<Plot> {
    let piece = |line: &ChartLine, piece: &[(f64, f64)]| -> Plot {
        // One measurement between two gaps is no line.
        if let [point] = piece {
            let dot = ScatterPlot::new().with_data(vec![*point]).with_size(1.5);
            return dot.with_color(format!("var({})", line.colour)).into();
        }
        let plot = LinePlot::new()
            .with_data(thin::thin(piece, size.width as usize))
            .with_color(format!("var({})", line.colour))
            .with_stroke_width(1.8);
        if line.dashed { plot.with_dashed().into() } else { plot.into() }
    };
    let pieces = lines.iter().flat_map(|line| line.pieces.iter().map(move |one| (line, one)));
    pieces.filter(|(_, one)| !one.is_empty()).map(|(line, one)| piece(line, one)).collect()
}

fn frame(plots: &[Plot], size: &Size, x: (f64, f64), top: f64) -> Layout {
    Layout::auto_from_plots(plots)
        .with_theme(theme())
        .with_width(size.width)
        .with_height(size.height)
        .with_force_margins(size.left, size.right)
        .with_force_margins_y(TOP, BOTTOM)
        .with_x_axis_min(x.0)
        .with_x_axis_max(x.1)
        .with_y_axis_min(0.0)
        .with_y_axis_max(top)
        .with_tick_size(11)
        .with_label_size(12)
        .with_body_size(12)
}

/// Names the x axis, where there is something to say.
fn named(layout: Layout, name: &str) -> Layout {
    if name.is_empty() {
        return layout;
    }
    layout.with_x_label(name).with_force_margins_y(TOP, BOTTOM + AXIS_NAME)
}

fn svg(plots: Vec<Plot>, layout: Layout, size: &Size, content: &ChartContent) -> String {
    let text = SvgBackend::new().render_scene(&render_multiple(plots, layout));
    svg::inline(&text, size.class, &words::describe(content.title, content.unit, &content.lines))
}

fn highest(lines: &[ChartLine]) -> Option<f64> {
    let values = lines.iter().flat_map(ChartLine::points).map(|point| point.1);
    values.filter(|value| value.is_finite()).reduce(f64::max).map(|most| nice(most * 1.08))
}

fn range(lines: &[ChartLine]) -> Option<(f64, f64)> {
    let xs = || lines.iter().flat_map(ChartLine::points).map(|point| point.0);
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
        let draw = || over_time(&axis(), &of(vec![vec![(0.0, 1.0), (60.0, 5.0)]])).unwrap().svg;
        let first = draw();
        assert!(first[0].contains("clip-") && !first[0].contains("kuva"), "{first:?}");
        assert_eq!(first, draw());
    }

    fn of(pieces: Vec<Vec<(f64, f64)>>) -> ChartContent {
        let line = ChartLine { name: "waiting".into(), colour: "--c1", pieces, dashed: false };
        ChartContent { title: "Consumer lag", unit: "messages", lines: vec![line], objective: None }
    }

    fn objective(value: f64) -> Option<ObjectiveLine> {
        Some(ObjectiveLine { value, text: format!("at most {value} messages") })
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
        assert!(over_time(&axis(), &of(vec![])).is_none());
    }

    #[test]
    fn a_chart_takes_its_colours_and_its_width_from_the_page() {
        let drawing = over_time(&axis(), &of(vec![vec![(0.0, 1.0), (60.0, 5.0)]])).unwrap();
        for (text, class) in drawing.svg.iter().zip(["wide", "narrow"]) {
            for wanted in ["viewBox=", "currentColor", "var(--c1)", "restart", "1:00", class] {
                assert!(text.contains(wanted), "{wanted} is missing in {text}");
            }
            assert!(!text.contains("<!--") && !text.contains("NaN"), "{text}");
        }
        assert!(drawing.svg[0].contains("level 1"), "{drawing:?}");
        assert_eq!(drawing.legend[0].name, "waiting");
    }

    #[test]
    fn a_chart_is_told_in_words_too() {
        let drawing = over_time(&axis(), &of(vec![vec![(0.0, 1.0), (60.0, 5.5)]])).unwrap();
        let words = "role=\"img\" aria-label=\"Consumer lag in messages: waiting from 1 to 5.5\"";
        assert!(drawing.svg.iter().all(|text| text.contains(words)), "{drawing:?}");
    }

    #[test]
    fn nothing_is_drawn_where_nothing_was_measured() {
        let strokes = |pieces| over_time(&axis(), &of(pieces)).unwrap().svg[0].matches("var(--c1)").count();
        let whole = strokes(vec![vec![(0.0, 1.0), (10.0, 1.0), (90.0, 1.0), (100.0, 1.0)]]);
        let broken = strokes(vec![vec![(0.0, 1.0), (10.0, 1.0)], vec![(90.0, 1.0), (100.0, 1.0)]]);
        assert_eq!((whole, broken), (1, 2));
    }

    #[test]
    fn an_objective_is_a_line_unless_it_would_flatten_what_was_measured() {
        let mut content = of(vec![vec![(0.0, 40.0), (60.0, 50.0)]]);
        content.objective = objective(100.0);
        let near = over_time(&axis(), &content).unwrap();
        assert!(near.svg.iter().all(|text| text.contains("var(--bad)")), "{near:?}");
        assert_eq!(near.legend[1].name, "objective: at most 100 messages");
        content.objective = objective(10_000.0);
        let far = over_time(&axis(), &content).unwrap();
        assert!(!far.svg.iter().any(|text| text.contains("var(--bad)")), "{far:?}");
        assert_eq!(far.legend[1].name, "objective: at most 10000 messages, above this chart");
    }

    #[test]
    fn one_point_is_drawn_without_dividing_by_zero() {
        let drawing = over_levels(&of(vec![vec![(5.0, 0.0)]])).unwrap();
        for text in drawing.svg {
            assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        }
    }

    #[test]
    fn the_axis_ends_above_the_largest_value() {
        assert_eq!([0.0, 3.0, 42.0, 1_000.0].map(nice), [1.0, 4.0, 50.0, 1_000.0]);
    }
}
