//! Who may use which route, driven by the document that the service serves.

use super::client::{Answer, Api, inbox};
use reqwest::Method;
use serde_json::{Value, json};

/// One route of the document.
struct Route {
    method: Method,
    path: String,
    access: String,
}

async fn routes(api: &Api) -> Vec<Route> {
    let document = api.get("/openapi.json").await.expect(200);
    let paths = document["paths"].as_object().expect("paths").clone();
    let mut routes = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("operations") {
            let access = operation["x-access"].as_str().expect("a decision on access").to_owned();
            let method = method.to_uppercase().parse().expect("a method");
            routes.push(Route { method, path: path.clone(), access });
        }
    }
    assert!(routes.len() > 40, "only {} routes are in the document", routes.len());
    routes
}

pub(super) async fn no_route_is_open_to_whom_it_is_not_for(api: &Api) {
    let (user, operator) = (api.account("USER", "access-a").await, api.account("OPERATOR", "access-a").await);
    for Route { method, path, access } in routes(api).await {
        let path = path.replace("{id}", "1");
        let refused = |what: &str, answer: &Answer, status: u16| {
            assert_eq!(answer.status, status, "{what} {method} {path}: {}", answer.body);
            assert_eq!(answer.header("content-type"), "application/problem+json", "{method} {path}");
        };
        if access == "public" {
            continue;
        }
        refused("without a token", &api.call(method.clone(), &path, None, None).await, 401);
        for token in ["nonsense", "eyJhbGciOiJub25lIn0.e30.", "nk_0123456789abcdef_00"] {
            refused(token, &api.call(method.clone(), &path, Some(token), None).await, 401);
        }
        if access != "user" {
            refused("as a user", &api.call(method.clone(), &path, Some(&user), None).await, 403);
        }
        if access == "admin" {
            refused("as an operator", &api.call(method.clone(), &path, Some(&operator), None).await, 403);
        }
    }
    for (what, token) in forged(&user) {
        let answer = api.call(Method::GET, "/auth/me", Some(&token), None).await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.body);
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{what}");
    }
    let two = api.request(Method::GET, "/auth/me").bearer_auth(&user).header("x-api-key", "nk_x");
    assert_eq!(two.send().await.expect("an answer").status().as_u16(), 401, "two credentials were taken");
}

/// What can be made of a real token without the key that signed it.
fn forged(token: &str) -> Vec<(&'static str, String)> {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let parts: Vec<&str> = token.split('.').collect();
    let bytes = URL_SAFE_NO_PAD.decode(parts[1]).expect("claims");
    let mut claims: Value = serde_json::from_slice(&bytes).expect("JSON");
    claims["role"] = "ADMIN".into();
    let raised = URL_SAFE_NO_PAD.encode(claims.to_string());
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    vec![
        ("more rights", format!("{}.{raised}.{}", parts[0], parts[2])),
        ("no algorithm", format!("{none}.{raised}.")),
        ("no algorithm, the old signature", format!("{none}.{}.{}", parts[1], parts[2])),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("another signature", format!("{}.{}.{}", parts[0], parts[1], "A".repeat(parts[2].len()))),
        ("too large", format!("{token}{}", "A".repeat(30_000))),
    ]
}

/// What tenant `access-b` tries on what belongs to `access-a`, and what it must get.
struct Attempt {
    query: &'static str,
    id: &'static str,
    body: Option<Value>,
    refused: &'static [u16],
}

/// A route without an attempt fails the test: somebody has to decide what may cross.
fn attempt(method: &Method, path: &str) -> Attempt {
    let attempt = |id, query, body, refused| Attempt { query, id, body, refused };
    let foreign_template = json!({"channel": "EMAIL", "payload": {"to": "x"}});
    match (method.as_str(), path) {
        ("POST", "/notifications") => attempt("", "", Some(tenanted(inbox("u"))), &[403]),
        ("POST", "/notifications/batch") => {
            attempt("", "", Some(json!({"notifications": [tenanted(inbox("u"))]})), &[200])
        }
        ("POST", "/notifications/stream") => attempt("", "", None, &[415]),
        ("GET", "/notifications" | "/notifications/export" | "/notifications/events" | "/templates") => {
            attempt("", "?tenantId=access-a", None, &[403])
        }
        ("GET", "/notifications/{id}" | "/notifications/{id}/events" | "/notifications/{id}/attempts") => {
            attempt("notification", "", None, &[404])
        }
        ("POST", "/notifications/{id}/cancel" | "/notifications/{id}/retry") => {
            attempt("notification", "", None, &[404])
        }
        ("PATCH", "/notifications/{id}") => {
            attempt("notification", "", Some(json!({"priority": "LOW"})), &[404])
        }
        ("GET", "/users/{id}/preferences") => attempt("user", "?tenantId=access-a", None, &[403]),
        ("PUT", "/users/{id}/preferences") => attempt("user", "?tenantId=access-a", Some(json!({})), &[403]),
        ("POST", "/templates") => {
            let body =
                json!({"id": "theirs", "tenantId": "access-a", "channel": "EMAIL", "payload": {"to": "x"}});
            attempt("", "", Some(body), &[403])
        }
        ("GET" | "DELETE", "/templates/{id}") => attempt("template", "", None, &[404]),
        ("PUT", "/templates/{id}") => {
            attempt("template", "?tenantId=access-a", Some(foreign_template), &[403])
        }
        ("POST", "/templates/{id}/render") => attempt("template", "", Some(json!({})), &[404]),
        ("GET", "/senders") => attempt("", "?tenantId=access-a", None, &[403]),
        ("POST", "/senders") => {
            let body = json!({"channel": "EMAIL", "sender": "x@example.com", "tenantId": "access-a"});
            attempt("", "", Some(body), &[403])
        }
        ("POST", "/senders/{id}/verify") => attempt("sender", "", Some(json!({"code": "00000000"})), &[404]),
        ("DELETE", "/senders/{id}") => attempt("sender", "", None, &[404]),
        ("GET", "/endpoints" | "/endpoints/tenant-secret") => attempt("", "?tenantId=access-a", None, &[403]),
        ("POST", "/endpoints") => {
            let body = json!({"url": "https://example.com/", "tenantId": "access-a"});
            attempt("", "", Some(body), &[403])
        }
        ("GET" | "DELETE", "/endpoints/{id}") | ("GET", "/endpoints/{id}/attempts") => {
            attempt("endpoint", "", None, &[404])
        }
        ("PATCH", "/endpoints/{id}") => attempt("endpoint", "", Some(json!({"disabled": true})), &[404]),
        ("POST", "/endpoints/{id}/rotate") => attempt("endpoint", "", Some(json!({})), &[404]),
        ("GET" | "DELETE", "/dlq") => attempt("", "?tenantId=access-a", None, &[403]),
        ("POST", "/dlq/redrive") => {
            attempt("", "", Some(json!({"filter": {"tenantId": "access-a"}})), &[403])
        }
        ("GET" | "DELETE", "/dlq/{id}") => attempt("letter", "", None, &[404]),
        ("POST", "/admin/api-keys") => {
            attempt("", "", Some(json!({"name": "theirs", "tenantId": "access-a"})), &[403])
        }
        ("DELETE", "/admin/api-keys/{id}") => attempt("key", "", None, &[404]),
        // Nothing of a tenant is named: the answer has only the own one, see below.
        ("GET", "/auth/me" | "/admin/api-keys" | "/admin/audit") => attempt("", "", None, &[200]),
        _ => panic!("nobody decided what {method} {path} may show to another tenant"),
    }
}

