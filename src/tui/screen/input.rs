//! Keys and clicks of the terminal as the state sees them.

use super::super::key::Press;
use super::super::state::{Action, Overlay, Pane, ScreenEffect, State};
use super::super::view::Hit;
use crossterm::event::{
    KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::layout::{Position, Rect};

/// Lines of a log that one turn of the wheel moves.
const WHEEL: i32 = 3;

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
        MouseEventKind::ScrollDown => wheel(state, 1, mouse, hits, now_s),
        MouseEventKind::ScrollUp => wheel(state, -1, mouse, hits, now_s),
        MouseEventKind::Down(MouseButton::Left) => {
            let place = Position { x: mouse.column, y: mouse.row };
            // What was drawn last lies on top.
            let hit = hits.iter().rev().find(|(area, _)| area.contains(place));
            hit.map_or(ScreenEffect::None, |(area, hit)| click(state, hit, *area, place, now_s))
        }
        _ => ScreenEffect::None,
    }
}

/// Over a log the wheel moves its lines, elsewhere the rows.
fn wheel(state: &mut State, down: i32, mouse: MouseEvent, hits: &[(Rect, Hit)], now_s: f64) -> ScreenEffect {
    let place = Position { x: mouse.column, y: mouse.row };
    let over = hits.iter().rev().find(|(area, _)| area.contains(place));
    if matches!(over, Some((_, Hit::Log))) && matches!(state.overlay, Overlay::None) {
        state.scroll_log(-down * WHEEL, now_s);
        return ScreenEffect::None;
    }
    state.act(Action::Rows(down), now_s)
}

fn click(state: &mut State, hit: &Hit, area: Rect, place: Position, now_s: f64) -> ScreenEffect {
    match hit {
        Hit::Pane(pane) => state.act(Action::Open(*pane), now_s),
        Hit::Row(key) => {
            state.choose(key.clone());
            ScreenEffect::None
        }
        Hit::Part(name) => {
            state.act(Action::Open(Pane::Stack), now_s);
            state.choose(name.clone());
            ScreenEffect::None
        }
        Hit::Log => ScreenEffect::None,
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

    #[test]
    fn the_wheel_over_a_log_moves_the_log_and_not_the_rows() {
        use crate::tui::state::Setup;
        use crate::tui::update::{PartSample, Stamped, Update};
        let mut state = State::new(Setup { pane: Pane::Stack, ..Setup::default() });
        let part =
            |name: &str| PartSample { name: name.into(), state: "running".into(), ..PartSample::default() };
        state.update(Stamped { at_s: 1.0, update: Update::Stack(Ok(vec![part("app-1"), part("kafka")])) });
        let lines = (0..20).map(|number| number.to_string()).collect();
        state.update(Stamped { at_s: 1.0, update: Update::Log { part: "app-1".into(), lines } });
        let hits = [(Rect::new(0, 10, 80, 10), Hit::Log)];
        let turn = |row| MouseEvent { kind: MouseEventKind::ScrollUp, ..click_at(5, row) };
        mouse(&mut state, turn(12), &hits, 1.0);
        assert_eq!((state.log_back, state.chosen()), (3, None));
        let turn = |row| MouseEvent { kind: MouseEventKind::ScrollDown, ..click_at(5, row) };
        mouse(&mut state, turn(5), &hits, 1.0);
        assert_eq!(state.chosen(), Some("kafka"));
    }

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
        mouse(&mut state, click_at(3, 1), &[(Rect::new(0, 1, 9, 1), Hit::Part("kafka".into()))], 1_000.0);
        assert_eq!((state.pane, state.chosen()), (Pane::Stack, Some("kafka")));
        mouse(&mut state, click_at(50, 11), &hits, 1_000.0);
        assert_eq!(state.time.held_s, Some(950.5));
        assert_eq!(mouse(&mut state, click_at(79, 20), &hits, 1_000.0), ScreenEffect::None);
    }
}
