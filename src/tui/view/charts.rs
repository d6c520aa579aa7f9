//! Charts one below the other on one time axis, with their values to the left and marks across.

use super::super::state::charts::{self, PaneChart};
use super::{Hit, View, put};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Columns of the part's name, the value's name and the value.
const PART: u16 = 10;
const NAME: u16 = 13;
const VALUE: u16 = 19;
/// Columns of the largest value, or of the age, to the right.
const AGE: u16 = 9;
/// An age beyond this is told in place of the largest value, in seconds.
const OLD_S: f64 = 2.0;

/// Columns to the right of the charts; none on a screen where the charts have hardly any themselves.
const fn gutter(width: u16) -> u16 {
    if width < 72 { 0 } else { AGE }
}

/// Draws the charts of the open pane. Returns the rows that were used.
pub(super) fn draw(view: &mut View<'_>, area: Rect, buffer: &mut Buffer) -> u16 {
    let charts = charts::of_pane(view.state, view.at_s);
    let marks = marks_in(view);
    let below = 1 + u16::from(!marks.is_empty());
    if area.height <= below || charts.is_empty() {
        return 0;
    }
    let all = charts.len();
    let (charts, heights) = fit(charts, area.height - below);
    let widths = Widths::new(&charts, area.width);
    let before = widths.part + widths.name + widths.value + 1;
    let plot =
        Rect { x: area.x + before, width: area.width.saturating_sub(before + gutter(area.width)), ..area };
    let mut top = area.y;
    let mut before = None;
    for (chart, height) in charts.iter().zip(&heights) {
        let row = Rect { y: top, height: *height, ..area };
        let group = (chart.part, chart.source);
        labels(view, chart, before, &widths, row, buffer);
        let most = super::strip::draw(view, chart, Rect { y: top, height: *height, ..plot }, buffer);
        scale(view, chart, before != Some(group), most, Rect { y: top, height: *height, ..plot }, buffer);
        before = Some(group);
        top += height;
    }
    let strips = Rect { y: area.y, height: top - area.y, ..plot };
    for (at_s, ..) in &marks {
        mark(view, *at_s, strips, buffer);
    }
    troubles(view, &charts, &heights, strips, buffer);
    let (from_s, to_s) = view.window();
    view.hits.push((strips, Hit::Time { from_s, to_s }));
    axis(view, Rect { y: top, height: 1, ..plot }, buffer);
    if all > charts.len() {
        let text = format!("{} more: taller", all - charts.len());
        put(buffer, area.x + 1, top, plot.x.saturating_sub(area.x + 1), &text, view.theme.dim);
    }
    if !marks.is_empty() {
        mark_names(view, &marks, Rect { y: top + 1, height: 1, ..plot }, buffer);
    }
    top + below - area.y
}

/// Columns of what stands before a chart.
struct Widths {
    part: u16,
    name: u16,
    value: u16,
}

impl Widths {
    /// On a narrow screen no more than what is said takes, so that the charts get the rest.
    fn new(charts: &[PaneChart], width: u16) -> Self {
        if width >= 100 {
            return Self { part: PART, name: NAME, value: VALUE };
        }
        let widest = |of: fn(&PaneChart) -> &str, most: u16| {
            let widths = charts.iter().map(|chart| u16::try_from(super::width_of(of(chart))).unwrap_or(most));
            widths.max().unwrap_or(0).saturating_add(1).min(most)
        };
        // In steps, so that the charts do not move with every digit.
        let value = widest(|chart| &chart.value, VALUE).next_multiple_of(4).min(VALUE);
        Self {
            part: widest(|chart| chart.part, PART - 1) + 1,
            name: widest(|chart| &chart.name, NAME),
            value,
        }
    }
}

/// Which charts there is room for, and how high each is. The ones that matter most grow first.
fn fit(mut charts: Vec<PaneChart>, rows: u16) -> (Vec<PaneChart>, Vec<u16>) {
    while charts.len() > usize::from(rows) {
        let Some(last) = (0..charts.len()).max_by_key(|place| charts[*place].rank) else { break };
        charts.remove(last);
    }
    let mut heights = vec![1_u16; charts.len()];
    let mut left = rows - u16::try_from(charts.len()).unwrap_or(rows);
    // Rank 0 grows to three rows before rank 1 grows to two, and so on.
    let wants = |rank: u8, height: u16| u16::from(rank.min(6)) + height;
    while left > 0 {
        let next = (0..charts.len())
            .filter(|place| heights[*place] < charts[*place].tallest)
            .min_by_key(|place| wants(charts[*place].rank, heights[*place]));
        let Some(next) = next else { break };
        heights[next] += 1;
        left -= 1;
    }
    (charts, heights)
}

