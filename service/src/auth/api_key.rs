//! API keys: `nk_<id>_<secret>`. The secret is random, so its plain SHA-256 is enough to keep.

use super::hex;
use crate::secret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What every key begins with, so that secret scanners know it.
const PREFIX: &str = "nk_";
/// Random bytes of the public part.
const ID_BYTES: usize = 8;
/// Random bytes of the secret part.
const SECRET_BYTES: usize = 32;

/// A new key: its public part, the whole text for the caller, and what is stored.
pub(crate) struct Fresh {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) hash: Vec<u8>,
}

/// Makes a key.
pub(crate) fn generate() -> anyhow::Result<Fresh> {
    let bytes: [u8; ID_BYTES + SECRET_BYTES] = secret::random()?;
    let (id, secret) = (hex(&bytes[..ID_BYTES]), hex(&bytes[ID_BYTES..]));
    let hash = hash(&secret);
    Ok(Fresh { text: format!("{PREFIX}{id}_{secret}"), id, hash })
}

/// The public part and the hash of the secret, when the text has the form of a key.
pub(crate) fn parse(text: &str) -> Option<(&str, Vec<u8>)> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let fits = |part: &str, bytes: usize| {
        part.len() == 2 * bytes && part.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    (fits(id, ID_BYTES) && fits(secret, SECRET_BYTES)).then(|| (id, hash(secret)))
}

/// Whether a credential claims to be an API key.
pub(crate) fn looks_like_one(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// Compares in constant time.
pub(crate) fn same(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_recognised_by_its_text_alone() {
        let fresh = generate().unwrap();
        let (id, hash) = parse(&fresh.text).unwrap();
        assert_eq!((id, &hash), (fresh.id.as_str(), &fresh.hash));
        assert!(same(&hash, &fresh.hash) && !same(&hash, &generate().unwrap().hash));
    }

    #[test]
    fn other_texts_are_no_keys() {
        for text in ["", "nk_", "nk_a_b", "eyJhbGciOi", "nk_0123456789abcdef_zz"] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
