//! The objects of the stack: those under `compose/k8s/base`, made this stack's. No I/O.

use crate::config::variable;
use crate::error::{Context, Error, Result};
use crate::stack::Stack;
use crate::stack::runtime::docker::service_environment;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The shipped objects, in the order they are applied.
const SHIPPED: [&str; 7] = [
    include_str!("../../../../compose/k8s/base/namespace.yaml"),
    include_str!("../../../../compose/k8s/base/account.yaml"),
    include_str!("../../../../compose/k8s/base/network.yaml"),
    include_str!("../../../../compose/k8s/base/settings.yaml"),
    include_str!("../../../../compose/k8s/base/prepare.yaml"),
    include_str!("../../../../compose/k8s/base/worker.yaml"),
    include_str!("../../../../compose/k8s/base/app.yaml"),
];

/// Name of the secret with the addresses of PostgreSQL, Redis and Kafka.
pub(super) const ADDRESSES: &str = "notification-addresses";
/// Name of the secret with the key that signs tokens.
pub(super) const SIGNING_KEY: &str = "notification-signing-key";

/// Every object, with this stack's namespace, images, settings and numbers.
pub(super) fn objects(stack: &Stack, app: u32, worker: u32) -> Result<Vec<Value>> {
    let config = &stack.loaded.config.kubernetes;
    let settings = settings(stack);
    let digest = digest(&settings);
    let mut objects = Vec::new();
    for text in SHIPPED {
        for document in text.split("\n---\n") {
            let mut object: Value =
                serde_saphyr::from_str(document).context("a shipped manifest cannot be read")?;
            put_namespace(&mut object, &config.namespace);
            match kind_and_name(&object) {
                ("ConfigMap", _) => merge(&mut object["data"], &settings),
                ("Job", _) => put_image(&mut object, &config.nsys_image),
                ("Deployment", role) => {
                    let is_worker = role == "worker";
                    put_image(&mut object, &config.service_image);
                    // Pods read their settings when they start: other settings, other pods.
                    object["spec"]["template"]["metadata"]["annotations"] = json!({"nsys/settings": digest});
                    if is_worker {
                        object["spec"]["replicas"] = json!(worker);
                    }
                }
                ("HorizontalPodAutoscaler", _) => {
                    let most = object["spec"]["maxReplicas"].as_u64().unwrap_or(0).max(u64::from(app));
                    object["spec"]["minReplicas"] = json!(app.max(1));
                    object["spec"]["maxReplicas"] = json!(most);
                }
                _ => {}
            }
            objects.push(object);
        }
    }
    Ok(objects)
}

pub(super) fn kind_and_name(object: &Value) -> (&str, &str) {
    (object["kind"].as_str().unwrap_or_default(), object["metadata"]["name"].as_str().unwrap_or_default())
}

fn put_namespace(object: &mut Value, namespace: &str) {
    if object["kind"] == "Namespace" {
        object["metadata"]["name"] = json!(namespace);
    } else {
        object["metadata"]["namespace"] = json!(namespace);
    }
}

fn put_image(object: &mut Value, image: &str) {
    object["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
}

fn merge(into: &mut Value, from: &[(String, String)]) {
    for (name, value) in from {
        into[name] = json!(value);
    }
}

/// What differs from the service's defaults and is no secret.
fn settings(stack: &Stack) -> Vec<(String, String)> {
    let all = service_environment(&stack.service_config());
    all.into_iter()
        .filter(|(key, _)| !crate::secret::is_secret(key))
        .map(|(key, value)| (variable(&key), value))
        .collect()
}

fn digest(settings: &[(String, String)]) -> String {
    let text: String = settings.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The secrets: addresses and whatever else is secret in the configuration, and a key made once.
pub(super) fn addresses(stack: &Stack) -> Result<Value> {
    stack.loaded.config.check_parts()?;
    let config = &stack.loaded.config;
    let mut data = vec![
        (variable("db.url"), config.db.url.clone()),
        (variable("cache.url"), config.cache.url.clone()),
        (variable("kafka.brokers"), config.kafka.brokers.clone()),
    ];
    let all = service_environment(&stack.service_config());
    data.extend(
        all.into_iter()
            .filter(|(key, _)| crate::secret::is_secret(key))
            .map(|(key, value)| (variable(&key), value)),
    );
    Ok(secret(stack, ADDRESSES, data))
}

/// A new Ed25519 key in PKCS#8.
pub(super) fn signing_key(stack: &Stack) -> Value {
    // The fixed head of an Ed25519 private key in PKCS#8, version 1, without attributes (RFC 8410).
    const HEAD: [u8; 16] =
        [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    let seed: [u8; 32] = rand::random();
    let body = STANDARD.encode([&HEAD[..], &seed[..]].concat());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    secret(stack, SIGNING_KEY, vec![("signing-key.pem".to_owned(), pem)])
}

fn secret(stack: &Stack, name: &str, data: Vec<(String, String)>) -> Value {
    let namespace = &stack.loaded.config.kubernetes.namespace;
    let data: serde_json::Map<String, Value> =
        data.into_iter().map(|(key, value)| (key, json!(STANDARD.encode(value)))).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/part-of": "notification-system"},
        },
        "type": "Opaque",
        "data": data,
    })
}

