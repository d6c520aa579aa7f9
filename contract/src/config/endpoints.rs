//! `[endpoints]`: receivers of webhooks that tenants register.

use jiff::fmt::serde::unsigned_duration::friendly::compact::required as span;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `[endpoints]`: receivers of webhooks that tenants register.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Endpoints {
    /// Keys that encrypt secrets and headers at rest, `ID:BASE64` of at least 32 bytes, separated by commas: the
    /// first encrypts, all decrypt. Empty: a key derived from the signing key file. Secret.
    pub encryption_keys: String,
    /// Most endpoints of a tenant.
    pub max_per_tenant: u32,
    /// How long an old secret goes on signing after a rotation, when the request does not say.
    #[serde(with = "span")]
    pub secret_overlap: Duration,
    /// An endpoint that has failed for so long is disabled; `0s`: only one that answers 410 is.
    #[serde(with = "span")]
    pub disable_after: Duration,
    /// Attempts that are remembered for each endpoint.
    pub attempts_kept: u32,
    /// Attempts older than this are deleted.
    #[serde(with = "span")]
    pub attempts_retention: Duration,
}

impl Default for Endpoints {
    fn default() -> Self {
        Self {
            encryption_keys: String::new(),
            max_per_tenant: 100,
            secret_overlap: Duration::from_secs(86_400),
            disable_after: Duration::from_secs(5 * 86_400),
            attempts_kept: 1_000,
            attempts_retention: Duration::from_secs(7 * 86_400),
        }
    }
}
