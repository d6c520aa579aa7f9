//! Webhook endpoints: secrets of their own, rotation, the log of attempts, endpoints that are disabled.

use crate::client::{Client, TIMEOUT};
use crate::sink::{HttpSink, Received};
use crate::support::Place;
use serde_json::{Value, json};
use std::process::Command;
use std::time::{Duration, Instant};

/// How a receiver verifies a signature, written in another language and with another library.
const VERIFIER: &str = "
import base64, hashlib, hmac, sys
secret, ident, at, signatures, body = sys.argv[1:]
key = base64.b64decode(secret.removeprefix('whsec_'))
wanted = base64.b64encode(hmac.new(key, f'{ident}.{at}.{body}'.encode(), hashlib.sha256).digest()).decode()
sys.exit(0 if f'v1,{wanted}' in signatures.split(' ') else 1)
";

fn verifies(one: &Received, secret: &str) -> bool {
    let header = |name: &str| one.headers[name].as_str();
    let of_message = [header("webhook-id"), header("webhook-timestamp"), header("webhook-signature")];
    let mut python = Command::new("python3");
    python.args(["-c", VERIFIER, secret]).args(of_message).arg(&one.body);
    match python.status().expect("python3 runs").code() {
        Some(0) => true,
        Some(1) => false,
        code => panic!("the verifier ended with {code:?}"),
    }
}

/// Registers an endpoint; its id and its secret.
async fn register(client: &Client, tenant: &str, url: &str, more: Value) -> (String, String) {
    let mut body = json!({"url": url, "tenantId": tenant});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = client.post("/endpoints", &body).await.expect("the service answers");
    assert_eq!(answer.status, 201, "{answer:?}");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    (text(&answer.body["endpoint"]["id"]), text(&answer.body["secret"]))
}

/// A webhook of a tenant.
fn webhook(tenant: &str, payload: Value) -> Value {
    json!({"userId": "u", "tenantId": tenant, "channel": "WEBHOOK", "type": "ALERT", "payload": payload})
}

