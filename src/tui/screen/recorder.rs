//! Writes every update to a file, from which the same screen can be shown again.

use super::named;
use crate::error::{Context, Result};
use crate::tui::update::{Stamped, Update};
use serde::{Deserialize, Serialize};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Name of the form of a recording; its first line tells it.
pub(super) const SCHEMA: &str = "nsys.watch/1";
/// What is not on disk is lost by a kill: so much at most.
const FLUSH: Duration = Duration::from_secs(1);

/// The first line of a recording.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Header {
    /// [`SCHEMA`].
    pub(super) schema: String,
    /// Name of the stack.
    pub(super) stack: String,
}

/// A recording that is made, or none.
pub(in crate::tui) struct Recorder {
    to: Option<(PathBuf, BufWriter<std::fs::File>)>,
    flushed: Instant,
}

impl Recorder {
    /// Begins a recording when a file is named.
    pub(in crate::tui) fn new(path: Option<&Path>, stack: &str) -> Result<Self> {
        let Some(path) = path else { return Ok(Self { to: None, flushed: Instant::now() }) };
        let file = named(std::fs::File::create(path), path)?;
        let mut recorder =
            Self { to: Some((path.to_owned(), BufWriter::new(file))), flushed: Instant::now() };
        recorder.write(&Header { schema: SCHEMA.into(), stack: stack.to_owned() })?;
        Ok(recorder)
    }

    /// Writes an update. Calls are left out: they tell about this program, not about the stack.
    pub(in crate::tui) fn keep(&mut self, stamped: &Stamped) -> Result<()> {
        if self.to.is_none() || matches!(stamped.update, Update::Call(_)) {
            return Ok(());
        }
        self.write(stamped)
    }

    fn write(&mut self, value: &impl Serialize) -> Result<()> {
        let Some((path, file)) = &mut self.to else { return Ok(()) };
        let line = serde_json::to_string(value).context("cannot record")?;
        named(writeln!(file, "{line}"), path)?;
        if self.flushed.elapsed() >= FLUSH {
            named(file.flush(), path)?;
            self.flushed = Instant::now();
        }
        Ok(())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some((_, file)) = &mut self.to {
            // There is nobody left to tell.
            let _ = file.flush();
        }
    }
}
