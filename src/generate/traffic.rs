//! The requests of one thread, by the weights and templates of the plan: the same that the k6 script makes.

use super::plan::GeneratorPlan;
use super::record::Expected;
use super::text::{TextTemplate, Values};
use crate::domain::profile::OfferedRequest;
use crate::error::{Context, Error, Result};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, Uri};
use std::cell::Cell;

/// Makes the requests of one thread.
#[derive(Debug)]
pub(super) struct Traffic {
    kinds: Vec<RequestKind>,
    /// The sum of all weights.
    weights: f64,
    values: Values,
    tracked: Cell<u64>,
}

/// One kind of request, as far as it can be made before the load.
#[derive(Debug)]
struct RequestKind {
    /// The sum of the weights up to and with this one.
    until: f64,
    method: Method,
    path: RequestPath,
    headers: HeaderMap,
    /// Headers whose values differ from request to request.
    varying: Vec<(HeaderName, TextTemplate)>,
    body: Option<TextTemplate>,
    expected: Expected,
    tracked: bool,
}

#[derive(Debug)]
enum RequestPath {
    Constant(Uri),
    Varying(TextTemplate),
}

/// A request with its body, what the status of its answer means, and its number where it has an id.
#[derive(Debug)]
pub(super) struct PreparedRequest<'a> {
    pub(super) request: Request<Full<Bytes>>,
    pub(super) expected: &'a Expected,
    pub(super) creates: Option<u64>,
}

impl Traffic {
    /// The traffic of the thread `thread` of this process.
    pub(super) fn new(plan: &GeneratorPlan, thread: usize) -> Result<Self> {
        let host = HeaderValue::from_str(plan.authority()?).context("the address cannot be a header")?;
        let (mut kinds, mut weights) = (Vec::new(), 0.0);
        for request in &plan.requests {
            weights += request.weight;
            kinds.push(RequestKind::new(request, weights, &host)?);
        }
        if kinds.is_empty() {
            return Err(Error::usage("the plan of the level names no request"));
        }
        let prefix = format!("{}-{}-{thread}", plan.prefix, plan.share);
        let values = Values::new(&plan.prefix, &prefix, plan.first_number(thread), plan.stride());
        Ok(Self { kinds, weights, values, tracked: Cell::new(0) })
    }

    /// The next request.
    pub(super) fn next(&self) -> Result<PreparedRequest<'_>> {
        let dice = if self.kinds.len() == 1 { 0.0 } else { rand::random::<f64>() * self.weights };
        let kind = self.kinds.iter().find(|one| dice < one.until).or(self.kinds.last());
        let kind = kind.ok_or_else(|| Error::usage("the plan of the level names no request"))?;
        let creates = kind.tracked.then(|| self.tracked.replace(self.tracked.get() + 1));
        self.values.begin(creates);
        Ok(PreparedRequest { request: kind.request(&self.values)?, expected: &kind.expected, creates })
    }

    /// The first part of the ids of what this thread sends, and how many it has sent.
    pub(super) fn created(&self) -> (&str, u64) {
        (self.values.prefix(), self.tracked.get())
    }
}

