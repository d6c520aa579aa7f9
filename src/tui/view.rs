//! Draws the state. Immutable: what is drawn changes nothing, and no client is named here.

mod charts;
mod detail;
mod frame;
mod help;
mod overlay;
mod panes;
mod popup;
mod strip;
mod svg;
mod table;
mod theme;

use super::state::{Pane, State};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;
use theme::Theme;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

pub(super) use svg::picture;

/// The least that the panes need.
const LEAST: (u16, u16) = (60, 15);

/// What lies where, for the mouse.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Hit {
    /// The tab of a pane.
    Pane(Pane),
    /// A row with this key.
    Row(String),
    /// The dot of a part.
    Part(String),
    /// The lines of a log.
    Log,
    /// The common time axis from its left to its right edge.
    Time {
        /// Seconds since the epoch at the left edge.
        from_s: f64,
        /// At the right one.
        to_s: f64,
    },
}

/// What drawing needs, and the places it leaves for the mouse.
struct View<'a> {
    state: &'a State,
    theme: &'a Theme,
    now_s: f64,
    /// The moment that is shown.
    at_s: f64,
    hits: Vec<(Rect, Hit)>,
}

impl View<'_> {
    /// The time axis.
    fn window(&self) -> (f64, f64) {
        (self.at_s - self.state.time.window_s() as f64, self.at_s)
    }
}

/// Draws everything. Answers what lies where.
pub(super) fn draw(state: &State, now_s: f64, area: Rect, buffer: &mut Buffer) -> Vec<(Rect, Hit)> {
    if area.width < LEAST.0 || area.height < LEAST.1 {
        too_small(area, buffer);
        return Vec::new();
    }
    let theme = Theme::new(state.effective_theme());
    let at_s = state.time.at(now_s);
    let mut view = View { state, theme: &theme, now_s, at_s, hits: Vec::new() };
    let line = |y: u16| Rect { y, height: 1, ..area };
    frame::tabs(&mut view, line(area.y), buffer);
    frame::dots(&mut view, line(area.y + 1), buffer);
    frame::verdict(&mut view, line(area.y + 2), buffer);
    let body = Rect { y: area.y + 3, height: area.height - 4, ..area };
    panes::draw(&mut view, body, buffer);
    frame::footer(&view, line(area.y + area.height - 1), buffer);
    overlay::draw(&mut view, body, buffer);
    if state.ascii {
        theme::to_ascii(buffer);
    }
    view.hits
}

fn too_small(area: Rect, buffer: &mut Buffer) {
    let text = format!("too small: {}x{}, needs {}x{}", area.width, area.height, LEAST.0, LEAST.1);
    let mut rest = text.as_str();
    for y in area.y..area.y + area.height {
        let end = rest.len().min(usize::from(area.width));
        put(buffer, area.x, y, area.width, &rest[..end], Style::new());
        rest = rest[end..].trim_start();
    }
}

/// Writes text at a place, no further than `width` columns.
fn put(buffer: &mut Buffer, x: u16, y: u16, width: u16, text: &str, style: Style) {
    if buffer.area.contains((x, y).into()) {
        buffer.set_stringn(x, y, text, usize::from(width), style);
    }
}

/// Writes pieces one after the other; the end of the last one.
fn put_line(buffer: &mut Buffer, x: u16, y: u16, width: u16, line: &Line<'_>) -> u16 {
    if buffer.area.contains((x, y).into()) { buffer.set_line(x, y, line, width).0 } else { x }
}

/// Columns a text takes.
fn width_of(text: &str) -> usize {
    text.width()
}

/// The text in so many columns; what was cut ends with `…`.
fn cut(text: &str, width: usize) -> std::borrow::Cow<'_, str> {
    if text.width() <= width {
        return text.into();
    }
    let mut used = 0;
    let kept: String = text
        .chars()
        .take_while(|one| {
            used += one.width().unwrap_or(0);
            used < width
        })
        .collect();
    (kept + "…").into()
}

/// The text in so many columns; what was cut is in its middle: names differ at both ends.
fn cut_middle(text: &str, width: usize) -> std::borrow::Cow<'_, str> {
    if text.width() <= width {
        return text.into();
    }
    if width < 3 {
        return cut(text, width);
    }
    let take = |characters: &mut dyn Iterator<Item = char>, available: usize| {
        let mut used = 0;
        let fits = |one: &char| {
            used += one.width().unwrap_or(0);
            used <= available
        };
        characters.take_while(fits).collect::<Vec<char>>()
    };
    let left = (width - 1) / 2;
    let head = take(&mut text.chars(), left);
    let mut tail = take(&mut text.chars().rev(), width - 1 - left);
    tail.reverse();
    head.into_iter().chain(['…']).chain(tail).collect::<String>().into()
}

/// The text in lines of so many columns, broken at blanks where that can be.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_inclusive(' ') {
            if !line.is_empty() && line.width() + word.trim_end().width() > width {
                lines.push(std::mem::take(&mut line).trim_end().to_owned());
            }
            for one in word.chars() {
                if line.width() + one.width().unwrap_or(0) > width {
                    lines.push(std::mem::take(&mut line).trim_end().to_owned());
                }
                // A blank at the break is not seen and would only indent the next line.
                if !(line.is_empty() && one == ' ' && !lines.is_empty()) {
                    line.push(one);
                }
            }
        }
        lines.push(line.trim_end().to_owned());
    }
    lines
}

#[cfg(test)]
mod tests;
