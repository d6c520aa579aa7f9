//! `[service]`: the HTTP side of the service.

use super::Toggle;
use jiff::fmt::serde::unsigned_duration::friendly::compact::required as span;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `[service]`: the HTTP side of the service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Service {
    /// Async threads per process; 0 means one per core.
    pub threads: usize,
    /// Maximum request body, in bytes.
    pub max_body_bytes: usize,
    /// Whether `/metrics`, `/docs`, `/openapi.json`, `/health/worker` and `/health/database` are served where the API
    /// is, without a credential; the metrics port always serves them. `"auto"`: in a stack that nsys runs on this
    /// machine, and nowhere else.
    pub public_diagnostics: Toggle,
    /// Maximum duration of one request.
    #[serde(with = "span")]
    pub request_timeout: Duration,
    /// Maximum duration of a graceful stop before the process exits anyway.
    #[serde(with = "span")]
    pub shutdown_timeout: Duration,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            threads: 0,
            max_body_bytes: 1 << 20,
            public_diagnostics: Toggle::Auto,
            request_timeout: Duration::from_secs(10),
            shutdown_timeout: Duration::from_secs(20),
        }
    }
}
