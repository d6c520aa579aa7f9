//! Everything that changes something is in the audit log, in the tenant it was done in, whoever did it.

use super::client::{Answer, Api, inbox};
use reqwest::Method;
use serde_json::{Value, json};

/// Where everything here is done.
const TENANT: &str = "audit-a";

/// What an act is done to, and what it is done with.
struct Attempt {
    id: String,
    query: &'static str,
    body: Option<Value>,
}

/// An act without an attempt fails the test: somebody has to decide how it is done.
async fn attempt(api: &Api, action: &str) -> Attempt {
    let tenant = "?tenantId=audit-a";
    let attempt = |id: String, query, body| Attempt { id, query, body };
    let key = async || {
        let new = json!({"name": "to be revoked", "tenantId": TENANT});
        api.post("/admin/api-keys", &new).await.expect(201)["key"]["id"].as_str().expect("an id").to_owned()
    };
    match action {
        "user.create" => attempt(String::new(), "", Some(account())),
        "user.update" => {
            let user = api.post("/admin/users", &account()).await.expect(201);
            attempt(text(&user["id"]), "", Some(json!({"name": "Renamed"})))
        }
        "api_key.issue" => {
            attempt(String::new(), "", Some(json!({"name": "for a program", "tenantId": TENANT})))
        }
        "api_key.revoke" => attempt(key().await, "", None),
        "sender.register" => attempt(String::new(), "", Some(sender())),
        "sender.verify" => {
            // Whoever reads the table has not read the code: it is put there.
            let id = unverified(api).await;
            attempt(id, "", Some(json!({"code": CODE})))
        }
        "sender.delete" => attempt(text(&api.post("/senders", &sender()).await.expect(201)["id"]), "", None),
        "endpoint.create" => attempt(String::new(), "", Some(endpoint())),
        "endpoint.update" => attempt(registered(api).await, tenant, Some(json!({"description": "changed"}))),
        "endpoint.rotate" | "endpoint.delete" => attempt(registered(api).await, tenant, None),
        "endpoint.tenant_secret" => attempt(String::new(), tenant, None),
        "template.create" => attempt(String::new(), "", Some(template("created"))),
        "template.replace" => {
            attempt("replaced".into(), tenant, Some(json!({"channel": "IN_APP", "payload": {"title": "t"}})))
        }
        "template.delete" => {
            api.post("/templates", &template("deleted")).await.expect(201);
            attempt("deleted".into(), tenant, None)
        }
        "preferences.replace" => attempt("somebody".into(), tenant, Some(json!({}))),
        "notification.cancel" => attempt(scheduled(api).await, "", None),
        "notification.reschedule" => attempt(scheduled(api).await, "", Some(json!({"priority": "LOW"}))),
        "notification.retry" => attempt(text(&letter(api).await["notificationId"]), "", None),
        "dead_letter.delete" => attempt(letter(api).await["id"].to_string(), "", None),
        "dead_letter.redrive" => {
            letter(api).await;
            attempt(String::new(), "", Some(json!({"filter": {"tenantId": TENANT}})))
        }
        "dead_letter.purge" => {
            letter(api).await;
            attempt(String::new(), tenant, None)
        }
        _ => panic!("nobody decided how {action} is done"),
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn account() -> Value {
    let email = format!("{}@example.com", uuid::Uuid::new_v4().simple());
    json!({"email": email, "password": "correct horse", "name": "Somebody", "tenantId": TENANT})
}

const CODE: &str = "12345678";

fn sender() -> Value {
    let address = format!("{}@example.com", uuid::Uuid::new_v4().simple());
    json!({"channel": "EMAIL", "sender": address, "tenantId": TENANT})
}

/// A sender that its tenant's operator has registered, and whose code is known here.
async fn unverified(api: &Api) -> String {
    let operator = api.account("OPERATOR", TENANT).await;
    let registered = api.call(Method::POST, "/senders", Some(&operator), Some(&sender())).await.expect(201);
    assert_eq!(registered["verifiedAt"], Value::Null, "{registered}");
    let id = text(&registered["id"]);
    let wrong = json!({"code": "nonsense"});
    let path = format!("/senders/{id}/verify");
    api.call(Method::POST, &path, Some(&operator), Some(&wrong)).await.expect(422);
    let pool = sqlx::PgPool::connect(&api.postgres).await.expect("the database");
    let sql = "UPDATE sender_identities SET code_hash = sha256((id || ':' || $1)::bytea) WHERE id = $2::uuid";
    sqlx::query(sql).bind(CODE).bind(&id).execute(&pool).await.expect("an update");
    id
}

fn endpoint() -> Value {
    json!({"url": "https://example.com/hooks", "tenantId": TENANT})
}

/// An endpoint that is there.
async fn registered(api: &Api) -> String {
    text(&api.post("/endpoints", &endpoint()).await.expect(201)["endpoint"]["id"])
}

fn template(id: &str) -> Value {
    json!({"id": id, "tenantId": TENANT, "channel": "IN_APP", "payload": {"title": "t"}})
}

async fn scheduled(api: &Api) -> String {
    let mut one = inbox("audit");
    one["tenantId"] = TENANT.into();
    one["scheduledFor"] = json!(jiff::Timestamp::now() + std::time::Duration::from_secs(3_600));
    let id = text(&api.post("/notifications", &one).await.expect(201)["id"]);
    api.until(&format!("/notifications/{id}/events"), &api.admin, |answer| {
        answer.body["data"][0]["status"] == "SCHEDULED"
    })
    .await;
    id
}

/// A dead letter that nobody has sent again: some of what is sent here fails, as configured.
async fn letter(api: &Api) -> Value {
    let sms = json!({"userId": "audit", "tenantId": TENANT, "channel": "SMS", "type": "ALERT", "payload": {"to": "1"}});
    let many: Vec<_> = (0..40).map(|_| sms.clone()).collect();
    api.post("/notifications/batch", &json!({ "notifications": many })).await.expect(200);
    let list = "/dlq?tenantId=audit-a";
    api.until(list, &api.admin, |answer| answer.body["data"][0]["id"].is_number()).await["data"][0].clone()
}

/// Acts that are in no tenant, or whose tenant does not exist before them.
const ELSEWHERE: [&str; 3] = ["replica.drain", "signing_key.rotate", "user.register"];

pub(super) async fn every_act_is_recorded_where_it_was_done(api: &Api) {
    let operator = api.account("OPERATOR", TENANT).await;
    let stranger = api.account("OPERATOR", "audit-b").await;
    let document = api.get("/openapi.json").await.expect(200);
    let mut done = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let Some(action) = operation["x-audit"].as_str().filter(|one| !ELSEWHERE.contains(one)) else {
                continue;
            };
            let Attempt { id, query, body } = attempt(api, action).await;
            let verb: Method = method.to_uppercase().parse().expect("a method");
            let url = path.replace("{id}", &id) + query;
            let before = entries(api, &operator, action).await.len();
            let Answer { status, body, .. } = api.call(verb, &url, Some(&api.admin), body.as_ref()).await;
            assert!(status < 300, "{action}: {status} {body}");
            let after = entries(api, &operator, action).await;
            assert_eq!(after.len(), before + 1, "{action} is not recorded in the tenant it was done in");
            assert_eq!(
                (&after[0]["tenantId"], &after[0]["actor"]),
                (&json!(TENANT), &json!("loadtest@example.com"))
            );
            done += 1;
        }
    }
    assert!(done >= 22, "only {done} acts were tried");
    let said = api.call(Method::GET, "/admin/audit?limit=200", Some(&stranger), None).await.expect(200);
    assert!(!said.to_string().contains(TENANT), "another tenant sees it: {said}");
    who_moves_is_recorded_in_both_tenants(api, &operator).await;
}