fn tenanted(mut notification: Value) -> Value {
    notification["tenantId"] = "access-a".into();
    notification
}

pub(super) async fn no_tenant_reaches_another_by_any_route(api: &Api) {
    let owner = api.account("OPERATOR", "access-a").await;
    let stranger = api.account("OPERATOR", "access-b").await;
    let own = async |path: &str, body: Value| api.call(Method::POST, path, Some(&owner), Some(&body)).await;
    let mail = json!({"userId": "access-user", "channel": "EMAIL", "type": "ALERT", "payload": {"to": "a@example.com"}});
    let sent = own("/notifications", mail.clone()).await.expect(201);
    own("/templates", json!({"id": "welcome", "channel": "EMAIL", "payload": {"to": "{{ to }}"}}))
        .await
        .expect(201);
    let sender = json!({"channel": "EMAIL", "sender": "access@example.com"});
    let sender = own("/senders", sender).await.expect(201);
    let key = own("/admin/api-keys", json!({"name": "for a program"})).await.expect(201);
    let endpoint = own("/endpoints", json!({"url": "https://example.com/", "description": "for a program"}))
        .await
        .expect(201);
    // One of these fails, as configured.
    let mails: Vec<_> = (0..40).map(|_| mail.clone()).collect();
    own("/notifications/batch", json!({ "notifications": mails })).await.expect(200);
    let letters = api.until("/dlq", &owner, |answer| answer.body["data"][0]["id"].is_number()).await;
    let letter = letters["data"][0]["id"].to_string();
    let notification = sent["id"].as_str().expect("an id");
    let path = format!("/notifications/{notification}");
    api.until(&path, &owner, |answer| answer.status == 200).await;

    for Route { method, path, access } in routes(api).await {
        if access == "public" || access == "admin" {
            continue;
        }
        let attempt = attempt(&method, &path);
        let id = match attempt.id {
            "notification" => notification,
            "letter" => &letter,
            "template" => "welcome",
            "user" => "access-user",
            "endpoint" => endpoint["endpoint"]["id"].as_str().expect("an id"),
            "key" => key["key"]["id"].as_str().expect("an id"),
            "sender" => sender["id"].as_str().expect("an id"),
            _ => "",
        };
        let url = path.replace("{id}", id) + attempt.query;
        let answer = api.call(method.clone(), &url, Some(&stranger), attempt.body.as_ref()).await;
        assert!(
            attempt.refused.contains(&answer.status),
            "{method} {url}: {} {}",
            answer.status,
            answer.body
        );
        let said = answer.body.to_string();
        let names_it = said.contains("access-a") || said.contains("for a program");
        assert!(!names_it || answer.status >= 400, "{method} {url} shows what belongs to another: {said}");
        if path == "/notifications/batch" {
            assert_eq!(
                (&answer.body["accepted"], &answer.body["results"][0]["status"]),
                (&json!(0), &json!(403))
            );
        }
    }
    // A line of a stream is held to the same.
    let line = tenanted(inbox("u")).to_string();
    let stream = api.request(Method::POST, "/notifications/stream").bearer_auth(&stranger);
    let answer =
        stream.header("content-type", "application/x-ndjson").body(line).send().await.expect("an answer");
    assert!(answer.text().await.expect("text").contains("\"status\":403"));
    // What is not narrowed by a name shows only the own.
    for path in [
        "/notifications",
        "/notifications/export",
        "/templates",
        "/senders",
        "/endpoints",
        "/dlq",
        "/admin/api-keys",
    ] {
        let said = api.call(Method::GET, path, Some(&stranger), None).await.body.to_string();
        assert!(!said.contains("access-a"), "{path} shows what belongs to another: {said}");
    }
    // The owner and the admin still have it all.
    for token in [&owner, &api.admin] {
        api.call(Method::GET, &path, Some(token), None).await.expect(200);
    }
}
