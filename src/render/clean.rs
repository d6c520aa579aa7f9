//! Text that strangers chose (names, ids, error messages, log lines) made safe for an operator's terminal:
//! it moves no cursor, sets no title and forges no row.

use super::style;
use std::borrow::Cow;
use unicode_width::UnicodeWidthStr;

/// Text as it may be written to a terminal: every control character but a line break and a tab is shown
/// as an escape such as `\u{1b}`. The colours of [`style::paint`] pass.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, |one| one == '\n' || one == '\t')
}

/// Text as one cell of a table: as [`visible`], and a line break or a tab is shown as an escape too, so
/// that no text makes a row of its own.
#[must_use]
pub fn cell(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// JSON in which the control characters that its syntax lets stand are escapes, as its readers take them.
#[must_use]
pub fn json(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|one| is_unsafe(one) && one != '\n') {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    for one in text.chars() {
        if is_unsafe(one) && one != '\n' {
            // All of them are in the basic plane: one unit each.
            clean.push_str(&format!("\\u{:04x}", u32::from(one)));
        } else {
            clean.push(one);
        }
    }
    Cow::Owned(clean)
}

/// The columns that text takes on a terminal, colours left out. A character of East Asian scripts takes
/// two.
#[must_use]
pub fn width(text: &str) -> usize {
    anstream::adapter::strip_str(text).map(UnicodeWidthStr::width).sum()
}

fn escaped(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(|one| is_unsafe(one) && !keep(one)) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(one) = rest.chars().next() {
        if let Some(code) = style::code_at(rest) {
            clean.push_str(code);
            rest = &rest[code.len()..];
            continue;
        }
        match one {
            one if !is_unsafe(one) || keep(one) => clean.push(one),
            '\n' | '\r' | '\t' => clean.extend(one.escape_default()),
            one => clean.extend(one.escape_unicode()),
        }
        rest = &rest[one.len_utf8()..];
    }
    Cow::Owned(clean)
}

/// Control characters, and the marks that change the direction of what follows them.
fn is_unsafe(one: char) -> bool {
    one.is_control() || matches!(one, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::{Tone, style::paint};

    #[test]
    fn control_characters_are_shown_and_not_sent() {
        assert_eq!(visible("\u{1b}[2J\u{1b}]0;owned\u{7}x"), "\\u{1b}[2J\\u{1b}]0;owned\\u{7}x");
        assert_eq!(visible("a\u{202e}b\r"), "a\\u{202e}b\\r");
        assert_eq!(visible("two\nlines\tand ü"), "two\nlines\tand ü");
    }

    #[test]
    fn json_stays_json() {
        let odd = "a\u{202e}b\u{7f}c\u{9b}2J\n";
        let text = serde_json::to_string_pretty(&serde_json::json!({"name": odd})).unwrap();
        let clean = json(&text);
        assert_eq!(visible(&clean), clean);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&clean).unwrap()["name"], odd);
    }

    #[test]
    fn a_cell_never_makes_a_row() {
        assert_eq!(cell("a\nroot@example.com  ADMIN"), "a\\nroot@example.com  ADMIN");
    }

    #[test]
    fn our_own_colours_pass() {
        let painted = paint(Tone::Bad, "12");
        assert_eq!(cell(&painted), painted);
        assert_eq!(visible(&format!("{painted}\u{1b}[31m")), format!("{painted}\\u{{1b}}[31m"));
    }

    #[test]
    fn wide_characters_count_twice_and_colours_not_at_all() {
        assert_eq!((width("日本語"), width(&paint(Tone::Good, "ab"))), (6, 2));
    }
}