/// Refuses a namespace that Kubernetes would refuse.
pub(super) fn check_namespace(name: &str) -> Result<()> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty()
        || name.len() > 63
        || !name.bytes().all(fits)
        || name.starts_with('-')
        || name.ends_with('-')
    {
        return Err(Error::usage(format!(
            "kubernetes.namespace = {name:?}: lower case letters, digits and dashes are expected"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Loaded;
    use crate::stack::Runtime;

    fn stack(pairs: &[(&str, &str)]) -> Stack {
        let dir = std::env::temp_dir();
        let environment = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let file = dir.join("none-of-this-name");
        let loaded = Loaded::load(None, Some(&file), environment).unwrap();
        Stack::on(Runtime::Kubernetes, loaded)
    }

    fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
        objects
            .iter()
            .find(|object| kind_and_name(object) == (kind, name))
            .unwrap_or_else(|| panic!("no {kind} {name}"))
    }

    #[test]
    fn objects_carry_this_stacks_namespace_images_and_numbers() {
        let stack = stack(&[
            ("NSYS_KUBERNETES__NAMESPACE", "load"),
            ("NSYS_KUBERNETES__SERVICE_IMAGE", "registry/service:2"),
        ]);
        let objects = objects(&stack, 4, 6).unwrap();
        assert_eq!(find(&objects, "Namespace", "load")["metadata"]["namespace"], Value::Null);
        assert!(objects.iter().skip(1).all(|object| object["metadata"]["namespace"] == "load"));
        let worker = find(&objects, "Deployment", "worker");
        assert_eq!(worker["spec"]["replicas"], 6);
        assert_eq!(worker["spec"]["template"]["spec"]["containers"][0]["image"], "registry/service:2");
        assert_eq!(find(&objects, "Deployment", "app")["spec"]["replicas"], Value::Null);
        assert_eq!(find(&objects, "HorizontalPodAutoscaler", "app")["spec"]["minReplicas"], 4);
    }

    #[test]
    fn other_settings_make_other_pods_and_secrets_are_no_settings() {
        let annotation = |stack: &Stack| {
            let objects = objects(stack, 1, 1).unwrap();
            find(&objects, "Deployment", "app")["spec"]["template"]["metadata"]["annotations"]["nsys/settings"].clone()
        };
        let plain = stack(&[]);
        let tuned = stack(&[("NSYS_DB__POOL_SIZE", "20"), ("NSYS_CHANNELS__WEBHOOK_SECRET", "whsec_hidden")]);
        assert_ne!(annotation(&plain), annotation(&tuned));
        let objects = objects(&tuned, 1, 1).unwrap();
        assert_eq!(find(&objects, "ConfigMap", "notification-settings")["data"]["NSYS_DB__POOL_SIZE"], "20");
        assert!(!serde_json::to_string(&objects).unwrap().contains("whsec_hidden"));
    }

    #[test]
    fn addresses_that_are_missing_are_named() {
        let error = addresses(&stack(&[])).unwrap_err();
        assert!(error.message.starts_with("db.url is empty"), "{}", error.message);
        assert!(check_namespace("Load").is_err() && check_namespace("load-2").is_ok());
    }
}
