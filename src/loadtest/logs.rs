//! Counts lines at level error in the parts' logs, from one look to the next.

use crate::stack::Stack;
use crate::stack::runtime::Runtime;
use regex::Regex;
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// So much of a log is read in one look; what a part wrote beyond it is left out.
const MOST_BYTES: u64 = 8 << 20;

/// What is said of a level whose logs could not be read.
pub(super) const UNKNOWN: &str = "errors in logs are not known: the logs are not files of this machine";

/// Remembers how far each log was read.
#[derive(Clone, Debug, Default)]
pub struct LogPositions {
    /// None where the logs are no files of this machine: what stands in them is not known then.
    files: Option<BTreeMap<String, (PathBuf, u64)>>,
}

impl LogPositions {
    /// Begins at the present ends of the logs of these parts.
    #[must_use]
    pub fn from_now<'a>(stack: &Stack, parts: impl IntoIterator<Item = &'a str>) -> Self {
        let file = |part: &str| {
            let path = stack.layout.log(part);
            let end = std::fs::metadata(&path).map_or(0, |file| file.len());
            (part.to_owned(), (path, end))
        };
        let are_files = stack.runtime == Runtime::Local;
        Self { files: are_files.then(|| parts.into_iter().map(file).collect()) }
    }

    /// Lines at level error since the last look, by part; parts without one are left out. None
    /// where the logs cannot be read.
    pub fn errors(&mut self) -> Option<BTreeMap<String, u64>> {
        let mut found = BTreeMap::new();
        for (part, (path, offset)) in self.files.as_mut()? {
            let count = count_errors(&read_from(path, offset));
            if count > 0 {
                found.insert(part.clone(), count);
            }
        }
        Some(found)
    }
}

/// What was added since `offset`; a log that became shorter was begun anew.
fn read_from(path: &Path, offset: &mut u64) -> String {
    let mut read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        if length < *offset {
            *offset = 0;
        }
        file.seek(SeekFrom::Start(*offset))?;
        let mut bytes = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut bytes)?;
        // A line that is not whole yet is counted the next time, unless it alone is more than is read at once.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole > 0 || (bytes.len() as u64) < MOST_BYTES {
            bytes.truncate(whole);
        }
        *offset += bytes.len() as u64;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

fn count_errors(text: &str) -> u64 {
    static LEVEL: OnceLock<Option<Regex>> = OnceLock::new();
    let level = LEVEL.get_or_init(|| Regex::new(r"\b(ERROR|FATAL|PANIC)\b|level=error").ok());
    level.as_ref().map_or(0, |level| text.lines().filter(|line| level.is_match(line)).count() as u64)
}

/// Adds counts by name.
pub(super) fn add(sum: &mut BTreeMap<String, u64>, more: BTreeMap<String, u64>) {
    for (name, count) in more {
        *sum.entry(name).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_s_way_to_say_error_is_counted() {
        let text = "{\"level\":\"ERROR\",\"fields\":{}}\n{\"level\":\"INFO\"}\n\
            2026 FATAL:  terminating connection\n[2026] ERROR Closing socket (kafka)\n\
            ts=2026 level=error msg=x\nERRORS are not an error";
        assert_eq!(count_errors(text), 4);
    }

    #[test]
    fn a_log_is_counted_once_and_begins_anew_when_it_was_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("part.log");
        std::fs::write(&path, "ERROR before\n").unwrap();
        let mut logs = LogPositions { files: Some([("part".to_owned(), (path.clone(), 13))].into()) };
        assert_eq!(logs.errors(), Some(BTreeMap::new()));
        std::fs::write(&path, "ERROR before\nERROR now\n").unwrap();
        assert_eq!(logs.errors().unwrap().get("part"), Some(&1));
        std::fs::write(&path, "ERROR x\n").unwrap();
        assert_eq!(logs.errors().unwrap().get("part"), Some(&1));
    }

    #[test]
    fn a_line_that_is_still_being_written_is_counted_once_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("part.log");
        std::fs::write(&path, "ERROR first\nERR").unwrap();
        let mut logs = LogPositions { files: Some([("part".to_owned(), (path.clone(), 0))].into()) };
        assert_eq!(logs.errors().unwrap().get("part"), Some(&1));
        assert_eq!(logs.errors(), Some(BTreeMap::new()));
        std::fs::write(&path, "ERROR first\nERROR second\n").unwrap();
        assert_eq!(logs.errors().unwrap().get("part"), Some(&1));
        assert_eq!(logs.errors(), Some(BTreeMap::new()));
    }

    #[test]
    fn logs_that_are_no_files_are_unknown_and_not_quiet() {
        assert_eq!(LogPositions::default().errors(), None);
    }
}
