//! The command palette: a line that is typed, and the commands of nsys that fit it.

use super::super::key::Press;
use super::line::InputLine;

/// A command of nsys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownCommand {
    /// As it is typed, without the program: `cache flush`.
    pub name: String,
    /// What it does.
    pub about: String,
    /// Its flags, as they are typed: `--dry-run`.
    pub flags: Vec<String>,
}

/// What is often wanted from here; shown first while nothing is typed.
const OFTEN: [&str; 9] = [
    "cache flush",
    "scale",
    "tune db",
    "tune kafka",
    "tune cache",
    "tune service",
    "undo",
    "history",
    "loadtest incremental",
];

/// The open palette.
#[derive(Clone, Debug, Default)]
pub struct Palette {
    /// What is typed.
    pub line: InputLine,
    /// The chosen one of the commands that fit.
    pub chosen: Option<usize>,
    /// Commands that were entered before, newest last.
    past: Vec<String>,
    /// Which of them stands in the line, counted from the newest.
    recalled: Option<usize>,
}

/// What a key did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyOutcome {
    /// It stays open.
    Open,
    /// It was left.
    Left,
    /// This shall run.
    Run(String),
}

impl Palette {
    /// An open palette that remembers what was entered before, newest last.
    #[must_use]
    pub fn after(past: &[String]) -> Self {
        Self { past: past.to_vec(), ..Self::default() }
    }

    /// Puts a command that was entered before into the line; with `older` the one before it.
    fn recall(&mut self, older: bool) {
        let now = self.recalled;
        self.recalled = match (now, older) {
            (None, _) => Some(0),
            (Some(place), true) => Some((place + 1).min(self.past.len().saturating_sub(1))),
            (Some(place), false) => place.checked_sub(1),
        };
        let text = self.recalled.and_then(|place| self.past.iter().rev().nth(place));
        self.line = InputLine::from(text.map_or("", String::as_str));
        self.chosen = None;
    }

    fn is_recalling(&self) -> bool {
        self.recalled.is_some() || self.line.text().is_empty() && self.chosen.is_none()
    }

    /// The commands that fit what is typed, best first. Once arguments are typed it is the command
    /// that they belong to.
    #[must_use]
    pub fn fitting<'a>(&self, commands: &'a [KnownCommand]) -> Vec<&'a KnownCommand> {
        let typed = self.line.text().trim_start().to_lowercase();
        if typed.is_empty() {
            let often = OFTEN.iter().filter_map(|name| commands.iter().find(|one| one.name == *name));
            return often.collect();
        }
        let mut fitting: Vec<_> = commands.iter().filter_map(|one| Some((rank(&typed, one)?, one))).collect();
        fitting.sort_by(|one, other| (one.0, &one.1.name).cmp(&(other.0, &other.1.name)));
        fitting.into_iter().map(|(_, one)| one).collect()
    }

    /// Takes a key.
    pub fn press(&mut self, key: Press, commands: &[KnownCommand]) -> KeyOutcome {
        let count = self.fitting(commands).len();
        match key {
            Press::Esc | Press::Ctrl('c') => return KeyOutcome::Left,
            Press::Backspace if self.line.text().is_empty() => return KeyOutcome::Left,
            Press::Up if !self.past.is_empty() && self.is_recalling() => self.recall(true),
            Press::Down if self.recalled.is_some() => self.recall(false),
            Press::Down | Press::Ctrl('n') if count > 0 => {
                self.chosen = Some(self.chosen.map_or(0, |place| (place + 1) % count));
            }
            Press::Up | Press::Ctrl('p') if count > 0 => {
                self.chosen = Some(self.chosen.map_or(count - 1, |place| (place + count - 1) % count));
            }
            Press::Tab => self.complete(commands),
            // A chosen command is taken into the line first: most want arguments.
            Press::Enter if self.chosen.is_some() => self.complete(commands),
            Press::Enter => {
                let text = self.line.text().trim();
                return if text.is_empty() { KeyOutcome::Left } else { KeyOutcome::Run(text.to_owned()) };
            }
            key => {
                if self.line.press(key) {
                    (self.chosen, self.recalled) = (None, None);
                }
            }
        }
        KeyOutcome::Open
    }

    fn complete(&mut self, commands: &[KnownCommand]) {
        let fitting = self.fitting(commands);
        self.recalled = None;
        if let Some(text) = with_flag(self.line.text(), &fitting) {
            self.line = InputLine::from(text.as_str());
            return;
        }
        if let Some(one) = fitting.get(self.chosen.unwrap_or(0))
            && !self.line.text().starts_with(&format!("{} ", one.name))
        {
            self.line = InputLine::from(format!("{} ", one.name).as_str());
        }
        self.chosen = None;
    }
}

