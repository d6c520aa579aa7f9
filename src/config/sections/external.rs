//! `[external]`: addresses of a stack that runs elsewhere, beside those of `[db]`, `[kafka]` and `[cache]`.

use serde::{Deserialize, Serialize};

/// The section as it is written in `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalSection {
    /// Base address of the API.
    pub api_url: String,
    /// Token of an administrator of the API. Secret.
    pub api_token: String,
    /// Base address of Prometheus.
    pub prometheus_url: String,
    /// Bearer token for Prometheus. Secret.
    pub prometheus_token: String,
    /// Base address of Jaeger.
    pub jaeger_url: String,
    /// File with a certificate authority (PEM) to trust beside the usual ones.
    pub ca_file: String,
}
