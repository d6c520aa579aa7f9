//! Runs by name, and whose they are: what is not named in full is taken from this stack's own runs.

use super::store;
use crate::domain::run::{Run, StackIdentity};
use crate::error::{Error, Result};
use crate::render::Out;
use crate::stack::Stack;
use std::path::{Path, PathBuf};

/// The runs that a stack sees.
#[derive(Clone, Debug)]
pub struct Runs {
    results: PathBuf,
    own: StackIdentity,
}

/// A run that was asked for.
#[derive(Clone, Debug)]
pub struct FoundRun {
    /// Its directory.
    pub dir: PathBuf,
    /// The run.
    pub run: Run,
    /// Whether this stack made it.
    pub is_own: bool,
}

impl FoundRun {
    /// Whose it is, as a sentence, when it is not this stack's.
    #[must_use]
    pub fn foreign(&self) -> Option<String> {
        let whose = match &self.run.stack {
            Some(stack) => format!("is of another stack, {}", stack.label()),
            None => "does not name its stack: an older nsys made it".into(),
        };
        (!self.is_own).then(|| format!("{} {whose}", self.run.id))
    }
}

/// One run directory of a list.
#[derive(Debug)]
pub struct ListedRun {
    /// Its name.
    pub name: String,
    /// What is in it, or why it cannot be read.
    pub run: Result<Run>,
    /// Whether this stack made it; a run that cannot be read tells nothing.
    pub is_own: Option<bool>,
}

/// Which of its own runs a stack means by `latest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Latest {
    /// One that measured something.
    Measured,
    /// Whichever began last.
    Any,
}

impl Runs {
    /// Those that this stack sees.
    #[must_use]
    pub fn of(stack: &Stack) -> Self {
        Self { results: stack.loaded.results_dir(), own: stack.identity() }
    }

    /// Whether this stack made a run.
    #[must_use]
    pub fn is_own(&self, run: &Run) -> bool {
        run.stack.as_ref().is_some_and(|stack| stack.id == self.own.id)
    }

    /// This stack's own runs, newest first. Each is read when it is asked for.
    pub fn own(&self) -> impl Iterator<Item = (PathBuf, Run)> + '_ {
        let newest_first = store::list(&self.results).into_iter().rev();
        newest_first.filter_map(|dir| {
            let run = store::load(&dir).ok().filter(|run| self.is_own(run))?;
            Some((dir, run))
        })
    }

    /// This stack's newest run that measured something.
    #[must_use]
    pub fn newest(&self) -> Option<Run> {
        self.own().map(|(_, run)| run).find(|run| !run.levels.is_empty())
    }

    /// Every run, oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<ListedRun> {
        let listed = |dir: PathBuf| {
            let run = store::load(&dir);
            let is_own = run.as_ref().ok().map(|run| self.is_own(run));
            ListedRun { name: name_of(&dir), run, is_own }
        };
        store::list(&self.results).into_iter().map(listed).collect()
    }

    /// The run that a name or a path means; `latest` and `latest~N` are this stack's own ones that
    /// measured something.
    ///
    /// # Errors
    /// When there is no such run, or it is damaged.
    pub fn find(&self, name: &str) -> Result<FoundRun> {
        let dir = self.find_dir(name, Latest::Measured)?;
        let run = store::load(&dir)?;
        Ok(FoundRun { is_own: self.is_own(&run), dir, run })
    }

    /// As [`Runs::find`]; that it is not this stack's is said.
    ///
    /// # Errors
    /// As [`Runs::find`].
    pub fn named(&self, name: &str, out: Out) -> Result<FoundRun> {
        let found = self.find(name)?;
        if let Some(whose) = found.foreign() {
            out.warn(whose);
        }
        Ok(found)
    }

    /// As [`Runs::find`], where one that was cut short before it measured anything is meant too.
    ///
    /// # Errors
    /// As [`Runs::find`].
    pub fn find_begun(&self, name: &str) -> Result<FoundRun> {
        let dir = self.find_dir_begun(name)?;
        let run = store::load(&dir)?;
        Ok(FoundRun { is_own: self.is_own(&run), dir, run })
    }

    /// The directory of what [`Runs::find_begun`] finds, readable or not.
    ///
    /// # Errors
    /// When there is no such run.
    pub fn find_dir_begun(&self, name: &str) -> Result<PathBuf> {
        self.find_dir(name, Latest::Any)
    }

    fn find_dir(&self, name: &str, latest: Latest) -> Result<PathBuf> {
        if let Some(back) = steps_back(name) {
            let wanted = |run: &Run| latest == Latest::Any || !run.levels.is_empty();
            let found = self.own().filter(|(_, run)| wanted(run)).nth(back);
            return found.map(|(dir, _)| dir).ok_or_else(|| self.none(name));
        }
        [self.results.join(name), PathBuf::from(name)]
            .into_iter()
            .find(|dir| dir.join("results.json").is_file())
            .ok_or_else(|| {
                let all = self.all();
                let names: Vec<_> = all.iter().map(|one| one.name.clone()).collect();
                let known = names.iter().map(String::as_str);
                Error::no_such("run", name, known, "nsys loadtest list --all lists them")
            })
    }

    /// Why there is no newest run.
    fn none(&self, name: &str) -> Error {
        let all = self.all();
        let own = all.iter().filter(|one| one.is_own == Some(true)).count();
        let error = Error::failed(format!(
            "there is no run {name} of the stack {}: {own} of {} runs in {} are its own",
            self.own.name,
            all.len(),
            self.results.display()
        ));
        if all.len() > own {
            error.hint("nsys loadtest list --all shows those of other stacks; name one in full to take it")
        } else {
            error.hint("nsys loadtest incremental --quick")
        }
    }
}

