//! What surrounds every request: measuring, shedding, the caller's identity.

use super::error::Problem;
use crate::app::App;
use crate::auth::Claims;
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::time::Instant;

/// Measures every request, bounds its time, and sheds what is too much.
pub(crate) async fn measure(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = method_name(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    app.metrics.request_started();
    let answer = match app.in_flight.try_acquire() {
        Ok(_permit) => {
            match tokio::time::timeout(app.config.service.request_timeout, next.run(request)).await {
                Ok(answer) => answer,
                Err(_) => {
                    Problem::new(StatusCode::GATEWAY_TIMEOUT, "the request took too long").into_response()
                }
            }
        }
        Err(_) => {
            app.metrics.shed("in_flight");
            Problem::unavailable("too many requests are in progress").into_response()
        }
    };
    app.metrics.request_ended(method, &route, answer.status().as_u16(), started.elapsed());
    answer
}

/// Unknown methods share one label, so that a caller cannot make new series.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

/// The caller, from its bearer token.
pub(crate) struct Caller(pub(crate) Arc<Claims>);

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let header = parts
            .headers
            .get(AUTHORIZATION)
            .ok_or_else(|| Problem::unauthorized("a bearer token is needed"))?;
        let token = header
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .ok_or_else(|| Problem::unauthorized("a bearer token is needed"))?;
        app.tokens
            .verify(token.1.trim())
            .map(Self)
            .ok_or_else(|| Problem::unauthorized("the token is not valid"))
    }
}
