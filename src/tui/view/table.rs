//! A grid on the screen: columns as wide as they need, the least important ones dropped first.

use super::super::state::grid::{Cell, Column, Grid, Row};
use super::{Hit, View, cut, put, width_of};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// The least room for the column that takes what is left.
const LEAST: usize = 10;

/// Draws the grid with its headings; the chosen row is kept in sight.
pub(super) fn draw(view: &mut View<'_>, grid: &Grid, area: Rect, buffer: &mut Buffer) {
    if area.height == 0 {
        return;
    }
    let columns = layout(grid, usize::from(area.width.saturating_sub(1)));
    headings(view, grid, &columns, area, buffer);
    let body = Rect { y: area.y + 1, height: area.height - 1, ..area };
    if grid.rows.is_empty() {
        put(buffer, area.x + 1, body.y, area.width.saturating_sub(1), &grid.empty, view.theme.dim);
        return;
    }
    let chosen = grid.place(view.state.chosen()).unwrap_or(0);
    let room = usize::from(body.height);
    // The heading above the first row is kept in sight with it.
    let first = if chosen < room { 0 } else { chosen + 1 - room };
    for (line, (place, row)) in (body.y..body.y + body.height).zip(grid.rows.iter().enumerate().skip(first)) {
        let area = Rect { y: line, height: 1, ..body };
        match &row.heading {
            Some(cells) => heading(view, cells, area, buffer),
            None => cells(view, grid, row, &columns, area, buffer),
        }
        if row.heading.is_none() {
            view.hits.push((area, Hit::Row(row.key.clone())));
            if place == chosen {
                buffer.set_style(area, view.theme.selected);
            }
        }
    }
    more(view, grid.rows.len().saturating_sub(first + room), body, buffer);
}

/// How many rows are below, where some are.
fn more(view: &View<'_>, count: usize, body: Rect, buffer: &mut Buffer) {
    if count > 0 && body.height > 0 {
        let text = format!(" {count} more ");
        let width = u16::try_from(text.len()).unwrap_or(0).min(body.width);
        put(buffer, body.x + body.width - width, body.y + body.height - 1, width, &text, view.theme.dim);
    }
}

/// The columns that are shown with their widths.
fn layout(grid: &Grid, room: usize) -> Vec<(usize, usize)> {
    let natural = |place: usize| {
        let rows = grid.rows.iter().filter(|row| row.heading.is_none());
        let cells = rows.filter_map(|row| row.cells.get(place)).map(|cell| width_of(&cell.text));
        cells.chain([width_of(grid.columns[place].name)]).max().unwrap_or(0)
    };
    let mut shown: Vec<(usize, usize)> = (0..grid.columns.len())
        .filter(|place| grid.columns[*place].rank != Column::UNSEEN)
        .map(|place| (place, if grid.columns[place].grows { LEAST } else { natural(place) }))
        .collect();
    let needed = |shown: &[(usize, usize)]| shown.iter().map(|(_, width)| width + 2).sum::<usize>();
    while needed(&shown) > room + 2 {
        let droppable = shown.iter().filter(|(place, _)| grid.columns[*place].rank > 0);
        let Some((worst, _)) = droppable.max_by_key(|(place, _)| (grid.columns[*place].rank, *place)) else {
            break;
        };
        let worst = *worst;
        shown.retain(|(place, _)| *place != worst);
    }
    let left = (room + 2).saturating_sub(needed(&shown));
    for (place, width) in &mut shown {
        if grid.columns[*place].grows {
            *width += left;
        }
    }
    shown
}

fn headings(view: &View<'_>, grid: &Grid, columns: &[(usize, usize)], area: Rect, buffer: &mut Buffer) {
    let mut x = area.x + 1;
    for (place, width) in columns {
        let column = grid.columns[*place];
        let sorted = view.state.sorted_by() == Some(*place) && !matches_calls(view);
        let style = if sorted { view.theme.accent } else { view.theme.dim };
        text(&column.name.to_uppercase(), column.number, x, area, *width, style, buffer);
        x = x.saturating_add(u16::try_from(width + 2).unwrap_or(u16::MAX));
    }
}

fn matches_calls(view: &View<'_>) -> bool {
    matches!(view.state.overlay, super::super::state::Overlay::Calls)
}

fn cells(
    view: &View<'_>,
    grid: &Grid,
    row: &Row,
    columns: &[(usize, usize)],
    area: Rect,
    buffer: &mut Buffer,
) {
    let mut x = area.x + 1;
    for (place, width) in columns {
        if let Some(cell) = row.cells.get(*place) {
            let right = grid.columns[*place].number;
            text(&cell.text, right, x, area, *width, view.theme.tone(cell.tone), buffer);
        }
        x = x.saturating_add(u16::try_from(width + 2).unwrap_or(u16::MAX));
    }
}

fn text(text: &str, right: bool, x: u16, area: Rect, width: usize, style: Style, buffer: &mut Buffer) {
    let end = area.x + area.width;
    if x >= end {
        return;
    }
    let shown = cut(text, width);
    let pad = if right { width.saturating_sub(width_of(&shown)) } else { 0 };
    let x = x.saturating_add(u16::try_from(pad).unwrap_or(0));
    put(buffer, x, area.y, end.saturating_sub(x), &shown, style);
}

/// A heading across all columns.
fn heading(view: &View<'_>, cells: &[Cell], area: Rect, buffer: &mut Buffer) {
    let mut x = area.x + 1;
    let end = area.x + area.width;
    for cell in cells.iter().filter(|cell| !cell.text.is_empty()) {
        if x >= end {
            return;
        }
        let style = view.theme.tone(cell.tone);
        let style = if x == area.x + 1 { view.theme.accent } else { style };
        put(buffer, x, area.y, end - x, &cut(&cell.text, usize::from(end - x)), style);
        x = x.saturating_add(u16::try_from(width_of(&cell.text) + 2).unwrap_or(u16::MAX));
    }
}
