//! Where the files of a stack are, and its secrets.

use crate::error::{Context, Error, Result};
use crate::process_env;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where a log that grew too large is kept, until the next one is.
#[must_use]
pub fn log_aside(log: &Path) -> PathBuf {
    log.with_extension("log.1")
}

/// The directories of one stack.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
    name: String,
}

impl Layout {
    /// The files of the stack `name` in the state directory.
    #[must_use]
    pub fn new(state_dir: &Path, name: &str) -> Self {
        Self { root: state_dir.join(name), name: name.to_owned() }
    }

    /// A file or directory of the stack.
    #[must_use]
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// The directory of run-time files: records, socket, generated configurations.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.path("run")
    }

    /// A part's log.
    #[must_use]
    pub fn log(&self, part: &str) -> PathBuf {
        self.path("logs").join(format!("{part}.log"))
    }

    /// Where PostgreSQL's data is. The server refuses to run as root, and the user it then runs as
    /// may not be able to enter the state directory.
    #[must_use]
    pub fn postgres_home(&self, as_root: bool) -> PathBuf {
        if as_root {
            let digest = Sha256::digest(self.root.as_os_str().as_encoded_bytes());
            let short: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            PathBuf::from("/var/lib/nsys").join(format!("{}-{short}", self.name))
        } else {
            self.path("data/postgres")
        }
    }

    /// Data of earlier stacks of this name that was kept beside this one's.
    #[must_use]
    pub fn set_aside(&self, as_root: bool) -> Vec<PathBuf> {
        let home = self.postgres_home(as_root);
        let (Some(parent), Some(name)) = (home.parent(), home.file_name()) else { return Vec::new() };
        let prefix = format!("{}.left-", name.to_string_lossy());
        let beside = std::fs::read_dir(parent).into_iter().flatten().flatten();
        let mut kept: Vec<_> = beside
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
            .map(|entry| entry.path())
            .collect();
        kept.sort();
        kept
    }

    /// Refuses a place that the parts could not be told of. Every other character is one that no
    /// configuration has to name: parts run in this directory and know paths below it.
    ///
    /// # Errors
    /// Usage, naming the character.
    pub fn check(&self) -> Result<()> {
        let odd = match self.root.to_str() {
            None => Some("bytes that are not UTF-8".to_owned()),
            Some(text) => {
                text.chars().find(|sign| sign.is_control()).map(|sign| format!("the character {sign:?}"))
            }
        };
        match odd {
            Some(odd) => Err(Error::usage(format!(
                "the state directory {:?} contains {odd}, which parts cannot handle",
                self.root
            ))
            .hint("choose another one: --state-dir DIR")),
            None => Ok(()),
        }
    }

    /// Makes the directories; the state is nobody else's business.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn create(&self) -> Result<()> {
        for part in ["run", "logs", "secrets", "data"] {
            let dir = self.path(part);
            std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        std::fs::set_permissions(&self.root, std::fs::Permissions::from_mode(0o700))
            .with_context(|| format!("cannot protect {}", self.root.display()))
    }

    /// A secret that is there already.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn known_secret(&self, name: &str) -> Result<Option<String>> {
        let there = self.path("secrets").join(name).exists();
        there.then(|| self.secret(name)).transpose()
    }

    /// Keeps a secret that was given.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_secret(&self, name: &str, secret: &str) -> Result<()> {
        self.create()?;
        write_private(&self.path("secrets").join(name), secret)
    }

    /// A generated secret, made on first use and kept with mode 0600.
    ///
    /// # Errors
    /// When it cannot be read or written, or the stack was never started.
    pub fn secret(&self, name: &str) -> Result<String> {
        if !self.path("secrets").is_dir() {
            return Err(Error::unreachable("the stack was never started").hint("nsys up"));
        }
        let path = self.path("secrets").join(name);
        if !path.exists() {
            let random: String =
                uuid::Uuid::new_v4().simple().to_string() + &uuid::Uuid::new_v4().simple().to_string();
            write_private(&path, &random[..48])?;
        }
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}

/// Writes a file that only its owner reads, all of it or nothing.
///
/// # Errors
/// When it cannot be written.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    let part = path.with_extension("part");
    let write = || {
        let mut file =
            std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&part)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&part, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Where tools that belong to no stack are kept: Kafka's jars, k6.
#[must_use]
pub fn tools_dir() -> PathBuf {
    process_env::base_dir("XDG_DATA_HOME", ".local/share").join("nsys")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_place_that_parts_cannot_be_told_of_is_refused_with_the_character() {
        let check = |dir: &[u8]| Layout::new(Path::new(OsStr::from_bytes(dir)), "test").check();
        for fine in
            ["/my dir \u{fc}", "/o'brien", "/[work]", "/a, b", "/\"quoted\"", "/50%", "/a:b", "/\\back"]
        {
            assert!(check(fine.as_bytes()).is_ok(), "{fine}");
        }
        let line = check(b"/two\nlines").unwrap_err();
        assert!(
            line.kind == crate::error::ErrorKind::Usage && line.message.contains(r"the character '\n'"),
            "{line}"
        );
        assert!(check(b"/latin \xfc").unwrap_err().message.contains("not UTF-8"));
    }
}