/// Waits until so many requests have come to a path.
async fn came(web: &HttpSink, path: &str, count: usize) -> Vec<Received> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let received = web.to(path);
        if received.len() >= count {
            return received;
        }
        assert!(Instant::now() < deadline, "{path}: {} of {count}", received.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// An endpoint as the API shows it.
async fn shown(client: &Client, id: &str, tenant: &str) -> Value {
    client.get(&format!("/endpoints/{id}?tenantId={tenant}")).await.expect("the service answers").body
}

/// Workers use an endpoint as it was for a second.
async fn let_changes_arrive() {
    tokio::time::sleep(Duration::from_millis(1_200)).await;
}

pub(super) async fn every_endpoint_has_a_secret_of_its_own(client: &Client, web: &HttpSink) {
    let more = json!({"eventTypes": ["invoice.*"], "headers": {"Authorization": "Bearer sesame"}});
    let (a, secret_a) = register(client, "ep-a", &web.url("/ep/a"), more).await;
    let (_, secret_other) = register(client, "ep-a", &web.url("/ep/other"), json!({})).await;
    let (_, secret_b) = register(client, "ep-b", &web.url("/ep/b"), json!({})).await;

    // An event goes to every endpoint of its tenant that takes it, and to no other tenant's.
    let event = json!({"eventType": "invoice.paid", "payload": {"n": 1}});
    let event_id = client.notify(webhook("ep-a", event)).await;
    client.until_status(&event_id, "SENT").await;
    let (to_a, to_other) = (came(web, "/ep/a", 1).await, came(web, "/ep/other", 1).await);
    assert!(verifies(&to_a[0], &secret_a) && verifies(&to_other[0], &secret_other));
    for foreign in [&secret_b, &secret_other] {
        assert!(!verifies(&to_a[0], foreign), "a receiver could have forged another's");
    }
    assert_eq!(to_a[0].headers["authorization"], "Bearer sesame");
    assert!(!to_other[0].headers.contains_key("authorization"));
    for one in [&to_a[0], &to_other[0]] {
        assert_eq!(one.headers["webhook-id"], event_id);
        let body: Value = serde_json::from_str(&one.body).unwrap();
        assert_eq!((&body["type"], &body["data"]), (&json!("invoice.paid"), &json!({"n": 1})));
    }
    let made =
        format!("SELECT count(*) FROM notifications WHERE causation_id = '{event_id}' AND status = 'SENT'");
    client.until(&made, "2").await;

    // A type that one does not take goes to the other alone; one that nobody takes is no failure.
    let user = client.notify(webhook("ep-a", json!({"eventType": "user.created"}))).await;
    client.until_status(&user, "SENT").await;
    came(web, "/ep/other", 2).await;
    let nobodys = client.notify(webhook("ep-none", json!({"eventType": "user.created"}))).await;
    client.until_status(&nobodys, "CANCELLED").await;
    // By its id an endpoint is reached in its own tenant alone.
    let foreign = client.notify(webhook("ep-b", json!({"endpointId": a, "payload": {}}))).await;
    client.until_status(&foreign, "FAILED").await;
    let own = client.notify(webhook("ep-a", json!({"endpointId": a, "payload": {"direct": true}}))).await;
    client.until_status(&own, "SENT").await;
    assert_eq!(web.to("/ep/a").len(), 2);
    assert!(web.to("/ep/b").is_empty());
    assert_eq!(web.to("/ep/a")[1].headers["webhook-id"], own);

    nothing_secret_is_shown_or_stored(client, &secret_a).await;
    webhooks_that_name_their_url_have_their_tenants_secret(client, web).await;
}

async fn nothing_secret_is_shown_or_stored(client: &Client, secret: &str) {
    let listed = client.get("/endpoints?tenantId=ep-a").await.unwrap().body;
    assert_eq!(listed["data"].as_array().unwrap().len(), 2, "{listed}");
    assert_eq!(listed["data"][0]["headerNames"], json!(["Authorization"]));
    let audit = client.text("/admin/audit?action=endpoint.create").await;
    assert!(audit.contains("invoice.*"), "{audit}");
    let stored = client
        .ask("SELECT string_agg(e::text || encode(sealed, 'escape'), ' ') FROM webhook_endpoints e")
        .await;
    for text in [listed.to_string(), audit, stored] {
        assert!(!text.contains("sesame") && !text.contains(secret), "{text}");
    }
}

async fn webhooks_that_name_their_url_have_their_tenants_secret(client: &Client, web: &HttpSink) {
    let mut secrets = Vec::new();
    for tenant in ["ep-a", "ep-b"] {
        let path = format!("/endpoints/tenant-secret?tenantId={tenant}");
        let answer = client.get(&path).await.unwrap();
        secrets.push(answer.body["secret"].as_str().expect("a secret").to_owned());
        let id = client.notify(webhook(tenant, json!({"url": web.url(&format!("/url/{tenant}"))}))).await;
        client.until_status(&id, "SENT").await;
    }
    let to_a = &web.to("/url/ep-a")[0];
    assert!(verifies(to_a, &secrets[0]) && !verifies(to_a, &secrets[1]));
    assert!(verifies(&web.to("/url/ep-b")[0], &secrets[1]));
}

pub(super) async fn an_old_secret_signs_until_its_overlap_ends(client: &Client, web: &HttpSink) {
    let (id, first) = register(client, "ep-r", &web.url("/ep/rotated"), json!({})).await;
    let send = async |count: usize| {
        client.notify(webhook("ep-r", json!({"endpointId": id}))).await;
        came(web, "/ep/rotated", count).await.remove(count - 1)
    };
    let rotate = async |body: Value| {
        let path = format!("/endpoints/{id}/rotate?tenantId=ep-r");
        let answer = client.post(&path, &body).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        let_changes_arrive().await;
        answer.body["secret"].as_str().unwrap().to_owned()
    };
    assert!(verifies(&send(1).await, &first));
    let second = rotate(json!({})).await;
    let during = send(2).await;
    assert!(verifies(&during, &first) && verifies(&during, &second));
    assert_eq!(during.headers["webhook-signature"].split(' ').count(), 2);
    let third = rotate(json!({"overlapSeconds": 0})).await;
    let after = send(3).await;
    assert!(verifies(&after, &third) && !verifies(&after, &first) && !verifies(&after, &second));
}

pub(super) async fn attempts_are_logged_and_what_fails_is_disabled(client: &Client, web: &HttpSink) {
    let (failing, _) = register(client, "ep-f", &web.url("/failing"), json!({})).await;
    let attempts = format!("/endpoints/{failing}/attempts?tenantId=ep-f");
    client.notify(webhook("ep-f", json!({"endpointId": failing}))).await;
    let deadline = Instant::now() + TIMEOUT;
    let first = loop {
        let logged = client.get(&attempts).await.unwrap().body["data"].clone();
        if let Some(last) = logged.as_array().and_then(|all| all.last()) {
            break last.clone();
        }
        assert!(Instant::now() < deadline, "nothing is logged");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!((&first["status"], &first["answer"]), (&json!(500), &json!("no capacity here")), "{first}");
    assert_eq!((&first["attempt"], &first["error"]), (&json!(1), &json!("it answered 500")), "{first}");
    assert!(shown(client, &failing, "ep-f").await["failingSince"].is_string());
    // It fails on, for longer than it may.
    while shown(client, &failing, "ep-f").await["disabledAt"].is_null() {
        assert!(Instant::now() < deadline, "it is never disabled");
        client.notify(webhook("ep-f", json!({"endpointId": failing}))).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    is_disabled(client, &failing, "ep-f", "every attempt has failed since").await;
    let count = format!("SELECT count(*) <= 7 FROM webhook_attempts WHERE endpoint_id = '{failing}'");
    client.until(&count, "true").await;

    // Repaired and enabled it gets what comes from then on.
    let repaired = json!({"url": web.url("/ep/repaired"), "disabled": false});
    let path = format!("/endpoints/{failing}?tenantId=ep-f");
    assert_eq!(client.patch(&path, &repaired).await.unwrap().status, 200);
    let_changes_arrive().await;
    let id = client.notify(webhook("ep-f", json!({"endpointId": failing}))).await;
    client.until_status(&id, "SENT").await;
    assert!(shown(client, &failing, "ep-f").await["failingSince"].is_null());

    // One that says it is gone is disabled at once.
    let (gone, _) = register(client, "ep-g", &web.url("/gone"), json!({})).await;
    let id = client.notify(webhook("ep-g", json!({"endpointId": gone}))).await;
    client.until_status(&id, "FAILED").await;
    let disabled = format!("SELECT disabled_at IS NOT NULL FROM webhook_endpoints WHERE id = '{gone}'");
    client.until(&disabled, "true").await;
    is_disabled(client, &gone, "ep-g", "it answered 410 Gone").await;
    assert_eq!(web.to("/gone").len(), 1);
    let path = format!("/endpoints/{gone}?tenantId=ep-g");
    assert_eq!(client.delete(&path).await.unwrap().status, 204);
    let left = format!("SELECT count(*) FROM webhook_attempts WHERE endpoint_id = '{gone}'");
    assert_eq!(client.ask(&left).await, "0");
    assert_eq!(client.get(&path).await.unwrap().status, 404);
}

/// Whoever operates the tenant can see why, whoever registered it is told, and nothing is sent there any more.
async fn is_disabled(client: &Client, id: &str, tenant: &str, why: &str) {
    let endpoint = shown(client, id, tenant).await;
    let reason = endpoint["disabledReason"].as_str().unwrap_or_default();
    assert!(reason.starts_with(why), "{endpoint}");
    let audit = client.text("/admin/audit?action=endpoint.disable").await;
    assert!(audit.contains(id), "{audit}");
    let told = format!(
        "SELECT count(*) FROM notifications WHERE channel = 'IN_APP' AND tenant_id = '{tenant}'
             AND payload->>'endpointId' = '{id}' AND status = 'DELIVERED'"
    );
    client.until(&told, "1").await;
    let_changes_arrive().await;
    let refused = client.notify(webhook(tenant, json!({"endpointId": id}))).await;
    client.until_status(&refused, "FAILED").await;
    let error = client.ask(&format!("SELECT error_message FROM notifications WHERE id = '{refused}'")).await;
    assert_eq!(error, format!("the endpoint {id} is disabled"));
}

/// Last: it restarts the service with another configuration.
pub(super) async fn a_new_key_encrypts_what_an_old_one_did(client: &Client, place: &Place, web: &HttpSink) {
    let more = json!({"headers": {"X-Own": "kept"}});
    let (id, secret) = register(client, "ep-k", &web.url("/ep/kept"), more).await;
    let key = format!("SELECT key_id FROM webhook_endpoints WHERE id = '{id}'");
    assert_eq!(client.ask(&key).await, "file");
    let keys = "next:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let up = place.command(&["up"]).env("NSYS_ENDPOINTS__ENCRYPTION_KEYS", keys).output().expect("nsys runs");
    assert!(up.status.success(), "{}", crate::support::text(&up));
    assert!(!crate::support::text(&up).contains("AAECAw"), "a key is shown");
    client.until("SELECT count(*) FROM webhook_endpoints WHERE key_id <> 'next'", "0").await;
    let sent = client.notify(webhook("ep-k", json!({"endpointId": id}))).await;
    client.until_status(&sent, "SENT").await;
    let one = &web.to("/ep/kept")[0];
    assert!(verifies(one, &secret));
    assert_eq!(one.headers["x-own"], "kept");
}
