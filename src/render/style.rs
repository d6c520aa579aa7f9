//! Colour by meaning. Whether escape codes really leave the program is anstream's decision
//! (`NO_COLOR`, `--no-color`, not a terminal).

use anstyle::{AnsiColor, Style};
use std::sync::OnceLock;

/// What a piece of text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Needs a look.
    Warn,
    /// Wrong.
    Bad,
    /// Of lesser importance.
    Dim,
    /// A heading or the thing itself.
    Strong,
    /// A command to copy.
    Command,
}

impl Tone {
    const fn style(self) -> Style {
        match self {
            Self::Good => AnsiColor::Green.on_default(),
            Self::Warn => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Dim => Style::new().dimmed(),
            Self::Strong => Style::new().bold(),
            Self::Command => AnsiColor::Cyan.on_default(),
        }
    }
}

const TONES: [Tone; 6] = [Tone::Good, Tone::Warn, Tone::Bad, Tone::Dim, Tone::Strong, Tone::Command];

/// The escape code of [`paint`] that text begins with; none of anybody else's.
pub(super) fn code_at(text: &str) -> Option<&str> {
    static CODES: OnceLock<Vec<String>> = OnceLock::new();
    let codes = CODES.get_or_init(|| {
        let ends = |tone: Tone| [tone.style().render().to_string(), tone.style().render_reset().to_string()];
        TONES.into_iter().flat_map(ends).collect()
    });
    codes.iter().find(|code| text.starts_with(code.as_str())).map(|code| &text[..code.len()])
}

/// Wraps text in the escape codes of its meaning.
#[must_use]
pub fn paint(tone: Tone, text: &str) -> String {
    let style = tone.style();
    format!("{style}{text}{style:#}")
}
