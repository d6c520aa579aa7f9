//! Snapshots of what the database has counted, kept by name in the stack's directory.

use crate::domain::snapshot::Snapshot;
use crate::error::{Context, Error, Result};
use crate::loadtest::store;
use crate::stack::Stack;
use std::path::PathBuf;

fn directory(stack: &Stack) -> PathBuf {
    stack.layout.path("snapshots")
}

/// Takes a snapshot and keeps it under a name.
///
/// # Errors
/// When the name is taken or cannot be one, the database does not answer, or the file cannot be written.
pub async fn take(stack: &Stack, name: &str) -> Result<Snapshot> {
    if name == "latest" || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Err(Error::usage(format!(
            "{name:?} cannot name a snapshot: letters, digits, dashes and dots are expected, and not latest"
        )));
    }
    let path = directory(stack).join(format!("{name}.json"));
    if path.exists() {
        return Err(Error::refused(format!("there is a snapshot {name} already")).hint("choose another name"));
    }
    let snapshot = stack.postgres().await?.snapshot().await?;
    let text = serde_json::to_string(&snapshot).context("cannot write the snapshot")?;
    std::fs::create_dir_all(directory(stack)).context("cannot create the directory of snapshots")?;
    store::write(&path, &text)?;
    Ok(snapshot)
}

/// The names of the snapshots, oldest first.
#[must_use]
pub fn names(stack: &Stack) -> Vec<String> {
    let entries = std::fs::read_dir(directory(stack)).into_iter().flatten().flatten();
    let mut names: Vec<(std::time::SystemTime, String)> = entries
        .filter_map(|entry| {
            let taken = entry.metadata().ok()?.modified().ok()?;
            Some((taken, entry.file_name().to_str()?.strip_suffix(".json")?.to_owned()))
        })
        .collect();
    names.sort();
    names.into_iter().map(|(_, name)| name).collect()
}

/// The snapshot of that name, or the newest for `latest`.
///
/// # Errors
/// When there is none, or it cannot be read.
pub fn kept(stack: &Stack, name: &str) -> Result<Snapshot> {
    let names = names(stack);
    let found = match name {
        "latest" => names.last(),
        name => names.iter().find(|known| *known == name),
    };
    let Some(found) = found else {
        let known = names.iter().map(String::as_str);
        return Err(Error::no_such("snapshot", name, known, "nsys db snapshot takes one"));
    };
    let path = directory(stack).join(format!("{found}.json"));
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
}