impl RequestKind {
    fn new(request: &OfferedRequest, until: f64, host: &HeaderValue) -> Result<Self> {
        let name = &request.name;
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.clone());
        let mut varying = Vec::new();
        for (header, value) in &request.headers {
            let key = HeaderName::from_bytes(header.as_bytes())
                .with_context(|| format!("{name}: {header} is no name of a header"))?;
            let value = TextTemplate::new(value)?;
            match value.constant() {
                Some(text) => {
                    let text = HeaderValue::from_str(text)
                        .with_context(|| format!("{name}: the value of {header} cannot be a header"))?;
                    headers.insert(key, text);
                }
                None => varying.push((key, value)),
            }
        }
        let path = TextTemplate::new(&request.path)?;
        let path = match path.constant() {
            Some(text) => RequestPath::Constant(uri(text.to_owned())?),
            None => RequestPath::Varying(path),
        };
        Ok(Self {
            until,
            method: Method::from_bytes(request.method.as_bytes())
                .with_context(|| format!("{name}: {} is no method", request.method))?,
            path,
            headers,
            varying,
            body: request.body.as_deref().map(TextTemplate::new).transpose()?,
            expected: Expected {
                success: request.success.clone(),
                acknowledged: request.acknowledged.clone(),
            },
            tracked: request.tracked,
        })
    }

    fn request(&self, values: &Values) -> Result<Request<Full<Bytes>>> {
        let body = match &self.body {
            Some(body) => Bytes::from(body.fill(values)),
            None => Bytes::new(),
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = match &self.path {
            RequestPath::Constant(uri) => uri.clone(),
            RequestPath::Varying(path) => uri(path.fill(values))?,
        };
        let mut headers = self.headers.clone();
        for (name, value) in &self.varying {
            let value = HeaderValue::try_from(value.fill(values));
            headers.insert(name.clone(), value.with_context(|| format!("{name} cannot be a header"))?);
        }
        *request.headers_mut() = headers;
        Ok(request)
    }
}

fn uri(path: String) -> Result<Uri> {
    // Takes the bytes as they are, without a copy; so the message cannot show them, and counts as one cause.
    Uri::from_maybe_shared(Bytes::from(path)).context("a path that is none")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::level::Model;
    use crate::domain::profile::{CompanionLoad, Profile};
    use serde_json::json;

    fn plan(requests: &[OfferedRequest], share: u32) -> GeneratorPlan {
        serde_json::from_value(json!({
            "base_url": "http://127.0.0.1:1", "model": Model::Open, "vus": 8, "windows": [], "prefix": "run-L1.0",
            "requests": requests, "summary": "s", "share": share, "of": 2, "threads": 2,
        }))
        .unwrap()
    }

    fn traffic(toml: &str, share: u32, thread: usize) -> Traffic {
        let text = format!("name = \"shop\"\nurl = \"http://x\"\n{toml}");
        let profile = Profile::parse(&text, "shop.toml").unwrap();
        let requests = profile.offered("", None, &|_| None).unwrap();
        Traffic::new(&plan(&requests, share), thread).unwrap()
    }

    #[test]
    fn requests_are_made_by_their_weights() {
        let both = "[[request]]\npath = \"/a\"\nweight = 9\n[[request]]\npath = \"/b\"\n";
        let traffic = traffic(both, 0, 0);
        let of_a = (0..10_000).filter(|_| traffic.next().unwrap().request.uri() == "/a").count();
        assert!((8_700..9_300).contains(&of_a), "{of_a} of 10000");
    }

    #[test]
    fn no_two_threads_make_one_number_and_no_number_comes_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for (share, thread) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let traffic = traffic("[[request]]\npath = \"/{{n}}\"\n", share, thread);
            for _ in 0..50 {
                assert!(seen.insert(traffic.next().unwrap().request.uri().to_string()), "{seen:?}");
            }
        }
        assert_eq!((seen.len(), seen.contains("/0"), seen.contains("/199")), (200, true, true));
    }

    #[test]
    fn the_companion_is_asked_as_before() {
        let load = CompanionLoad {
            create: 0.5,
            get: 0.5,
            list: 0.0,
            correlation: 0.0,
            users: 10,
            notifications: 100,
        };
        let requests = Profile::companion(&load).offered("", None, &|_| None).unwrap();
        let traffic = Traffic::new(&plan(&requests, 1), 1).unwrap();
        let (mut created, mut read) = (0, 0);
        for _ in 0..200 {
            let made = traffic.next().unwrap();
            match made.creates {
                Some(number) => {
                    assert_eq!((number, made.request.method()), (created, &Method::POST));
                    assert_eq!(made.request.headers()["content-type"], "application/json");
                    created += 1;
                }
                None => {
                    assert_eq!(made.request.uri().path().len(), "/notifications/".len() + 36);
                    assert!(!made.request.headers().contains_key("content-type"));
                    read += 1;
                }
            }
        }
        assert!(created > 50 && read > 50);
        assert_eq!(traffic.created(), ("run-L1.0-1-1", created));
    }
}
