//! What lies over a pane: help, calls, export, the palette, a command that runs.

use super::super::state::grid::Grid;
use super::super::state::intent::ConfirmQuestion;
use super::super::state::palette::Palette;
use super::super::state::session::{Session, TextSpan};
use super::super::state::sort::choices;
use super::super::state::{Format, Overlay, tables};
use super::popup::{centred, frame};
use super::{View, cut, help, put, put_line, table, width_of, wrapped};
use crate::render::Tone;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

/// Draws what lies over the pane, if anything.
pub(super) fn draw(view: &mut View<'_>, area: Rect, buffer: &mut Buffer) {
    match &view.state.overlay {
        Overlay::None | Overlay::Filter(..) | Overlay::Search(..) | Overlay::Mark(_) => {}
        Overlay::Legend => help::of_pane(view, area, buffer),
        Overlay::Help => help::all_keys(view, area, buffer),
        Overlay::Sort(chosen) => sort(view, *chosen, area, buffer),
        Overlay::Export => export(view, area, buffer),
        Overlay::Calls => rows(view, &tables::calls(view.state), area, buffer),
        Overlay::Events => rows(view, &tables::events(view.state), area, buffer),
        Overlay::Palette(palette) => self::palette(view, palette, area, buffer),
        Overlay::Session(session) => self::session(view, session, area, buffer),
        Overlay::Detail(top) => super::detail::draw(view, *top, area, buffer),
    }
}

/// Rows that lie over a pane.
fn rows(view: &mut View<'_>, grid: &Grid, area: Rect, buffer: &mut Buffer) {
    let inside = frame(view, &grid.title, area, buffer);
    // Rows below it cannot be clicked through it.
    view.hits.clear();
    if let Some(shown) = table::draw(view, grid, inside, buffer) {
        let (y, width) = (area.y + area.height - 1, area.width.saturating_sub(4));
        put(buffer, area.x + 2, y, width, &format!(" {shown} "), view.theme.dim);
    }
}

/// The columns to sort by; the present one with its direction.
fn sort(view: &View<'_>, chosen: usize, area: Rect, buffer: &mut Buffer) {
    let columns = tables::of_pane(view.state, view.at_s).columns;
    let places = choices(&columns);
    let now = view.state.sorted_by();
    let name = |place: usize| {
        let order = now.filter(|order| order.column == place);
        let symbol = order.map_or(" ", |order| order.symbol(&columns[place]));
        format!("{symbol} {}", columns[place].name)
    };
    let own = if now.is_none() { "● their own order" } else { "  their own order" };
    let names: Vec<_> = std::iter::once(own.to_owned()).chain(places.into_iter().map(name)).collect();
    let height = u16::try_from(names.len()).unwrap_or(u16::MAX).saturating_add(2);
    let inside = frame(view, "sort by", centred(area, 32, height), buffer);
    let first = (chosen + 1).saturating_sub(usize::from(inside.height));
    for (row, (place, name)) in (inside.y..inside.y + inside.height).zip(names.iter().enumerate().skip(first))
    {
        let style = if place == chosen { view.theme.selected } else { Style::new() };
        put(buffer, inside.x + 1, row, inside.width.saturating_sub(2), &format!("{name:<28}"), style);
    }
}

fn export(view: &View<'_>, area: Rect, buffer: &mut Buffer) {
    let height = u16::try_from(Format::ALL.len()).unwrap_or(0) + 2;
    let title = format!("export {}", view.state.pane.name());
    let inside = frame(view, &title, centred(area, 42, height), buffer);
    for (row, (key, _, what)) in (inside.y..inside.y + inside.height).zip(Format::ALL) {
        put(buffer, inside.x + 1, row, 2, &key.to_string(), view.theme.accent);
        put(buffer, inside.x + 4, row, inside.width.saturating_sub(4), what, Style::new());
    }
}

