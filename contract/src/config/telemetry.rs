//! `[telemetry]`: logs and traces.

use serde::{Deserialize, Serialize};

/// `[telemetry]`: logs and traces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// Filter of log lines, for example `info` or `notification_service=debug,info`.
    pub log: String,
    /// Whether log lines are JSON objects.
    pub log_json: bool,
    /// OTLP/HTTP endpoint for traces; empty: tracing is off.
    pub otlp_url: String,
    /// Share of requests traced, 0 to 1.
    pub trace_sample: f64,
    /// Name of the service in traces.
    pub service_name: String,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            log: "info".into(),
            log_json: true,
            otlp_url: String::new(),
            trace_sample: 0.01,
            service_name: "notification-system".into(),
        }
    }
}
