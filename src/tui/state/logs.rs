//! The last lines of every part's log, in bounded memory, as people read them.

use super::filter::Filter;
use crate::render::Tone;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};

/// Lines that are kept of one part.
const LINES: usize = 2_000;
/// Longer lines are cut.
const LINE_BYTES: usize = 2_000;
/// Parts whose logs are kept.
const PARTS: usize = 64;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// As it is shown: a JSON object becomes its time, level, message and fields.
    pub text: String,
    /// How serious it is.
    pub tone: Option<Tone>,
}

/// The logs.
#[derive(Clone, Debug, Default)]
pub struct LogLines {
    parts: BTreeMap<String, VecDeque<LogLine>>,
}

impl LogLines {
    /// Takes new lines of a part.
    pub fn take(&mut self, part: String, lines: &[String]) {
        if self.parts.len() >= PARTS && !self.parts.contains_key(&part) {
            return;
        }
        let log = self.parts.entry(part).or_default();
        log.extend(lines.iter().skip(lines.len().saturating_sub(LINES)).map(|line| read(line)));
        log.drain(..log.len().saturating_sub(LINES));
    }

    /// The lines of a part that the filter lets through, oldest first.
    pub fn of<'a>(
        &'a self,
        part: &str,
        filter: Option<&'a Filter>,
    ) -> impl DoubleEndedIterator<Item = &'a LogLine> {
        let lines = self.parts.get(part).into_iter().flatten();
        lines.filter(move |line| filter.is_none_or(|filter| filter.lets(&line.text)))
    }
}

/// Makes a line readable. Escape codes of a part must not reach the terminal.
fn read(line: &str) -> LogLine {
    let mut end = line.len().min(LINE_BYTES);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    let cut = &line[..end];
    let text = match serde_json::from_str::<Value>(cut) {
        Ok(Value::Object(fields)) => of_object(&fields),
        _ => plain(cut),
    };
    let tone = tone(&text);
    LogLine { text, tone }
}

/// Without escape sequences and control characters.
fn plain(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => {
                // `ESC [ … letter`; whatever else follows an escape is one character.
                if characters.next() == Some('[') {
                    let _ = characters.by_ref().find(|one| ('@'..='~').contains(one));
                }
            }
            '\t' => text.push(' '),
            other if other.is_control() => {}
            other => text.push(other),
        }
    }
    text
}

fn of_object(fields: &serde_json::Map<String, Value>) -> String {
    const TIME: [&str; 4] = ["timestamp", "ts", "time", "@timestamp"];
    const MESSAGE: [&str; 3] = ["message", "msg", "event"];
    let mut rest: Vec<(&str, &Value)> = Vec::new();
    let (mut time, mut level, mut message) = ("", "", "");
    // `tracing` puts message and fields one level down.
    let inner = fields.get("fields").and_then(Value::as_object);
    let all = fields.iter().chain(inner.into_iter().flatten());
    for (name, value) in all.filter(|(name, _)| *name != "fields" && *name != "spans" && *name != "span") {
        match value.as_str() {
            Some(text) if TIME.contains(&name.as_str()) => time = text,
            Some(text) if name == "level" => level = text,
            Some(text) if MESSAGE.contains(&name.as_str()) => message = text,
            _ => rest.push((name, value)),
        }
    }
    let clock = time.split_once('T').map_or(time, |(_, clock)| clock);
    let clock: String = clock.chars().take(12).collect();
    let mut text = format!("{clock} {level:<5} {message}");
    for (name, value) in rest {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text += &format!(" {name}={value}");
    }
    plain(text.trim_start())
}

fn tone(text: &str) -> Option<Tone> {
    let head: String = text.chars().take(80).collect::<String>().to_uppercase();
    let any = |words: &[&str]| words.iter().any(|word| head.contains(word));
    if any(&["ERROR", "FATAL", "PANIC"]) {
        Some(Tone::Bad)
    } else if any(&["WARN"]) {
        Some(Tone::Warn)
    } else if any(&["DEBUG", "TRACE"]) {
        Some(Tone::Dim)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> LogLine {
        read(line)
    }

    #[test]
    fn json_lines_become_sentences() {
        let line = shown(
            r#"{"timestamp":"2026-01-02T03:04:05.678901Z","level":"WARN","fields":{"message":"cannot reach redis","attempt":3},"target":"cache"}"#,
        );
        assert_eq!(line.text, "03:04:05.678 WARN  cannot reach redis target=cache attempt=3");
        assert_eq!(line.tone, Some(Tone::Warn));
    }

    #[test]
    fn escape_codes_do_not_reach_the_screen() {
        assert_eq!(shown("a\u{1b}[31mred\u{1b}[0m\tb\u{7}\u{1b}]").text, "ared b");
    }

    #[test]
    fn the_oldest_lines_go_and_long_ones_are_cut() {
        let mut logs = LogLines::default();
        for turn in 0..300 {
            logs.take("app-1".into(), &vec![format!("line of turn {turn}"); 10]);
        }
        logs.take("app-1".into(), &["é".repeat(5_000)]);
        assert_eq!(logs.of("app-1", None).count(), LINES);
        assert!(logs.of("app-1", None).next_back().is_some_and(|line| line.text.len() == LINE_BYTES));
        let filter = Filter::new("turn 299").unwrap();
        assert_eq!(logs.of("app-1", filter.as_ref()).count(), 10);
        assert_eq!(logs.of("kafka", None).count(), 0);
    }
}
