//! What every request passes before its handler: measuring, shedding, identity, role, rate.

use super::error::Problem;
use super::session::StreamGuard;
use super::timeout::within;
use crate::auth::{Assurance, Limited, Principal, Refusal};
use crate::domain::limit::Decision;
use crate::http::app::App;
use crate::http::app::concurrency::RequestClass;
use crate::telemetry::{RouteMetrics, trace};
use axum::extract::{DefaultBodyLimit, FromRequestParts, Request};
use axum::handler::Handler;
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;
use nsys_contract::status::Role;
use opentelemetry::context::FutureExt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

const API_KEY: &str = "x-api-key";
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Who may use a route. Each includes those after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Access {
    /// Everybody.
    Public,
    /// Whoever shows a valid credential.
    User,
    /// Operators of the tenant, and admins.
    Operator,
    /// Admins.
    Admin,
}

impl Access {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::User => "user",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    fn admits(self, role: Role) -> bool {
        match self {
            Self::Public | Self::User => true,
            Self::Operator => role != Role::User,
            Self::Admin => role == Role::Admin,
        }
    }
}

/// The gate before one handler.
pub(crate) struct Gate {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    pub(crate) class: RequestClass,
    /// Whether its handler runs to its end when nobody waits for its answer any more.
    pub(crate) ends_its_work: bool,
    pub(crate) metrics: OnceLock<RouteMetrics>,
}

impl Gate {
    async fn pass<H, T>(&self, handler: H, request: Request, app: Arc<App>) -> Response
    where
        H: Handler<T, Arc<App>>,
    {
        let started = Instant::now();
        let metrics = self.metrics.get_or_init(|| app.parts.metrics.route(self.method, self.path));
        let context =
            trace::incoming(request.headers(), app.parts.config.telemetry.trace_sample, metrics.name());
        let correlation = request.headers().get(CORRELATION_ID).cloned();
        let answer = caught(self.admit(handler, request, Arc::clone(&app))).with_context(context.clone());
        let mut answer = answer.await;
        let headers = answer.headers_mut();
        if let Some(correlation) = correlation {
            headers.insert(CORRELATION_ID, correlation);
        }
        if let Some(parent) = trace::traceparent(&context).and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(TRACEPARENT, parent);
        }
        let status = answer.status().as_u16();
        trace::end_request(&context, status);
        metrics.ended(status, started.elapsed());
        answer
    }

    async fn admit<H, T>(&self, handler: H, mut request: Request, app: Arc<App>) -> Response
    where
        H: Handler<T, Arc<App>>,
    {
        let (permit, stream_permit) = match self.class {
            RequestClass::Stream => (None, app.concurrency.acquire_stream()),
            class => (app.concurrency.acquire(class).await, None),
        };
        if permit.is_none() && stream_permit.is_none() {
            app.parts.metrics.shed("in_flight");
            return Problem::overloaded("too many requests are in progress").into_response();
        }
        let caller = match self.identify(request.headers(), &app).await {
            Ok(caller) => caller,
            Err(problem) => return problem.into_response(),
        };
        let limit = caller.as_ref().and_then(|caller| caller.limit.as_ref());
        let decision = limit.map(|limit| limit.take(1));
        if let (Some(limit), Some(Decision::Wait(wait))) = (limit, decision) {
            app.parts.metrics.shed("rate_limit");
            let problem = Problem::too_many("rate limit exceeded", wait);
            return with_rate(problem.into_response(), limit, Decision::Wait(wait));
        }
        if let Some(caller) = &caller {
            request.extensions_mut().insert(Caller(Arc::clone(caller)));
        }
        let guard = stream_permit.zip(caller.clone()).map(|(permit, caller)| {
            Box::new(StreamGuard::new(
                permit,
                caller,
                credential(request.headers()).unwrap_or_default(),
                &app,
            ))
        });
        if let Some(guard) = &guard {
            request.extensions_mut().insert(guard.session());
        }
        if self.method != "GET" {
            if let Some(problem) = self.too_large(request.headers(), &app) {
                return problem.into_response();
            }
            DefaultBodyLimit::max(app.parts.config.service.max_body_bytes).apply(&mut request);
        }
        let timeout = app.parts.config.service.request_timeout;
        let answer = handler.call(request, Arc::clone(&app));
        let answer = if self.ends_its_work {
            let work = tokio::spawn(answer.with_current_context());
            within(timeout, work).await.map_or_else(timed_out, |done| {
                // A panic of the handler goes on here, where it is caught.
                done.unwrap_or_else(|cause| match cause.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => Problem::unavailable("the service is stopping").into_response(),
                })
            })
        } else if let Some(guard) = guard {
            guard.over(answer.await)
        } else {
            within(timeout, answer).await.unwrap_or_else(timed_out)
        };
        match (limit, decision) {
            (Some(limit), Some(decision)) => with_rate(answer, limit, decision),
            _ => answer,
        }
    }

    /// The refusal of a body that says itself that it is too large: nobody waits for it to come.
    fn too_large(&self, headers: &HeaderMap, app: &App) -> Option<Problem> {
        // A stream is read line by line.
        let bounded = !matches!(self.class, RequestClass::Stream);
        let told = || headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse::<u64>().ok();
        let most = u64::try_from(app.parts.config.service.max_body_bytes).unwrap_or(u64::MAX);
        (bounded && told()? > most).then(super::extract::body_too_large)
    }

    async fn identify(&self, headers: &HeaderMap, app: &App) -> Result<Option<Arc<Principal>>, Problem> {
        if self.access == Access::Public {
            return Ok(None);
        }
        let credential = credential(headers)?;
        // Rights beyond a user's are those of now, or none.
        let assurance = if self.access == Access::User { Assurance::Lately } else { Assurance::Now };
        let caller = app.auth.authenticate(&app.parts.db, credential, assurance).await;
        let caller = caller.map_err(|refusal| match refusal {
            Refusal::Invalid => Problem::unauthorized("the token or API key is not valid"),
            Refusal::Unknown => Problem::unavailable("the token or API key cannot be verified right now"),
        })?;
        if self.access.admits(caller.role) {
            return Ok(Some(caller));
        }
        Err(Problem::forbidden(format!("this requires the role {}", self.access.as_str().to_uppercase())))
    }
}

