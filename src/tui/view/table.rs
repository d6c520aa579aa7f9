//! A grid on the screen: columns as wide as they need, the least important ones dropped first.

use super::super::state::grid::{Cell, Column, Grid, GridRow};
use super::{Hit, View, cut, cut_middle, put, width_of};
use crate::render::Tone;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// The least room for the column that takes what is left.
const LEAST: usize = 10;
/// Names are cut down to this before columns are left out …
const NAME: usize = 20;
/// … and to this when no column can be left out any more.
const SHORTEST: usize = 8;
/// What is said of a name first is kept beside it: its status and what waits.
const SAID: usize = 2;

/// Draws the grid with its headings; the chosen row is kept in sight, and the heading that it stands
/// under. Answers which rows are shown, where not all are.
pub(super) fn draw(view: &mut View<'_>, grid: &Grid, area: Rect, buffer: &mut Buffer) -> Option<String> {
    if area.height == 0 {
        return None;
    }
    let sorted = view.state.sorted_by().filter(|_| !view.state.overlay.has_own_rows());
    let columns = layout(grid, usize::from(area.width.saturating_sub(1)), sorted.map(|order| order.column));
    headings(view, grid, &columns, area, buffer);
    let body = Rect { y: area.y + 1, height: area.height - 1, ..area };
    if grid.rows.is_empty() {
        put(buffer, area.x + 1, body.y, area.width.saturating_sub(1), &grid.empty, view.theme.dim);
        return None;
    }
    let chosen = grid.place(view.state.chosen()).unwrap_or(0);
    let (places, shown) = in_sight(grid, chosen, usize::from(body.height));
    for (line, place) in (body.y..body.y + body.height).zip(places) {
        let (area, row) = (Rect { y: line, height: 1, ..body }, &grid.rows[place]);
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
    shown
}

/// The places of the rows that are shown in so many lines, and which those are among all. A heading that
/// is scrolled out of sight stays above its rows.
fn in_sight(grid: &Grid, chosen: usize, available: usize) -> (Vec<usize>, Option<String>) {
    let is_heading = |place: usize| grid.rows[place].heading.is_some();
    let mut first = if chosen < available { 0 } else { chosen + 1 - available };
    let above = |first: usize| (0..=first).rev().find(|place| is_heading(*place));
    let mut pinned = above(first).filter(|place| *place < first);
    if pinned.is_some() && available > 1 {
        first = first.max((chosen + 2).saturating_sub(available));
        pinned = above(first).filter(|place| *place < first);
    } else {
        pinned = None;
    }
    let left = available.saturating_sub(usize::from(pinned.is_some()));
    let last = (first + left).min(grid.rows.len());
    let places: Vec<usize> = pinned.into_iter().chain(first..last).collect();
    let number = |end: usize| (0..end).filter(|place| !is_heading(*place)).count();
    let (from, to, all) = (number(first) + 1, number(last), number(grid.rows.len()));
    (places, (to + 1 > from && to + 1 - from < all).then(|| format!("{from}–{to} of {all}")))
}

/// The columns that are shown with their widths: names are cut a little before anything is left out.
fn layout(grid: &Grid, available: usize, sorted: Option<usize>) -> Vec<(usize, usize)> {
    let natural = |place: usize| {
        let rows = grid.rows.iter().filter(|row| row.heading.is_none());
        let cells = rows.filter_map(|row| row.cells.get(place)).map(|cell| width_of(&cell.text));
        let direction = if sorted == Some(place) { 2 } else { 0 };
        cells.chain([width_of(grid.columns[place].name) + direction]).max().unwrap_or(0)
    };
    let mut shown: Vec<(usize, usize)> = (0..grid.columns.len())
        .filter(|place| grid.columns[*place].rank != Column::UNSEEN)
        .map(|place| (place, if grid.columns[place].grows { LEAST } else { natural(place) }))
        .collect();
    let needed = |shown: &[(usize, usize)]| shown.iter().map(|(_, width)| width + 2).sum::<usize>();
    let shrink = |shown: &mut Vec<(usize, usize)>, least: usize| {
        while needed(shown) > available + 2 {
            let names = shown.iter_mut().filter(|(place, _)| grid.columns[*place].middle);
            let Some((_, width)) = names.filter(|(_, width)| *width > least).max_by_key(|(_, width)| *width)
            else {
                return;
            };
            *width -= 1;
        }
    };
    shrink(&mut shown, NAME);
    while needed(&shown) > available + 2 {
        let droppable = shown.iter().filter(|(place, _)| grid.columns[*place].rank > 0);
        let Some((worst, _)) = droppable.max_by_key(|(place, _)| (grid.columns[*place].rank, *place)) else {
            break;
        };
        let worst = *worst;
        shown.retain(|(place, _)| *place != worst);
    }
    shrink(&mut shown, SHORTEST);
    let left = (available + 2).saturating_sub(needed(&shown));
    for (place, width) in &mut shown {
        if grid.columns[*place].grows {
            *width += left;
        }
    }
    shown
}

fn headings(view: &View<'_>, grid: &Grid, columns: &[(usize, usize)], area: Rect, buffer: &mut Buffer) {
    let sorted = view.state.sorted_by().filter(|_| !view.state.overlay.has_own_rows());
    let mut x = area.x + 1;
    for (place, width) in columns {
        let column = grid.columns[*place];
        let name = column.name.to_uppercase();
        match sorted.filter(|order| order.column == *place) {
            Some(order) => {
                let name = format!("{name} {}", order.symbol(&column));
                text(&name, column, x, area, *width, view.theme.accent, buffer);
            }
            None => text(&name, column, x, area, *width, view.theme.dim, buffer),
        }
        x = x.saturating_add(u16::try_from(width + 2).unwrap_or(u16::MAX));
    }
}

fn cells(
    view: &View<'_>,
    grid: &Grid,
    row: &GridRow,
    columns: &[(usize, usize)],
    area: Rect,
    buffer: &mut Buffer,
) {
    let mut x = area.x + 1;
    for (place, width) in columns {
        if let Some(cell) = row.cells.get(*place) {
            text(&cell.text, grid.columns[*place], x, area, *width, view.theme.tone(cell.tone), buffer);
        }
        x = x.saturating_add(u16::try_from(width + 2).unwrap_or(u16::MAX));
    }
}

fn text(text: &str, of: Column, x: u16, area: Rect, width: usize, style: Style, buffer: &mut Buffer) {
    let end = area.x + area.width;
    if x >= end {
        return;
    }
    let shown = if of.middle { cut_middle(text, width) } else { cut(text, width) };
    let pad = if of.number { width.saturating_sub(width_of(&shown)) } else { 0 };
    let x = x.saturating_add(u16::try_from(pad).unwrap_or(0));
    put(buffer, x, area.y, end.saturating_sub(x), &shown, style);
}

/// A heading across all columns: names first, cut in their middle so that what is said of them fits; of
/// that, what does not fit whole is left out.
fn heading(view: &View<'_>, cells: &[Cell], area: Rect, buffer: &mut Buffer) {
    let cells: Vec<&Cell> = cells.iter().filter(|cell| !cell.text.is_empty()).collect();
    let names = cells.iter().take_while(|cell| matches!(cell.tone, Some(Tone::Strong))).count().max(1);
    let available = usize::from(area.width.saturating_sub(1));
    let said: usize = cells.iter().skip(names).take(SAID).map(|cell| width_of(&cell.text) + 2).sum();
    let each = (available.saturating_sub(said) / names).saturating_sub(2).max(SHORTEST);
    let mut x = area.x + 1;
    let end = area.x + area.width;
    for (place, cell) in cells.iter().enumerate() {
        let left = usize::from(end.saturating_sub(x));
        let style = if place == 0 { view.theme.accent } else { view.theme.tone(cell.tone) };
        let shown =
            if place < names { cut_middle(&cell.text, each.min(left)) } else { cell.text.as_str().into() };
        if width_of(&shown) > left {
            return;
        }
        put(buffer, x, area.y, end - x, &shown, style);
        x = x.saturating_add(u16::try_from(width_of(&shown) + 2).unwrap_or(u16::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(rows: usize) -> Grid {
        let heading =
            GridRow { key: "h".into(), cells: Vec::new(), heading: Some(vec![Cell::from("topic")]) };
        let row = |number: usize| GridRow::new(number.to_string(), vec![Cell::from(number.to_string())]);
        Grid { rows: [heading].into_iter().chain((1..=rows).map(row)).collect(), ..Grid::default() }
    }

    #[test]
    fn the_heading_of_what_is_seen_stays_in_sight_and_the_position_is_told() {
        let (grid, few) = (grid(200), grid(3));
        assert_eq!(in_sight(&grid, 1, 10), ((0..10).collect(), Some("1–9 of 200".into())));
        let (places, shown) = in_sight(&grid, 200, 30);
        assert_eq!((places[0], places[1], *places.last().unwrap(), places.len()), (0, 172, 200, 30));
        assert_eq!(shown.as_deref(), Some("172–200 of 200"));
        assert_eq!(in_sight(&grid, 50, 1).0, [50]);
        assert_eq!(in_sight(&few, 1, 10).1, None);
    }

    #[test]
    fn names_are_cut_before_columns_are_left_out_and_never_numbers() {
        let columns = vec![Column::word("topic", 0), Column::number("lag", 0), Column::number("end", 1)];
        let long = GridRow::new("a", [&"t".repeat(200), "1234567", "7654321"].map(Cell::from).into());
        let grid = Grid { columns, rows: vec![long], ..Grid::default() };
        assert_eq!(layout(&grid, 60, None), [(0, 42), (1, 7), (2, 7)]);
        assert_eq!(layout(&grid, 30, None), [(0, 20), (1, 7)]);
    }
}
