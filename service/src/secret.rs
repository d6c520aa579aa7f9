//! Secrets: random bytes, and a private file that every replica on a machine shares, made by whoever comes first.

pub(crate) mod key_file;
pub(crate) mod seal;
mod sealing;

pub(crate) use sealing::{Sealed, SealingKeys};

use anyhow::Context;
use ring::rand::{SecureRandom, SystemRandom};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Random bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| anyhow::anyhow!("the system's random number generator failed"))?;
    Ok(bytes)
}

/// The text in `path`; `make` makes it when the file does not exist yet. Replicas start together,
/// in containers even with the same pid: the first to link its file wins, the others read that one.
pub(crate) fn read_or_create(
    path: &Path,
    make: impl FnOnce() -> anyhow::Result<String>,
) -> anyhow::Result<String> {
    if !path.exists() {
        let draft = path.with_extension(format!("{}.tmp", uuid::Uuid::new_v4().simple()));
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(make()?.as_bytes())?;
        file.sync_all()?;
        let linked = std::fs::hard_link(&draft, path);
        std::fs::remove_file(&draft)?;
        if let Err(cause) = linked
            && cause.kind() != ErrorKind::AlreadyExists
        {
            return Err(cause).with_context(|| format!("cannot create {}", path.display()));
        }
    }
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_one_made_is_the_one_everybody_reads() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        assert_eq!(read_or_create(&path, || Ok("one".to_owned())).unwrap(), "one");
        assert_eq!(read_or_create(&path, || Ok("two".to_owned())).unwrap(), "one");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
}
