//! Messages after the Standard Webhooks convention (standardwebhooks.com), their signatures, and the secrets those
//! are made with.

use super::http::{HeaderName, HeaderValue};
use crate::secret::{self, key_file};
use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nsys_contract::config::Channels as Settings;
use ring::hmac;
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::path::Path;

const PREFIX: &str = "whsec_";
/// Fewest bytes of a secret.
const MIN_SECRET: usize = 24;
/// What the secret of a tenant is derived for.
const TENANT: &str = "webhook secret of a tenant";

/// A secret that signs.
#[derive(Clone)]
pub(super) struct SigningSecret(hmac::Key);

impl SigningSecret {
    /// A secret in its own notation: `whsec_` and Base64.
    ///
    /// # Errors
    /// When it is another one, or too short.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes(text)?)))
    }

    /// `v1,` and the Base64 of HMAC-SHA256 over `id.timestamp.body`.
    fn sign(&self, id: &str, now_s: i64, body: &str) -> String {
        let tag = hmac::sign(&self.0, format!("{id}.{now_s}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(tag.as_ref()))
    }
}

/// The signatures of a message by every one of these secrets, as one header.
pub(super) fn signatures<'s>(
    secrets: impl Iterator<Item = &'s SigningSecret>,
    id: &str,
    now_s: i64,
    body: &str,
) -> String {
    secrets.map(|secret| secret.sign(id, now_s, body)).collect::<Vec<_>>().join(" ")
}

/// `type`, `timestamp` and `data`, as the convention has it.
pub(super) fn body(kind: &str, at: &str, data: Value) -> String {
    json!({"type": kind, "timestamp": at, "data": data}).to_string()
}

/// What the receiver gets of a payload: its `payload`, else everything but what is about the way there.
pub(super) fn data(payload: &Value, way: &[&str]) -> Value {
    if let Some(data) = payload.get("payload") {
        return data.clone();
    }
    let mut rest = payload.clone();
    for name in way {
        rest.as_object_mut().map(|fields| fields.remove(*name));
    }
    rest
}

/// The headers of the convention, and that of the body's type.
pub(super) fn signed(
    id: &str,
    now_s: i64,
    signatures: &str,
) -> Result<impl Iterator<Item = (HeaderName, HeaderValue)>, String> {
    let all = [
        ("content-type", "application/json"),
        ("webhook-id", id),
        ("webhook-timestamp", &now_s.to_string()),
        ("webhook-signature", signatures),
    ];
    let header = |(name, value): (&'static str, &str)| {
        let value = value.parse().map_err(|_| format!("{name} cannot stand in a header"))?;
        Ok((HeaderName::from_static(name), value))
    };
    let headers = all.into_iter().map(header).collect::<Result<Vec<_>, String>>()?;
    Ok(headers.into_iter())
}

/// A new secret.
pub(crate) fn generate() -> anyhow::Result<String> {
    Ok(written(&secret::random::<32>()?))
}

fn written(bytes: &[u8]) -> String {
    format!("{PREFIX}{}", STANDARD.encode(bytes))
}

fn bytes(text: &str) -> anyhow::Result<Vec<u8>> {
    let encoded = text.trim().strip_prefix(PREFIX).context("a webhook secret begins with whsec_")?;
    let bytes = STANDARD.decode(encoded).context("a webhook secret is Base64 after whsec_")?;
    ensure!(bytes.len() >= MIN_SECRET, "a webhook secret has at least {MIN_SECRET} bytes");
    Ok(bytes)
}

/// Whether nothing can be written in a place, however often it is tried.
fn is_read_only(cause: &anyhow::Error) -> bool {
    let kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    matches!(kind, Some(ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied))
}

/// The secret of everybody who has a signing key.
fn derived(signing_key: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, signing_key);
    written(hmac::sign(&key, b"webhook secret").as_ref())
}

/// The secret of the service, from which each tenant's is derived: whoever verifies with its own tenant's can
/// sign for no other.
pub(crate) struct ServiceSecret {
    bytes: Vec<u8>,
    /// Whether every replica has the same.
    pub(super) is_shared: bool,
}

