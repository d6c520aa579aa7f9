//! What stands around every pane: tabs and time, health, the worst thing in words, what can be done.

use super::super::state::line::InputLine;
use super::super::state::{Overlay, Pane, verdict};
use super::theme::symbol;
use super::{Hit, View, cut, put, put_line, width_of};
use crate::render::{Tone, format};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

/// The stack's name, the panes, and which time is shown.
pub(super) fn tabs(view: &mut View<'_>, row: Rect, buffer: &mut Buffer) {
    let theme = view.theme;
    let time = clock_line(view);
    let available = row.width.saturating_sub(u16::try_from(width_of(&text_of(&time))).unwrap_or(0) + 1);
    let name = format!(" {} ", cut(&view.state.stack, 16));
    let all: usize = Pane::ALL.iter().map(|pane| pane.name().len() + 4).sum();
    // Where the names do not fit, the numbers still do.
    let short = width_of(&name) + all > usize::from(available);
    let mut x = put_line(buffer, row.x, row.y, available, &Line::styled(name, theme.accent));
    for (number, pane) in Pane::ALL.into_iter().enumerate() {
        let open = pane == view.state.pane;
        let style =
            if open { Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD) } else { Style::new() };
        let spans = [
            Span::styled(format!(" {}", number + 1), if open { style } else { theme.dim }),
            Span::styled(if short && !open { " ".into() } else { format!(" {} ", pane.name()) }, style),
        ];
        let end =
            put_line(buffer, x, row.y, (row.x + available).saturating_sub(x), &Line::from(spans.to_vec()));
        view.hits.push((Rect { x, width: end - x, ..row }, Hit::Pane(pane)));
        x = end;
    }
    put_line(buffer, row.x + available, row.y, row.width - available, &Line::from(time));
}

