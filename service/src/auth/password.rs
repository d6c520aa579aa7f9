//! Passwords: argon2id, 19 MiB and two passes.

use argon2::{Argon2, PasswordHasher, PasswordVerifier};

/// Hashes a password with argon2id (19 MiB, 2 passes). Blocks for tens of milliseconds.
pub(crate) fn hash_password(password: &str) -> anyhow::Result<String> {
    let hash = Argon2::default()
        .hash_password(password.as_bytes())
        .map_err(|cause| anyhow::anyhow!("cannot hash a password: {cause}"))?;
    Ok(hash.to_string())
}

/// Whether a password fits a hash. Blocks as [`hash_password`] does.
pub(crate) fn password_fits(password: &str, hash: &str) -> bool {
    Argon2::default().verify_password(password.as_bytes(), hash).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_salted_and_checked() {
        let hash = hash_password("correct horse").unwrap();
        assert!(password_fits("correct horse", &hash));
        assert!(!password_fits("wrong horse", &hash));
        assert_ne!(hash, hash_password("correct horse").unwrap());
    }
}
