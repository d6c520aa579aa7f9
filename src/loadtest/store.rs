//! Runs on disk: results.json is the truth, everything else is made from it.

use crate::domain::run::Run;
use crate::error::{Context, Error, Result};
use std::path::{Path, PathBuf};

/// Writes results.json, all of it or nothing.
///
/// # Errors
/// When it cannot be written.
pub fn save(dir: &Path, run: &Run) -> Result<()> {
    let text = serde_json::to_string_pretty(run).context("cannot write the results")?;
    write(&dir.join("results.json"), &text)
}

/// Writes a file of a run, all of it or nothing.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, text: &str) -> Result<()> {
    let part = path.with_extension("part");
    std::fs::write(&part, text)
        .and_then(|()| std::fs::rename(&part, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Reads a run.
///
/// # Errors
/// When there is none, or it is damaged.
pub fn load(dir: &Path) -> Result<Run> {
    let path = dir.join("results.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
}

/// The directories of all runs, oldest first.
#[must_use]
pub fn list(results: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(results).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut runs: Vec<_> = entries.filter(|path| path.join("results.json").is_file()).collect();
    // The stamp behind the kind orders them.
    runs.sort_by_key(|path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.split_once('-').map(|(_, stamp)| stamp.to_owned())
    });
    runs
}

/// The directory that `latest`, `latest~N`, a name or a path means.
///
/// # Errors
/// When there is no such run.
pub fn find(results: &Path, name: &str) -> Result<PathBuf> {
    if let Some(rest) = name.strip_prefix("latest") {
        let back = if rest.is_empty() {
            Some(0)
        } else {
            rest.strip_prefix('~').and_then(|n| n.parse::<usize>().ok())
        };
        if let Some(back) = back {
            let runs = list(results);
            return runs.len().checked_sub(back + 1).map(|index| runs[index].clone()).ok_or_else(|| {
                Error::failed(format!("there is no run {name}: {} runs in {}", runs.len(), results.display()))
                    .hint("nsys loadtest incremental --quick")
            });
        }
    }
    [results.join(name), PathBuf::from(name)]
        .into_iter()
        .find(|dir| dir.join("results.json").is_file())
        .ok_or_else(|| Error::failed(format!("there is no run {name}")).hint("nsys loadtest list"))
}