fn text_of(spans: &[Span<'_>]) -> String {
    spans.iter().map(|span| span.content.as_ref()).collect()
}

/// The window and the clock; held, replayed and recorded are said.
fn clock_line(view: &View<'_>) -> Vec<Span<'static>> {
    let (theme, time) = (view.theme, &view.state.time);
    let window = format::duration(std::time::Duration::from_secs(time.window_s().unsigned_abs()));
    let clock = view.state.zone.show(view.at_s, "%H:%M:%S");
    let mut spans = Vec::new();
    if view.state.read_only {
        spans.push(Span::styled("read-only ", theme.dim));
    }
    if view.state.recording {
        spans.push(Span::styled("● rec ", theme.tone(Some(Tone::Bad))));
    }
    if let Some(replay) = time.replay {
        let share = (view.now_s - replay.from_s) / (replay.to_s - replay.from_s).max(1.0);
        let state = if replay.playing { "▶" } else { "⏸" };
        let text = format!("{state} ×{} {:.0} % ", replay.speed, share.clamp(0.0, 1.0) * 100.0);
        spans.push(Span::styled(text, theme.mark));
    } else if time.held_s.is_some() {
        let back = std::time::Duration::from_secs((view.now_s - view.at_s).max(0.0).round() as u64);
        spans.push(Span::styled(format!("⏸ {} ago ", format::duration(back)), theme.mark));
    }
    spans.push(Span::styled(format!("{window} "), theme.dim));
    spans.push(Span::raw(clock));
    spans
}

/// A dot for each part.
pub(super) fn dots(view: &mut View<'_>, row: Rect, buffer: &mut Buffer) {
    let mut x = row.x + 1;
    let end = row.x + row.width;
    for dot in verdict::dots(view.state, view.at_s) {
        let style = view.theme.tone(Some(dot.tone));
        let sign = match dot.tone {
            Tone::Good => "●",
            tone => symbol(tone),
        };
        let name = if dot.tone == Tone::Good { view.theme.dim } else { style };
        let line =
            Line::from(vec![Span::styled(sign, style), Span::styled(format!(" {}  ", dot.name), name)]);
        if usize::from(end.saturating_sub(x)) < line.width() {
            put(buffer, end - 1, row.y, 1, "…", view.theme.dim);
            return;
        }
        let from = x;
        x = put_line(buffer, x, row.y, end - x, &line);
        view.hits.push((Rect { x: from, width: x.saturating_sub(from), ..row }, Hit::Part(dot.name)));
    }
}

/// The worst thing in words, and the command that helps where there is room for it.
pub(super) fn verdict(view: &mut View<'_>, row: Rect, buffer: &mut Buffer) {
    let said = verdict::worst(view.state, view.at_s);
    let style = view.theme.tone(Some(said.tone));
    let text = format!(" {} {}", symbol(said.tone), said.text);
    let available = usize::from(row.width);
    put(buffer, row.x, row.y, row.width, &cut(&text, available), style);
    if let Some(hint) = &said.hint {
        let hint = format!("{hint} ");
        if width_of(&text) + width_of(&hint) + 2 <= available {
            let x = row.x + row.width - u16::try_from(width_of(&hint)).unwrap_or(0);
            put(buffer, x, row.y, row.width, &hint, view.theme.accent);
        }
    }
    view.hits.push((row, Hit::Pane(said.pane)));
}

/// What is typed, what was said, or what can be done.
pub(super) fn footer(view: &View<'_>, row: Rect, buffer: &mut Buffer) {
    let (state, theme) = (view.state, view.theme);
    let line = match &state.overlay {
        Overlay::Filter(line, wrong) => {
            let usage = "text or regex, ! before it inverts; Enter keeps, Esc clears";
            typed_with_note("/", line, wrong.as_deref(), usage, view)
        }
        Overlay::Search(line, wrong) => {
            let usage = "text or regex; Enter finds, n N go on, Esc leaves";
            typed_with_note("find ", line, wrong.as_deref(), usage, view)
        }
        Overlay::Sort(_) => {
            Line::styled(" ↑ ↓ choose   Enter sorts   S the other way round   Esc leaves", theme.dim)
        }
        Overlay::Mark(line) => Line::from(typed("mark: ", line, view)),
        Overlay::Palette(palette) => Line::from(typed(":", &palette.line, view)),
        Overlay::Session(session) => {
            let text = match (&session.question, &session.ended) {
                (Some(_), _) => " nothing is changed before y; Esc cancels",
                (None, Some(_)) => " it has ended; Esc closes it",
                (None, None) => " keys go to the command; Ctrl-C interrupts it, Ctrl-\\ ends it",
            };
            Line::styled(text, theme.dim)
        }
        Overlay::Detail(_) => {
            Line::styled(" ↑ ↓ rows   PgUp PgDn scroll   1-9 run a command   y copy   Esc closes", theme.dim)
        }
        _ => {
            at_rest(view, row, buffer);
            return;
        }
    };
    put_line(buffer, row.x, row.y, row.width, &line);
}

/// The filter or the keys to the left, as many as there is room for; what was just said to the right.
fn at_rest(view: &View<'_>, row: Rect, buffer: &mut Buffer) {
    let (state, theme) = (view.state, view.theme);
    let notice = state.notice(view.now_s).map(|(tone, text)| (tone, format!(" {text} ")));
    let said = notice.as_ref().map_or(0, |(_, text)| width_of(text)).min(usize::from(row.width));
    let available = usize::from(row.width) - said;
    let left = match state.filter() {
        Some(filter) => Line::from(vec![
            Span::styled(format!(" filter {}", filter.text), theme.mark),
            Span::styled("   Esc clears it", theme.dim),
        ]),
        None => keys(view, available),
    };
    put_line(buffer, row.x, row.y, u16::try_from(available).unwrap_or(row.width), &left);
    if let Some((tone, text)) = notice {
        let x = row.x + u16::try_from(available).unwrap_or(0);
        put(buffer, x, row.y, row.width, &text, theme.tone(Some(tone)));
    }
}

/// A line that is typed, with its cursor.
/// What is typed, and beside it what is wrong with it, or what can be typed.
fn typed_with_note(
    before: &str,
    line: &InputLine,
    wrong: Option<&str>,
    usage: &str,
    view: &View<'_>,
) -> Line<'static> {
    let mut spans = typed(before, line, view);
    let tone = if wrong.is_some() { Tone::Bad } else { Tone::Dim };
    spans.push(Span::styled(format!("   {}", wrong.unwrap_or(usage)), view.theme.tone(Some(tone))));
    Line::from(spans)
}

fn typed(before: &str, line: &InputLine, view: &View<'_>) -> Vec<Span<'static>> {
    let (left, right) = line.parts();
    let mut rest = right.chars();
    let under = rest.next().unwrap_or(' ');
    vec![
        Span::styled(format!(" {before}"), view.theme.accent),
        Span::raw(left.to_owned()),
        Span::styled(under.to_string(), Style::new().add_modifier(Modifier::REVERSED)),
        Span::raw(rest.as_str().to_owned()),
    ]
}

/// The keys that are wanted most, and those that come after them as far as there is room: how to get help and how
/// to get out are always among them.
fn keys(view: &View<'_>, available: usize) -> Line<'static> {
    let replayed = view.state.time.replay.is_some();
    // The last number is the order in which they are left out, the highest first.
    let mut shown = vec![
        ("?", "help", 0_u8),
        ("< >", "speed", if replayed { 2 } else { u8::MAX }),
        ("Space", "hold", 4),
        ("← →", "time", 6),
        ("+ -", "window", 7),
        ("/", "filter", 3),
        ("f", "find", 8),
        ("v", "events", 5),
        (":", "command", 1),
        ("e", "export", 9),
        ("q", "quit", 0),
    ];
    shown.retain(|(.., rank)| *rank < u8::MAX);
    let width = |shown: &[(&str, &str, u8)]| {
        shown.iter().map(|(key, what, _)| width_of(key) + width_of(what) + 3).sum::<usize>()
    };
    while width(&shown) > available {
        let droppable = (0..shown.len()).filter(|place| shown[*place].2 > 0);
        let Some(last) = droppable.max_by_key(|place| shown[*place].2) else { break };
        shown.remove(last);
    }
    let spans = shown.into_iter().flat_map(|(key, what, _)| {
        [
            Span::styled(format!(" {key}"), view.theme.strong),
            Span::styled(format!(" {what} "), view.theme.dim),
        ]
    });
    Line::from(spans.collect::<Vec<_>>())
}
