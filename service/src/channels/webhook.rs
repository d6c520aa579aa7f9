//! Webhooks: to the URL that a notification names, to an endpoint, or to every endpoint that takes its event.

use super::endpoints::Endpoints;
use super::headers;
use super::http::{Call, HeaderName, HeaderValue, Http, Method, Url};
use super::signature::{body, data, signatures, signed};
use super::vault::EndpointVault;
use super::{DeliveryOutcome, text};
use crate::db::{Db, EndpointAttempt};
use crate::domain::endpoint::{self, WebhookTarget};
use nsys_contract::config::ServiceConfig;
use nsys_contract::event::Envelope;
use serde_json::Value;
use tokio::sync::mpsc;

/// Everything needed to call receivers.
pub(crate) struct Webhooks {
    http: Http,
    vault: EndpointVault,
    endpoints: Endpoints,
    /// Whether the service's own secret signs as well, as it did before tenants had their own.
    shared_signature: bool,
}

impl Webhooks {
    pub(super) fn open(config: &ServiceConfig) -> anyhow::Result<Self> {
        let (settings, vault) = (&config.channels, EndpointVault::open(config)?);
        if !vault.service().is_shared {
            tracing::warn!(
                "Webhooks are signed with secrets that only this process has: set channels.webhook_secret."
            );
        }
        Ok(Self {
            http: Http::guarded(settings.timeout, vault.guard())?,
            endpoints: Endpoints::default(),
            shared_signature: settings.webhook_shared_signature,
            vault,
        })
    }

    /// The attempts at endpoints, for whoever logs them.
    pub(super) fn take_attempts(&self) -> Option<mpsc::Receiver<EndpointAttempt>> {
        self.endpoints.take_attempts()
    }

    pub(super) async fn deliver(&self, db: &Db, envelope: &Envelope) -> DeliveryOutcome {
        match endpoint::target(&envelope.payload) {
            Ok(WebhookTarget::Url(url)) => match self.call(envelope, url, crate::clock::now().as_second()) {
                Ok(call) => self.http.send(call).await,
                Err(refused) => DeliveryOutcome::Refused(refused),
            },
            Ok(WebhookTarget::Endpoint(id)) => {
                self.endpoints.deliver(db, &self.http, &self.vault, envelope, id).await
            }
            Ok(WebhookTarget::Event(event)) => self.endpoints.fan_out(db, envelope, event).await,
            Err(refused) => DeliveryOutcome::Refused(refused),
        }
    }

    fn call(&self, envelope: &Envelope, url: &str, now_s: i64) -> Result<Call, String> {
        let payload = &envelope.payload;
        let url: Url = url.parse().map_err(|cause| format!("the URL is none: {cause}"))?;
        let method = match text(payload, &["method"]).unwrap_or("POST").to_ascii_uppercase().as_str() {
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            "PATCH" => Method::PATCH,
            other => return Err(format!("method {other:?}: a webhook is a POST, PUT or PATCH")),
        };
        let kind = format!("notification.{}", envelope.kind.as_str().to_ascii_lowercase());
        let at = jiff::Timestamp::from_second(now_s).map(|at| at.to_string()).unwrap_or_default();
        let body = body(&kind, &at, data(payload, &["url", "method", "headers"]));
        let service = self.vault.service();
        let mut secrets = vec![service.signs_for(envelope.tenant_id.as_deref())];
        secrets.extend(self.shared_signature.then(|| service.itself()));
        let id = envelope.id.to_string();
        let mut headers = own_headers(payload)?;
        headers.extend(signed(&id, now_s, &signatures(secrets.iter(), &id, now_s, &body))?);
        Ok(Call { method, url, headers, body: body.into_bytes() })
    }
}

/// What a breaker is kept for: host and port, or the endpoint.
pub(super) fn destination(envelope: &Envelope) -> Option<String> {
    match endpoint::target(&envelope.payload).ok()? {
        WebhookTarget::Url(url) => {
            let url: Url = url.parse().ok()?;
            Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
        }
        // Another tenant's notification that names it never gets there, and tells nothing of it.
        WebhookTarget::Endpoint(id) => {
            Some(format!("endpoint {id} of {}", envelope.tenant_id.as_deref().unwrap_or("no tenant")))
        }
        WebhookTarget::Event(_) => None,
    }
}

