//! The service's configuration: the sections of `config.toml` that the service reads, one file a section.
//!
//! Durations are written with their unit (`"5ms"`, `"30s"`, `"5m"`). Every key has a default, so an
//! empty file is a valid configuration. Addresses are filled in by whoever starts the service.

mod auth;
mod cache;
mod channels;
mod db;
mod endpoints;
mod kafka;
mod limits;
mod retention;
mod service;
mod telemetry;
mod toggle;
mod worker;

pub use auth::Auth;
pub use cache::Cache;
pub use channels::{Channels, Wait};
pub use db::Db;
pub use endpoints::Endpoints;
pub use kafka::{Compression, Kafka};
pub use limits::Limits;
pub use retention::Retention;
pub use service::Service;
pub use telemetry::Telemetry;
pub use toggle::Toggle;
pub use worker::Worker;

use serde::{Deserialize, Serialize};

/// Everything the service needs to run in any role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceConfig {
    /// HTTP side.
    pub service: Service,
    /// Tokens and passwords.
    pub auth: Auth,
    /// PostgreSQL.
    pub db: Db,
    /// Kafka.
    pub kafka: Kafka,
    /// Redis and the in-process level before it.
    pub cache: Cache,
    /// The worker role.
    pub worker: Worker,
    /// Delivery channels.
    pub channels: Channels,
    /// Receivers of webhooks that tenants register.
    pub endpoints: Endpoints,
    /// Rate limits and load shedding.
    pub limits: Limits,
    /// How long rows are kept.
    pub retention: Retention,
    /// Logs and traces.
    pub telemetry: Telemetry,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(toml::from_str::<ServiceConfig>("").unwrap(), ServiceConfig::default());
    }

    #[test]
    fn the_default_survives_a_round_trip() {
        let text = toml::to_string(&ServiceConfig::default()).unwrap();
        assert_eq!(toml::from_str::<ServiceConfig>(&text).unwrap(), ServiceConfig::default());
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(toml::from_str::<ServiceConfig>("[kafka]\nlingr = \"1ms\"").is_err());
    }
}
