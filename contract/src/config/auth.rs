//! `[auth]`: tokens and passwords.

use super::Toggle;
use jiff::fmt::serde::unsigned_duration::friendly::compact::required as span;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `[auth]`: tokens and passwords.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// `iss` of the tokens issued and accepted.
    pub issuer: String,
    /// `aud` of the tokens issued and accepted.
    pub audience: String,
    /// Lifetime of a token.
    #[serde(with = "span")]
    pub token_ttl: Duration,
    /// File with the Ed25519 signing key (PKCS#8 PEM). Empty: a key for this process alone.
    pub signing_key_file: String,
    /// Maximum verified tokens cached, which keeps signature checks off the hot path.
    pub verified_token_cache: u64,
    /// Whether anyone may register with `POST /auth/register`: a new account may send for a tenant of its own.
    /// `"auto"`: in a local stack of nsys, which this machine alone reaches, and nowhere else.
    pub open_registration: Toggle,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            issuer: "notification-service".into(),
            audience: "notification-api".into(),
            token_ttl: Duration::from_secs(12 * 3600),
            signing_key_file: String::new(),
            verified_token_cache: 10_000,
            open_registration: Toggle::Auto,
        }
    }
}
