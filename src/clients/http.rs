//! The only place that names reqwest: the service's API, readiness, and the client that other drivers use.

use super::{access, tls};
use crate::error::{Context, Error, Result};
use crate::permit::ChangePermit;
use serde::Serialize;
use serde_json::Value;
use std::sync::OnceLock;
use std::time::Duration;

/// Response to a call that arrived, whatever its status.
#[derive(Clone, Debug)]
pub struct HttpResponse {
    /// HTTP status.
    pub status: u16,
    /// Body as JSON, or as a JSON string when it is none.
    pub body: Value,
}

/// One client for the whole program: making one costs milliseconds, and connections are kept.
pub(super) fn client() -> Result<&'static reqwest::Client> {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client);
    }
    // A connection to a replica that went away must not be the one that is tried.
    let new = build(builder().pool_idle_timeout(Duration::from_secs(2)))?;
    Ok(CLIENT.get_or_init(|| new))
}

/// What every client begins with.
#[expect(clippy::disallowed_methods, reason = "the one place that builds clients")]
fn builder() -> reqwest::ClientBuilder {
    tls::install();
    reqwest::Client::builder()
}

fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client> {
    let mut builder = builder.no_proxy();
    if let Some(authority) = access::authority() {
        let certificate =
            reqwest::Certificate::from_pem(authority).context("external.ca_file holds no certificate")?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build().context("cannot make an HTTP client")
}

/// The value of a header.
pub(super) type HeaderValue = reqwest::header::HeaderValue;

/// What an `authorization` header says for this token; absent when no header can hold it.
pub(super) fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Why no answer came, in few words, wherever in the chain of causes it stands.
pub(super) fn reason(cause: &(dyn std::error::Error + 'static)) -> String {
    let mut next = Some(cause);
    while let Some(one) = next {
        match one.downcast_ref::<reqwest::Error>() {
            Some(failure) if failure.is_timeout() => return "no answer in time".to_owned(),
            Some(failure) if failure.is_connect() => return "nothing listens there".to_owned(),
            _ => next = one.source(),
        }
    }
    cause.to_string()
}

async fn finish(url: &str, request: reqwest::RequestBuilder) -> Result<HttpResponse> {
    let away = |cause: reqwest::Error| Error::unreachable(format!("{url}: {}", reason(&cause)));
    let request = match access::token(url) {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    let response = request.send().await.map_err(away)?;
    let status = response.status().as_u16();
    let text = response.text().await.map_err(away)?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(HttpResponse { status, body })
}

/// GET.
///
/// # Errors
/// When no answer arrives in time.
pub async fn get(url: &str, timeout: Duration) -> Result<HttpResponse> {
    finish(url, client()?.get(url).timeout(timeout)).await
}

/// GET with a bearer token.
///
/// # Errors
/// When no answer arrives in time.
pub async fn get_as(url: &str, token: &str, timeout: Duration) -> Result<HttpResponse> {
    finish(url, client()?.get(url).timeout(timeout).bearer_auth(token)).await
}

/// GET with a query.
///
/// # Errors
/// When no answer arrives in time.
pub async fn get_with(url: &str, query: &[(&str, String)], timeout: Duration) -> Result<HttpResponse> {
    finish(url, client()?.get(url).timeout(timeout).query(query)).await
}

/// POST of a JSON body with a bearer token and further headers.
///
/// # Errors
/// When no answer arrives in time.
pub(super) async fn post_as<T: Serialize + Sync>(
    url: &str,
    token: &str,
    headers: &[(&str, &str)],
    body: &T,
    timeout: Duration,
) -> Result<HttpResponse> {
    let request = client()?.post(url).timeout(timeout).bearer_auth(token).json(body);
    finish(url, headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

/// POST of a JSON body, with a bearer token when there is one.
///
/// # Errors
/// When no answer arrives in time.
pub(super) async fn post<T: Serialize + Sync>(
    url: &str,
    body: &T,
    timeout: Duration,
) -> Result<HttpResponse> {
    finish(url, client()?.post(url).timeout(timeout).json(body)).await
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HttpMethod {
    /// Reads.
    Get,
    /// Creates, or asks for something to be done.
    Post,
    /// Changes.
    Patch,
    /// Deletes.
    Delete,
}

/// A call with a bearer token, a query, and a JSON body when there is one.
///
/// # Errors
/// When no answer arrives in time.
pub(super) async fn call(
    method: HttpMethod,
    url: &str,
    token: &str,
    query: &(impl Serialize + Sync),
    body: Option<Value>,
    timeout: Duration,
) -> Result<HttpResponse> {
    let method = match method {
        HttpMethod::Get => reqwest::Method::GET,
        HttpMethod::Post => reqwest::Method::POST,
        HttpMethod::Patch => reqwest::Method::PATCH,
        HttpMethod::Delete => reqwest::Method::DELETE,
    };
    let mut request = client()?.request(method, url).timeout(timeout).bearer_auth(token).query(query);
    if let Some(body) = body {
        request = request.json(&body);
    }
    finish(url, request).await
}

/// Streams the body of a GET to `take` as it comes, whatever its size.
///
/// # Errors
/// When the server refuses, sends nothing for 30 seconds or breaks off, or `take` fails.
pub async fn download(
    url: &str,
    token: &str,
    query: &(impl Serialize + Sync),
    mut take: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    const SILENCE: Duration = Duration::from_secs(30);
    let away = |cause: reqwest::Error| Error::unreachable(format!("{url}: {}", reason(&cause)));
    // A stream may take as long as it needs; only silence ends it.
    let client = build(builder().read_timeout(SILENCE))?;
    let mut response = client.get(url).bearer_auth(token).query(query).send().await.map_err(away)?;
    if !response.status().is_success() {
        let status = response.status().as_u16();
        let said = response.text().await.unwrap_or_default();
        return Err(Error::failed(format!("{url} answered {status}: {}", said.trim())));
    }
    while let Some(chunk) = response.chunk().await.map_err(away)? {
        take(&chunk)?;
    }
    Ok(())
}

/// Server-sent events, as they come.
#[derive(Debug)]
pub struct EventStream {
    response: reqwest::Response,
    buffer: Vec<u8>,
}

/// One server-sent event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerEvent {
    /// Its name.
    pub name: String,
    /// Its data.
    pub data: String,
}

impl EventStream {
    /// Begins to listen. The connection lasts until it is dropped.
    ///
    /// # Errors
    /// When nothing answers there.
    pub async fn listen(url: &str, timeout: Duration) -> Result<Self> {
        let away = |why: String| Error::unreachable(format!("{url}: {why}"));
        let answer = tokio::time::timeout(timeout, client()?.get(url).send()).await;
        let response = answer
            .map_err(|_| away("no answer in time".into()))?
            .and_then(reqwest::Response::error_for_status)
            .map_err(|cause| away(reason(&cause)))?;
        Ok(Self { response, buffer: Vec::new() })
    }

    /// The next event; absent when the other side ended.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn next(&mut self) -> Result<Option<ServerEvent>> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let rest = self.buffer.split_off(end + 2);
                let block = std::mem::replace(&mut self.buffer, rest);
                return Ok(Some(ServerEvent::read(&String::from_utf8_lossy(&block))));
            }
            let chunk = self.response.chunk().await;
            match chunk
                .map_err(|cause| Error::unreachable(format!("the events broke off: {}", reason(&cause))))?
            {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
    }
}

impl ServerEvent {
    fn read(block: &str) -> Self {
        let mut event = Self::default();
        for line in block.lines() {
            if let Some(name) = line.strip_prefix("event:") {
                name.trim().clone_into(&mut event.name);
            } else if let Some(data) = line.strip_prefix("data:") {
                event.data.push_str(data.trim_start());
            }
        }
        event
    }
}

/// A request as a profile describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescribedRequest {
    /// `GET`, `POST`, ….
    pub method: String,
    /// The whole address.
    pub url: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body, where there is one.
    pub body: Option<String>,
}

impl DescribedRequest {
    /// Whether it only reads, by what its method promises.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD")
    }
}

/// Sends a request that only reads.
///
/// # Errors
/// When it does not, or no answer arrives in time.
pub async fn read(request: &DescribedRequest, timeout: Duration) -> Result<HttpResponse> {
    if !request.only_reads() {
        return Err(Error::refused(format!("{} {} may change something", request.method, request.url)));
    }
    exchange(request, timeout).await
}

/// Sends a request, whatever it changes.
///
/// # Errors
/// When no answer arrives in time.
pub async fn send(
    _permit: &ChangePermit,
    request: &DescribedRequest,
    timeout: Duration,
) -> Result<HttpResponse> {
    exchange(request, timeout).await
}

/// As the generators do: no redirect is followed.
async fn exchange(request: &DescribedRequest, timeout: Duration) -> Result<HttpResponse> {
    let client = build(builder().redirect(reqwest::redirect::Policy::none()))?;
    let method = reqwest::Method::from_bytes(request.method.as_bytes())
        .with_context(|| format!("{} is no method", request.method))?;
    let mut sent = client.request(method, &request.url).timeout(timeout);
    for (name, value) in &request.headers {
        sent = sent.header(name, value);
    }
    if let Some(body) = &request.body {
        sent = sent.body(body.clone());
    }
    finish(&request.url, sent).await
}
