//! HTTP to gateways and receivers. The only place of the channels that names reqwest.

use super::DeliveryOutcome;
use super::guard::Guard;
use anyhow::Context;
use futures::future::BoxFuture;
use nsys_contract::status::Status;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, RETRY_AFTER};
pub(super) use reqwest::header::{HeaderName, HeaderValue};
pub(super) use reqwest::{Method, Url};
use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// One request to make.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Vec<u8>,
}

/// A pool of connections. Redirects are never followed.
pub(super) struct Http {
    client: reqwest::Client,
    /// Set when the addresses come from callers.
    guard: Option<Guard>,
}

/// A name that leads to no address that may be reached: there is none, or it is inside. Which of both is not
/// told, else whoever may send a webhook could ask for the names of our own network.
#[derive(Debug, thiserror::Error)]
#[error("{0} has no public address")]
struct NoPublicAddress(String);

impl Http {
    /// For addresses from the configuration.
    pub(super) fn trusted(timeout: Duration) -> anyhow::Result<Self> {
        Ok(Self { client: builder(timeout).build().context("no HTTP client")?, guard: None })
    }

    /// For addresses from callers: what `guard` does not allow is never connected to.
    ///
    /// The guard stands where names become addresses, and the connection is made to the very address
    /// it passed: a name that resolves differently the second time gains nothing.
    pub(super) fn guarded(timeout: Duration, guard: Guard) -> anyhow::Result<Self> {
        Self::guarded_by(timeout, guard, Arc::new(system_lookup))
    }

    fn guarded_by(timeout: Duration, guard: Guard, lookup: Arc<Lookup>) -> anyhow::Result<Self> {
        let names = Names { guard: guard.clone(), lookup };
        let client = builder(timeout).no_proxy().dns_resolver(Arc::new(names));
        Ok(Self { client: client.build().context("no HTTP client")?, guard: Some(guard) })
    }

    pub(super) async fn send(&self, call: Call) -> DeliveryOutcome {
        self.exchange(call, 0).await.outcome
    }

    /// Sends, and reads up to `most` bytes of the body of the answer.
    pub(super) async fn exchange(&self, call: Call, most: usize) -> Exchange {
        if let Some(guard) = &self.guard
            && let Err(cause) = check(&call.url, guard)
        {
            return Exchange::without_answer(DeliveryOutcome::Refused(cause));
        }
        let mut request = self.client.request(call.method, call.url).body(call.body);
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        match request.send().await {
            Ok(mut answer) => {
                let status = answer.status().as_u16();
                let outcome = outcome(status, retry_after(answer.headers()), self.receiver());
                let body = if most == 0 { None } else { Some(beginning(&mut answer, most).await) };
                Exchange { outcome, status: Some(status), body }
            }
            Err(cause) => Exchange::without_answer(failed(&cause)),
        }
    }
}

/// A request and its answer.
pub(super) struct Exchange {
    pub(super) outcome: DeliveryOutcome,
    /// `None` when there was no answer.
    pub(super) status: Option<u16>,
    /// The beginning of the answer's body, where it was asked for.
    pub(super) body: Option<String>,
}

impl Exchange {
    const fn without_answer(outcome: DeliveryOutcome) -> Self {
        Self { outcome, status: None, body: None }
    }
}

/// Longest wait for the beginning of a body: the status has decided already.
const BODY_TIMEOUT: Duration = Duration::from_secs(1);

/// The beginning of a body, as far as it comes in time, in characters that PostgreSQL can store.
async fn beginning(answer: &mut reqwest::Response, most: usize) -> String {
    let mut bytes = Vec::new();
    let read = async {
        while bytes.len() < most
            && let Ok(Some(chunk)) = answer.chunk().await
        {
            bytes.extend_from_slice(&chunk[..chunk.len().min(most - bytes.len())]);
        }
    };
    let _ = tokio::time::timeout(BODY_TIMEOUT, read).await;
    String::from_utf8_lossy(&bytes).replace('\0', "\u{fffd}")
}

impl Http {
    const fn receiver(&self) -> Receiver {
        if self.guard.is_some() { Receiver::Theirs } else { Receiver::Ours }
    }
}

/// Whose address and whose credentials a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receiver {
    /// Those of the configuration.
    Ours,
    /// Those of a caller.
    Theirs,
}

#[expect(clippy::disallowed_methods, reason = "the one place that builds clients")]
fn builder(timeout: Duration) -> reqwest::ClientBuilder {
    crate::tls::install();
    reqwest::Client::builder()
        .timeout(timeout)
        .connect_timeout(timeout)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("notification-service/", env!("CARGO_PKG_VERSION")))
}

/// What is wrong with the address of a receiver, as far as the address alone tells.
pub(super) fn check_address(text: &str, guard: &Guard) -> Result<(), String> {
    let url: Url = text.parse().map_err(|cause| format!("is not a URL: {cause}"))?;
    check(&url, guard)
}

