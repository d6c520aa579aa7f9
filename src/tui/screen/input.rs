//! Keys and clicks of the terminal as the state sees them.

use super::super::key::Press;
use super::super::state::{Action, Overlay, ScreenEffect, State};
use super::super::view::Hit;
use crossterm::event::{
    KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::layout::{Position, Rect};

/// A key.
pub(super) enum Pressed {
    /// One that the state takes.
    Key(Press),
    /// Ctrl-Z.
    Suspend,
}

/// A key of the terminal; none for one that means nothing.
pub(super) fn press(key: KeyEvent) -> Option<Pressed> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(Pressed::Key(match key.code {
        KeyCode::Char('z') if ctrl => return Some(Pressed::Suspend),
        KeyCode::Char(letter) if ctrl => Press::Ctrl(letter.to_ascii_lowercase()),
        KeyCode::Char(character) => Press::Char(character),
        KeyCode::Enter => Press::Enter,
        KeyCode::Esc => Press::Esc,
        KeyCode::Tab => Press::Tab,
        KeyCode::BackTab => Press::BackTab,
        KeyCode::Backspace => Press::Backspace,
        KeyCode::Delete => Press::Delete,
        KeyCode::Up => Press::Up,
        KeyCode::Down => Press::Down,
        KeyCode::Left => Press::Left,
        KeyCode::Right => Press::Right,
        KeyCode::PageUp => Press::PageUp,
        KeyCode::PageDown => Press::PageDown,
        KeyCode::Home => Press::Home,
        KeyCode::End => Press::End,
        _ => return None,
    }))
}

/// Takes a click or a turn of the wheel.
pub(super) fn mouse(state: &mut State, mouse: MouseEvent, hits: &[(Rect, Hit)], now_s: f64) -> ScreenEffect {
    if matches!(state.overlay, Overlay::Session(_) | Overlay::Palette(_)) {
        return ScreenEffect::None;
    }
    match mouse.kind {
        MouseEventKind::ScrollDown => state.act(Action::Rows(1), now_s),
        MouseEventKind::ScrollUp => state.act(Action::Rows(-1), now_s),
        MouseEventKind::Down(MouseButton::Left) => {
            let place = Position { x: mouse.column, y: mouse.row };
            // What was drawn last lies on top.
            let hit = hits.iter().rev().find(|(area, _)| area.contains(place));
            hit.map_or(ScreenEffect::None, |(area, hit)| click(state, hit, *area, place, now_s))
        }
        _ => ScreenEffect::None,
    }
}

fn click(state: &mut State, hit: &Hit, area: Rect, place: Position, now_s: f64) -> ScreenEffect {
    match hit {
        Hit::Pane(pane) => state.act(Action::Open(*pane), now_s),
        Hit::Row(key) => {
            state.choose(key.clone());
            ScreenEffect::None
        }
        Hit::Time { from_s, to_s } => {
            let share = (f64::from(place.x - area.x) + 0.5) / f64::from(area.width.max(1));
            let at_s = from_s + (to_s - from_s) * share;
            if state.time.replay.is_some() {
                return ScreenEffect::Seek(at_s);
            }
            // The moment that was clicked becomes the one that is shown.
            let by_s = at_s - state.time.at(now_s);
            state.time.shift(by_s, now_s);
            ScreenEffect::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::state::Pane;

    fn click_at(column: u16, row: u16) -> MouseEvent {
        let kind = MouseEventKind::Down(MouseButton::Left);
        MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }
    }

    #[test]
    fn a_click_opens_a_pane_chooses_a_row_and_holds_a_moment() {
        let hits = [
            (Rect::new(0, 0, 10, 1), Hit::Pane(Pane::Db)),
            (Rect::new(0, 5, 80, 1), Hit::Row("app-1".into())),
            (Rect::new(0, 10, 100, 3), Hit::Time { from_s: 900.0, to_s: 1_000.0 }),
        ];
        let mut state = State::default();
        mouse(&mut state, click_at(3, 0), &hits, 1_000.0);
        assert_eq!(state.pane, Pane::Db);
        mouse(&mut state, click_at(40, 5), &hits, 1_000.0);
        assert_eq!(state.chosen(), Some("app-1"));
        mouse(&mut state, click_at(50, 11), &hits, 1_000.0);
        assert_eq!(state.time.held_s, Some(950.5));
        assert_eq!(mouse(&mut state, click_at(79, 20), &hits, 1_000.0), ScreenEffect::None);
    }
}
