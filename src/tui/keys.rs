//! Which key does what: the help and the bindings are this one table.

use super::state::{Action, Pane};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// A binding: its keys, how they are written, what they do, and what the help says.
pub(super) struct Binding {
    codes: &'static [KeyCode],
    pub(super) keys: &'static str,
    action: Action,
    pub(super) help: &'static str,
}

pub(super) static BINDINGS: [Binding; 18] = [
    bind(&[KeyCode::Char('1')], "1", Action::Open(Pane::Overview), "overview"),
    bind(&[KeyCode::Char('2')], "2", Action::Open(Pane::Lag), "lag by partition"),
    bind(&[KeyCode::Char('3')], "3", Action::Open(Pane::Load), "the running load test"),
    bind(&[KeyCode::Char('4')], "4", Action::Open(Pane::Db), "database"),
    bind(&[KeyCode::Char('5')], "5", Action::Open(Pane::Cache), "cache"),
    bind(&[KeyCode::Char('6')], "6", Action::Open(Pane::Stack), "parts and their logs"),
    bind(&[KeyCode::Tab, KeyCode::Right], "Tab", Action::Next, "next pane"),
    bind(&[KeyCode::BackTab, KeyCode::Left], "Shift-Tab", Action::Previous, "pane before"),
    bind(&[KeyCode::Down, KeyCode::Char('j')], "j", Action::Down, "row down"),
    bind(&[KeyCode::Up, KeyCode::Char('k')], "k", Action::Up, "row up"),
    bind(&[KeyCode::Char(' ')], "Space", Action::Pause, "stop, go on"),
    bind(&[KeyCode::Char('+')], "+", Action::Zoom, "shorter window"),
    bind(&[KeyCode::Char('-')], "-", Action::Widen, "longer window"),
    bind(&[KeyCode::Char('/')], "/", Action::Filter, "filter rows (regex; ! inverts)"),
    bind(&[KeyCode::Char(':')], ":", Action::Command, "run a command of nsys"),
    bind(&[KeyCode::Char('?')], "?", Action::Help, "these keys"),
    bind(&[KeyCode::Esc], "Esc", Action::Escape, "close, clear the filter"),
    bind(&[KeyCode::Char('q')], "q", Action::Quit, "quit"),
];

const fn bind(codes: &'static [KeyCode], keys: &'static str, action: Action, help: &'static str) -> Binding {
    Binding { codes, keys, action, help }
}

/// What a key does while nothing is typed.
pub(super) fn action(key: KeyEvent) -> Option<Action> {
    if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
        return Some(Action::Quit);
    }
    BINDINGS.iter().find(|one| one.codes.contains(&key.code)).map(|one| one.action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things() {
        let codes: Vec<_> = BINDINGS.iter().flat_map(|one| one.codes).collect();
        let distinct: std::collections::HashSet<_> = codes.iter().collect();
        assert_eq!(codes.len(), distinct.len());
    }
}