/// The line with its last word, the beginning of a flag, made a whole one: as far as the flags that begin so agree.
fn with_flag(text: &str, fitting: &[&KnownCommand]) -> Option<String> {
    let (before, begun) = text.rsplit_once(' ').filter(|(_, begun)| begun.starts_with('-'))?;
    let command = fitting.iter().find(|one| text.starts_with(&format!("{} ", one.name)))?;
    let mut fits = command.flags.iter().filter(|flag| flag.starts_with(begun));
    let first = fits.next()?;
    let agreed = fits.fold(first.as_str(), |agreed, flag| {
        let same = agreed.bytes().zip(flag.bytes()).take_while(|(one, other)| one == other).count();
        &agreed[..same]
    });
    let end = if agreed == first { " " } else { "" };
    Some(format!("{before} {agreed}{end}"))
}

/// How well a command fits: it begins so, a word of it does, or it is spoken of.
fn rank(typed: &str, command: &KnownCommand) -> Option<u8> {
    let name = &command.name;
    if name.starts_with(typed.trim_end()) || typed.starts_with(&format!("{name} ")) {
        Some(0)
    } else if name.split(' ').any(|word| word.starts_with(typed)) {
        Some(1)
    } else if name.contains(typed) || command.about.to_lowercase().contains(typed) {
        Some(2)
    } else {
        None
    }
}

/// Splits a line into words as a shell does: blanks part, quotes hold together.
///
/// # Errors
/// When a quote is not closed.
pub fn words(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for character in text.chars() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, blank) if blank.is_whitespace() => words.extend(word.take()),
            (_, other) => word.get_or_insert_default().push(other),
        }
    }
    if let Some(open) = quote {
        return Err(format!("a {open} is not closed"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands() -> Vec<KnownCommand> {
        let flags = || ["--dry-run", "--drop-unused", "--prefix"].map(str::to_owned).to_vec();
        let known = |(name, about): (&str, &str)| KnownCommand {
            name: name.into(),
            about: about.into(),
            flags: flags(),
        };
        let all = [
            ("cache flush", "Remove cached entries"),
            ("cache stats", "Hit rate and memory"),
            ("flush", "Remove cached entries, as `cache flush`"),
            ("scale", "Set how many replicas run"),
            ("undo", "Undo a change"),
        ];
        all.map(known).into()
    }

    fn typed(palette: &mut Palette, text: &str) {
        for character in text.chars() {
            palette.press(Press::Char(character), &commands());
        }
    }

    #[test]
    fn the_best_fit_comes_first_and_tab_takes_it() {
        let mut palette = Palette::default();
        typed(&mut palette, "flu");
        let commands = commands();
        let names: Vec<_> = palette.fitting(&commands).iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["flush", "cache flush"]);
        palette.press(Press::Down, &commands);
        palette.press(Press::Down, &commands);
        palette.press(Press::Enter, &commands);
        assert_eq!(palette.line.text(), "cache flush ");
        typed(&mut palette, "--prefix user:");
        assert_eq!(palette.fitting(&commands).first().map(|one| one.name.as_str()), Some("cache flush"));
        assert_eq!(
            palette.press(Press::Enter, &commands),
            KeyOutcome::Run("cache flush --prefix user:".into())
        );
    }

    #[test]
    fn nothing_typed_runs_nothing_and_shows_what_is_often_wanted() {
        let mut palette = Palette::default();
        let commands = commands();
        let names: Vec<_> = palette.fitting(&commands).iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["cache flush", "scale", "undo"]);
        assert_eq!(palette.press(Press::Enter, &commands), KeyOutcome::Left);
        assert_eq!(palette.press(Press::Backspace, &commands), KeyOutcome::Left);
    }

    #[test]
    fn what_was_entered_before_comes_back_and_flags_are_completed() {
        let commands = commands();
        let mut palette = Palette::after(&["ps".to_owned(), "cache flush --yes".to_owned()]);
        palette.press(Press::Up, &commands);
        assert_eq!(palette.line.text(), "cache flush --yes");
        palette.press(Press::Up, &commands);
        palette.press(Press::Up, &commands);
        assert_eq!(palette.line.text(), "ps");
        palette.press(Press::Down, &commands);
        palette.press(Press::Down, &commands);
        assert_eq!(palette.line.text(), "");
        typed(&mut palette, "cache flush --p");
        palette.press(Press::Tab, &commands);
        assert_eq!(palette.line.text(), "cache flush --prefix ");
        typed(&mut palette, "a --d");
        palette.press(Press::Tab, &commands);
        assert_eq!(palette.line.text(), "cache flush --prefix a --dr");
    }

    #[test]
    fn quotes_hold_words_together() {
        assert_eq!(words("a 'b c' d\"e f\" ''").unwrap(), ["a", "b c", "de f", ""]);
        assert!(words("a 'b").is_err());
        assert!(words("   ").unwrap().is_empty());
    }
}
