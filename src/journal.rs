//! What was changed, before and after, by whom. Append-only: the last line of an id tells.

use crate::error::{Context, Error, Result};
use crate::plan::{ChangePlan, Step, UnmaskedValues};
use crate::process_env;
use crate::secret::CommandLine;
use crate::stack::Layout;
use crate::stack::layout::write_private;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// How far a change came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChangeOutcome {
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct JournalStep {
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Entry {
    /// `c1`, `c2`, …
    pub id: String,
    /// When it began.
    pub at: jiff::Timestamp,
    /// The command line, without the program and its secrets.
    pub command: CommandLine,
    /// The operating system's user.
    pub user: String,
    /// What it was for.
    pub title: String,
    /// How far it came.
    pub outcome: ChangeOutcome,
    /// The change that this one takes back.
    pub undoes: Option<String>,
    /// The steps made or tried, in their order.
    pub steps: Vec<JournalStep>,
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
    /// What the journal itself must not show and undo needs: secrets, by change and step.
    secrets: PathBuf,
}

/// Values by the number of their step, by change.
type MaskedValues = BTreeMap<String, BTreeMap<usize, UnmaskedValues>>;

impl Journal {
    /// The journal of the stack with this layout.
    #[must_use]
    pub fn of(layout: &Layout) -> Self {
        Self { path: layout.path("journal.jsonl"), secrets: layout.path("secrets").join("changes.json") }
    }

    /// Every change, oldest first.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let text = self.text()?;
        let mut entries: Vec<Entry> = Vec::new();
        // A line that a crash cut off tells nothing; the one before it still does.
        for entry in text.lines().filter_map(|line| serde_json::from_str::<Entry>(line).ok()) {
            match entries.iter_mut().find(|known| known.id == entry.id) {
                Some(known) => *known = entry,
                None => entries.push(entry),
            }
        }
        self.restore(&mut entries)?;
        Ok(entries)
    }

    /// Ids of changes that another version wrote in a way that this one cannot read.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn unreadable(&self) -> Result<Vec<String>> {
        let (text, known) = (self.text()?, self.entries()?);
        let mut ids: Vec<_> = text.lines().filter_map(number).map(|number| format!("c{number}")).collect();
        ids.retain(|id| !known.iter().any(|entry| entry.id == *id));
        ids.dedup();
        Ok(ids)
    }

    fn text(&self) -> Result<String> {
        match std::fs::read_to_string(&self.path) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            read => read.with_context(|| format!("cannot read {}", self.path.display())),
        }
    }

    /// Puts back what was masked when it was written.
    fn restore(&self, entries: &mut [Entry]) -> Result<()> {
        let kept = self.kept()?;
        for entry in entries {
            let Some(values) = kept.get(&entry.id) else { continue };
            for (index, done) in entry.steps.iter_mut().enumerate() {
                if let (Step::Config(change), Some(values)) = (&mut done.step, values.get(&index)) {
                    change.restore(values);
                }
            }
        }
        Ok(())
    }

    fn kept(&self) -> Result<MaskedValues> {
        match std::fs::read_to_string(&self.secrets) {
            Ok(text) => {
                serde_json::from_str(&text).with_context(|| format!("{} is damaged", self.secrets.display()))
            }
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(MaskedValues::new()),
            Err(cause) => Err(Error::failed(format!("cannot read {}: {cause}", self.secrets.display()))),
        }
    }

    /// Keeps the values that an entry masks, so that it can be taken back.
    fn keep(&self, entry: &Entry) -> Result<()> {
        let hidden = entry.steps.iter().enumerate().filter_map(|(index, done)| match &done.step {
            Step::Config(change) => Some((index, change.hidden()?)),
            _ => None,
        });
        let hidden: BTreeMap<_, _> = hidden.collect();
        let mut kept = self.kept()?;
        if hidden.is_empty() || kept.get(&entry.id) == Some(&hidden) {
            return Ok(());
        }
        kept.insert(entry.id.clone(), hidden);
        let text = serde_json::to_string(&kept).context("cannot write what undo needs")?;
        if let Some(dir) = self.secrets.parent() {
            std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        write_private(&self.secrets, &text)
    }

    /// One change, or the newest that can be meant when no id is given.
    ///
    /// # Errors
    /// When there is none.
    pub fn entry(&self, id: Option<&str>) -> Result<Entry> {
        let mut entries = self.entries()?;
        let Some(id) = id else {
            entries.retain(|entry| {
                entry.undoes.is_none() && entry.outcome != ChangeOutcome::Undone && !entry.made().is_empty()
            });
            let nothing = || Error::usage("there is no change to take back").hint("nsys history lists them");
            return entries.pop().ok_or_else(nothing);
        };
        if let Some(at) = entries.iter().position(|entry| entry.id == id) {
            return Ok(entries.swap_remove(at));
        }
        let known = entries.iter().map(|entry| entry.id.as_str());
        Err(Error::no_such("change", id, known, "nsys history lists them"))
    }

    /// Begins an entry for a plan.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn begin(&self, plan: &ChangePlan, undoes: Option<String>) -> Result<Entry> {
        let entry = Entry {
            // Past every id that was ever written, whoever can read its entry.
            id: format!("c{}", self.text()?.lines().filter_map(number).max().unwrap_or(0) + 1),
            at: crate::clock::now(),
            command: CommandLine::of_process(),
            user: process_env::var("SUDO_USER")
                .or_else(|| process_env::var("USER"))
                .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw())),
            title: plan.title.clone(),
            outcome: ChangeOutcome::Applying,
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
        self.keep(entry)?;
        let text = serde_json::to_string(entry).context("cannot write the journal")?;
        // Begins a line of its own even after one that a crash cut off.
        let line = format!("\n{text}\n");
        let write = || {
            let mut file =
                std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?;
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
        for mut entry in self.entries()?.into_iter().filter(|entry| entry.outcome == ChangeOutcome::Applying)
        {
            entry.outcome = ChangeOutcome::Interrupted;
            self.write(&entry)?;
        }
        Ok(())
    }
}

