//! The panes: charts on the common axis, facts, rows.

use super::super::state::Pane;
use super::super::state::charts::{self, ValueSource};
use super::super::state::grid::Cell;
use super::super::state::tables::{self, FactLine};
use super::{Hit, View, cut, put, put_line, table, width_of};
use crate::render::{Tone, format};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// Draws the open pane.
pub(super) fn draw(view: &mut View<'_>, area: Rect, buffer: &mut Buffer) {
    match view.state.pane {
        Pane::Overview => overview(view, area, buffer),
        Pane::Lag => with_rows(view, ValueSource::Lag, 5, area, buffer),
        Pane::Load => with_rows(view, ValueSource::Load, 9, area, buffer),
        Pane::Db => with_rows(view, ValueSource::Db, 5, area, buffer),
        Pane::Cache => with_rows(view, ValueSource::Cache, 6, area, buffer),
        Pane::Stack => stack(view, area, buffer),
    }
}

fn overview(view: &mut View<'_>, area: Rect, buffer: &mut Buffer) {
    let used = super::charts::draw(view, Rect { y: area.y + 1, height: area.height - 1, ..area }, buffer);
    let at = area.y + 1 + used;
    let left = (area.y + area.height).saturating_sub(at);
    // What is left below the charts tells the window in numbers.
    if left > 6 {
        let grid = tables::of_pane(view.state, view.at_s);
        let shown = table::draw(view, &grid, Rect { y: at + 2, height: left - 2, ..area }, buffer);
        let title = titled("the window in numbers", shown.as_deref());
        rule(view, &title, None, Rect { y: at + 1, height: 1, ..area }, buffer);
    }
}

/// Facts, then charts of about `charts` rows, then the rows of the pane.
fn with_rows(view: &mut View<'_>, source: ValueSource, charts: u16, area: Rect, buffer: &mut Buffer) {
    let lines = tables::facts(view.state, view.at_s);
    let mut top = area.y;
    let end = area.y + area.height;
    let window = format::duration(std::time::Duration::from_secs(view.state.time.window_s().unsigned_abs()));
    let title = match lines.is_empty() || source == ValueSource::Load {
        true => view.state.pane.name().to_owned(),
        false => format!("{}, rates of the last {window}", view.state.pane.name()),
    };
    rule(view, &title, Some(source), Rect { y: top, height: 1, ..area }, buffer);
    top += 1;
    for facts in lines.iter().filter(|facts| !facts.is_empty()) {
        if top + 8 > end {
            break;
        }
        facts_line(view, facts, Rect { y: top, height: 1, ..area }, buffer);
        top += 1;
    }
    // The rows keep at least half of what is left.
    let available = ((end - top) / 2).min((end - top).saturating_sub(6));
    let tall = if area.height > 30 { charts * 2 + 3 } else { charts };
    top += super::charts::draw(view, Rect { y: top, height: tall.min(available), ..area }, buffer);
    let grid = tables::of_pane(view.state, view.at_s);
    let shown = table::draw(view, &grid, Rect { y: top + 1, height: end - top - 1, ..area }, buffer);
    let title = titled(&grid.title, shown.as_deref());
    rule(view, &title, None, Rect { y: top, height: 1, ..area }, buffer);
}

fn stack(view: &mut View<'_>, area: Rect, buffer: &mut Buffer) {
    let grid = tables::of_pane(view.state, view.at_s);
    let wanted = u16::try_from(grid.rows.len()).unwrap_or(u16::MAX).saturating_add(1);
    let height = wanted.clamp(2, area.height / 2);
    let shown = table::draw(view, &grid, Rect { y: area.y + 1, height, ..area }, buffer);
    let title = titled(&grid.title, shown.as_deref());
    rule(view, &title, Some(ValueSource::Parts), Rect { height: 1, ..area }, buffer);
    let top = area.y + 1 + height;
    let Some(part) = grid.place(view.state.chosen()).map(|place| grid.rows[place].key.clone()) else {
        return;
    };
    log(view, &part, Rect { y: top, height: area.y + area.height - top, ..area }, buffer);
}

/// The title of rows, with which of them are shown.
fn titled(title: &str, shown: Option<&str>) -> String {
    shown.map_or_else(|| title.to_owned(), |shown| format!("{title} {shown}"))
}

/// The log of a part: its last lines, or those before them when it is scrolled back.
fn log(view: &mut View<'_>, part: &str, area: Rect, buffer: &mut Buffer) {
    if area.height < 2 {
        return;
    }
    view.hits.push((area, Hit::Log));
    let state = view.state;
    let back = state.log_back;
    let how =
        if back > 0 { format!("{back} lines back; PgDn goes on, 0 follows") } else { "followed".to_owned() };
    let title = format!("log of {part}, {how}");
    rule(view, &title, None, Rect { height: 1, ..area }, buffer);
    let available = usize::from(area.height - 1);
    let lines: Vec<_> = state.data.logs.of(part, state.filter()).rev().skip(back).take(available).collect();
    if lines.is_empty() {
        let text = if state.filter().is_some() { "no line matches the filter" } else { "no line yet" };
        put(buffer, area.x + 1, area.y + 1, area.width - 1, text, view.theme.dim);
    }
    for (row, line) in (area.y + 1..).zip(lines.into_iter().rev()) {
        let found = state.search().is_some_and(|search| search.lets(&line.text));
        let style = if found { view.theme.mark } else { view.theme.tone(line.tone) };
        put(buffer, area.x + 1, row, area.width - 1, &cut(&line.text, usize::from(area.width - 1)), style);
    }
}

/// A heading with a rule behind it, and the age of its source at the end.
pub(super) fn rule(
    view: &View<'_>,
    title: &str,
    source: Option<ValueSource>,
    row: Rect,
    buffer: &mut Buffer,
) {
    let theme = view.theme;
    for column in row.x..row.x + row.width {
        buffer[(column, row.y)].set_symbol("─").set_style(theme.rule);
    }
    let title = format!(" {title} ");
    put(buffer, row.x + 1, row.y, row.width.saturating_sub(2), &title, theme.accent);
    let Some(source) = source else { return };
    let (tone, age) = charts::source(view.state, source, view.at_s).age;
    let available = usize::from(row.width).saturating_sub(width_of(&title) + 4);
    let age = cut(&format!(" {age} "), available).into_owned();
    let x = row.x + row.width - 1 - u16::try_from(width_of(&age)).unwrap_or(0);
    put(buffer, x, row.y, row.width, &age, theme.tone(Some(tone)));
}

/// Names with their values on one line; what does not fit whole is left out.
fn facts_line(view: &View<'_>, facts: &FactLine, row: Rect, buffer: &mut Buffer) {
    let mut x = row.x + 1;
    let end = row.x + row.width;
    for (name, Cell { text, tone, .. }) in facts {
        let spans = vec![
            Span::styled(format!("{name} "), view.theme.dim),
            Span::styled(text.as_str(), view.theme.tone(tone.or(Some(Tone::Strong)))),
            Span::raw("   "),
        ];
        let line = Line::from(spans);
        let whole = usize::from(end.saturating_sub(x)) + 3 >= line.width();
        if !whole && x > row.x + 1 {
            return;
        }
        x = put_line(buffer, x, row.y, end - x, &line);
        if x >= end {
            return;
        }
    }
}