fn own_headers(payload: &Value) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let Some(given) = payload.get("headers").and_then(Value::as_object) else { return Ok(Vec::new()) };
    let texts = given.iter().map(|(name, value)| {
        let value = value.as_str().ok_or_else(|| format!("header {name} must be text"))?;
        Ok((name.as_str(), value))
    });
    headers::parsed(texts.collect::<Result<Vec<_>, String>>()?.into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::tests_support::envelope;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use ring::hmac;
    use serde_json::json;

    const SECRET: [u8; 24] = [7; 24];

    fn webhooks(shared_signature: bool) -> Webhooks {
        let mut config = ServiceConfig::default();
        config.channels.webhook_secret = format!("whsec_{}", STANDARD.encode(SECRET));
        config.channels.webhook_shared_signature = shared_signature;
        Webhooks::open(&config).unwrap()
    }

    fn call_of(webhooks: &Webhooks, tenant: Option<&str>, payload: Value) -> Result<Call, String> {
        let mut envelope = envelope("WEBHOOK", payload);
        envelope.tenant_id = tenant.map(str::to_owned);
        webhooks.call(&envelope, "https://example.com/h", 1_700_000_000)
    }

    fn header<'c>(call: &'c Call, name: &str) -> &'c str {
        call.headers.iter().find(|(known, _)| known.as_str() == name).unwrap().1.to_str().unwrap()
    }

    /// Whether one of the signatures of a request was made with a secret, as a receiver finds out.
    fn verifies(call: &Call, secret: &[u8]) -> bool {
        let body = std::str::from_utf8(&call.body).unwrap();
        let signed = format!("{}.{}.{body}", header(call, "webhook-id"), header(call, "webhook-timestamp"));
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        header(call, "webhook-signature").split(' ').any(|one| {
            let tag = STANDARD.decode(one.strip_prefix("v1,").unwrap()).unwrap();
            hmac::verify(&key, signed.as_bytes(), &tag).is_ok()
        })
    }

    fn secret_of(webhooks: &Webhooks, tenant: Option<&str>) -> Vec<u8> {
        let shown = webhooks.vault.tenant_secret(tenant).unwrap();
        STANDARD.decode(shown.strip_prefix("whsec_").unwrap()).unwrap()
    }

    #[test]
    fn a_tenants_secret_verifies_its_own_webhooks_and_no_others() {
        let webhooks = webhooks(false);
        let call = call_of(&webhooks, Some("a"), json!({"payload": {"a": 1}})).unwrap();
        assert!(verifies(&call, &secret_of(&webhooks, Some("a"))));
        for tenant in [Some("b"), None] {
            assert!(!verifies(&call, &secret_of(&webhooks, tenant)), "{tenant:?} could have made it");
        }
        assert!(!verifies(&call, &SECRET), "the service's own secret is nobody's");
        let body: Value = serde_json::from_slice(&call.body).unwrap();
        assert_eq!(body["data"], json!({"a": 1}));
        assert_eq!(body["type"], "notification.system");
    }

    #[test]
    fn the_shared_secret_signs_as_well_where_it_is_asked_for() {
        let webhooks = webhooks(true);
        let call = call_of(&webhooks, Some("a"), json!({})).unwrap();
        assert!(verifies(&call, &SECRET) && verifies(&call, &secret_of(&webhooks, Some("a"))));
    }

    #[test]
    fn callers_cannot_set_our_headers() {
        for name in ["Webhook-Signature", "host", "Content-Length"] {
            assert!(call_of(&webhooks(false), None, json!({"headers": {name: "x"}})).is_err(), "{name}");
        }
        assert!(call_of(&webhooks(false), None, json!({"headers": {"X-Own": 5}})).is_err());
    }

    #[test]
    fn the_destination_is_host_and_port() {
        let of = |url: &str| destination(&envelope("WEBHOOK", json!({"url": url})));
        assert_eq!(of("https://Example.com/a?b"), Some("example.com:443".into()));
        assert_eq!(of("http://example.com:8080/"), Some("example.com:8080".into()));
        assert_eq!(of("nonsense"), None);
    }

    #[test]
    fn an_endpoint_is_a_destination_of_its_own_in_each_tenant() {
        let id = uuid::Uuid::from_u128(7);
        let mut one = envelope("WEBHOOK", json!({"endpointId": id, "eventType": "e"}));
        let none = destination(&one).unwrap();
        one.tenant_id = Some("a".to_owned());
        assert_eq!(destination(&one).unwrap(), format!("endpoint {id} of a"));
        assert_ne!(destination(&one).unwrap(), none);
        assert_eq!(destination(&envelope("WEBHOOK", json!({"eventType": "e"}))), None);
    }
}
