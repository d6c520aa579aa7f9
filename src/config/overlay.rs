//! The tuned overlay: the one file of the configuration that nsys writes. The user's file stays as it is.

use super::Loaded;
use super::layers::Origin;
use crate::error::{Context, Error, Result};
use crate::plan::config::Known;
use std::collections::BTreeMap;
use std::path::Path;
use toml::{Table, Value};

const HEAD: &str = "# Written by `nsys tune`; taken back by `nsys undo`. Show it with: nsys tune export\n";

/// What a planner must know of every key.
#[must_use]
pub fn known(loaded: &Loaded) -> BTreeMap<String, Known> {
    let tuned = read(&loaded.overlay).unwrap_or_default();
    let one = |(key, setting): (&String, &super::Setting)| {
        let overridden_by = match &setting.origin {
            Origin::Environment { name } => Some(name.clone()),
            _ => None,
        };
        (key.clone(), Known { tuned: get(&tuned, key), effective: setting.value.clone(), overridden_by })
    };
    loaded.settings.iter().map(one).collect()
}

/// What the overlay holds for a key.
///
/// # Errors
/// When the overlay cannot be read.
pub fn value(path: &Path, key: &str) -> Result<Option<Value>> {
    Ok(get(&read(path)?, key))
}

/// Writes one key, or removes it. An overlay without keys is no file.
///
/// # Errors
/// When the overlay cannot be read or written.
pub fn set(path: &Path, key: &str, value: Option<&Value>) -> Result<()> {
    let mut table = read(path)?;
    let (section, name) =
        key.split_once('.').ok_or_else(|| Error::usage(format!("{key} is not SECTION.KEY")))?;
    let values = table.entry(section.to_owned()).or_insert_with(|| Value::Table(Table::new()));
    let values =
        values.as_table_mut().ok_or_else(|| Error::failed(format!("{} is damaged", path.display())))?;
    match value {
        Some(value) => values.insert(name.to_owned(), value.clone()),
        None => values.remove(name),
    };
    if values.is_empty() {
        table.remove(section);
    }
    if table.is_empty() {
        return match std::fs::remove_file(path) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::failed(format!("cannot remove {}: {cause}", path.display())))
            }
            _ => Ok(()),
        };
    }
    let part = path.with_extension("part");
    std::fs::write(&part, format!("{HEAD}{table}"))
        .and_then(|()| std::fs::rename(&part, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn get(table: &Table, key: &str) -> Option<Value> {
    let (section, name) = key.split_once('.')?;
    table.get(section)?.get(name).cloned()
}

fn read(path: &Path) -> Result<Table> {
    match std::fs::read_to_string(path) {
        Ok(text) => text.parse().with_context(|| format!("{} is not TOML", path.display())),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(Table::new()),
        Err(cause) => Err(Error::failed(format!("cannot read {}: {cause}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_key_taken_back_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tuned.toml");
        set(&path, "db.pool_size", Some(&20.into())).unwrap();
        set(&path, "kafka.linger", Some(&"5ms".into())).unwrap();
        assert_eq!(value(&path, "db.pool_size").unwrap(), Some(20.into()));
        set(&path, "db.pool_size", None).unwrap();
        assert_eq!(value(&path, "kafka.linger").unwrap(), Some("5ms".into()));
        set(&path, "kafka.linger", None).unwrap();
        assert!(!path.exists());
    }
}
