//! A row in full: names with their values, wrapped and never cut, and the commands about it.

use super::super::state::detail::{self, RowDetail};
use super::popup::frame;
use super::{View, put, width_of, wrapped};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Draws the chosen row, scrolled by so many lines.
pub(super) fn draw(view: &mut View<'_>, top: usize, area: Rect, buffer: &mut Buffer) {
    // Rows below it cannot be clicked through it.
    view.hits.clear();
    let detail = detail::of_chosen(view.state, view.at_s).unwrap_or_default();
    let inside = frame(view, &detail.title, area, buffer);
    let lines = lines(view, &detail, usize::from(inside.width.saturating_sub(2)));
    let available = usize::from(inside.height);
    let top = top.min(lines.len().saturating_sub(available));
    for (row, (name, text, style)) in (inside.y..inside.y + inside.height).zip(lines.iter().skip(top)) {
        put(buffer, inside.x + 1, row, inside.width - 1, name, view.theme.dim);
        let indent = u16::try_from(width_of(name)).unwrap_or(0);
        put(buffer, inside.x + 1 + indent, row, inside.width.saturating_sub(1 + indent), text, *style);
    }
    if lines.len() > available {
        let text = format!(" lines {}–{} of {} ", top + 1, (top + available).min(lines.len()), lines.len());
        let y = area.y + area.height - 1;
        put(buffer, area.x + 2, y, area.width.saturating_sub(4), &text, view.theme.dim);
    }
}

/// What stands to the left, the text, and how it looks.
fn lines(view: &View<'_>, detail: &RowDetail, width: usize) -> Vec<(String, String, Style)> {
    let label = detail.facts.iter().map(|(name, _)| width_of(name)).max().unwrap_or(0) + 2;
    let mut lines = Vec::new();
    for (name, cell) in &detail.facts {
        let pieces =
            wrapped(if cell.text.is_empty() { "–" } else { &cell.text }, width.saturating_sub(label));
        for (place, piece) in pieces.into_iter().enumerate() {
            let name = if place == 0 { name.as_str() } else { "" };
            lines.push((format!("{name:<label$}"), piece, view.theme.tone(cell.tone)));
        }
    }
    if !detail.commands.is_empty() {
        lines.push(Default::default());
        lines.push((String::new(), "commands about it; a change asks first".into(), view.theme.dim));
    }
    for (number, command) in detail.commands.iter().enumerate() {
        lines.push((format!("{}  ", number + 1), format!("nsys {command}"), view.theme.accent));
    }
    lines
}
