//! A command that runs in the dashboard, as its terminal shows it, or that is asked about first.

use super::intent::ConfirmQuestion;

/// Text of one look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextSpan {
    /// The text.
    pub text: String,
    /// Colour by its number in the terminal's palette.
    pub colour: Option<u8>,
    /// Bold.
    pub bold: bool,
    /// Dimmed.
    pub dim: bool,
    /// Reversed.
    pub reversed: bool,
}

/// What a running command shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionView {
    /// Its lines.
    pub lines: Vec<Vec<TextSpan>>,
    /// Row and column of its cursor, when it is to be seen.
    pub cursor: Option<(u16, u16)>,
}

/// A command and what it shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// The command line, without the program.
    pub command: String,
    /// What it shows.
    pub shown: SessionView,
    /// How it ended, and whether well.
    pub ended: Option<(bool, String)>,
    /// While it is asked whether it shall run; what is shown is then only its preview.
    pub question: Option<ConfirmQuestion>,
}

impl Session {
    /// Whether its change was shown and can be made.
    #[must_use]
    pub fn can_be_confirmed(&self) -> bool {
        let seen = self.ended.as_ref().is_some_and(|(well, _)| *well);
        self.question.as_ref().is_some_and(|question| question.preview.is_none() || seen)
    }
}
