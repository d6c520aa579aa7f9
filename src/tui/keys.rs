//! Which key does what: the help and the bindings are this one table.

use super::key::Press;
use super::state::{Action, Pane};

/// Under which heading the help shows a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Panes.
    Panes,
    /// Rows.
    Rows,
    /// Time.
    Time,
    /// What can be done.
    Acts,
    /// A recording.
    Replay,
}

impl Topic {
    /// All, in the order of the help.
    pub const ALL: [Self; 5] = [Self::Panes, Self::Rows, Self::Time, Self::Acts, Self::Replay];

    /// Its heading.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Panes => "panes",
            Self::Rows => "rows",
            Self::Time => "time",
            Self::Acts => "act",
            Self::Replay => "recording",
        }
    }
}

/// A binding.
#[derive(Debug)]
pub struct Binding {
    /// The keys.
    pub keys: &'static [Press],
    /// How they are written.
    pub written: &'static str,
    /// What they do.
    pub action: Action,
    /// What the help says.
    pub help: &'static str,
    /// Where the help says it.
    pub topic: Topic,
}

use Press::Char;

/// Every binding.
pub static BINDINGS: [Binding; 33] = [
    bind(Topic::Panes, &[Char('1')], "1", Action::Open(Pane::Overview), "overview"),
    bind(Topic::Panes, &[Char('2')], "2", Action::Open(Pane::Lag), "lag by partition"),
    bind(Topic::Panes, &[Char('3')], "3", Action::Open(Pane::Load), "the load test"),
    bind(Topic::Panes, &[Char('4')], "4", Action::Open(Pane::Db), "PostgreSQL"),
    bind(Topic::Panes, &[Char('5')], "5", Action::Open(Pane::Cache), "Redis"),
    bind(Topic::Panes, &[Char('6')], "6", Action::Open(Pane::Stack), "parts and logs"),
    bind(Topic::Panes, &[Press::Tab], "Tab", Action::Next, "next pane"),
    bind(Topic::Panes, &[Press::BackTab], "S-Tab", Action::Previous, "pane before"),
    bind(Topic::Rows, &[Press::Down, Char('j')], "j ↓", Action::Rows(1), "row down"),
    bind(Topic::Rows, &[Press::Up, Char('k')], "k ↑", Action::Rows(-1), "row up"),
    bind(Topic::Rows, &[Char('g')], "g", Action::Rows(-100_000), "first row"),
    bind(Topic::Rows, &[Char('G')], "G", Action::Rows(100_000), "last row"),
    bind(Topic::Rows, &[Press::PageUp, Press::Ctrl('u')], "PgUp", Action::Page(-1), "page or log back"),
    bind(Topic::Rows, &[Press::PageDown, Press::Ctrl('d')], "PgDn", Action::Page(1), "page or log on"),
    bind(Topic::Rows, &[Char('/')], "/", Action::Filter, "filter: text, regex, !not"),
    bind(Topic::Rows, &[Char('s')], "s", Action::Sort, "sort by another column"),
    bind(Topic::Time, &[Char(' ')], "Space", Action::Hold, "hold, go on"),
    bind(Topic::Time, &[Press::Left], "←", Action::Shift(-1), "back in time"),
    bind(Topic::Time, &[Press::Right], "→", Action::Shift(1), "forward"),
    bind(Topic::Time, &[Press::End, Char('0')], "0 End", Action::Present, "the present"),
    bind(Topic::Time, &[Char('+'), Char('=')], "+", Action::Zoom, "shorter window"),
    bind(Topic::Time, &[Char('-')], "-", Action::Widen, "longer window"),
    bind(Topic::Time, &[Char('m')], "m", Action::Mark, "put a marker"),
    bind(Topic::Acts, &[Char(':')], ":", Action::Palette, "run a command of nsys"),
    bind(Topic::Acts, &[Press::Enter], "Enter", Action::Detail, "the row in full"),
    bind(Topic::Acts, &[Char('y')], "y", Action::Copy, "copy the row"),
    bind(Topic::Acts, &[Char('e')], "e", Action::Export, "export the pane"),
    bind(Topic::Acts, &[Char('l')], "l", Action::Calls, "the calls it makes"),
    bind(Topic::Acts, &[Char('t')], "t", Action::Theme, "next theme"),
    bind(Topic::Acts, &[Char('?')], "?", Action::Help, "these keys"),
    bind(Topic::Acts, &[Char('q'), Press::Ctrl('c')], "q", Action::Quit, "quit"),
    bind(Topic::Replay, &[Char('<')], "<", Action::Slower, "slower"),
    bind(Topic::Replay, &[Char('>')], ">", Action::Faster, "faster"),
];

const fn bind(
    topic: Topic,
    keys: &'static [Press],
    written: &'static str,
    action: Action,
    help: &'static str,
) -> Binding {
    Binding { keys, written, action, help, topic }
}

/// What a key does while nothing is typed.
#[must_use]
pub fn action(key: Press) -> Option<Action> {
    BINDINGS.iter().find(|one| one.keys.contains(&key)).map(|one| one.action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things() {
        let keys: Vec<_> = BINDINGS.iter().flat_map(|one| one.keys).collect();
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(keys.len(), distinct.len());
    }

    #[test]
    fn every_pane_has_its_key() {
        for (number, pane) in Pane::ALL.into_iter().enumerate() {
            let key = char::from_digit(u32::try_from(number).unwrap() + 1, 10).unwrap();
            assert_eq!(action(Char(key)), Some(Action::Open(pane)));
        }
    }
}
