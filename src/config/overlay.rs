//! The tuned overlay: what of the configuration nsys writes. Secrets have a file of their own, which only
//! their owner reads; the user's file stays as it is.

use super::Loaded;
use super::layers::Origin;
use crate::error::{Context, Error, Result};
use crate::plan::config::KnownKey;
use crate::secret::{Guarded, is_secret};
use std::collections::BTreeMap;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

const HEAD: &str = "# Written by `nsys tune`; reverted by `nsys undo`. Show it with: nsys tune export\n";

/// What a planner must know of every key.
#[must_use]
pub fn known(loaded: &Loaded) -> BTreeMap<String, KnownKey> {
    let one = |(key, setting): (&String, &super::Setting)| {
        let overridden_by = match &setting.origin {
            Origin::Environment { name } => Some(name.clone()),
            _ => None,
        };
        let tuned = value(&loaded.overlay, key).ok().flatten();
        (key.clone(), KnownKey { tuned, effective: setting.value.clone(), overridden_by })
    };
    loaded.settings.iter().map(one).collect()
}

/// What the overlay holds for a key.
///
/// # Errors
/// When the overlay cannot be read.
pub fn value(path: &Path, key: &str) -> Result<Option<Guarded>> {
    let open = || Ok::<_, Error>(get(&read(path)?, key));
    let kept = if is_secret(key) { get(&read(&secrets_of(path))?, key) } else { None };
    // Older versions kept secrets among the other keys.
    let value = kept.map_or_else(open, |value| Ok(Some(value)))?;
    Ok(value.map(|value| Guarded::new(key, value)))
}

/// Everything that the overlay holds.
///
/// # Errors
/// When it cannot be read.
pub fn all(path: &Path) -> Result<BTreeMap<String, Guarded>> {
    let mut all = BTreeMap::new();
    for table in [read(path)?, read(&secrets_of(path))?] {
        for (section, values) in table {
            for (key, value) in values.as_table().cloned().unwrap_or_default() {
                let key = format!("{section}.{key}");
                let value = Guarded::new(&key, value);
                all.insert(key, value);
            }
        }
    }
    Ok(all)
}

/// Where the overlay keeps its secrets.
#[must_use]
pub fn secrets_of(overlay: &Path) -> PathBuf {
    overlay.with_file_name("secrets").join("tuned.toml")
}

/// Writes one key, or removes it. An overlay without keys is no file.
///
/// # Errors
/// When the overlay cannot be read or written.
pub fn set(path: &Path, key: &str, value: Option<&Guarded>) -> Result<()> {
    let value = value.map(Guarded::reveal);
    if !is_secret(key) {
        return write(path, key, value);
    }
    write(&secrets_of(path), key, value)?;
    if get(&read(path)?, key).is_some() { write(path, key, None) } else { Ok(()) }
}

/// Writes one key of one file, or removes it.
fn write(path: &Path, key: &str, value: Option<&Value>) -> Result<()> {
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
    let write = || {
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        let mut file =
            std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&part)?;
        std::io::Write::write_all(&mut file, format!("{HEAD}{table}").as_bytes())?;
        std::fs::rename(&part, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
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
        let (size, linger) =
            (Guarded::new("db.pool_size", 20.into()), Guarded::new("kafka.linger", "5ms".into()));
        set(&path, "db.pool_size", Some(&size)).unwrap();
        set(&path, "kafka.linger", Some(&linger)).unwrap();
        assert_eq!(value(&path, "db.pool_size").unwrap(), Some(size));
        set(&path, "db.pool_size", None).unwrap();
        assert_eq!(value(&path, "kafka.linger").unwrap(), Some(linger));
        set(&path, "kafka.linger", None).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_secret_is_kept_where_only_its_owner_reads() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tuned.toml");
        // As an older version left it.
        std::fs::write(&path, "[db]\npool_size = 5\nread_url = \"postgres://u:old@h/d\"\n").unwrap();
        let secret = Guarded::new("db.read_url", "postgres://u:new@h/d".into());
        set(&path, "db.read_url", Some(&secret)).unwrap();
        assert_eq!(value(&path, "db.read_url").unwrap(), Some(secret));
        assert!(!std::fs::read_to_string(&path).unwrap().contains("read_url"));
        let mode = std::fs::metadata(secrets_of(&path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        set(&path, "db.read_url", None).unwrap();
        assert_eq!(value(&path, "db.read_url").unwrap(), None);
    }
}
