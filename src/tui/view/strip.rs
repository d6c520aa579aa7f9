//! One chart on the common time axis: bars of eighths on one row, lines of dots on several. What is
//! beyond the bound has its own colour.

use super::super::state::charts::{LineRole, PaneChart};
use super::super::state::history::{ChartSeries, Unit};
use super::View;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

const EIGHTHS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
/// Dots of one cell: columns and rows.
const DOTS: (usize, usize) = (2, 4);
/// The bit of each dot in a braille pattern, by row and column.
const BITS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

/// Draws a chart. Answers the largest value of all its lines: what its height stands for.
pub(super) fn draw(view: &View<'_>, chart: &PaneChart, area: Rect, buffer: &mut Buffer) -> Option<f64> {
    if area.is_empty() {
        return None;
    }
    let per_cell = if area.height > 1 { DOTS.0 } else { 1 };
    let columns = |series: &ChartSeries| {
        let ring = view.state.data.history.ring(series);
        let (window, width) = (view.state.time.window_s(), usize::from(area.width) * per_cell);
        ring.map_or_else(|| vec![None; width], |ring| ring.columns(view.at_s, window, width))
    };
    let lines: Vec<(LineRole, Vec<Option<f64>>)> =
        chart.lines.iter().map(|(series, role)| (*role, columns(series))).collect();
    let ((series, _), (role, main)) = (chart.lines.first()?, lines.first()?);
    let most = lines.iter().flat_map(|(_, values)| values).flatten().copied().reduce(f64::max);
    let top = scale(series.unit(), lines.iter().flat_map(|(_, values)| values).flatten().copied());
    if area.height == 1 {
        bars(view, chart, *role, main, top, area, buffer);
        return most;
    }
    bound(view, chart, top, area, buffer);
    // The first line is drawn last, so that it lies in front.
    for (role, values) in lines.iter().rev() {
        line(view, chart, *role, values, top, area, buffer);
    }
    missing(view, main, area, buffer);
    most
}

/// The value at the upper edge: a little above the largest that is shown, but never so small that
/// noise looks like a mountain.
fn scale(unit: Unit, values: impl Iterator<Item = f64>) -> f64 {
    let least = match unit {
        Unit::Share => return 1.0,
        Unit::Rate | Unit::Seconds | Unit::Millis => 1.0,
        Unit::Count => 8.0,
        Unit::Cpu => 10.0,
        Unit::Bytes => 1_048_576.0,
    };
    values.fold(least, f64::max) * 1.1
}

fn style(view: &View<'_>, chart: &PaneChart, role: LineRole, value: f64) -> Style {
    if value <= 0.0 {
        view.theme.rule
    } else if role != LineRole::Other && chart.bound.is_some_and(|bound| value > bound) {
        view.theme.role(LineRole::Bad)
    } else {
        view.theme.role(role)
    }
}

/// How many eighths of one row a value takes.
fn eighths(value: f64, top: f64) -> usize {
    let share = (value / top).clamp(0.0, 1.0);
    // A value above nothing is seen, however small it is beside the largest.
    let least = if value > 0.0 { 2.0 } else { 1.0 };
    (share * 8.0).round().max(least) as usize
}

fn bars(
    view: &View<'_>,
    chart: &PaneChart,
    role: LineRole,
    values: &[Option<f64>],
    top: f64,
    area: Rect,
    buffer: &mut Buffer,
) {
    for (column, value) in (area.x..area.x + area.width).zip(values) {
        let cell = &mut buffer[(column, area.y)];
        match value {
            Some(value) => {
                cell.set_symbol(EIGHTHS[eighths(*value, top)]).set_style(style(view, chart, role, *value))
            }
            None => cell.set_symbol("·").set_style(view.theme.rule),
        };
    }
}

/// The row of dots of a value, from the top.
fn dot_row(value: f64, top: f64, rows: usize) -> usize {
    let share = (value / top).clamp(0.0, 1.0);
    let least = usize::from(value > 0.0 && rows > 2);
    let up = ((share * (rows - 1) as f64).round() as usize).max(least);
    rows - 1 - up.min(rows - 1)
}

