//! Everything a caller can get wrong.

use super::client::{Answer, Api, told};
use reqwest::Method;
use serde_json::{Value, json};

fn is_problem(what: &str, answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{what}: {}", answer.body);
    assert_eq!(answer.header("content-type"), "application/problem+json", "{what}");
    assert_eq!(answer.body["status"], status, "{what}");
    for field in ["type", "title", "detail"] {
        assert!(answer.body[field].as_str().is_some_and(|text| !text.is_empty()), "{what}: {}", answer.body);
    }
}

pub(super) async fn every_mistake_is_told_as_a_problem(api: &Api) {
    let get = async |path: &str| api.get(path).await;
    is_problem("an unknown route", &get("/nothing/here").await, 404);
    is_problem("an unknown notification", &get("/notifications/not-an-id").await, 404);
    is_problem("a path that is not UTF-8", &get("/notifications/%ff").await, 400);
    is_problem("an unknown filter", &get("/notifications?colour=red").await, 400);
    is_problem("a status that is none", &get("/notifications?status=LOST").await, 400);
    is_problem("a foreign cursor", &get("/notifications?cursor=abc").await, 400);
    let wrong_method = api.call(Method::DELETE, "/notifications", Some(&api.admin), None).await;
    is_problem("a wrong method", &wrong_method, 405);
    assert!(wrong_method.header("allow").contains("POST"), "{:?}", wrong_method.headers);

    let post = async |kind: &str, body: Vec<u8>| {
        let request = api.request(Method::POST, "/notifications").bearer_auth(&api.admin);
        told(request.header("content-type", kind).body(body).send().await.expect("an answer")).await
    };
    is_problem("text that is no JSON", &post("application/json", b"{\"userId\":".to_vec()).await, 400);
    is_problem("no body", &post("application/json", Vec::new()).await, 400);
    is_problem(
        "bytes that are not UTF-8",
        &post("application/json", b"{\"userId\": \"\xff\xfe\"}".to_vec()).await,
        400,
    );
    is_problem("another media type", &post("text/plain", b"{}".to_vec()).await, 415);
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    is_problem("brackets without end", &post("application/json", deep).await, 422);
    let large = json!({"userId": "u", "channel": "IN_APP", "type": "SYSTEM", "payload": {"title": "x".repeat(2_000_000)}});
    is_problem(
        "a body that is too large",
        &post("application/json", large.to_string().into_bytes()).await,
        413,
    );

    let pointers = |answer: &Answer| -> Vec<String> {
        let errors = answer.body["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().filter_map(|one| one["pointer"].as_str().map(str::to_owned)).collect()
    };
    let wrong: [(Value, &[&str]); 9] = [
        (json!({"userId": "u", "channel": "PIGEON", "type": "SYSTEM"}), &["/channel"]),
        (
            json!({"userId": "", "channel": "EMAIL", "type": "SYSTEM", "payload": {}}),
            &["/userId", "/payload/to"],
        ),
        (
            json!({"userId": "u\u{0}", "channel": "IN_APP", "type": "SYSTEM", "payload": {"title": "\u{0}"}}),
            &["/userId", "/payload/title"],
        ),
        (
            json!({"userId": "u", "channel": "IN_APP", "type": "SYSTEM", "payload": {"title": "t"}, "scheduledFor": "tomorrow"}),
            &["/scheduledFor"],
        ),
        (
            json!({"userId": "u", "channel": "IN_APP", "type": "SYSTEM", "payload": {"title": "t"}, "templateId": "none"}),
            &["/templateId"],
        ),
        (
            json!({"userId": "u", "channel": "IN_APP", "type": "SYSTEM", "payload": {"title": "t", "n": [f64::MAX]}}),
            &["/payload/n/0"],
        ),
        (
            json!({"userId": "u", "channel": "IN_APP", "type": "SYSTEM", "payload": {"title": "x".repeat(70_000)}}),
            &["/payload"],
        ),
        // More than the client of the log takes, and less than a body may have.
        (
            json!({"userId": "u", "channel": "IN_APP", "type": "SYSTEM", "payload": {"title": "x".repeat(1_010_000)}}),
            &["/payload"],
        ),
        (json!({"userId": "u", "channel": "SMS", "type": "SYSTEM", "payload": {"to": 5}}), &["/payload/to"]),
    ];
    for (body, expected) in wrong {
        let answer = api.post("/notifications", &body).await;
        is_problem(&body.to_string(), &answer, 422);
        assert_eq!(pointers(&answer), expected, "{}", answer.body);
        assert_eq!(answer.header("retry-after"), "", "it would never do");
    }
    let title = |extra: &str| {
        format!(r#"{{"userId":"u","channel":"IN_APP","type":"SYSTEM","payload":{{"title":"x"{extra}}}}}"#)
    };
    for extra in [r#","n":0e-16383"#, r#","n":1e-400"#, r#","title":"""#] {
        is_problem(extra, &post("application/json", title(extra).into_bytes()).await, 422);
    }
    let long =
        json!({"userId": "u", "channel": "IN_APP", "type": "SYSTEM", "templateId": "x".repeat(300_000)});
    let answer = api.post("/notifications", &long).await;
    is_problem("a template's name without end", &answer, 422);
    assert!(answer.body.to_string().len() < 1_000, "it is repeated whole");
    let unknown = api
        .post("/notifications", &json!({"userId": "u", "channel": "IN_APP", "type": "SYSTEM", "color": 1}))
        .await;
    is_problem("an unknown field", &unknown, 422);

    // The document is served, and its page needs nothing from elsewhere.
    let document = get("/openapi.json").await.expect(200);
    assert_eq!(document["openapi"], "3.1.0");
    let page = get("/docs").await;
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(
        page.body
            .as_str()
            .is_some_and(|page| page.contains("Notification service") && !page.contains("https://"))
    );
}
