//! The keys that encrypt tenants' secrets at rest, by id: the first encrypts, all of them decrypt.

use super::key_file;
use super::seal::Seal;
use anyhow::{Context, anyhow, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::path::Path;

/// The id of the key that is derived from the signing key file.
const OF_FILE: &str = "file";
/// What the keys are derived for.
const PURPOSE: &[u8] = b"notification-service endpoints v1";
/// Fewest bytes of a configured key.
const MIN_KEY: usize = 32;

/// What was encrypted, and with which key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) key_id: String,
    pub(crate) bytes: Vec<u8>,
}

/// Keys by id.
pub(crate) struct SealingKeys(Vec<(String, Seal)>);

impl SealingKeys {
    /// Those of the configuration (`endpoints.encryption_keys`), and last the one of the signing key file, which
    /// every replica has. Without either there is none.
    ///
    /// # Errors
    /// When an entry is malformed, an id comes twice, or the file cannot be read.
    pub(crate) fn read(configured: &str, signing_key_file: &str) -> anyhow::Result<Self> {
        let mut keys: Vec<(String, Seal)> = Vec::new();
        for entry in configured.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (id, seal) = one(entry).context("endpoints.encryption_keys")?;
            ensure!(
                keys.iter().all(|(known, _)| *known != id),
                "endpoints.encryption_keys names the key {id} twice"
            );
            keys.push((id, seal));
        }
        if !signing_key_file.is_empty() {
            let of_file = key_file::read_or_create(Path::new(signing_key_file))?;
            keys.push((OF_FILE.to_owned(), Seal::derive(&of_file, PURPOSE)?));
        }
        Ok(Self(keys))
    }

    /// The id of the key that encrypts.
    pub(crate) fn current(&self) -> Option<&str> {
        self.0.first().map(|(id, _)| id.as_str())
    }

    /// Encrypts; it decrypts only with the same `context`.
    ///
    /// # Errors
    /// When there is no key.
    pub(crate) fn seal(&self, context: &str, plain: &[u8]) -> anyhow::Result<Sealed> {
        let (id, seal) = self.0.first().context(
            "there is no key to encrypt secrets with: set endpoints.encryption_keys or auth.signing_key_file",
        )?;
        Ok(Sealed { key_id: id.clone(), bytes: seal.close(context.as_bytes(), plain)? })
    }

    /// Decrypts.
    ///
    /// # Errors
    /// When the key is not known, or it was encrypted for another context.
    pub(crate) fn unseal(&self, context: &str, sealed: &Sealed) -> anyhow::Result<Vec<u8>> {
        let id = &sealed.key_id;
        let Some((_, seal)) = self.0.iter().find(|(known, _)| known == id) else {
            bail!("it is encrypted with the key {id:?}, which endpoints.encryption_keys does not hold");
        };
        seal.open(context.as_bytes(), &sealed.bytes)
            .ok_or_else(|| anyhow!("the key {id:?} of endpoints.encryption_keys does not decrypt it"))
    }
}

/// `ID:BASE64`. A message never repeats the entry: it is a secret.
fn one(entry: &str) -> anyhow::Result<(String, Seal)> {
    let (id, key) = entry.split_once(':').context("an entry is ID:BASE64")?;
    let is_id = |id: &str| {
        (1..=64).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    ensure!(is_id(id), "the id of a key has 1 to 64 letters, digits, `-`, `_` and `.`");
    ensure!(id != OF_FILE, "the id {OF_FILE:?} is that of the signing key file's own key");
    let key = STANDARD.decode(key).map_err(|_| anyhow!("the key {id} is not Base64"))?;
    ensure!(key.len() >= MIN_KEY, "the key {id} has {} bytes; at least {MIN_KEY} are expected", key.len());
    Ok((id.to_owned(), Seal::derive(&key, PURPOSE)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, byte: u8) -> String {
        format!("{id}:{}", STANDARD.encode([byte; 32]))
    }

    fn keys(entries: &[String]) -> SealingKeys {
        SealingKeys::read(&entries.join(", "), "").unwrap()
    }

    #[test]
    fn the_first_key_encrypts_and_all_decrypt() {
        let (old, new) = (entry("old", 1), entry("new", 2));
        let before = keys(std::slice::from_ref(&old)).seal("t", b"secret").unwrap();
        let rotated = keys(&[new.clone(), old]);
        assert_eq!(rotated.unseal("t", &before).unwrap(), b"secret");
        let after = rotated.seal("t", b"secret").unwrap();
        assert_eq!((after.key_id.as_str(), rotated.current()), ("new", Some("new")));
        let error = keys(&[new]).unseal("t", &before).unwrap_err().to_string();
        assert!(error.contains("\"old\""), "{error}");
        assert!(rotated.unseal("u", &after).is_err(), "it belongs to another context");
    }

    #[test]
    fn the_file_of_the_signing_key_is_a_key_that_every_replica_has() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem").display().to_string();
        let sealed = SealingKeys::read("", &path).unwrap().seal("t", b"secret").unwrap();
        let configured = SealingKeys::read(&entry("mine", 1), &path).unwrap();
        assert_eq!(configured.unseal("t", &sealed).unwrap(), b"secret");
        assert_eq!(configured.current(), Some("mine"));
        let none = SealingKeys::read("", "").unwrap();
        assert_eq!(none.current(), None);
        assert!(none.seal("t", b"secret").is_err());
    }

    #[test]
    fn a_malformed_key_is_refused_without_being_shown() {
        let short = format!("a:{}", STANDARD.encode([1; 16]));
        for wrong in ["plain", ":AAAA", "a b:AAAA", "a:????", "file:AAAA", &short] {
            let error = format!("{:#}", SealingKeys::read(wrong, "").err().unwrap());
            assert!(error.starts_with("endpoints.encryption_keys") && !error.contains("AAAA"), "{error}");
        }
        assert!(SealingKeys::read(&[entry("a", 1), entry("a", 2)].join(","), "").is_err());
    }
}
