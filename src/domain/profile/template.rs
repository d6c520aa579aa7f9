//! Templates of paths, headers and bodies: text with a closed set of holes, compiled once for both engines.

use crate::error::nearest;
use serde::{Deserialize, Serialize};

/// The words that may stand in a hole, each with an example.
const WORDS: [(&str, &str); 9] = [
    ("rand", "{{rand 500}}"),
    ("popular", "{{popular 20000}}"),
    ("pick", "{{pick EMAIL SMS}}"),
    ("n", "{{n}}"),
    ("id", "{{id}}"),
    ("run", "{{run}}"),
    ("uuid", "{{uuid}}"),
    ("now", "{{now}}"),
    ("env", "{{env NAME}}"),
];
/// Makes ids that rows were seeded with; for profiles that seed so.
const UUID_OF: &str = "uuid-of";

/// A text with holes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    source: String,
    pieces: Vec<TemplatePiece>,
}

/// A piece of a template, as both engines read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplatePiece {
    /// Stands as it is.
    Text(String),
    /// A number from 0 to below this, each as likely.
    Rand(u64),
    /// The same, but four of five are from the first hundredth: as reads are skewed.
    Popular(u64),
    /// One of these.
    Pick(Vec<String>),
    /// A number that no other request of the level has.
    N,
    /// A text that begins with the level's name and that no other request of the run has.
    Id,
    /// The level's name.
    Run,
    /// A random UUID.
    Uuid,
    /// The time, RFC 3339 in UTC with milliseconds.
    Now,
    /// A variable of the environment: gone once the template is resolved.
    Env(String),
    /// The MD5 digest of a text and a number behind it, written as a UUID.
    UuidOf {
        /// The text.
        text: String,
        /// Which numbers.
        draw: Draw,
        /// They are below this.
        below: u64,
    },
}

/// How a number is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Draw {
    /// Each as likely.
    Rand,
    /// Four of five from the first hundredth.
    Popular,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// When a hole is not closed, or holds a word that is not known, or lacks what the word needs.
    pub fn parse(source: &str) -> Result<Self, String> {
        let (mut pieces, mut rest) = (Vec::new(), source);
        while let Some((before, hole)) = rest.split_once("{{") {
            let (word, after) = hole
                .split_once("}}")
                .ok_or_else(|| format!("{{{{{} is not closed by }}}}", first_line(hole)))?;
            if !before.is_empty() {
                pieces.push(TemplatePiece::Text(before.to_owned()));
            }
            pieces.push(piece(word)?);
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(TemplatePiece::Text(rest.to_owned()));
        }
        Ok(Self { source: source.to_owned(), pieces })
    }

    /// As it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Its pieces, in order.
    #[must_use]
    pub fn pieces(&self) -> &[TemplatePiece] {
        &self.pieces
    }

    /// Whether it holds an id of its own.
    #[must_use]
    pub fn has_id(&self) -> bool {
        self.pieces.contains(&TemplatePiece::Id)
    }

    /// Variables of the environment that it needs.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|one| match one {
            TemplatePiece::Env(name) => Some(name.as_str()),
            _ => None,
        })
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn piece(hole: &str) -> Result<TemplatePiece, String> {
    let mut words = hole.split_whitespace();
    let word = words.next().unwrap_or_default();
    let rest: Vec<_> = words.collect();
    let example = || WORDS.iter().find(|(known, _)| *known == word).map_or("", |(_, example)| *example);
    let wrong = || format!("{{{{{hole}}}}}: {} is expected", example());
    let number = |text: Option<&&str>| {
        text.and_then(|one| one.parse::<u64>().ok()).filter(|one| (1..1 << 53).contains(one))
    };
    let bare = |piece| if rest.is_empty() { Ok(piece) } else { Err(wrong()) };
    match (word, rest.as_slice()) {
        ("rand", [_]) => number(rest.first()).map(TemplatePiece::Rand).ok_or_else(wrong),
        ("popular", [_]) => number(rest.first()).map(TemplatePiece::Popular).ok_or_else(wrong),
        ("pick", [_, ..]) => Ok(TemplatePiece::Pick(rest.iter().map(|one| (*one).to_owned()).collect())),
        ("env", [name]) => Ok(TemplatePiece::Env((*name).to_owned())),
        ("n", _) => bare(TemplatePiece::N),
        ("id", _) => bare(TemplatePiece::Id),
        ("run", _) => bare(TemplatePiece::Run),
        ("uuid", _) => bare(TemplatePiece::Uuid),
        ("now", _) => bare(TemplatePiece::Now),
        (UUID_OF, [text, draw, below]) => {
            let draw = match *draw {
                "rand" => Draw::Rand,
                "popular" => Draw::Popular,
                _ => return Err(format!("{{{{{hole}}}}}: rand or popular is expected")),
            };
            let below = number(Some(below)).ok_or_else(|| format!("{{{{{hole}}}}}: a number is expected"))?;
            Ok(TemplatePiece::UuidOf { text: (*text).to_owned(), draw, below })
        }
        ("rand" | "popular" | "pick" | "env", _) => Err(wrong()),
        _ => {
            let all: Vec<_> = WORDS.iter().map(|(known, _)| *known).collect();
            let meant = nearest(word, all.iter().copied()).map(|near| format!("; did you mean {near}?"));
            let known = WORDS.map(|(_, example)| example).join(", ");
            Err(format!("{{{{{hole}}}}} is not known{}; there are {known}", meant.unwrap_or_default()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_holes_come_in_order() {
        let read = Template::parse(r#"{"a":{"b":{{rand 3}}},"c":"{{run}}-{{ n }}"}"#).unwrap();
        let text = |text: &str| TemplatePiece::Text(text.into());
        assert_eq!(
            read.pieces(),
            [
                text(r#"{"a":{"b":"#),
                TemplatePiece::Rand(3),
                text(r#"},"c":""#),
                TemplatePiece::Run,
                text("-"),
                TemplatePiece::N,
                text(r#""}"#)
            ]
        );
        assert!(Template::parse("").unwrap().pieces().is_empty());
    }

    #[test]
    fn a_wrong_hole_says_what_is_expected() {
        for (source, wanted) in [
            ("{{rand}}", "{{rand 500}} is expected"),
            ("{{rand 0}}", "{{rand 500}} is expected"),
            ("{{n 3}}", "{{n}} is expected"),
            ("{{ranm 3}}", "did you mean rand?"),
            ("{{}}", "is not known"),
            ("a {{rand 3", "is not closed"),
            ("{{pick}}", "{{pick EMAIL SMS}} is expected"),
        ] {
            let said = Template::parse(source).unwrap_err();
            assert!(said.contains(wanted), "{source}: {said}");
        }
    }

    #[test]
    fn what_it_needs_is_known() {
        let read = Template::parse("{{env ONE}}{{id}}{{env TWO}}").unwrap();
        assert_eq!(read.variables().collect::<Vec<_>>(), ["ONE", "TWO"]);
        assert!(read.has_id() && !Template::parse("{{n}}").unwrap().has_id());
    }
}
