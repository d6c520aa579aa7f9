//! The stack: where it runs, where its files are, its parts, how they come up, and who keeps them alive.

pub mod account;
pub mod capacity;
pub mod control;
mod described;
pub mod doctor;
pub mod endpoints;
pub mod health;
mod identity;
pub mod index_ages;
pub mod layout;
pub mod log;
pub mod parts;
pub mod prepare;
pub mod ready;
pub mod replica;
pub mod reserve;
pub mod restart;
pub mod runtime;
pub mod safety;
mod scope;
pub mod setup;
pub mod spec;
pub mod supervisor;
pub mod up;
pub mod whereabouts;

pub use described::Credentials;
pub use endpoints::Endpoints;
pub use layout::Layout;
pub use runtime::{Runtime, WantedParts};

use crate::clients::access;
use crate::clients::postgres::Postgres;
use crate::config::Loaded;
use crate::domain::promql::Scope;
use crate::error::{Context, Result};
use nsys_contract::config::ServiceConfig;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;

/// Longest wait for a connection to PostgreSQL.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What every command about the stack needs.
#[derive(Clone, Debug)]
pub struct Stack {
    /// The configuration.
    pub loaded: Loaded,
    /// Where it runs.
    pub runtime: Runtime,
    /// Where the files are.
    pub layout: Layout,
    /// Where the parts listen.
    pub endpoints: Endpoints,
    /// Which series are its own, once that is known.
    scope: Arc<OnceCell<Scope>>,
    /// Connections that are kept.
    reserve: reserve::ConnectionReserve,
}

impl Stack {
    /// The stack that the configuration describes. Runtime `auto` means the one that the last `up`
    /// chose.
    #[must_use]
    pub fn new(loaded: Loaded) -> Self {
        let layout = Layout::new(&loaded.state_dir, &loaded.config.stack.name);
        let runtime = Runtime::of(&loaded.config.stack.runtime, &layout);
        Self::on(runtime, loaded)
    }

    /// The same, on this runtime.
    #[must_use]
    pub fn on(runtime: Runtime, loaded: Loaded) -> Self {
        let layout = Layout::new(&loaded.state_dir, &loaded.config.stack.name);
        let endpoints = Endpoints::new(runtime, &loaded.config);
        let reserve = reserve::ConnectionReserve::default();
        Self { loaded, runtime, layout, endpoints, scope: Arc::default(), reserve }
    }

    /// Learns what it takes to talk to a stack that nsys did not start: the access to one that runs
    /// elsewhere, the password of containers that were started by hand.
    ///
    /// # Errors
    /// When the authority's file cannot be read.
    pub async fn attach(&self) -> Result<()> {
        match self.runtime {
            Runtime::External | Runtime::Kubernetes => self.give_access(),
            // Without an engine there is nothing to learn, and the command itself says so.
            Runtime::Docker => runtime::docker::adopt_password(self).await.or(Ok(())),
            Runtime::Local => Ok(()),
        }
    }

    fn give_access(&self) -> Result<()> {
        let external = &self.loaded.config.external;
        let path = self.loaded.base_dir.join(&external.ca_file);
        let authority = (!external.ca_file.is_empty()).then(|| std::fs::read(&path)).transpose();
        let authority =
            authority.with_context(|| format!("cannot read external.ca_file {}", path.display()))?;
        let token = external.prometheus_token.clone();
        let prometheus = (!token.is_empty()).then(|| (self.endpoints.prometheus_url(), token));
        access::give(access::ExternalAccess { authority, prometheus });
        Ok(())
    }

    /// Base address of Jaeger; absent when the stack has none.
    ///
    /// # Errors
    /// When whoever runs the parts does not answer.
    pub async fn jaeger_url(&self) -> Result<Option<String>> {
        let url = self.endpoints.jaeger_url();
        let there = if self.runtime.is_elsewhere() {
            !url.is_empty()
        } else {
            self.records().await?.iter().any(|record| record.name == "jaeger")
        };
        Ok(there.then_some(url))
    }

    /// Address of the service's database, with its password.
    ///
    /// # Errors
    /// When the generated password cannot be read or made.
    pub fn database_url(&self) -> Result<String> {
        let password =
            if self.runtime.is_elsewhere() { String::new() } else { self.layout.secret("postgres")? };
        Ok(self.endpoints.postgres_url(&password, "notifications"))
    }

    /// What the service is configured with: what the configuration leaves to the place where the stack runs is
    /// decided.
    #[must_use]
    pub fn service_config(&self) -> ServiceConfig {
        let mut config = self.loaded.config.service_config();
        let (registration, diagnostics) =
            (&mut config.auth.open_registration, &mut config.service.public_diagnostics);
        // Nobody but this machine reaches a local stack; of containers, their ports.
        if self.runtime == Runtime::Local {
            *registration = registration.or(true);
        }
        if !self.runtime.is_elsewhere() {
            *diagnostics = diagnostics.or(true);
        }
        config
    }

    /// A connection to the service's database.
    ///
    /// # Errors
    /// When PostgreSQL does not answer.
    pub async fn postgres(&self) -> Result<Postgres> {
        let url = self.database_url()?;
        Postgres::connect(&url, CONNECT_TIMEOUT).await.map_err(|error| error.hint("nsys health"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nsys_contract::config::Toggle;

    #[test]
    fn what_is_left_to_the_place_is_decided_by_where_the_stack_runs() {
        let dir = tempfile::tempdir().unwrap();
        let on = |runtime, value: Option<&str>| {
            let names = ["NSYS_AUTH__OPEN_REGISTRATION", "NSYS_SERVICE__PUBLIC_DIAGNOSTICS"];
            let set = names.into_iter().filter_map(|name| Some((name.to_owned(), value?.to_owned())));
            let file = dir.path().join("config.toml");
            std::fs::write(&file, "").unwrap();
            let loaded = Loaded::load(Some(&file), Some(dir.path()), set).unwrap();
            let config = Stack::on(runtime, loaded).service_config();
            (config.auth.open_registration, config.service.public_diagnostics)
        };
        assert_eq!(on(Runtime::Local, None), (Toggle::On, Toggle::On));
        assert_eq!(on(Runtime::Docker, None), (Toggle::Auto, Toggle::On));
        for runtime in [Runtime::Kubernetes, Runtime::External] {
            assert_eq!(on(runtime, None), (Toggle::Auto, Toggle::Auto));
        }
        for runtime in Runtime::ALL {
            assert_eq!(on(runtime, Some("false")), (Toggle::Off, Toggle::Off));
        }
    }
}