/// A line of dots: neighbours are joined by what lies between them.
fn line(
    view: &View<'_>,
    chart: &PaneChart,
    role: LineRole,
    values: &[Option<f64>],
    top: f64,
    area: Rect,
    buffer: &mut Buffer,
) {
    let rows = usize::from(area.height) * DOTS.1;
    let mut before = None;
    for (place, value) in values.iter().enumerate() {
        let Some(value) = *value else {
            before = None;
            continue;
        };
        let row = dot_row(value, top, rows);
        let from = before.unwrap_or(row);
        // The join begins beside the neighbour's dot, not on top of it.
        let (high, low) = match row {
            row if row < from => (row, from - 1),
            row if row > from => (from + 1, row),
            row => (row, row),
        };
        let style = style(view, chart, role, value);
        (high..=low).for_each(|row| dot(place, row, style, area, buffer));
        before = Some(row);
    }
}

fn dot(place: usize, row: usize, style: Style, area: Rect, buffer: &mut Buffer) {
    let cell = |number: usize, each: usize| u16::try_from(number / each).unwrap_or(u16::MAX);
    let cell = &mut buffer[(area.x + cell(place, DOTS.0), area.y + cell(row, DOTS.1))];
    let known = cell.symbol().chars().next().map_or(0, u32::from).wrapping_sub(0x2800);
    let known = if known < 256 { known } else { 0 };
    let mask = known | u32::from(BITS[row % DOTS.1][place % DOTS.0]);
    cell.set_char(char::from_u32(0x2800 + mask).unwrap_or(' ')).set_style(style);
}

/// A faint point at the bottom where there is no value at all.
fn missing(view: &View<'_>, values: &[Option<f64>], area: Rect, buffer: &mut Buffer) {
    let bottom = area.y + area.height - 1;
    for (column, pair) in (area.x..area.x + area.width).zip(values.chunks(DOTS.0)) {
        if pair.iter().all(Option::is_none) {
            buffer[(column, bottom)].set_symbol("·").set_style(view.theme.rule);
        }
    }
}

/// The bound as a faint line behind the others, where there is room for one.
fn bound(view: &View<'_>, chart: &PaneChart, top: f64, area: Rect, buffer: &mut Buffer) {
    let Some(bound) = chart.bound.filter(|bound| *bound > 0.0 && *bound <= top) else { return };
    let row = dot_row(bound, top, usize::from(area.height) * DOTS.1) / DOTS.1;
    let row = area.y + u16::try_from(row).unwrap_or(0);
    for column in area.x..area.x + area.width {
        buffer[(column, row)].set_symbol("┈").set_style(view.theme.rule);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_value_is_seen_beside_a_large_one_and_zero_lies_flat() {
        assert_eq!([eighths(0.0, 100.0), eighths(0.001, 100.0), eighths(100.0, 100.0)], [1, 2, 8]);
        assert_eq!([dot_row(0.0, 100.0, 8), dot_row(0.001, 100.0, 8), dot_row(100.0, 100.0, 8)], [7, 6, 0]);
    }

    #[test]
    fn noise_is_no_mountain_and_a_share_is_always_of_one() {
        assert_eq!(scale(Unit::Millis, [0.02, 0.03].into_iter()), 1.1);
        assert_eq!(scale(Unit::Share, [0.2].into_iter()), 1.0);
        assert!((scale(Unit::Rate, [500.0, 20.0].into_iter()) - 550.0).abs() < 1e-6);
    }

    #[test]
    fn neighbours_are_joined() {
        let area = Rect::new(0, 0, 1, 2);
        let mut buffer = Buffer::empty(area);
        dot(0, 7, Style::new(), area, &mut buffer);
        dot(1, 0, Style::new(), area, &mut buffer);
        dot(1, 3, Style::new(), area, &mut buffer);
        assert_eq!(buffer[(0, 0)].symbol(), "⢈");
        assert_eq!(buffer[(0, 1)].symbol(), "⡀");
    }
}
