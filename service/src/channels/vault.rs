//! What the API and the worker both know of endpoints: how their secrets are kept, what may be registered.

use super::guard::Guard;
use super::headers;
use super::http::check_address;
use super::signature::{self, ServiceSecret};
use crate::domain::endpoint::{EndpointSecrets, MAX_HEADER};
use crate::secret::{Sealed, SealingKeys};
use anyhow::Context;
use nsys_contract::config::ServiceConfig;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Keeps the secrets of endpoints, and says what an endpoint may be.
pub(crate) struct EndpointVault {
    keys: SealingKeys,
    guard: Guard,
    service: ServiceSecret,
}

impl EndpointVault {
    /// # Errors
    /// When a key or a secret of the configuration is malformed.
    pub(crate) fn open(config: &ServiceConfig) -> anyhow::Result<Self> {
        let file = &config.auth.signing_key_file;
        Ok(Self {
            keys: SealingKeys::read(&config.endpoints.encryption_keys, file)?,
            guard: Guard::new(&config.channels.webhook_allow),
            service: ServiceSecret::read(&config.channels, file)?,
        })
    }

    /// What is wrong with an address, as far as it alone tells; names are looked up when they are called.
    pub(crate) fn check_url(&self, url: &str) -> Result<(), String> {
        check_address(url, &self.guard)
    }

    /// What is wrong with the headers of an endpoint.
    pub(crate) fn check_headers(headers: &BTreeMap<String, String>) -> Result<(), String> {
        if let Some((name, _)) = headers.iter().find(|(_, value)| value.len() > MAX_HEADER) {
            return Err(format!("header {name} must be at most {MAX_HEADER} bytes"));
        }
        let parsed = headers::parsed(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
        let names: BTreeSet<_> = parsed.iter().map(|(name, _)| name.as_str()).collect();
        if names.len() < parsed.len() {
            return Err("the name of a header does not come twice, in whatever case".to_owned());
        }
        Ok(())
    }

    /// A new secret of an endpoint.
    pub(crate) fn new_secret() -> anyhow::Result<String> {
        signature::generate()
    }

    /// The secret that signs for a tenant whose notifications name their URL; `None` when other replicas would
    /// have another one.
    pub(crate) fn tenant_secret(&self, tenant: Option<&str>) -> Option<String> {
        self.service.shown_of(tenant)
    }

    pub(super) const fn service(&self) -> &ServiceSecret {
        &self.service
    }

    pub(super) fn guard(&self) -> Guard {
        self.guard.clone()
    }

    /// The id of the key that encrypts.
    pub(crate) fn current_key(&self) -> Option<&str> {
        self.keys.current()
    }

    /// Encrypts the secrets of an endpoint, which an empty tenant stands for none of.
    pub(crate) fn seal(&self, tenant: &str, id: Uuid, secrets: &EndpointSecrets) -> anyhow::Result<Sealed> {
        self.keys.seal(&context(tenant, id), &serde_json::to_vec(secrets)?)
    }

    /// Decrypts them.
    pub(crate) fn unseal(&self, tenant: &str, id: Uuid, sealed: &Sealed) -> anyhow::Result<EndpointSecrets> {
        let plain = self.keys.unseal(&context(tenant, id), sealed)?;
        serde_json::from_slice(&plain).context("what was encrypted is not what belongs to an endpoint")
    }
}

/// Binds what is encrypted to its row: another row's does not open in its place.
fn context(tenant: &str, id: Uuid) -> String {
    format!("webhook endpoint {id} of {tenant}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_open_in_their_own_row_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = ServiceConfig::default();
        config.auth.signing_key_file = dir.path().join("key.pem").display().to_string();
        let vault = EndpointVault::open(&config).unwrap();
        let headers = BTreeMap::from([("Authorization".to_owned(), "Bearer sesame".to_owned())]);
        let secrets =
            EndpointSecrets { secret: EndpointVault::new_secret().unwrap(), previous: None, headers };
        let id = Uuid::from_u128(1);
        let sealed = vault.seal("t", id, &secrets).unwrap();
        assert!(!String::from_utf8_lossy(&sealed.bytes).contains("sesame"));
        assert!(vault.unseal("t", id, &sealed).unwrap() == secrets);
        assert!(vault.unseal("u", id, &sealed).is_err());
        assert!(vault.unseal("t", Uuid::from_u128(2), &sealed).is_err());
    }

    #[test]
    fn headers_are_bounded_and_come_once() {
        let check = |headers: &[(&str, &str)]| {
            let owned = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            EndpointVault::check_headers(&owned.collect())
        };
        check(&[("Authorization", "Bearer x"), ("X-Other", "")]).unwrap();
        assert!(check(&[("X-Own", "1"), ("x-own", "2")]).is_err());
        assert!(check(&[("X-Own", &"x".repeat(MAX_HEADER + 1))]).is_err());
        assert!(check(&[("Webhook-Id", "1")]).is_err());
    }

    #[test]
    fn an_address_inside_is_refused_where_it_is_registered() {
        let vault = EndpointVault::open(&ServiceConfig::default()).unwrap();
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "ftp://example.com/",
            "nonsense",
            "https://u:p@example.com/",
        ] {
            assert!(vault.check_url(url).is_err(), "{url}");
        }
        vault.check_url("https://example.com:8443/hooks?a=b").unwrap();
    }
}
