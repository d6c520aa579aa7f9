//! Seals private keys for the database: AES-256-GCM under a key derived from the key file's.

use crate::secret;
use anyhow::anyhow;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};

/// What the derived key is for; another use would derive another key.
const PURPOSE: &[u8] = b"notification-service signing keys v1";

/// Closes and opens.
pub(crate) struct Seal(LessSafeKey);

impl Seal {
    /// The seal of everybody who has this secret.
    pub(crate) fn derive(secret: &[u8]) -> anyhow::Result<Self> {
        let failed = |_| anyhow!("the key that seals signing keys cannot be derived");
        let extracted = Salt::new(HKDF_SHA256, &[]).extract(secret);
        let purpose = [PURPOSE];
        let expanded = extracted.expand(&purpose, &AES_256_GCM).map_err(failed)?;
        Ok(Self(LessSafeKey::new(UnboundKey::from(expanded))))
    }

    /// Nonce and ciphertext.
    pub(crate) fn close(&self, plain: &[u8]) -> anyhow::Result<Vec<u8>> {
        let nonce: [u8; NONCE_LEN] = secret::random()?;
        let mut text = plain.to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut text)
            .map_err(|_| anyhow!("a signing key cannot be sealed"))?;
        Ok([&nonce[..], &text].concat())
    }

    /// What was closed by a holder of the same secret; `None` for everything else.
    pub(crate) fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN)?;
        let mut text = text.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.0.open_in_place(nonce, Aad::empty(), &mut text).ok()?;
        Some(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_secret_opens() {
        let (ours, theirs) = (Seal::derive(b"ours").unwrap(), Seal::derive(b"theirs").unwrap());
        let sealed = ours.close(b"private").unwrap();
        assert_eq!(ours.open(&sealed).unwrap(), b"private");
        assert_eq!(theirs.open(&sealed), None);
        let mut bent = sealed.clone();
        *bent.last_mut().unwrap() ^= 1;
        assert_eq!(ours.open(&bent), None);
        assert_eq!(ours.open(b"short"), None);
    }
}
