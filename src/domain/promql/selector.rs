//! Label matchers, as they stand between the braces of a PromQL selector: read once, checked, and written
//! in one form.

use regex::Regex;
use std::fmt;

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Is,
    IsNot,
    Like,
    NotLike,
}

impl Relation {
    const ALL: [(&'static str, Self); 4] =
        [("=~", Self::Like), ("!~", Self::NotLike), ("!=", Self::IsNot), ("=", Self::Is)];

    fn sign(self) -> &'static str {
        Self::ALL.into_iter().find(|one| one.1 == self).map_or("=", |one| one.0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Matcher {
    label: String,
    relation: Relation,
    value: String,
}

/// Which series are meant: all matchers hold. Without any, all series are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(Vec<Matcher>);

impl Selector {
    /// Reads `label="value",other=~"expression"`, with or without braces around it.
    ///
    /// # Errors
    /// When it is not a list of label matchers; the message says what is expected where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        let inner = match (trimmed.strip_prefix('{'), trimmed.ends_with('}')) {
            (Some(rest), true) => &rest[..rest.len() - 1],
            (None, false) => trimmed,
            _ => return Err("both braces are expected, or none".to_owned()),
        };
        let mut matchers = Vec::new();
        let mut rest = inner.trim();
        while !rest.is_empty() {
            let (matcher, after) = matcher(rest)?;
            matchers.push(matcher);
            rest = match after.trim_start() {
                "" => "",
                after => after
                    .strip_prefix(',')
                    .ok_or_else(|| format!("a comma is expected before {after:?}"))?
                    .trim_start(),
            };
        }
        Ok(Self(matchers))
    }

    /// The series with this value of a label.
    #[must_use]
    pub fn is(self, label: &str, value: &str) -> Self {
        self.and(label, Relation::Is, value)
    }

    /// The series whose label fits an expression as a whole.
    #[must_use]
    pub fn like(self, label: &str, expression: &str) -> Self {
        self.and(label, Relation::Like, expression)
    }

    /// The series whose label does not fit an expression.
    #[must_use]
    pub fn not_like(self, label: &str, expression: &str) -> Self {
        self.and(label, Relation::NotLike, expression)
    }

    /// The series whose label has another value.
    #[must_use]
    pub fn is_not(self, label: &str, value: &str) -> Self {
        self.and(label, Relation::IsNot, value)
    }

    /// Whether every series fits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn and(mut self, label: &str, relation: Relation, value: &str) -> Self {
        self.0.push(Matcher { label: label.to_owned(), relation, value: value.to_owned() });
        self
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, Matcher { label, relation, value }) in self.0.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let comma = if place == 0 { "" } else { "," };
            write!(out, "{comma}{label}{}\"{value}\"", relation.sign())?;
        }
        Ok(())
    }
}

/// The first matcher, and what stands behind it.
fn matcher(text: &str) -> Result<(Matcher, &str), String> {
    let fits = |at: usize, letter: char| {
        letter == '_' || letter.is_ascii_alphabetic() || at > 0 && letter.is_ascii_digit()
    };
    let end = text.char_indices().find(|(at, letter)| !fits(*at, *letter)).map_or(text.len(), |one| one.0);
    let (label, rest) = (&text[..end], text[end..].trim_start());
    if label.is_empty() {
        return Err(format!("the name of a label is expected at {text:?}"));
    }
    if label == "__name__" {
        return Err("__name__ is given by each query; name other labels".to_owned());
    }
    let (sign, relation) = Relation::ALL
        .into_iter()
        .find(|(sign, _)| rest.starts_with(sign))
        .ok_or_else(|| format!("=, !=, =~ or !~ is expected after {label}"))?;
    let (value, rest) = quoted(rest[sign.len()..].trim_start(), label)?;
    if matches!(relation, Relation::Like | Relation::NotLike) {
        Regex::new(&value).map_err(|_| format!("{label}: {value:?} is no regular expression"))?;
    }
    Ok((Matcher { label: label.to_owned(), relation, value }, rest))
}

/// A string in quotes, and what stands behind it.
fn quoted<'a>(text: &'a str, label: &str) -> Result<(String, &'a str), String> {
    let quote = text.chars().next().filter(|letter| matches!(letter, '"' | '\'' | '`'));
    let quote = quote.ok_or_else(|| format!("the value of {label} is expected in quotes"))?;
    let (mut value, mut letters) = (String::new(), text.char_indices().skip(1));
    while let Some((at, letter)) = letters.next() {
        match letter {
            _ if letter == quote => return Ok((value, &text[at + 1..])),
            '\\' if quote != '`' => match letters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped @ ('\\' | '"' | '\''))) => value.push(escaped),
                _ => return Err(format!("{label}: \\\\, \\\", \\' or \\n is expected after a backslash")),
            },
            _ => value.push(letter),
        }
    }
    Err(format!("the value of {label} has no closing quote"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Result<String, String> {
        Selector::parse(text).map(|one| one.to_string())
    }

    #[test]
    fn matchers_are_read_and_written_in_one_form() {
        for (text, form) in [
            ("", ""),
            ("{}", ""),
            ("job=\"a\"", "job=\"a\""),
            ("{ job = 'a' , env!~`b|c` , }", "job=\"a\",env!~\"b|c\""),
            (r#"a="x\"y\\z""#, r#"a="x\"y\\z""#),
            (r#"a="x,y}",b!="""#, r#"a="x,y}",b!="""#),
            ("a=`C:\\new`", "a=\"C:\\\\new\""),
        ] {
            assert_eq!(written(text).as_deref(), Ok(form), "{text}");
            assert_eq!(written(form).as_deref(), Ok(form), "{form}");
        }
    }

    #[test]
    fn what_is_no_list_of_matchers_says_what_is_expected() {
        for (text, why) in [
            ("job", "=, !=, =~ or !~ is expected after job"),
            ("job=a", "the value of job is expected in quotes"),
            ("job=\"a", "no closing quote"),
            ("job=\"a\" env=\"b\"", "a comma is expected"),
            ("{job=\"a\"", "both braces"),
            ("job=~\"(\"", "no regular expression"),
            ("1a=\"b\"", "the name of a label"),
            ("__name__=\"up\"", "name other labels"),
            ("up{job=\"a\"}", "both braces"),
        ] {
            let error = written(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
