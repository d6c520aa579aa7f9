//! Who somebody is: as the account is now, or not at all.

use super::client::{Answer, Api, inbox};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(60);

async fn issue(api: &Api, token: &str, wanted: Value) -> Answer {
    api.call(Method::POST, "/admin/api-keys", Some(token), Some(&wanted)).await
}

fn secret(answer: &Value) -> String {
    answer["secret"].as_str().expect("a secret").to_owned()
}

async fn status(api: &Api, path: &str, token: &str) -> u16 {
    api.call(Method::GET, path, Some(token), None).await.status
}

async fn sent(api: &Api, token: &str) -> u16 {
    api.call(Method::POST, "/notifications", Some(token), Some(&inbox("identity"))).await.status
}

pub(super) async fn an_account_that_is_disabled_takes_its_keys_and_streams_along(api: &Api) {
    let admin = api.account("ADMIN", "identity").await;
    let me = api.call(Method::GET, "/auth/me", Some(&admin), None).await.expect(200);
    let id = me["id"].as_str().expect("an id");
    let wanted = json!({"name": "of an account", "role": "OPERATOR", "tenantId": "identity"});
    let issued = issue(api, &admin, wanted).await.expect(201);
    assert_eq!(issued["key"]["createdBy"], id);
    let key = secret(&issued);
    let of_key = issue(api, &key, json!({"name": "of a key"})).await.expect(201);
    assert_eq!(of_key["key"]["createdBy"], issued["key"]["id"]);
    let child = secret(&of_key);
    let lone =
        secret(&issue(api, &admin, json!({"name": "alone", "tenantId": "identity"})).await.expect(201));
    assert_eq!(
        (status(api, "/dlq", &key).await, sent(api, &child).await, sent(api, &lone).await),
        (200, 201, 201)
    );

    // A key that was issued with another one ends with it.
    let path = format!("/admin/api-keys/{}", issued["key"]["id"].as_str().expect("an id"));
    let mut followed = follow(api, &child).await;
    api.call(Method::DELETE, &path, Some(&admin), None).await.expect(204);
    assert_eq!((status(api, "/dlq", &key).await, sent(api, &child).await), (401, 401));
    ends(&mut followed).await;

    let mut followed = follow(api, &lone).await;
    let mut own = follow(api, &admin).await;
    set(api, id, json!({"disabled": true})).await;
    assert_eq!((status(api, "/auth/me", &admin).await, sent(api, &lone).await), (401, 401));
    ends(&mut followed).await;
    ends(&mut own).await;

    nobody_has_rights_while_accounts_cannot_be_looked_up(api, &admin, &lone).await;
}

async fn set(api: &Api, id: &str, wanted: Value) {
    let path = format!("/admin/users/{id}");
    api.call(Method::PATCH, &path, Some(&api.admin), Some(&wanted)).await.expect(200);
}

/// Follows events, and has read the first words.
async fn follow(api: &Api, token: &str) -> reqwest::Response {
    let request = api.request(Method::GET, "/notifications/events").timeout(Duration::from_secs(300));
    let mut events = request.bearer_auth(token).send().await.expect("an answer");
    assert_eq!(events.status().as_u16(), 200);
    events.chunk().await.expect("the stream is open").expect("its first words");
    events
}

async fn ends(events: &mut reqwest::Response) {
    let over = async { while let Ok(Some(_)) = events.chunk().await {} };
    tokio::time::timeout(TIMEOUT, over).await.expect("the stream outlives its credential");
}

async fn nobody_has_rights_while_accounts_cannot_be_looked_up(api: &Api, disabled: &str, its_key: &str) {
    let (operator, user) = (api.account("OPERATOR", "identity").await, api.account("USER", "identity").await);
    let unseen = api.account("USER", "identity").await;
    assert_eq!((status(api, "/admin/api-keys", &operator).await, sent(api, &user).await), (200, 201));
    let pool = sqlx::PgPool::connect(&api.postgres).await.expect("the database");
    let mut locked = pool.begin().await.expect("a transaction");
    sqlx::query("LOCK TABLE users IN ACCESS EXCLUSIVE MODE").execute(&mut *locked).await.expect("a lock");

    for token in [disabled, its_key] {
        assert_eq!(status(api, "/admin/config", token).await, 503, "nobody can tell who this is");
        assert_eq!(issue(api, token, json!({"name": "for later"})).await.status, 503);
        assert_eq!(sent(api, token).await, 503);
    }
    assert_eq!(sent(api, &unseen).await, 503, "what a token says of itself is not enough");
    // Who was an operator a moment ago is none any more, but may send as who was a user.
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let answer = api.call(Method::GET, "/admin/api-keys", Some(&operator), None).await;
        if answer.status == 503 {
            assert!(!answer.header("retry-after").is_empty());
            break;
        }
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(Instant::now() < deadline, "rights are believed without a look");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(issue(api, &operator, json!({"name": "for later"})).await.status, 503);
    assert_eq!((sent(api, &operator).await, sent(api, &user).await), (201, 201), "accepting goes on");

    locked.rollback().await.expect("the lock is given back");
    api.until("/admin/api-keys", &operator, |answer| answer.status == 200).await;
    for token in [disabled, its_key] {
        assert_eq!(status(api, "/admin/config", token).await, 401);
        assert_eq!(sent(api, token).await, 401);
    }
    let list = api.call(Method::GET, "/admin/api-keys", Some(&operator), None).await.expect(200).to_string();
    assert!(!list.contains("for later"), "a key was issued meanwhile: {list}");
}