/// The number in the id of a line, whole or cut off, of this version or another.
fn number(line: &str) -> Option<u64> {
    let (_, id) = line.split_once("\"id\":\"c")?;
    id.split('"').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{ChangePlan, ConfigStep, DbStep, undo::plan_undo};
    use crate::secret::Guarded;

    fn journal() -> (tempfile::TempDir, Journal) {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal {
            path: dir.path().join("journal.jsonl"),
            secrets: dir.path().join("secrets/changes.json"),
        };
        (dir, journal)
    }

    #[test]
    fn the_last_line_of_an_id_tells() {
        let (_dir, journal) = journal();
        let mut entry = journal.begin(&ChangePlan::new("one"), None).unwrap();
        journal.begin(&ChangePlan::new("two"), None).unwrap();
        entry.outcome = ChangeOutcome::Applied;
        journal.write(&entry).unwrap();
        let outcomes: Vec<_> = journal.entries().unwrap().into_iter().map(|e| (e.id, e.outcome)).collect();
        assert_eq!(outcomes, [("c1".into(), ChangeOutcome::Applied), ("c2".into(), ChangeOutcome::Applying)]);
    }

    #[test]
    fn a_line_cut_off_by_a_crash_hides_nothing() {
        let (_dir, journal) = journal();
        journal.begin(&ChangePlan::new("one"), None).unwrap();
        let mut file = std::fs::OpenOptions::new().append(true).open(&journal.path).unwrap();
        file.write_all(b"{\"id\":\"c1\",\"outc").unwrap();
        assert_eq!(journal.entries().unwrap().len(), 1);
        journal.settle().unwrap();
        assert_eq!(journal.entries().unwrap()[0].outcome, ChangeOutcome::Interrupted);
    }

    #[test]
    fn an_id_is_never_given_twice() {
        let (_dir, journal) = journal();
        journal.begin(&ChangePlan::new("one"), None).unwrap();
        // Of a later version, with a step that this one does not know.
        let mut file = std::fs::OpenOptions::new().append(true).open(&journal.path).unwrap();
        file.write_all(b"\n{\"id\":\"c2\",\"steps\":[{\"step\":{\"noun\":\"unheard-of\"}}]}\n").unwrap();
        assert_eq!(journal.unreadable().unwrap(), ["c2"]);
        assert_eq!(journal.begin(&ChangePlan::new("three"), None).unwrap().id, "c3");
        assert_eq!(journal.entries().unwrap().len(), 2);
    }

    #[test]
    fn a_secret_is_in_the_one_file_that_undo_reads_and_nowhere_else() {
        use std::os::unix::fs::PermissionsExt;
        let (dir, journal) = journal();
        let secret = |text: &str| Guarded::new("db.read_url", format!("postgres://u:{text}@h/d").into());
        let mut entry = journal.begin(&ChangePlan::new("one"), None).unwrap();
        let step = ConfigStep {
            key: "db.read_url".into(),
            before: Some(secret("first")),
            after: Some(secret("second")),
            effective: secret("first"),
        };
        entry.steps.push(JournalStep {
            step: Step::Config(step.clone()),
            before: Value::Null,
            after: Value::Null,
            took_ms: 1.0,
            error: None,
        });
        journal.write(&entry).unwrap();
        let written = std::fs::read_to_string(&journal.path).unwrap();
        assert!(!written.contains("first") && !written.contains("second"), "{written}");
        let mode = std::fs::metadata(&journal.secrets).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let back = plan_undo("c1", &journal.entry(None).unwrap().made()).unwrap();
        let Step::Config(back) = &back.steps[0] else { panic!("{back:?}") };
        assert_eq!((&back.before, &back.after), (&step.after, &step.before));
        // Without that file nothing wrong is written, and it is said why.
        std::fs::remove_file(dir.path().join("secrets/changes.json")).unwrap();
        let why = plan_undo("c1", &journal.entry(None).unwrap().made()).unwrap_err();
        assert!(why.contains("db.read_url"), "{why}");
    }

    #[test]
    fn undo_means_the_newest_change_that_was_made() {
        let (_dir, journal) = journal();
        let mut made = journal.begin(&ChangePlan::new("one"), None).unwrap();
        made.steps.push(JournalStep {
            step: Step::Db(DbStep::Analyze { table: "t".into() }),
            before: Value::Null,
            after: Value::Null,
            took_ms: 1.0,
            error: None,
        });
        journal.write(&made).unwrap();
        journal.begin(&ChangePlan::new("nothing was made of it"), None).unwrap();
        assert_eq!(journal.entry(None).unwrap().id, "c1");
        assert!(journal.entry(Some("c9")).unwrap_err().message.contains("c9"));
    }
}
