//! Help: what symbols mean and keys do in the open pane, and all keys.

use super::super::keys::{BINDINGS, HelpTopic};
use super::super::state::legend;
use super::popup::{centred, frame};
use super::{View, cut, put, width_of};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Columns of a key or a symbol.
const SIGN: u16 = 8;

/// Keys of the open pane to the left, its symbols to the right.
pub(super) fn of_pane(view: &View<'_>, area: Rect, buffer: &mut Buffer) {
    let pane = view.state.pane;
    let lists = [legend::keys(pane), legend::symbols(pane)];
    let rows = lists.iter().map(Vec::len).max().unwrap_or(0);
    let height = u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(2);
    let title = format!("{}: keys and symbols; ? all keys, Esc closes", pane.name());
    let inside = frame(view, &title, centred(area, 88, height), buffer);
    let half = inside.width / 2;
    for (column, list) in lists.into_iter().enumerate() {
        let x = inside.x + 1 + if column == 0 { 0 } else { half };
        for (row, (sign, meaning)) in (inside.y..inside.y + inside.height).zip(list) {
            put(buffer, x, row, SIGN, sign, view.theme.strong);
            let available = half.saturating_sub(SIGN + 1);
            put(buffer, x + SIGN, row, available, &cut(meaning, usize::from(available)), Style::new());
        }
    }
}

/// All keys, in as many columns as there is room for: the table of bindings itself.
pub(super) fn all_keys(view: &View<'_>, area: Rect, buffer: &mut Buffer) {
    let replay = view.state.time.replay.is_some();
    let mut lines: Vec<(bool, String, &str)> = Vec::new();
    for topic in HelpTopic::ALL.into_iter().filter(|topic| replay || *topic != HelpTopic::Replay) {
        lines.push((true, topic.name().to_owned(), ""));
        let bindings = BINDINGS.iter().filter(|one| one.topic == topic);
        lines.extend(bindings.map(|one| (false, one.written.to_owned(), one.help)));
    }
    let fits = usize::from(area.height.saturating_sub(2)).max(1);
    let columns = lines.len().div_ceil(fits).max(2);
    let rows = lines.len().div_ceil(columns);
    let height = u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(2);
    let wide = u16::try_from(columns * 38).unwrap_or(u16::MAX);
    let inside = frame(view, "all keys; Esc closes", centred(area, wide, height), buffer);
    let each = inside.width / u16::try_from(columns).unwrap_or(1).max(1);
    for (place, (heading, key, what)) in lines.iter().enumerate() {
        let at = |number: usize| u16::try_from(number).unwrap_or(0);
        let (x, y) = (inside.x + 1 + at(place / rows) * each, inside.y + at(place % rows));
        let width = each.saturating_sub(1);
        if y >= inside.y + inside.height {
            continue;
        }
        if *heading {
            put(buffer, x, y, width, key, view.theme.accent);
            continue;
        }
        let key_width = if each < 30 { at(width_of(key)) + 1 } else { 8 };
        put(buffer, x + 1, y, key_width, key, view.theme.strong);
        let available = width.saturating_sub(key_width + 1);
        put(buffer, x + 1 + key_width, y, available, &cut(what, usize::from(available)), Style::new());
    }
}
