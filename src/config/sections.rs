//! The typed configuration: the sections of nsys, one file a section, beside those of the service.

mod diagnose;
mod docker;
mod external;
mod kubernetes;
mod loadtest;
mod stack;
mod tune;
mod watch;

pub use diagnose::DiagnoseSection;
pub use docker::DockerSection;
pub use external::ExternalSection;
pub use kubernetes::KubernetesSection;
pub use loadtest::LoadtestSection;
pub use stack::{RUNTIMES, StackSection};
pub use tune::TuneSection;
use watch::WatchSection;

use super::metrics::Metrics;
use super::variables::variable;
use crate::domain::diagnosis::DiagnosisBounds;
use crate::domain::objectives::Objectives;
use crate::error::{Error, Result};
use nsys_contract::config as service;
use serde::{Deserialize, Serialize};

/// Every section of `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where and how the stack runs.
    pub stack: StackSection,
    /// Containers.
    pub docker: DockerSection,
    /// Addresses of a stack that runs elsewhere.
    pub external: ExternalSection,
    /// A cluster.
    pub kubernetes: KubernetesSection,
    /// Which series in Prometheus are the stack's.
    pub metrics: Metrics,
    /// Load tests.
    pub loadtest: LoadtestSection,
    /// The objectives a level is judged by.
    pub objectives: Objectives,
    /// Changes.
    pub tune: TuneSection,
    /// The dashboard.
    pub watch: WatchSection,
    /// Bounds of the diagnosis beside the objectives.
    pub diagnose: DiagnoseSection,
    /// The service's HTTP side.
    pub service: service::Service,
    /// Tokens and passwords.
    pub auth: service::Auth,
    /// PostgreSQL.
    pub db: service::Db,
    /// Kafka.
    pub kafka: service::Kafka,
    /// Redis and the in-process level.
    pub cache: service::Cache,
    /// The worker role.
    pub worker: service::Worker,
    /// Delivery channels.
    pub channels: service::Channels,
    /// Receivers of webhooks that tenants register.
    pub endpoints: service::Endpoints,
    /// Rate limits and load shedding.
    pub limits: service::Limits,
    /// How long rows are kept.
    pub retention: service::Retention,
    /// Logs and traces.
    pub telemetry: service::Telemetry,
}

impl Config {
    /// What no single value can show to be wrong.
    ///
    /// # Errors
    /// When values contradict each other; the message names the key.
    pub fn check(&self) -> Result<()> {
        let name = &self.stack.name;
        if name.is_empty()
            || name.len() > 32
            || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            return Err(Error::usage(format!(
                "stack.name = {name:?}: 1 to 32 letters, digits and dashes are expected"
            )));
        }
        if self.stack.port_offset > 50_000 || (1..100).contains(&self.stack.port_offset) {
            let offset = self.stack.port_offset;
            return Err(Error::usage(format!("stack.port_offset = {offset}: 0 or 100 to 50000 is expected")));
        }
        let runtime = self.stack.runtime.as_str();
        if !RUNTIMES.contains(&runtime) {
            return Err(Error::usage(format!(
                "stack.runtime = {runtime:?}: one of {} is expected",
                RUNTIMES.join(", ")
            )));
        }
        if !(1..=64).contains(&self.stack.app) || !(1..=64).contains(&self.stack.worker) {
            return Err(Error::usage("stack.app and stack.worker must be between 1 and 64"));
        }
        if self.worker.nice > 19 {
            return Err(Error::usage("worker.nice must be between 0 and 19"));
        }
        let most = nsys_contract::config::Limits::MOST_PAYLOAD_BYTES;
        if !(1..=most).contains(&self.limits.max_payload_bytes) {
            return Err(Error::usage(format!("limits.max_payload_bytes must be between 1 and {most}")));
        }
        let load = &self.loadtest;
        let shares = [load.mix_create, load.mix_get, load.mix_list, load.mix_correlation];
        let sum: f64 = shares.iter().sum();
        if (sum - 1.0).abs() > 1e-6 || shares.iter().any(|share| *share < 0.0) {
            return Err(Error::usage(format!("the shares loadtest.mix_* add up to {sum}, not to 1")));
        }
        if !(0.0..=0.9).contains(&load.warmup_share) {
            return Err(Error::usage("loadtest.warmup_share must be between 0 and 0.9"));
        }
        load.check()?;
        self.metrics.selector()?;
        Ok(())
    }

    /// Whether a companion that runs elsewhere can be found, where the configuration says that it does.
    ///
    /// # Errors
    /// As [`Self::check_addresses`].
    pub fn check_external(&self) -> Result<()> {
        if self.stack.runtime == "external" { self.check_addresses() } else { Ok(()) }
    }

    /// Whether a stack that runs elsewhere can be found.
    ///
    /// # Errors
    /// When an address is missing; the message names the key.
    pub fn check_addresses(&self) -> Result<()> {
        Self::must_be_given(&[("external.api_url", &self.external.api_url)])?;
        self.check_parts()
    }

    /// Whether the parts that the service stands on can be found, where nsys does not run them.
    ///
    /// # Errors
    /// As [`Self::check_addresses`].
    pub fn check_parts(&self) -> Result<()> {
        let parts = [
            ("db.url", &self.db.url),
            ("kafka.brokers", &self.kafka.brokers),
            ("cache.url", &self.cache.url),
        ];
        Self::must_be_given(&parts)
    }

    fn must_be_given(addresses: &[(&str, &String)]) -> Result<()> {
        match addresses.iter().find(|(_, address)| address.is_empty()) {
            Some((key, _)) => {
                Err(Error::usage(format!("{key} is empty; a stack that runs elsewhere needs it"))
                    .hint(format!("set it in config.toml or as {}", variable(key))))
            }
            None => Ok(()),
        }
    }

    /// The bounds of the diagnosis by name: the keys of `[diagnose]` and `[objectives]`.
    #[must_use]
    pub fn bounds(&self) -> DiagnosisBounds {
        let tables = [toml::Table::try_from(&self.diagnose), toml::Table::try_from(self.objectives)];
        let values = tables.into_iter().flatten().flatten();
        DiagnosisBounds::new(
            values.filter_map(|(key, value)| Some((key, value.as_float()?))).collect(),
            self.diagnose.warn_share,
        )
    }

    /// The sections the service reads.
    #[must_use]
    pub fn service_config(&self) -> service::ServiceConfig {
        service::ServiceConfig {
            service: self.service.clone(),
            auth: self.auth.clone(),
            db: self.db.clone(),
            kafka: self.kafka.clone(),
            cache: self.cache.clone(),
            worker: self.worker.clone(),
            channels: self.channels.clone(),
            endpoints: self.endpoints.clone(),
            limits: self.limits.clone(),
            retention: self.retention.clone(),
            telemetry: self.telemetry.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_holds_every_key_and_the_defaults_of_the_service() {
        let config: Config = toml::from_str(super::super::DEFAULTS).unwrap();
        assert_eq!(config.service_config(), service::ServiceConfig::default());
        let keys = |text: &str| text.parse::<toml::Table>().unwrap();
        let written = keys(super::super::DEFAULTS);
        let whole = toml::Table::try_from(&config).unwrap();
        for (section, values) in &whole {
            for key in values.as_table().unwrap().keys() {
                assert!(written[section].get(key).is_some(), "config.toml lacks {section}.{key}");
            }
        }
        config.check().unwrap();
    }
}