/// What can be told from the address alone. Numbers in any notation are an address here already.
fn check(url: &Url, guard: &Guard) -> Result<(), String> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("{}: only http and https are supported", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the address of a webhook must not hold a user or a password".to_owned());
    }
    let host = url.host_str().ok_or("the address of a webhook needs a host")?;
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) if !guard.allows(address) => return Err(format!("{host} leads into a private network")),
        _ => {}
    }
    match url.port_or_known_default() {
        Some(port) if !guard.allows_port(host, port) => {
            Err(format!("port {port} is not one of a webhook: 80, 443, and those from 1024 on are"))
        }
        _ => Ok(()),
    }
}

/// Finds the addresses of a name.
type Lookup = dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync;

fn system_lookup(host: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
    Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.collect()) })
}

/// The resolver that lets no name lead inside.
struct Names {
    guard: Guard,
    lookup: Arc<Lookup>,
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, lookup) = (self.guard.clone(), Arc::clone(&self.lookup));
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let none = || Box::new(NoPublicAddress(host.clone())) as Box<dyn Error + Send + Sync>;
            let found = lookup(host.clone()).await.map_err(|cause| {
                tracing::debug!(%cause, host, "The name of a webhook's receiver is not known.");
                none()
            })?;
            // One inner address among public ones is reason enough: nobody has both by accident.
            if found.is_empty()
                || (!guard.allows_host(&host) && !found.iter().all(|one| guard.allows(one.ip())))
            {
                tracing::warn!(host, "The name of a webhook's receiver leads inside, and is not called.");
                return Err(none());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// What an answer means. Only what is said of this very message is for good: a receiver that lets nobody in, or
/// cannot be found, is one that is being deployed or configured.
fn outcome(status: u16, after: Option<Duration>, receiver: Receiver) -> DeliveryOutcome {
    let error = format!("it answered {status}");
    match (status, receiver) {
        (200..300, _) => DeliveryOutcome::Done(Status::Sent),
        (300..400, _) => DeliveryOutcome::Retry {
            error: format!("{error}; redirects are not followed"),
            after,
            down: false,
        },
        // The message cannot be taken, or its receiver is gone for good.
        (400 | 410 | 413 | 414 | 415 | 422 | 431, _) => DeliveryOutcome::Refused(error),
        // Our credentials: nothing gets through with them.
        (401 | 403 | 407, Receiver::Ours) => DeliveryOutcome::Retry { error, after, down: true },
        // The receiver is there.
        (400..500, _) => DeliveryOutcome::Retry { error, after, down: false },
        _ => DeliveryOutcome::Retry { error, after, down: true },
    }
}

fn failed(cause: &reqwest::Error) -> DeliveryOutcome {
    let mut innermost = None;
    let mut source = cause.source();
    while let Some(inner) = source {
        if let Some(nowhere) = inner.downcast_ref::<NoPublicAddress>() {
            return DeliveryOutcome::down(nowhere.to_string());
        }
        innermost = Some(inner.to_string());
        source = inner.source();
    }
    if cause.is_builder() {
        return DeliveryOutcome::Refused("the request cannot be built".to_owned());
    }
    if cause.is_timeout() {
        return DeliveryOutcome::down("it did not answer in time");
    }
    // The innermost cause says most, and unlike the outermost it holds no address.
    DeliveryOutcome::down(match innermost {
        Some(cause) => format!("it cannot be reached: {cause}"),
        None => "it cannot be reached".to_owned(),
    })
}

/// `Retry-After` is a number of seconds, or an instant.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(at.duration_since(crate::clock::now())).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(url: &str) -> Result<(), String> {
        check(&url.parse().unwrap(), &Guard::default())
    }

    #[test]
    fn an_inner_address_is_found_in_every_notation() {
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://169.254.169.254/latest",
            "http://①②⑦.0.0.1/",
        ] {
            assert!(checked(url).is_err(), "{url}");
        }
        assert_eq!(checked("https://example.com/hook"), Ok(()));
        assert_eq!(checked("http://1.1.1.1:8080/"), Ok(()));
        assert_eq!(checked("http://example.com:80/"), Ok(()));
    }

    #[test]
    fn ports_of_other_services_are_no_webhooks() {
        for url in
            ["http://example.com:25/", "https://example.com:22/", "http://1.1.1.1:443/", "http://1.1.1.1:6/"]
        {
            assert_eq!(checked(url).is_err(), !url.ends_with(":443/"), "{url}");
        }
        let guard = Guard::new(&["relay.example".to_owned()]);
        assert_eq!(check(&"http://relay.example:25/".parse().unwrap(), &guard), Ok(()));
    }

    #[test]
    fn other_schemes_and_users_are_refused() {
        for url in ["file:///etc/passwd", "ftp://example.com/", "http://user:pass@example.com/"] {
            assert!(checked(url).is_err(), "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_connected_to() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
        let http = Http::guarded(Duration::from_secs(5), Guard::default()).unwrap();
        let call =
            Call { method: Method::POST, url: url.parse().unwrap(), headers: Vec::new(), body: Vec::new() };
        let outcome = http.send(call).await;
        assert_eq!(outcome, DeliveryOutcome::down("localhost has no public address"));
        assert!(listener.accept().is_err(), "it was connected to");
    }

    /// A receiver on loopback, and what a name leads to at each look.
    async fn sent_to(
        looks: &'static [&'static [&'static str]],
        times: usize,
    ) -> (Vec<DeliveryOutcome>, usize) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let look = std::sync::atomic::AtomicUsize::new(0);
        let lookup = move |_: String| {
            let now = look.fetch_add(1, std::sync::atomic::Ordering::Relaxed).min(looks.len() - 1);
            let found = looks[now].iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect();
            Box::pin(async move { Ok(found) }) as BoxFuture<'static, _>
        };
        let http = Http::guarded_by(Duration::from_millis(500), Guard::default(), Arc::new(lookup)).unwrap();
        let mut outcomes = Vec::new();
        for _ in 0..times {
            let url = format!("http://rebound.example:{port}/").parse().unwrap();
            outcomes.push(
                http.send(Call { method: Method::POST, url, headers: Vec::new(), body: Vec::new() }).await,
            );
        }
        let connections = std::iter::from_fn(|| listener.accept().ok()).count();
        (outcomes, connections)
    }

    #[tokio::test]
    async fn a_name_that_changes_between_two_looks_gains_nothing() {
        // An address of the internet that nobody has, then our own.
        let (outcomes, connections) = sent_to(&[&["192.31.196.1"], &["127.0.0.1"]], 2).await;
        let inside = DeliveryOutcome::down("rebound.example has no public address");
        assert_ne!(outcomes[0], inside);
        assert_eq!(outcomes[1], inside);
        assert_eq!(connections, 0, "it was connected to");
    }

    #[tokio::test]
    async fn one_inner_address_among_public_ones_is_enough_to_refuse() {
        const MIXED: &[&[&str]] = &[&["192.31.196.1", "127.0.0.1"]];
        const MAPPED: &[&[&str]] = &[&["::ffff:127.0.0.1"]];
        for looks in [MIXED, MAPPED] {
            let (outcomes, connections) = sent_to(looks, 1).await;
            assert_eq!(outcomes[0], DeliveryOutcome::down("rebound.example has no public address"));
            assert_eq!(connections, 0, "it was connected to");
        }
    }

    #[tokio::test]
    async fn a_name_inside_and_one_that_is_not_there_are_told_alike() {
        let told = async |name: &'static str, found: Option<&'static str>| {
            let lookup = move |_: String| {
                let found = match found {
                    Some(address) => Ok(vec![SocketAddr::new(address.parse().unwrap(), 0)]),
                    None => Err(io::Error::other("Name or service not known")),
                };
                Box::pin(async move { found }) as BoxFuture<'static, _>
            };
            let http = Http::guarded_by(Duration::from_secs(5), Guard::default(), Arc::new(lookup)).unwrap();
            let url = format!("http://{name}/").parse().unwrap();
            http.send(Call { method: Method::POST, url, headers: Vec::new(), body: Vec::new() }).await
        };
        let name = "postgres.internal";
        assert_eq!(told(name, Some("10.0.0.7")).await, told(name, None).await);
    }

    #[test]
    fn answers_are_told_apart() {
        let of = |status, receiver| outcome(status, None, receiver);
        for receiver in [Receiver::Ours, Receiver::Theirs] {
            assert_eq!(of(204, receiver), DeliveryOutcome::Done(Status::Sent));
            for refused in [400, 410, 413, 422] {
                assert!(
                    matches!(of(refused, receiver), DeliveryOutcome::Refused(_)),
                    "{refused} {receiver:?}"
                );
            }
            for later in [302, 404, 405, 408, 409, 425, 429] {
                let outcome = of(later, receiver);
                assert!(
                    matches!(outcome, DeliveryOutcome::Retry { down: false, .. }),
                    "{later} {receiver:?}"
                );
            }
            for down in [500, 502, 503, 504] {
                let outcome = of(down, receiver);
                assert!(matches!(outcome, DeliveryOutcome::Retry { down: true, .. }), "{down} {receiver:?}");
            }
        }
        let asked = Some(Duration::from_secs(3));
        let busy = outcome(429, asked, Receiver::Theirs);
        assert!(matches!(busy, DeliveryOutcome::Retry { after, .. } if after == asked));
    }

    #[test]
    fn credentials_of_ours_that_are_not_accepted_hold_everything_back() {
        for status in [401, 403, 407] {
            assert!(matches!(
                outcome(status, None, Receiver::Ours),
                DeliveryOutcome::Retry { down: true, .. }
            ));
            // Somebody else's: it is theirs alone.
            assert!(matches!(
                outcome(status, None, Receiver::Theirs),
                DeliveryOutcome::Retry { down: false, .. }
            ));
        }
    }

    #[test]
    fn retry_after_is_seconds_or_an_instant() {
        let read = |text: &str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]));
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert!(read("Fri, 31 Dec 2100 23:59:59 GMT").unwrap() > Duration::from_secs(86_400));
        assert_eq!(read("soon"), None);
    }
}
