//! Writes every update to a file, from which the same screen can be shown again: the whole of each kind
//! now and then, and in between what has changed.

use super::delta::diff;
use super::named;
use crate::error::{Context, Result};
use crate::tui::update::{Stamped, Update};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Name of the form of a recording; its first line tells it.
pub(super) const SCHEMA: &str = "nsys.watch/2";
/// The form before, in which every line is whole; it can still be shown.
pub(super) const SCHEMA_1: &str = "nsys.watch/1";
/// What is not on disk is lost by a kill: so much at most.
const FLUSH: Duration = Duration::from_secs(1);
/// After so long a kind is written whole again, so that a recording can be entered anywhere.
const WHOLE_EVERY_S: f64 = 60.0;
/// A file of this size is set aside under its name with `.1`, in place of the one before: a recording takes
/// twice this at most.
const MOST_BYTES: u64 = 256 << 20;

/// The first line of a recording.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RecordingHeader {
    /// [`SCHEMA`].
    pub(super) schema: String,
    /// Name of the stack.
    pub(super) stack: String,
}

/// A recording that is made, or none.
pub(in crate::tui) struct Recorder {
    to: Option<(PathBuf, BufWriter<std::fs::File>)>,
    stack: String,
    flushed: Instant,
    written: u64,
    most: u64,
    /// The last value of each kind, and when it was written whole.
    known: HashMap<String, (f64, Value)>,
}

impl Recorder {
    /// Begins a recording when a file is named.
    pub(in crate::tui) fn new(path: Option<&Path>, stack: &str) -> Result<Self> {
        Self::bounded(path, stack, MOST_BYTES)
    }

    fn bounded(path: Option<&Path>, stack: &str, most: u64) -> Result<Self> {
        let (stack, flushed) = (stack.to_owned(), Instant::now());
        let mut recorder = Self { to: None, stack, flushed, written: 0, most, known: HashMap::new() };
        if let Some(path) = path {
            recorder.begin(path.to_owned())?;
        }
        Ok(recorder)
    }

    fn begin(&mut self, path: PathBuf) -> Result<()> {
        let file = named(std::fs::File::create(&path), &path)?;
        self.to = Some((path, BufWriter::new(file)));
        self.written = 0;
        self.known.clear();
        self.write(&RecordingHeader { schema: SCHEMA.into(), stack: self.stack.clone() })
    }

    /// Writes an update. Calls are left out: they tell about this program, not about the stack.
    pub(in crate::tui) fn keep(&mut self, stamped: &Stamped) -> Result<()> {
        if self.to.is_none() || matches!(stamped.update, Update::Call(_)) {
            return Ok(());
        }
        if self.written >= self.most {
            self.turn()?;
        }
        let Some((kind, value)) = kind_of(&stamped.update)? else { return self.write(stamped) };
        let at_s = stamped.at_s;
        let line = match self.known.get(&kind) {
            Some((whole_s, before)) if at_s - whole_s < WHOLE_EVERY_S => {
                let change = diff(before, &value).unwrap_or(json!({}));
                let whole_s = *whole_s;
                self.known.insert(kind.clone(), (whole_s, value));
                json!({"at_s": at_s, "changed": kind, "change": change})
            }
            _ => {
                let line = json!({"at_s": at_s, "update": {kind.as_str(): &value}});
                self.known.insert(kind, (at_s, value));
                line
            }
        };
        self.write(&line)
    }

    /// Sets the file aside and begins it anew.
    fn turn(&mut self) -> Result<()> {
        let Some((path, mut file)) = self.to.take() else { return Ok(()) };
        named(file.flush(), &path)?;
        let mut aside = path.clone().into_os_string();
        aside.push(".1");
        named(std::fs::rename(&path, &aside), &path)?;
        self.begin(path)
    }

    fn write(&mut self, value: &impl Serialize) -> Result<()> {
        let Some((path, file)) = &mut self.to else { return Ok(()) };
        let line = serde_json::to_string(value).context("cannot record")?;
        named(writeln!(file, "{line}"), path)?;
        self.written += line.len() as u64 + 1;
        if self.flushed.elapsed() >= FLUSH {
            named(file.flush(), path)?;
            self.flushed = Instant::now();
        }
        Ok(())
    }
}

/// An update that is told again and again: its kind and what it says. Lines of logs and marks are told once.
fn kind_of(update: &Update) -> Result<Option<(String, Value)>> {
    if matches!(update, Update::Log { .. } | Update::Mark(_) | Update::Changes(_)) {
        return Ok(None);
    }
    let Value::Object(fields) = serde_json::to_value(update).context("cannot record")? else {
        return Ok(None);
    };
    Ok(fields.into_iter().next())
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some((_, file)) = &mut self.to {
            // There is nobody left to tell.
            let _ = file.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::bench::second;

    #[test]
    fn a_recording_holds_changes_and_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recording");
        let mut recorder = Recorder::bounded(Some(&path), "shop", 200_000).unwrap();
        let (mut whole, mut seconds) = (0, 0);
        while !dir.path().join("recording.1").exists() {
            for stamped in second(1_000.0 + f64::from(seconds), 50) {
                whole += serde_json::to_string(&stamped).unwrap().len();
                recorder.keep(&stamped).unwrap();
            }
            seconds += 1;
            assert!(seconds < 10_000, "it is never set aside");
        }
        assert!(whole > 400_000, "{whole} bytes in {seconds} s would have been little anyway");
        drop(recorder);
        for name in ["recording", "recording.1"] {
            let text = std::fs::read_to_string(dir.path().join(name)).unwrap();
            assert!(text.starts_with("{\"schema\":\"nsys.watch/2\"") && text.len() < 300_000);
        }
    }
}
