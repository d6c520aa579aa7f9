//! Seals what rests in the database: AES-256-GCM under a key derived from a secret.

use anyhow::anyhow;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};

/// Closes and opens.
pub(crate) struct Seal(LessSafeKey);

impl Seal {
    /// The seal of everybody who has this secret, for one purpose: another one has another key.
    pub(crate) fn derive(secret: &[u8], purpose: &[u8]) -> anyhow::Result<Self> {
        let failed = |_| anyhow!("the key that seals secrets cannot be derived");
        let extracted = Salt::new(HKDF_SHA256, &[]).extract(secret);
        let purpose = [purpose];
        let expanded = extracted.expand(&purpose, &AES_256_GCM).map_err(failed)?;
        Ok(Self(LessSafeKey::new(UnboundKey::from(expanded))))
    }

    /// Nonce and ciphertext. It opens only where it belongs: with the same `context`.
    pub(crate) fn close(&self, context: &[u8], plain: &[u8]) -> anyhow::Result<Vec<u8>> {
        let nonce: [u8; NONCE_LEN] = super::random()?;
        let mut text = plain.to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context), &mut text)
            .map_err(|_| anyhow!("a secret cannot be sealed"))?;
        Ok([&nonce[..], &text].concat())
    }

    /// What was closed by a holder of the same secret, for the same purpose and context; `None` for everything else.
    pub(crate) fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN)?;
        let mut text = text.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.0.open_in_place(nonce, Aad::from(context), &mut text).ok()?;
        Some(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_secret_purpose_and_context_open() {
        let derive = |secret: &[u8], purpose: &[u8]| Seal::derive(secret, purpose).unwrap();
        let ours = derive(b"ours", b"keys");
        let sealed = ours.close(b"here", b"private").unwrap();
        assert_eq!(ours.open(b"here", &sealed).unwrap(), b"private");
        assert_eq!(ours.open(b"there", &sealed), None);
        assert_eq!(derive(b"theirs", b"keys").open(b"here", &sealed), None);
        assert_eq!(derive(b"ours", b"other").open(b"here", &sealed), None);
        let mut bent = sealed.clone();
        *bent.last_mut().unwrap() ^= 1;
        assert_eq!(ours.open(b"here", &bent), None);
        assert_eq!(ours.open(b"here", b"short"), None);
    }
}
