//! The requests: the same mix over the same seeded table as the k6 script makes.

use super::plan::GeneratorPlan;
use crate::error::{Context, Result};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request};
use md5::{Digest, Md5};
use std::cell::Cell;
use std::fmt::Write;

/// Four of five reads go to one per cent of the table, as real ones do.
const POPULAR_SHARE: f64 = 0.8;
const CHANNELS: [&str; 4] = ["EMAIL", "SMS", "PUSH", "IN_APP"];

/// Makes the requests of one thread.
#[derive(Debug)]
pub(super) struct Traffic {
    plan: GeneratorPlan,
    host: HeaderValue,
    bearer: HeaderValue,
    json: HeaderValue,
    /// Correlation ids of this thread begin with this.
    prefix: String,
    made: Cell<u64>,
}

/// A request with its body, and the number of what it creates, if it does.
#[derive(Debug)]
pub(super) struct PreparedRequest {
    pub(super) request: Request<Full<Bytes>>,
    pub(super) creates: Option<u64>,
}

impl Traffic {
    /// The traffic of the thread `thread` of this process.
    pub(super) fn new(plan: &GeneratorPlan, thread: usize) -> Result<Self> {
        let value = |text: &str| HeaderValue::from_str(text).context("the token cannot be a header");
        Ok(Self {
            host: value(plan.authority()?)?,
            bearer: value(&format!("Bearer {}", plan.token))?,
            json: HeaderValue::from_static("application/json"),
            prefix: format!("{}-{}-{thread}", plan.prefix, plan.share),
            plan: plan.clone(),
            made: Cell::new(0),
        })
    }

    /// The next request.
    pub(super) fn next(&self) -> Result<PreparedRequest> {
        if let Some(path) = &self.plan.path {
            return self.get(path);
        }
        let (dice, mix) = (rand::random::<f64>(), self.plan.mix);
        if dice < mix.create {
            return self.create();
        }
        if dice < mix.create + mix.get {
            return self.get(&format!("/notifications/{}", seeded_id(self.popular())));
        }
        if dice < mix.create + mix.get + mix.list {
            let user = below(self.plan.seed_users);
            return self.get(&format!("/notifications?userId=seed-user-{user}&status=DELIVERED&limit=20"));
        }
        let id = below((self.plan.seed_notifications / 10).max(1));
        self.get(&format!("/notifications?correlationId=seed-correlation-{id}"))
    }

    fn popular(&self) -> u32 {
        let all = self.plan.seed_notifications;
        if rand::random::<f64>() < POPULAR_SHARE { below((all / 100).max(1)) } else { below(all) }
    }

    fn get(&self, path: &str) -> Result<PreparedRequest> {
        Ok(PreparedRequest { request: self.request(Method::GET, path, Bytes::new())?, creates: None })
    }

    /// The first part of the ids of what this thread creates, and how many it has created.
    pub(super) fn created(&self) -> (&str, u64) {
        (&self.prefix, self.made.get())
    }

    fn create(&self) -> Result<PreparedRequest> {
        let number = self.made.replace(self.made.get() + 1);
        let (user, channel) = (below(self.plan.seed_users), CHANNELS[below(4) as usize]);
        let prefix = &self.prefix;
        let body = format!(
            r#"{{"userId":"seed-user-{user}","channel":"{channel}","type":"TRANSACTIONAL","priority":"MEDIUM","payload":{{"to":"user@example.com","deviceToken":"device-1","subject":"Load test","body":"A message of a load test."}},"correlationId":"{prefix}-{number}"}}"#
        );
        let request = self.request(Method::POST, "/notifications", Bytes::from(body))?;
        Ok(PreparedRequest { request, creates: Some(number) })
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>> {
        let has_body = !body.is_empty();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .body(Full::new(body))
            .with_context(|| format!("{path} is no path"))?;
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(AUTHORIZATION, self.bearer.clone());
        if has_body {
            headers.insert(CONTENT_TYPE, self.json.clone());
        }
        Ok(request)
    }
}

fn below(limit: u32) -> u32 {
    rand::random_range(0..limit.max(1))
}

/// The id that the seeding gave to notification `number`: an MD5 written as a UUID.
fn seeded_id(number: u32) -> String {
    let digest = Md5::digest(format!("nsys-seed-{number}"));
    let mut id = String::with_capacity(36);
    for (index, byte) in digest.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            id.push('-');
        }
        // Writing to a string cannot fail.
        let _ = write!(id, "{byte:02x}");
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_that_postgresql_makes_of_the_seed() {
        // SELECT md5('nsys-seed-0')::uuid
        let wanted = Md5::digest("nsys-seed-0");
        let hex: String = wanted.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(seeded_id(0).replace('-', ""), hex);
        let lengths: Vec<_> = seeded_id(17).split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
    }
}
