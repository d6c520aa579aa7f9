//! What a command that is typed would do: decided by the command line itself, asked for here.

/// What a command would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandIntent {
    /// It changes nothing, or shows its plan and asks before it does.
    Runs,
    /// It would change something at once: the dashboard has to ask.
    Changes(ConfirmQuestion),
}

/// What is asked before a change is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfirmQuestion {
    /// The command, word by word, as it runs once it is confirmed.
    pub words: Vec<String>,
    /// What it does to whom: `stops every part; the data stays`.
    pub does: String,
    /// A command that shows the same without doing it.
    pub preview: Option<Vec<String>>,
}

/// Tells what these words would do.
pub type Judge = fn(&[String]) -> CommandIntent;

/// What these words would do. Where nobody can tell it is a change.
#[must_use]
pub fn intent(judge: Option<Judge>, words: &[String]) -> CommandIntent {
    let unknown = || {
        let does = "may change something: what it does is not known here".to_owned();
        CommandIntent::Changes(ConfirmQuestion { words: words.to_vec(), does, preview: None })
    };
    judge.map_or_else(unknown, |judge| judge(words))
}
