//! What was changed, before and after, by whom. Append-only: the last line of an id tells.

use crate::error::{Context, Error, Result};
use crate::plan::{Plan, Step};
use crate::stack::Layout;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;

/// How far a change came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is being made, or nsys was killed while it made it.
    Applying,
    /// Every step was made and verified.
    Applied,
    /// A step failed; those before it were made.
    Failed,
    /// It was stopped between or within steps.
    Interrupted,
    /// It was taken back since.
    Undone,
}

/// One step that was made or tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// The step.
    pub step: Step,
    /// What was there before.
    pub before: Value,
    /// What is there after.
    pub after: Value,
    /// How long it took, in ms.
    pub took_ms: f64,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// `c1`, `c2`, …
    pub id: String,
    /// When it began.
    pub at: jiff::Timestamp,
    /// The command line, without the program.
    pub command: String,
    /// The operating system's user.
    pub user: String,
    /// What it was for.
    pub title: String,
    /// How far it came.
    pub outcome: Outcome,
    /// The change that this one takes back.
    pub undoes: Option<String>,
    /// The steps made or tried, in their order.
    pub steps: Vec<Done>,
}

impl Entry {
    /// The steps that were made.
    #[must_use]
    pub fn made(&self) -> Vec<Step> {
        self.steps.iter().filter(|done| done.error.is_none()).map(|done| done.step.clone()).collect()
    }
}

/// How long the newest step like this one took, in ms.
#[must_use]
pub fn last_took_ms(entries: &[Entry], step: &Step) -> Option<f64> {
    let made = entries.iter().rev().flat_map(|entry| entry.steps.iter().rev());
    made.filter(|done| done.error.is_none()).find(|done| done.step.is_like(step)).map(|done| done.took_ms)
}

/// The journal of one stack.
#[derive(Clone, Debug)]
pub struct Journal {
    path: PathBuf,
}

impl Journal {
    /// The journal of the stack with this layout.
    #[must_use]
    pub fn of(layout: &Layout) -> Self {
        Self { path: layout.path("journal.jsonl") }
    }

    /// Every change, oldest first.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(cause) => return Err(Error::failed(format!("cannot read {}: {cause}", self.path.display()))),
        };
        let mut entries: Vec<Entry> = Vec::new();
        // A line that a crash cut off tells nothing; the one before it still does.
        for entry in text.lines().filter_map(|line| serde_json::from_str::<Entry>(line).ok()) {
            match entries.iter_mut().find(|known| known.id == entry.id) {
                Some(known) => *known = entry,
                None => entries.push(entry),
            }
        }
        Ok(entries)
    }

    /// One change, or the newest that can be meant when no id is given.
    ///
    /// # Errors
    /// When there is none.
    pub fn entry(&self, id: Option<&str>) -> Result<Entry> {
        let mut entries = self.entries()?;
        let found = match id {
            Some(id) => entries.into_iter().find(|entry| entry.id == id),
            None => {
                entries.retain(|entry| {
                    entry.undoes.is_none() && entry.outcome != Outcome::Undone && !entry.made().is_empty()
                });
                entries.pop()
            }
        };
        found.ok_or_else(|| {
            Error::usage(id.map_or_else(
                || "there is no change to take back".to_owned(),
                |id| format!("there is no change {id}"),
            ))
            .hint("nsys history lists them")
        })
    }

    /// Begins an entry for a plan.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn begin(&self, plan: &Plan, undoes: Option<String>) -> Result<Entry> {
        let entry = Entry {
            id: format!("c{}", self.entries()?.len() + 1),
            at: jiff::Timestamp::now(),
            command: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
            user: std::env::var("SUDO_USER")
                .or_else(|_| std::env::var("USER"))
                .unwrap_or_else(|_| format!("uid {}", rustix::process::getuid().as_raw())),
            title: plan.title.clone(),
            outcome: Outcome::Applying,
            undoes,
            steps: Vec::new(),
        };
        self.write(&entry)?;
        Ok(entry)
    }

    /// Records how an entry stands now; returns when it is on disk.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn write(&self, entry: &Entry) -> Result<()> {
        let text = serde_json::to_string(entry).context("cannot write the journal")?;
        // Begins a line of its own even after one that a crash cut off.
        let line = format!("\n{text}\n");
        let write = || {
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&self.path)?;
            file.write_all(line.as_bytes())?;
            file.sync_all()
        };
        write().with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Marks changes that a killed nsys left half made. Only for the holder of the change lock.
    ///
    /// # Errors
    /// When the journal cannot be read or written.
    pub fn settle(&self) -> Result<()> {
        for mut entry in self.entries()?.into_iter().filter(|entry| entry.outcome == Outcome::Applying) {
            entry.outcome = Outcome::Interrupted;
            self.write(&entry)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{DbStep, Plan};

    fn journal() -> (tempfile::TempDir, Journal) {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal { path: dir.path().join("journal.jsonl") };
        (dir, journal)
    }

    #[test]
    fn the_last_line_of_an_id_tells() {
        let (_dir, journal) = journal();
        let mut entry = journal.begin(&Plan::new("one"), None).unwrap();
        journal.begin(&Plan::new("two"), None).unwrap();
        entry.outcome = Outcome::Applied;
        journal.write(&entry).unwrap();
        let outcomes: Vec<_> = journal.entries().unwrap().into_iter().map(|e| (e.id, e.outcome)).collect();
        assert_eq!(outcomes, [("c1".into(), Outcome::Applied), ("c2".into(), Outcome::Applying)]);
    }

    #[test]
    fn a_line_cut_off_by_a_crash_hides_nothing() {
        let (_dir, journal) = journal();
        journal.begin(&Plan::new("one"), None).unwrap();
        let mut file = std::fs::OpenOptions::new().append(true).open(&journal.path).unwrap();
        file.write_all(b"{\"id\":\"c1\",\"outc").unwrap();
        assert_eq!(journal.entries().unwrap().len(), 1);
        journal.settle().unwrap();
        assert_eq!(journal.entries().unwrap()[0].outcome, Outcome::Interrupted);
    }

    #[test]
    fn undo_means_the_newest_change_that_was_made() {
        let (_dir, journal) = journal();
        let mut made = journal.begin(&Plan::new("one"), None).unwrap();
        made.steps.push(Done {
            step: Step::Db(DbStep::Analyze { table: "t".into() }),
            before: Value::Null,
            after: Value::Null,
            took_ms: 1.0,
            error: None,
        });
        journal.write(&made).unwrap();
        journal.begin(&Plan::new("nothing was made of it"), None).unwrap();
        assert_eq!(journal.entry(None).unwrap().id, "c1");
        assert!(journal.entry(Some("c9")).unwrap_err().message.contains("c9"));
    }
}
