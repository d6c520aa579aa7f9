//! A caller of the API, and what it knows of the stack.

use crate::support::Place;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The API, as an admin.
pub(super) struct Api {
    pub(super) http: reqwest::Client,
    pub(super) base: String,
    pub(super) prometheus: String,
    pub(super) postgres: String,
    pub(super) brokers: String,
    pub(super) redis: SocketAddr,
    /// The worker's process.
    pub(super) worker: i32,
    /// A token of the load-test account.
    pub(super) admin: String,
    password: String,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: reqwest::header::HeaderMap,
    pub(super) body: Value,
}

impl Answer {
    /// A header as text; empty when it is missing.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// The body, after the status was what it should be.
    pub(super) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }
}

impl Api {
    pub(super) async fn sign_in(place: &Place) -> Self {
        let port = |port: u16| port + place.offset;
        let mut api = Self {
            http: crate::client::http().build().unwrap(),
            base: format!("http://127.0.0.1:{}", port(3_000)),
            prometheus: format!("http://127.0.0.1:{}", port(9_090)),
            postgres: format!(
                "postgres://nsys:{}@127.0.0.1:{}/notifications",
                place.secret("postgres"),
                port(5_432)
            ),
            brokers: format!("127.0.0.1:{}", port(9_092)),
            redis: ([127, 0, 0, 1], port(6_379)).into(),
            worker: place.pid("worker-1"),
            admin: String::new(),
            password: place.secret("loadtest-user"),
        };
        api.admin = api.admin_token().await;
        api
    }

    /// A new token of the admin.
    pub(super) async fn admin_token(&self) -> String {
        let login = json!({"email": "loadtest@example.com", "password": self.password});
        let grant = self.call(Method::POST, "/auth/login", None, Some(&login)).await.expect(200);
        grant["access_token"].as_str().expect("a token").to_owned()
    }

    pub(super) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).timeout(Duration::from_secs(60))
    }

    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Answer {
        let mut request = self.request(method, path);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        told(request.send().await.expect("an answer")).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, Some(&self.admin), None).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::POST, path, Some(&self.admin), Some(body)).await
    }

    /// A new account of a tenant, and a token of it.
    pub(super) async fn account(&self, role: &str, tenant: &str) -> String {
        let email = format!("{}@example.com", uuid::Uuid::new_v4().simple());
        let new = json!({"email": email, "password": "correct horse", "name": "Somebody", "role": role, "tenantId": tenant});
        self.post("/admin/users", &new).await.expect(201);
        let login = json!({"email": email, "password": "correct horse"});
        let grant = self.call(Method::POST, "/auth/login", None, Some(&login)).await.expect(200);
        grant["access_token"].as_str().expect("a token").to_owned()
    }

    /// Asks again until the answer fits.
    pub(super) async fn until(&self, path: &str, token: &str, fits: impl Fn(&Answer) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let answer = self.call(Method::GET, path, Some(token), None).await;
            if fits(&answer) {
                return answer.body;
            }
            assert!(Instant::now() < deadline, "{path} stays {} {}", answer.status, answer.body);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// An answer with its body read; what is no JSON is a text.
pub(super) async fn told(response: Response) -> Answer {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = response.bytes().await.expect("a body");
    let body = serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&bytes).into_owned()));
    Answer { status, headers, body }
}

/// A notification for a user, in the inbox: it is delivered at once and never fails.
pub(super) fn inbox(user: &str) -> Value {
    json!({"userId": user, "channel": "IN_APP", "type": "SYSTEM", "payload": {"title": "Hello"}})
}
