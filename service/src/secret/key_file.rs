//! The file with the first signing key: Ed25519, PKCS#8, PEM.

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::path::Path;

/// Everything of a PKCS#8 version 1 document that comes before the seed (RFC 8410, section 7).
const PKCS8_HEAD: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// A new private key, PKCS#8 DER.
pub(crate) fn generate() -> anyhow::Result<Vec<u8>> {
    Ok(pkcs8(&super::random()?))
}

/// The document of a seed, in the form that every tool reads.
pub(crate) fn pkcs8(seed: &[u8; 32]) -> Vec<u8> {
    [&PKCS8_HEAD[..], seed].concat()
}

/// The key in a file, made when there is none.
pub(crate) fn read_or_create(path: &Path) -> anyhow::Result<Vec<u8>> {
    let pem = super::read_or_create(path, || {
        let key = STANDARD.encode(generate()?);
        Ok(format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n"))
    })?;
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(body.trim()).with_context(|| format!("{} is not PEM", path.display()))
}