fn timed_out() -> Response {
    Problem::new(axum::http::StatusCode::GATEWAY_TIMEOUT, "the request timed out").into_response()
}

/// What comes of `work`; a problem when it panics, so that it is counted like any other answer.
async fn caught(work: impl Future<Output = Response>) -> Response {
    AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Problem::internal("internal error; see the service log").into_response())
}

/// The bearer token or the API key of a request; two different ones are refused.
fn credential(headers: &HeaderMap) -> Result<&str, Problem> {
    let needed = || Problem::unauthorized("a bearer token or an API key is required");
    let bearer = headers.get(AUTHORIZATION);
    let sent = headers.get_all(AUTHORIZATION).iter().count() + headers.get_all(API_KEY).iter().count();
    if sent > 1 {
        return Err(Problem::unauthorized("send exactly one credential: a bearer token or an API key"));
    }
    let Some(bearer) = bearer else {
        return headers.get(API_KEY).and_then(|key| key.to_str().ok()).ok_or_else(needed);
    };
    let (scheme, token) = bearer.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(needed)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(needed()) }
}

/// Adds the RateLimit fields (draft-ietf-httpapi-ratelimit-headers).
fn with_rate(mut answer: Response, limit: &Limited, decision: Decision) -> Response {
    let (remaining, reset_s) = match decision {
        Decision::Pass { remaining, reset_s } => (remaining, reset_s),
        Decision::Wait(wait) => (0, wait.as_secs() + u64::from(wait.subsec_nanos() > 0)),
    };
    let (burst, window_s) = (limit.quota().burst, limit.quota().window_s());
    let fields = [
        (RATE_LIMIT_POLICY, format!("\"default\";q={burst};w={window_s}")),
        (RATE_LIMIT, format!("\"default\";r={remaining};t={reset_s}")),
    ];
    for (name, text) in fields {
        if let Ok(value) = HeaderValue::try_from(text) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

/// A handler behind its gate.
pub(crate) struct Gated<H> {
    pub(crate) handler: H,
    pub(crate) gate: Arc<Gate>,
}

impl<H: Clone> Clone for Gated<H> {
    fn clone(&self) -> Self {
        Self { handler: self.handler.clone(), gate: Arc::clone(&self.gate) }
    }
}

impl<H, T> Handler<(Gate, T), Arc<App>> for Gated<H>
where
    H: Handler<T, Arc<App>>,
    T: 'static,
{
    type Future = Pin<Box<dyn Future<Output = Response> + Send>>;

    fn call(self, request: Request, app: Arc<App>) -> Self::Future {
        Box::pin(async move { self.gate.pass(self.handler, request, app).await })
    }
}

/// The caller of a route that is not public.
#[derive(Clone)]
pub(crate) struct Caller(pub(crate) Arc<Principal>);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        // Set by the gate; a public route has no caller.
        parts.extensions.remove::<Self>().ok_or_else(|| Problem::unauthorized("a credential is required"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_credentials_neither_is_taken() {
        let headers = |fields: &[(&'static str, &'static str)]| -> HeaderMap {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, HeaderValue::from_static(value));
            }
            headers
        };
        assert_eq!(credential(&headers(&[(API_KEY, "nk_a")])).unwrap(), "nk_a");
        assert_eq!(credential(&headers(&[("authorization", "Bearer t")])).unwrap(), "t");
        for two in [
            [(API_KEY, "nk_a"), (API_KEY, "nk_b")],
            [(API_KEY, "nk_a"), (API_KEY, "nk_a")],
            [("authorization", "Bearer t"), (API_KEY, "nk_a")],
            [("authorization", "Bearer t"), ("authorization", "Bearer u")],
        ] {
            assert_eq!(credential(&headers(&two)).unwrap_err().status().as_u16(), 401, "{two:?}");
        }
    }

    #[tokio::test]
    async fn a_panic_becomes_an_answer() {
        let answer = caught(async { panic!("on purpose") }).await;
        assert_eq!(answer.status(), axum::http::StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer.headers()["content-type"], super::super::error::PROBLEM_JSON);
    }
}
