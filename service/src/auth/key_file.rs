//! The file with the first signing key: Ed25519, PKCS#8, PEM.

use crate::secret;
use anyhow::Context;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::path::Path;

/// A new private key, PKCS#8 DER.
pub(crate) fn generate() -> anyhow::Result<Vec<u8>> {
    let document =
        Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).context("cannot generate a signing key")?;
    Ok(document.as_ref().to_vec())
}

/// The key in a file, made when there is none.
pub(crate) fn read_or_create(path: &Path) -> anyhow::Result<Vec<u8>> {
    let pem = secret::read_or_create(path, || {
        let key = STANDARD.encode(generate()?);
        Ok(format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n"))
    })?;
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(body.trim()).with_context(|| format!("{} is not PEM", path.display()))
}
