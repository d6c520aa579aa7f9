//! Requests made from the document that the service serves, right ones and broken ones: every answer
//! has to be one that the document knows, and none a mistake of the service.
//!
//! `FUZZ_CASES` and `FUZZ_SEED` are for longer runs and for repeating one.

// The seed is needed to repeat a failure.
#![allow(clippy::print_stderr)]

mod make;
mod schema;

use super::client::{Answer, Api, told};
use make::{Chance, Request};
use reqwest::Method;
use schema::Document;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// Tries before "not now" is taken for an answer: nothing is broken here, so it has to pass.
const TRIES: usize = 8;

/// One operation of the document.
struct Operation<'d> {
    method: Method,
    path: &'d str,
    shape: &'d Value,
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let paths = document["paths"].as_object().expect("paths");
    let all: Vec<_> = paths
        .iter()
        .flat_map(|(path, item)| item.as_object().into_iter().flatten().map(move |one| (path, one)))
        .map(|(path, (method, shape))| {
            let method = method.to_uppercase().parse().expect("a method");
            Operation { method, path, shape }
        })
        .collect();
    assert!(all.len() > 40, "only {} operations are in the document", all.len());
    all
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

pub(super) async fn no_request_is_answered_in_a_way_the_document_does_not_know(api: &Api) {
    let document = api.get("/openapi.json").await.expect(200);
    let document = Document(&document);
    let seed = number("FUZZ_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let cases = number("FUZZ_CASES").unwrap_or(12);
    eprintln!("FUZZ_SEED={seed} FUZZ_CASES={cases}");
    let mut chance = Chance::new(seed);
    let (mut accepted, mut wrong) = (BTreeSet::new(), Vec::new());
    for operation in operations(document.0) {
        for case in 0..cases {
            // Every third is as the document says; the others are broken somewhere.
            let right = case % 3 == 0;
            let request = make::request(&document, operation.path, operation.shape, right, &mut chance);
            let answer = ask(api, &operation, &request).await;
            wrong.extend(judge(&document, &operation, &request, &answer).err());
            if right && answer.status < 300 {
                accepted.insert(format!("{} {}", operation.method, operation.path));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong answers, such as\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
    // What is made from the document alone is understood: its names and its words are the real ones.
    for route in [
        "POST /notifications",
        "POST /notifications/batch",
        "POST /notifications/stream",
        "GET /notifications",
        "GET /notifications/export",
        "PUT /users/{id}/preferences",
        "POST /templates",
        "POST /admin/users",
        "GET /admin/users",
        "POST /admin/api-keys",
        "POST /auth/register",
        "GET /dlq",
        "GET /endpoints",
        "POST /dlq/redrive",
    ] {
        assert!(accepted.contains(route), "no request to {route} that follows the document was accepted");
    }
    undocumented_methods_are_refused(api, document.0).await;
}

async fn ask(api: &Api, operation: &Operation<'_>, request: &Request) -> Answer {
    let mut tries = 0;
    loop {
        let mut call = api.http.request(operation.method.clone(), request.url(&api.base, operation.path));
        call = call.bearer_auth(&api.admin).timeout(Duration::from_secs(60));
        for (name, value) in &request.headers {
            call = call.header(*name, value.as_slice());
        }
        if let Some(body) = &request.body {
            call = call.body(body.clone());
        }
        let response = call.send().await.unwrap_or_else(|cause| panic!("{request:?}: {cause}"));
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
        let answer = if kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
            // It has no end.
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            Answer { status, headers, body: Value::Null }
        } else {
            told(response).await
        };
        tries += 1;
        let not_now = answer.status == 503 && !answer.header("retry-after").is_empty();
        if !not_now || tries == TRIES {
            return answer;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// What is wrong with an answer.
fn judge(
    document: &Document<'_>,
    operation: &Operation<'_>,
    request: &Request,
    answer: &Answer,
) -> Result<(), String> {
    let wrong = |why: String| {
        let (method, path, status) = (&operation.method, operation.path, answer.status);
        let asked: String = format!("{request:?}").chars().take(900).collect();
        Err(format!("{method} {path}: {why}: {status} {} to {asked}", answer.body))
    };
    let documented = &operation.shape["responses"][answer.status.to_string()];
    if answer.status >= 500 || !documented.is_object() {
        return wrong("the document does not know this, or the service failed".into());
    }
    let kind = answer.header("content-type");
    if answer.status >= 400 && (kind != "application/problem+json" || answer.body["status"] != answer.status)
    {
        return wrong("no problem+json".into());
    }
    let Some(contents) = documented["content"].as_object() else {
        let empty = answer.body.as_str().is_some_and(str::is_empty);
        return if empty { Ok(()) } else { wrong("a body that is not documented".into()) };
    };
    let Some(content) = contents.get(kind) else { return wrong(format!("{kind:?} is not documented")) };
    // Of lines and texts the document tells no more than the type.
    if !matches!(kind, "application/json" | "application/problem+json") {
        return Ok(());
    }
    document.fits(&content["schema"], &answer.body).or_else(wrong)
}

/// Methods that a path does not have are told as such, with those that it has.
async fn undocumented_methods_are_refused(api: &Api, document: &Value) {
    for (path, item) in document["paths"].as_object().expect("paths") {
        let item = item.as_object().expect("operations");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            if item.contains_key(&method.to_lowercase()) {
                continue;
            }
            let url = path.replace("{id}", "1");
            let verb = Method::from_bytes(method.as_bytes()).expect("a method");
            let answer = api.call(verb, &url, Some(&api.admin), None).await;
            // Another path may have this method: `/notifications/{id}` also is `/notifications/events`.
            let known = [405, 404, 400, 415].contains(&answer.status);
            assert!(known, "{method} {url}: {} {}", answer.status, answer.body);
            assert_eq!(answer.header("content-type"), "application/problem+json", "{method} {url}");
            if answer.status == 405 {
                let allowed = answer.header("allow").to_owned();
                assert!(item.keys().any(|one| allowed.contains(&one.to_uppercase())), "{url}: {allowed:?}");
            }
        }
    }
}