fn labels(
    view: &View<'_>,
    chart: &PaneChart,
    before: Option<(&'static str, charts::ValueSource)>,
    widths: &Widths,
    row: Rect,
    buffer: &mut Buffer,
) {
    let source = charts::source(view.state, chart.source, view.at_s);
    let theme = view.theme;
    if before.is_none_or(|(part, _)| part != chart.part) {
        put(buffer, row.x + 1, row.y, widths.part - 1, chart.part, theme.accent);
    }
    let (name, value) = if source.fresh { (theme.dim, theme.strong) } else { (theme.dim, theme.dim) };
    put(buffer, row.x + widths.part, row.y, widths.name, &chart.name, name);
    let width = u16::try_from(chart.value.chars().count()).unwrap_or(widths.value);
    let x = row.x + widths.part + widths.name + widths.value.saturating_sub(width);
    put(buffer, x, row.y, width, &chart.value, value);
}

/// To the right: the largest value that is drawn, or how old the source's last one is.
fn scale(
    view: &View<'_>,
    chart: &PaneChart,
    first: bool,
    most: Option<f64>,
    plot: Rect,
    buffer: &mut Buffer,
) {
    if gutter(buffer.area.width) == 0 {
        return;
    }
    let source = charts::source(view.state, chart.source, view.at_s);
    let old = source.last_s.is_some_and(|last_s| view.at_s - last_s > OLD_S);
    let (x, mut row) = (plot.x + plot.width + 1, plot.y);
    if first && source.fresh && old {
        put(buffer, x, row, AGE - 1, short(&source.age.1), view.theme.dim);
        row += 1;
    }
    let unit = chart.lines.first().map(|(series, _)| series.unit());
    if let Some((unit, most)) = unit.zip(most).filter(|_| row < plot.y + plot.height && source.fresh) {
        put(buffer, x, row, AGE - 1, &charts::in_words(unit, most), view.theme.dim);
    }
}

/// The age without its last word.
fn short(age: &str) -> &str {
    age.trim_end_matches(" old")
}

/// Why there are no new values, over the first chart of each source that has none.
fn troubles(view: &View<'_>, charts: &[PaneChart], heights: &[u16], strips: Rect, buffer: &mut Buffer) {
    let (mut seen, mut top) = (Vec::new(), strips.y);
    for (chart, height) in charts.iter().zip(heights) {
        if !seen.contains(&chart.source) {
            seen.push(chart.source);
            trouble(view, chart, Rect { y: top, height: *height, ..strips }, buffer);
        }
        top += height;
    }
}

fn trouble(view: &View<'_>, chart: &PaneChart, plot: Rect, buffer: &mut Buffer) {
    let source = charts::source(view.state, chart.source, view.at_s);
    if source.fresh {
        return;
    }
    let (tone, text) = source.age;
    let available = plot.width + gutter(buffer.area.width);
    let width = u16::try_from(text.chars().count() + 1).unwrap_or(available).min(available);
    let text = format!(" {text}");
    let text = super::cut(&text, usize::from(available));
    put(buffer, plot.x + available - width, plot.y, width, &text, view.theme.tone(Some(tone)));
}

/// When, what, and whether somebody made it.
type Marks = Vec<(f64, String, bool)>;

fn marks_in(view: &View<'_>) -> Marks {
    let (from_s, to_s) = view.window();
    let marks = view.state.data.marks(from_s, to_s);
    marks.into_iter().map(|(mark, is_made)| (mark.at_s, mark.text.clone(), is_made)).collect()
}

fn column_at(view: &View<'_>, at_s: f64, plot: Rect) -> u16 {
    let (from_s, to_s) = view.window();
    let share = ((at_s - from_s) / (to_s - from_s)).clamp(0.0, 1.0);
    plot.x + ((f64::from(plot.width) * share) as u16).min(plot.width.saturating_sub(1))
}

fn mark(view: &View<'_>, at_s: f64, plot: Rect, buffer: &mut Buffer) {
    let column = column_at(view, at_s, plot);
    for row in plot.y..plot.y + plot.height {
        // A line is not cut by a mark; bars, which have no gaps, are.
        let cell = &mut buffer[(column, row)];
        let dots = cell.symbol().chars().next().is_some_and(|one| ('\u{2800}'..'\u{2900}').contains(&one));
        if !dots {
            cell.set_symbol("┆").set_style(view.theme.mark);
        }
    }
}

/// Marks with no column between them, which share a text.
struct MarkGroup {
    first: u16,
    last: u16,
    /// Each with whether somebody made it.
    texts: Vec<(bool, String)>,
}

fn grouped(view: &View<'_>, marks: &Marks, row: Rect) -> Vec<MarkGroup> {
    let mut groups: Vec<MarkGroup> = Vec::new();
    for (at_s, text, is_made) in marks {
        let (column, text) = (column_at(view, *at_s, row), (*is_made, text.clone()));
        match groups.last_mut() {
            Some(group) if column <= group.last + 1 => {
                group.last = column;
                group.texts.push(text);
            }
            _ => groups.push(MarkGroup { first: column, last: column, texts: vec![text] }),
        }
    }
    for group in &mut groups {
        // What is cut is the end: a change says more than the restarts that it caused.
        group.texts.sort_by_key(|(is_made, _)| !is_made);
    }
    groups
}

/// A triangle below each mark, and its text where it fits.
fn mark_names(view: &View<'_>, marks: &Marks, row: Rect, buffer: &mut Buffer) {
    let end = row.x + row.width;
    let mut free = row.x;
    let groups = grouped(view, marks, row);
    for (place, group) in groups.iter().enumerate() {
        for column in group.first..=group.last {
            put(buffer, column, row.y, 1, "▲", view.theme.mark);
        }
        let text = group.texts.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(", ");
        let next = groups.get(place + 1).map_or(end, |next| next.first);
        let right = usize::from(next.saturating_sub(group.last + 1));
        let left = usize::from(group.first.saturating_sub(free));
        // Where there is more room before it, its text stands there.
        let is_right = right >= (super::width_of(&text) + 1).min(left);
        let (x, text) = if is_right {
            (group.last, format!("▲{}", if right < 4 { "".into() } else { super::cut(&text, right - 1) }))
        } else {
            let text = super::cut(&text, left.saturating_sub(1));
            (group.first - u16::try_from(super::width_of(&text)).unwrap_or(0), format!("{text}▲"))
        };
        put(buffer, x, row.y, end - x, &text, view.theme.mark);
        free = x + u16::try_from(super::width_of(&text)).unwrap_or(0) + 1;
    }
}

/// Times below the charts: round ones, in the machine's time zone.
fn axis(view: &View<'_>, row: Rect, buffer: &mut Buffer) {
    const STEPS: [i64; 14] = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_800, 3_600, 10_800, 21_600];
    let (from_s, to_s) = view.window();
    let window = to_s - from_s;
    let fits = (f64::from(row.width) / 11.0).max(1.0);
    let step = STEPS.into_iter().find(|step| window / *step as f64 <= fits).unwrap_or(43_200);
    for column in row.x..row.x + row.width {
        buffer[(column, row.y)].set_symbol("─").set_style(view.theme.rule);
    }
    let mut tick = (from_s as i64).div_euclid(step) * step + step;
    while (tick as f64) < to_s {
        let column = column_at(view, tick as f64, row);
        let text = view.state.zone.show(tick as f64, if step >= 60 { "%H:%M" } else { "%H:%M:%S" });
        if usize::from(row.x + row.width - column) > text.len() {
            put(buffer, column, row.y, row.width, &format!("┴{text}"), view.theme.dim);
        }
        tick += step;
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::state::charts::{LineRole, ValueSource};
    use super::super::super::state::history::{ChartSeries, StackMetric};
    use super::*;

    fn chart(name: &str, rank: u8) -> PaneChart {
        PaneChart {
            name: name.into(),
            part: "service",
            source: ValueSource::Service,
            lines: vec![(ChartSeries::Of(StackMetric::Rate), LineRole::Main)],
            value: String::new(),
            bound: None,
            rank,
            tallest: 8,
        }
    }

    #[test]
    fn what_matters_least_goes_first_and_what_matters_most_grows_first() {
        let (charts, heights) = fit(vec![chart("a", 0), chart("b", 6), chart("c", 1)], 2);
        assert_eq!(charts.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(heights, [1, 1]);
        let (_, heights) = fit(vec![chart("a", 0), chart("b", 6), chart("c", 1)], 8);
        assert_eq!((heights.iter().sum::<u16>(), heights[0] > heights[2]), (8, true));
        let (_, heights) = fit(vec![chart("a", 0)], 60);
        assert_eq!(heights, [8]);
    }
}