/// How many runs before the newest one `latest` or `latest~N` means.
fn steps_back(name: &str) -> Option<usize> {
    match name.strip_prefix("latest")? {
        "" => Some(0),
        rest => rest.strip_prefix('~')?.parse().ok(),
    }
}

fn name_of(dir: &Path) -> String {
    dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::run::test_run;

    fn identity(id: &str) -> StackIdentity {
        StackIdentity { name: "default".into(), id: id.into() }
    }

    /// Runs of this stack, of another one and of nobody, the last ones newest, and one that measured nothing.
    fn runs() -> (tempfile::TempDir, Runs) {
        let dir = tempfile::tempdir().unwrap();
        let whose = [Some("own"), Some("own"), Some("own"), Some("other"), None];
        for (hour, whose) in whose.into_iter().enumerate() {
            let at = jiff::Timestamp::from_second(1_800_000_000 + 3_600 * hour as i64).unwrap();
            let (id, made) = store::new_dir(dir.path(), "smoke", at).unwrap();
            let mut run = test_run(&[1.0]);
            (run.id, run.stack) = (id, whose.map(identity));
            if hour == 2 {
                (run.levels, run.state) = (Vec::new(), "interrupted".into());
            }
            store::save(&made, &run).unwrap();
        }
        let runs = Runs { results: dir.path().to_owned(), own: identity("own") };
        (dir, runs)
    }

    #[test]
    fn only_own_runs_are_taken_unnamed() {
        let (_dir, runs) = runs();
        let second = |found: FoundRun| found.run.id;
        assert_eq!(second(runs.find("latest").unwrap()), "smoke-20270115_090000");
        assert_eq!(second(runs.find("latest~1").unwrap()), "smoke-20270115_080000");
        let error = runs.find("latest~2").unwrap_err();
        assert!(error.message.contains("3 of 5 runs"), "{}", error.message);
        assert!(error.hint.unwrap().contains("list --all"));
        assert_eq!(runs.newest().unwrap().id, "smoke-20270115_090000");
    }

    #[test]
    fn one_that_measured_nothing_is_only_gone_on_with() {
        let (_dir, runs) = runs();
        assert_eq!(runs.find_begun("latest").unwrap().run.id, "smoke-20270115_100000");
    }

    #[test]
    fn a_run_of_another_stack_is_taken_by_its_name_and_says_so() {
        let (_dir, runs) = runs();
        assert!(runs.find("smoke-20270115_090000").unwrap().foreign().is_none());
        let other = runs.find("smoke-20270115_110000").unwrap().foreign().unwrap();
        assert!(other.contains("another stack, default (other)"), "{other}");
        let nobodys = runs.find("smoke-20270115_120000").unwrap().foreign().unwrap();
        assert!(nobodys.contains("older nsys"), "{nobodys}");
    }

    #[test]
    fn a_damaged_run_is_listed_and_passed_over() {
        let (dir, runs) = runs();
        std::fs::write(dir.path().join("smoke-20270115_090000/results.json"), "{\"schema\"").unwrap();
        assert_eq!(runs.find("latest").unwrap().run.id, "smoke-20270115_080000");
        let all = runs.all();
        assert!(all[1].run.is_err() && all[1].name == "smoke-20270115_090000", "{all:?}");
        let error = runs.find("smoke-20270115_090000").unwrap_err();
        assert!(error.message.contains("damaged"), "{}", error.message);
        assert_eq!(error.hint.as_deref(), Some("nsys loadtest rm smoke-20270115_090000"));
        assert!(runs.find_dir_begun("smoke-20270115_090000").is_ok(), "it can be deleted");
    }
}
