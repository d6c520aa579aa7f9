//! The migrations, as text inside the program. They are listed here and not read by sqlx's macro, which
//! would have sqlx and its TLS built a second time, for the compiler.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use std::sync::LazyLock;

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/", $name, ".sql")))),+]
    };
}

/// Name and text of every file in `migrations/`, the oldest first.
static FILES: [(&str, &str); 8] = files![
    "0001_base",
    "0002_delivery",
    "0003_access",
    "0004_outages",
    "0005_claims",
    "0006_senders",
    "0007_lists",
    "0008_endpoints",
];

/// All of them, as sqlx's macro would read them.
pub(super) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    Migrator::with_migrations(FILES.iter().filter_map(|(name, sql)| read(name, sql)).collect())
});

/// A file's name is its version, an underscore, and what it is about; a test holds that every one can be read.
fn read(name: &str, sql: &'static str) -> Option<Migration> {
    let (version, about) = name.split_once('_')?;
    let about = about.replace('_', " ").into();
    Some(Migration::new(version.parse().ok()?, about, MigrationType::Simple, sql.into_sql_str(), false))
}

/// The statements of a file, without its comments, each on one line.
pub(super) fn statements(sql: &str) -> Vec<String> {
    let code: Vec<_> = sql.lines().map(str::trim).filter(|line| !line.starts_with("--")).collect();
    let code = code.join(" ");
    let all = code.split(';').map(|one| one.split_whitespace().collect::<Vec<_>>().join(" "));
    all.filter(|one| !one.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_file_is_listed() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let mut there: Vec<String> = std::fs::read_dir(dir)
            .unwrap()
            .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".sql")?.to_owned()))
            .collect();
        there.sort();
        assert_eq!(FILES.map(|(name, _)| name), there.as_slice());
        let versions: Vec<i64> = MIGRATIONS.iter().map(|one| one.version).collect();
        assert_eq!(versions, (1..).take(FILES.len()).collect::<Vec<_>>());
        assert!(FILES.iter().all(|(_, sql)| !sql.starts_with("-- no-transaction")), "read() knows none");
    }

    /// What a database remembers of each, so that a later build takes it for the same: SHA-384 of the file.
    #[test]
    fn a_migration_that_was_released_is_not_edited() {
        let released = [
            ("base", "92ccfdc404d39d27344250de"),
            ("delivery", "71eb8d0ce009f08fc4bfe03d"),
            ("access", "28fc06d08f931044841fe0a7"),
            ("outages", "877f8b8869f404e836e6f73a"),
        ];
        for (one, (about, checksum)) in MIGRATIONS.iter().zip(released) {
            let start: String = one.checksum[..12].iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!((one.description.as_ref(), start.as_str()), (about, checksum));
        }
    }
}