impl ServiceSecret {
    /// The configured one (`channels.webhook_secret`); else one in a file beside the signing key of tokens, made
    /// by the first replica; where nothing can be written there, one derived from that key.
    ///
    /// # Errors
    /// When it is malformed.
    pub(crate) fn read(settings: &Settings, signing_key_file: &str) -> anyhow::Result<Self> {
        let shared = |bytes| Self { bytes, is_shared: true };
        let file = Path::new(signing_key_file);
        match (settings.webhook_secret.as_str(), file.parent()) {
            ("", Some(dir)) if !signing_key_file.is_empty() => {
                let text = match secret::read_or_create(&dir.join("webhook-secret"), generate) {
                    Ok(text) => text,
                    // Replicas that cannot write there have been given the signing key: they all derive the same.
                    Err(cause) if is_read_only(&cause) => derived(&key_file::read_or_create(file)?),
                    Err(cause) => return Err(cause),
                };
                bytes(&text).map(shared)
            }
            ("", _) => Ok(Self { bytes: secret::random::<32>()?.to_vec(), is_shared: false }),
            (configured, _) => bytes(configured).context("channels.webhook_secret").map(shared),
        }
    }

    /// The secret of a tenant, in its notation; `None` when other replicas would have another one.
    pub(crate) fn shown_of(&self, tenant: Option<&str>) -> Option<String> {
        self.is_shared.then(|| written(&self.of_tenant(tenant)))
    }

    /// Derived, with what belongs to no tenant apart from every tenant.
    fn of_tenant(&self, tenant: Option<&str>) -> Vec<u8> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.bytes);
        let name = match tenant {
            Some(tenant) => format!("{TENANT}:{tenant}"),
            None => TENANT.to_owned(),
        };
        hmac::sign(&key, name.as_bytes()).as_ref().to_vec()
    }

    /// What signs for a tenant.
    pub(super) fn signs_for(&self, tenant: Option<&str>) -> SigningSecret {
        SigningSecret(hmac::Key::new(hmac::HMAC_SHA256, &self.of_tenant(tenant)))
    }

    /// What signed for everybody before tenants had secrets of their own.
    pub(super) fn itself(&self) -> SigningSecret {
        SigningSecret(hmac::Key::new(hmac::HMAC_SHA256, &self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_conventions_own_example() {
        let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn several_secrets_give_several_signatures() {
        let secrets =
            [generate().unwrap(), generate().unwrap()].map(|one| SigningSecret::parse(&one).unwrap());
        let both = signatures(secrets.iter(), "id", 1, "body");
        let each: Vec<_> = both.split(' ').collect();
        assert_eq!(each, [secrets[0].sign("id", 1, "body"), secrets[1].sign("id", 1, "body")]);
        assert_ne!(each[0], each[1]);
    }

    #[test]
    fn a_short_or_unmarked_secret_is_refused() {
        assert!(SigningSecret::parse("whsec_c2hvcnQ=").is_err());
        assert!(SigningSecret::parse("plain").is_err());
    }

    #[test]
    fn no_tenant_has_the_secret_of_another_nor_that_of_the_service() {
        let settings = Settings { webhook_secret: generate().unwrap(), ..Settings::default() };
        let service = ServiceSecret::read(&settings, "").unwrap();
        let all = [Some("a"), Some("b"), Some(""), None].map(|tenant| service.shown_of(tenant).unwrap());
        for (place, one) in all.iter().enumerate() {
            assert!(!all[..place].contains(one) && *one != settings.webhook_secret);
            SigningSecret::parse(one).unwrap();
        }
        let alone = ServiceSecret::read(&Settings::default(), "").unwrap();
        assert_eq!(alone.shown_of(Some("a")), None, "another replica has another");
    }

    #[test]
    fn where_nothing_can_be_written_every_replica_derives_the_same_from_the_key_it_has() {
        let failed = |kind: ErrorKind| anyhow::Error::from(std::io::Error::from(kind));
        assert!(is_read_only(&failed(ErrorKind::ReadOnlyFilesystem)));
        assert!(is_read_only(&failed(ErrorKind::PermissionDenied)));
        assert!(!is_read_only(&failed(ErrorKind::StorageFull)), "others may have written it");
        assert_eq!(derived(b"key"), derived(b"key"));
        assert_ne!(derived(b"key"), derived(b"another"));
        SigningSecret::parse(&derived(b"key")).unwrap();
    }

    #[test]
    fn what_is_about_the_way_there_is_not_data() {
        let payload = json!({"url": "https://a", "method": "PUT", "a": 1});
        assert_eq!(data(&payload, &["url", "method", "headers"]), json!({"a": 1}));
        assert_eq!(data(&json!({"eventType": "e", "payload": [1]}), &["eventType"]), json!([1]));
    }
}