async fn entries(api: &Api, operator: &str, action: &str) -> Vec<Value> {
    let path = format!("/admin/audit?limit=200&action={action}");
    let page = api.call(Method::GET, &path, Some(operator), None).await.expect(200);
    page["data"].as_array().expect("entries").clone()
}

async fn who_moves_is_recorded_in_both_tenants(api: &Api, operator: &str) {
    let user = text(&api.post("/admin/users", &account()).await.expect(201)["id"]);
    let there = api.account("OPERATOR", "audit-c").await;
    let path = format!("/admin/users/{user}");
    let moved = json!({"tenantId": "audit-c"});
    api.call(Method::PATCH, &path, Some(&api.admin), Some(&moved)).await.expect(200);
    for (who, tenant) in [(operator, TENANT), (there.as_str(), "audit-c")] {
        let seen = entries(api, who, "user.update").await;
        assert!(seen.iter().any(|one| one["target"] == user.as_str()), "{tenant} does not see it: {seen:?}");
    }
    // Whoever registers is recorded where they are.
    let new = json!({"email": account()["email"], "password": "correct horse", "name": "Somebody"});
    let grant = api.call(Method::POST, "/auth/register", None, Some(&new)).await.expect(201);
    let seen = api.get("/admin/audit?action=user.register").await.expect(200);
    assert_eq!(seen["data"][0]["tenantId"], grant["user"]["tenantId"], "{seen}");
}