/// The commands that fit, above the line that is typed.
fn palette(view: &View<'_>, palette: &Palette, area: Rect, buffer: &mut Buffer) {
    let fitting = palette.fitting(&view.state.commands);
    let rows = u16::try_from(fitting.len().clamp(1, 10)).unwrap_or(10);
    let height = (rows + 2).min(area.height);
    let place = Rect { y: area.y + area.height - height, height, ..area };
    let title = match view.state.read_only {
        true => "command of nsys; --read-only: changes are refused",
        false => "command of nsys; a change is shown and asked for first",
    };
    let inside = frame(view, title, place, buffer);
    if fitting.is_empty() {
        put(
            buffer,
            inside.x + 1,
            inside.y,
            inside.width,
            "no such command; Enter runs it anyway",
            view.theme.dim,
        );
    }
    let chosen = palette.chosen.unwrap_or(usize::MAX);
    let first =
        if chosen < fitting.len() { chosen.saturating_sub(usize::from(inside.height) - 1) } else { 0 };
    for (row, (place, one)) in
        (inside.y..inside.y + inside.height).zip(fitting.iter().enumerate().skip(first))
    {
        let style = if place == chosen { view.theme.selected } else { view.theme.strong };
        put(buffer, inside.x + 1, row, 24, &format!("{:<23}", cut(&one.name, 23)), style);
        let about = cut(&one.about, usize::from(inside.width.saturating_sub(27)));
        put(buffer, inside.x + 26, row, inside.width.saturating_sub(26), &about, view.theme.dim);
    }
}

/// The terminal of a command that runs, or the question whether it shall.
fn session(view: &View<'_>, session: &Session, area: Rect, buffer: &mut Buffer) {
    let title = format!("nsys {}", session.command);
    let mut inside = frame(view, &cut(&title, usize::from(area.width.saturating_sub(6))), area, buffer);
    if let Some(question) = &session.question {
        let used = self::question(view, question, inside, buffer);
        inside = Rect { y: inside.y + used, height: inside.height - used, ..inside };
    }
    let shown = &session.shown;
    for (row, line) in (inside.y..inside.y + inside.height).zip(&shown.lines) {
        let spans: Vec<_> =
            line.iter().map(|run| Span::styled(run.text.as_str(), style_of(view, run))).collect();
        put_line(buffer, inside.x, row, inside.width, &Line::from(spans));
    }
    if let Some((row, column)) =
        shown.cursor.filter(|_| session.ended.is_none() && session.question.is_none())
    {
        let place = (inside.x + column, inside.y + row);
        if inside.contains(place.into()) {
            buffer[place].set_style(Style::new().add_modifier(Modifier::REVERSED));
        }
    }
    if let Some((tone, text)) = outcome(session) {
        let text = format!(" {text} ");
        let width = u16::try_from(width_of(&text)).unwrap_or(0).min(area.width);
        let y = area.y + area.height - 1;
        put(buffer, area.x + area.width - 1 - width, y, width, &text, view.theme.tone(Some(tone)));
    }
}

/// What it would do and to which stack, in words; the rows that this took.
fn question(view: &View<'_>, question: &ConfirmQuestion, area: Rect, buffer: &mut Buffer) -> u16 {
    let text = format!("Stack {}: this {}. Nothing is changed yet.", view.state.stack, question.does);
    let lines = wrapped(&text, usize::from(area.width.saturating_sub(2)));
    let used = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2).min(area.height);
    for (row, line) in (area.y + 1..area.y + used).zip(&lines) {
        put(buffer, area.x + 1, row, area.width.saturating_sub(1), line, view.theme.tone(Some(Tone::Warn)));
    }
    used
}

/// How it ended, or what the question waits for.
fn outcome(session: &Session) -> Option<(Tone, String)> {
    let ended = session.ended.as_ref();
    if session.question.is_none() {
        let (well, how) = ended?;
        let tone = if *well { Tone::Good } else { Tone::Bad };
        return Some((tone, format!("{how}; Esc closes")));
    }
    Some(match ended {
        _ if session.can_be_confirmed() => (Tone::Warn, "y confirms; Esc cancels".to_owned()),
        Some((_, how)) => (Tone::Bad, format!("it cannot run ({how}); Esc closes")),
        None => (Tone::Dim, "checking what it would do; Esc cancels".to_owned()),
    })
}

/// How a piece of the command's output looks. Colours are the command's own unless there are none.
fn style_of(view: &View<'_>, run: &TextSpan) -> Style {
    let mut style = Style::new();
    if let Some(colour) = run.colour.filter(|_| !view.state.no_colour) {
        style = style.fg(Color::Indexed(colour));
    }
    for (set, modifier) in
        [(run.bold, Modifier::BOLD), (run.dim, Modifier::DIM), (run.reversed, Modifier::REVERSED)]
    {
        if set {
            style = style.add_modifier(modifier);
        }
    }
    style
}
