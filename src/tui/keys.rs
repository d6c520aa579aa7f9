//! Which key does what: the help and the bindings are this one table.

use super::key::Press;
use super::state::{Action, Pane};

/// Under which heading the help shows a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelpTopic {
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

impl HelpTopic {
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
    pub topic: HelpTopic,
}

use Press::Char;

/// Every binding.
pub static BINDINGS: [Binding; 39] = [
    bind(HelpTopic::Panes, &[Char('1')], "1", Action::Open(Pane::Overview), "overview"),
    bind(HelpTopic::Panes, &[Char('2')], "2", Action::Open(Pane::Lag), "lag by partition"),
    bind(HelpTopic::Panes, &[Char('3')], "3", Action::Open(Pane::Load), "the load test"),
    bind(HelpTopic::Panes, &[Char('4')], "4", Action::Open(Pane::Db), "PostgreSQL"),
    bind(HelpTopic::Panes, &[Char('5')], "5", Action::Open(Pane::Cache), "Redis"),
    bind(HelpTopic::Panes, &[Char('6')], "6", Action::Open(Pane::Stack), "parts and logs"),
    bind(HelpTopic::Panes, &[Press::Tab], "Tab", Action::Next, "next pane"),
    bind(HelpTopic::Panes, &[Press::BackTab], "S-Tab", Action::Previous, "pane before"),
    bind(HelpTopic::Rows, &[Press::Down, Char('j')], "j ↓", Action::Rows(1), "row down"),
    bind(HelpTopic::Rows, &[Press::Up, Char('k')], "k ↑", Action::Rows(-1), "row up"),
    bind(HelpTopic::Rows, &[Char('g')], "g", Action::Rows(-100_000), "first row"),
    bind(HelpTopic::Rows, &[Char('G')], "G", Action::Rows(100_000), "last row"),
    bind(HelpTopic::Rows, &[Press::PageUp, Press::Ctrl('u')], "PgUp", Action::Page(-1), "page up, older"),
    bind(HelpTopic::Rows, &[Press::PageDown, Press::Ctrl('d')], "PgDn", Action::Page(1), "page down, newer"),
    bind(HelpTopic::Rows, &[Char('/')], "/", Action::Filter, "filter: text, regex, !not"),
    bind(HelpTopic::Rows, &[Char('s')], "s", Action::Sort, "sort by a column"),
    bind(HelpTopic::Rows, &[Char('S')], "S", Action::Reverse, "sort the other way round"),
    bind(HelpTopic::Rows, &[Char('f')], "f", Action::Search, "find in rows or log"),
    bind(HelpTopic::Rows, &[Char('n')], "n", Action::Find(true), "next that was found"),
    bind(HelpTopic::Rows, &[Char('N')], "N", Action::Find(false), "the one before"),
    bind(HelpTopic::Time, &[Char(' ')], "Space", Action::Hold, "pause, resume"),
    bind(HelpTopic::Time, &[Press::Left], "←", Action::Shift(-1), "back in time"),
    bind(HelpTopic::Time, &[Press::Right], "→", Action::Shift(1), "forward"),
    bind(HelpTopic::Time, &[Press::End, Char('0')], "0 End", Action::Present, "the present"),
    bind(HelpTopic::Time, &[Char('+'), Char('=')], "+", Action::Zoom, "shorter window"),
    bind(HelpTopic::Time, &[Char('-')], "-", Action::Widen, "longer window"),
    bind(HelpTopic::Time, &[Char('m')], "m", Action::Mark, "put a marker"),
    bind(HelpTopic::Acts, &[Char(':')], ":", Action::Palette, "run a command of nsys"),
    bind(HelpTopic::Acts, &[Press::Enter], "Enter", Action::Detail, "the row in full"),
    bind(HelpTopic::Acts, &[Char('y')], "y", Action::Copy, "copy the row"),
    bind(HelpTopic::Acts, &[Char('Y')], "Y", Action::CopyCommand, "copy as command"),
    bind(HelpTopic::Acts, &[Char('e')], "e", Action::Export, "export the pane"),
    bind(HelpTopic::Acts, &[Char('l')], "l", Action::Calls, "its calls"),
    bind(HelpTopic::Acts, &[Char('v')], "v", Action::Events, "events: what happened"),
    bind(HelpTopic::Acts, &[Char('t')], "t", Action::Theme, "next theme"),
    bind(HelpTopic::Acts, &[Char('?')], "?", Action::Help, "this pane; again: keys"),
    bind(HelpTopic::Acts, &[Char('q'), Press::Ctrl('c')], "q", Action::Quit, "quit"),
    bind(HelpTopic::Replay, &[Char('<')], "<", Action::Slower, "slower"),
    bind(HelpTopic::Replay, &[Char('>')], ">", Action::Faster, "faster"),
];

const fn bind(
    topic: HelpTopic,
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
