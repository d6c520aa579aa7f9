//! One line that is typed: text, a cursor, and the usual keys.

use super::super::key::Press;

/// The line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputLine {
    text: String,
    /// In characters from the left.
    cursor: usize,
}

impl From<&str> for InputLine {
    fn from(text: &str) -> Self {
        Self { text: text.to_owned(), cursor: text.chars().count() }
    }
}

impl InputLine {
    /// What is typed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Before and behind the cursor.
    #[must_use]
    pub fn parts(&self) -> (&str, &str) {
        self.text.split_at(self.byte(self.cursor))
    }

    fn byte(&self, place: usize) -> usize {
        self.text.char_indices().nth(place).map_or(self.text.len(), |(byte, _)| byte)
    }

    /// Takes a key; false when it means nothing here.
    pub fn press(&mut self, key: Press) -> bool {
        let count = self.text.chars().count();
        match key {
            Press::Char(character) => {
                self.text.insert(self.byte(self.cursor), character);
                self.cursor += 1;
            }
            Press::Backspace if self.cursor > 0 => {
                self.cursor -= 1;
                self.text.remove(self.byte(self.cursor));
            }
            Press::Delete if self.cursor < count => {
                self.text.remove(self.byte(self.cursor));
            }
            Press::Left => self.cursor = self.cursor.saturating_sub(1),
            Press::Right => self.cursor = (self.cursor + 1).min(count),
            Press::Home | Press::Ctrl('a') => self.cursor = 0,
            Press::End | Press::Ctrl('e') => self.cursor = count,
            Press::Ctrl('u') => {
                self.text.drain(..self.byte(self.cursor));
                self.cursor = 0;
            }
            Press::Ctrl('w') => self.erase_word(),
            _ => return false,
        }
        true
    }

    fn erase_word(&mut self) {
        let end = self.byte(self.cursor);
        let before = self.text[..end].trim_end();
        let start = before.rfind(' ').map_or(0, |space| space + 1);
        self.cursor = self.text[..start].chars().count();
        self.text.drain(start..end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_edited_where_the_cursor_is() {
        let mut line = InputLine::from("scale äpp=3");
        line.press(Press::Left);
        line.press(Press::Backspace);
        line.press(Press::Char('='));
        assert_eq!((line.text(), line.parts()), ("scale äpp=3", ("scale äpp=", "3")));
        line.press(Press::Ctrl('w'));
        assert_eq!(line.text(), "scale 3");
        line.press(Press::Home);
        assert!(!line.press(Press::Backspace));
        line.press(Press::Delete);
        assert_eq!(line.text(), "cale 3");
        line.press(Press::End);
        line.press(Press::Ctrl('u'));
        assert_eq!(line.text(), "");
    }
}
