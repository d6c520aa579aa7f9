//! Webhooks, signed after the Standard Webhooks convention (standardwebhooks.com).

use super::guard::Guard;
use super::http::{Call, HeaderName, HeaderValue, Http, Method, Url};
use super::{DeliveryOutcome, text};
use crate::secret;
use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nsys_contract::config::Channels as Settings;
use nsys_contract::event::Envelope;
use ring::hmac;
use serde_json::{Value, json};
use std::path::Path;
use uuid::Uuid;

const SECRET_PREFIX: &str = "whsec_";
/// Most headers a caller may add.
const MAX_HEADERS: usize = 20;
/// Headers that are ours, or the connection's.
const RESERVED: [&str; 12] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "proxy-authorization",
    "proxy-connection",
];

/// Everything needed to call receivers.
pub(crate) struct Webhooks {
    http: Http,
    key: hmac::Key,
}

impl Webhooks {
    /// Without a configured secret one is made and kept beside the signing key of tokens, so that
    /// every replica signs with the same.
    pub(super) fn open(settings: &Settings, signing_key_file: &str) -> anyhow::Result<Self> {
        let secret = match (settings.webhook_secret.as_str(), Path::new(signing_key_file).parent()) {
            ("", Some(dir)) if !signing_key_file.is_empty() => {
                secret::read_or_create(&dir.join("webhook-secret"), generate)?
            }
            ("", _) => {
                tracing::warn!(
                    "Webhooks are signed with a secret that only this process has: set channels.webhook_secret."
                );
                generate()?
            }
            (configured, _) => configured.to_owned(),
        };
        let http = Http::guarded(settings.timeout, Guard::new(&settings.webhook_allow))?;
        Ok(Self { http, key: key(&secret)? })
    }

    pub(super) async fn deliver(&self, envelope: &Envelope) -> DeliveryOutcome {
        match self.call(envelope, crate::clock::now().as_second()) {
            Ok(call) => self.http.send(call).await,
            Err(refused) => DeliveryOutcome::Refused(refused),
        }
    }

    fn call(&self, envelope: &Envelope, now_s: i64) -> Result<Call, String> {
        let payload = &envelope.payload;
        let url = text(payload, &["url"]).ok_or("a webhook needs a URL")?;
        let url: Url = url.parse().map_err(|cause| format!("the URL is none: {cause}"))?;
        let method = match text(payload, &["method"]).unwrap_or("POST").to_ascii_uppercase().as_str() {
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            "PATCH" => Method::PATCH,
            other => return Err(format!("method {other:?}: a webhook is a POST, PUT or PATCH")),
        };
        let mut headers = own_headers(payload)?;
        let body = body(envelope, now_s);
        let signed = [
            ("content-type", "application/json".to_owned()),
            ("webhook-id", envelope.id.to_string()),
            ("webhook-timestamp", now_s.to_string()),
            ("webhook-signature", sign(&self.key, envelope.id, now_s, &body)),
        ];
        for (name, value) in signed {
            let value = value.parse().map_err(|_| format!("{name} cannot stand in a header"))?;
            headers.push((HeaderName::from_static(name), value));
        }
        Ok(Call { method, url, headers, body: body.into_bytes() })
    }
}

/// What a breaker is kept for: host and port.
pub(super) fn destination(payload: &Value) -> Option<String> {
    let url: Url = text(payload, &["url"])?.parse().ok()?;
    Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
}

/// `type`, `timestamp` and `data`, as the convention has it; `data` is the caller's `payload`.
fn body(envelope: &Envelope, now_s: i64) -> String {
    let data = match envelope.payload.get("payload") {
        Some(data) => data.clone(),
        None => {
            let mut rest = envelope.payload.clone();
            for name in ["url", "method", "headers"] {
                rest.as_object_mut().map(|fields| fields.remove(name));
            }
            rest
        }
    };
    let kind = format!("notification.{}", envelope.kind.as_str().to_ascii_lowercase());
    let at = jiff::Timestamp::from_second(now_s).map(|at| at.to_string()).unwrap_or_default();
    json!({"type": kind, "timestamp": at, "data": data}).to_string()
}

fn own_headers(payload: &Value) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let Some(given) = payload.get("headers").and_then(Value::as_object) else { return Ok(Vec::new()) };
    if given.len() > MAX_HEADERS {
        return Err(format!("a webhook may have at most {MAX_HEADERS} headers of its own"));
    }
    let read = |(name, value): (&String, &Value)| {
        let lower = name.to_ascii_lowercase();
        if RESERVED.contains(&lower.as_str()) || lower.starts_with("webhook-") {
            return Err(format!("header {name} is set by the service"));
        }
        let value = value.as_str().ok_or_else(|| format!("header {name} must be text"))?;
        let value = value.parse().map_err(|_| format!("header {name} holds what no header may"))?;
        Ok((lower.parse().map_err(|_| format!("{name:?} is no name of a header"))?, value))
    };
    given.iter().map(read).collect()
}

fn generate() -> anyhow::Result<String> {
    Ok(format!("{SECRET_PREFIX}{}", STANDARD.encode(secret::random::<32>()?)))
}

fn key(secret: &str) -> anyhow::Result<hmac::Key> {
    let encoded = secret
        .trim()
        .strip_prefix(SECRET_PREFIX)
        .context("channels.webhook_secret must begin with whsec_")?;
    let bytes = STANDARD.decode(encoded).context("channels.webhook_secret is not Base64 after whsec_")?;
    anyhow::ensure!(bytes.len() >= 24, "channels.webhook_secret must have at least 24 bytes");
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

/// `v1,` and the Base64 of HMAC-SHA256 over `id.timestamp.body`.
fn sign(key: &hmac::Key, id: Uuid, now_s: i64, body: &str) -> String {
    let tag = hmac::sign(key, format!("{id}.{now_s}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(tag.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::tests_support::envelope;

    fn webhooks() -> Webhooks {
        let secret = format!("{SECRET_PREFIX}{}", STANDARD.encode([7; 24]));
        Webhooks::open(&Settings { webhook_secret: secret, ..Settings::default() }, "").unwrap()
    }

    #[test]
    fn the_signature_is_over_id_timestamp_and_body() {
        let call = webhooks()
            .call(
                &envelope("WEBHOOK", json!({"url": "https://example.com/h", "payload": {"a": 1}})),
                1_700_000_000,
            )
            .unwrap();
        let header = |name: &str| {
            let found = call.headers.iter().find(|(known, _)| known.as_str() == name);
            found.unwrap().1.to_str().unwrap().to_owned()
        };
        let signed = format!(
            "{}.{}.{}",
            header("webhook-id"),
            header("webhook-timestamp"),
            std::str::from_utf8(&call.body).unwrap()
        );
        let tag = STANDARD.decode(header("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &[7; 24]), signed.as_bytes(), &tag).unwrap();
        let body: Value = serde_json::from_slice(&call.body).unwrap();
        assert_eq!(body["data"], json!({"a": 1}));
        assert_eq!(body["type"], "notification.system");
    }

    #[test]
    fn callers_cannot_set_our_headers() {
        for name in ["Webhook-Signature", "host", "Content-Length"] {
            let payload = json!({"url": "https://example.com/", "headers": {name: "x"}});
            assert!(webhooks().call(&envelope("WEBHOOK", payload), 0).is_err(), "{name}");
        }
        let payload = json!({"url": "https://example.com/", "headers": {"X-Own": "a\r\nHost: b"}});
        assert!(webhooks().call(&envelope("WEBHOOK", payload), 0).is_err());
    }

    #[test]
    fn a_short_or_unmarked_secret_is_refused() {
        assert!(key("whsec_c2hvcnQ=").is_err());
        assert!(key("plain").is_err());
    }

    #[test]
    fn the_destination_is_host_and_port() {
        let of = |url: &str| destination(&json!({"url": url}));
        assert_eq!(of("https://Example.com/a?b"), Some("example.com:443".into()));
        assert_eq!(of("http://example.com:8080/"), Some("example.com:8080".into()));
        assert_eq!(of("nonsense"), None);
    }
}
