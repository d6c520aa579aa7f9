//! Up to a thousand notifications in one request, one result each.

use super::super::endpoint::JSON;
use super::super::error::Problem;
use super::super::extract::{bytes, expect_type, read_json};
use super::super::gate::Caller;
use super::intake::{Intake, settled, write_result};
use crate::domain::limit::Decision;
use crate::http::app::App;
use crate::telemetry::trace;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use nsys_contract::api::Batch;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;

/// Bytes of one result, about.
pub(in crate::http) const RESULT_BYTES: usize = 80;

/// `Batch`, its items still text: a wrong one must not spoil the others.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Items<'a> {
    #[serde(borrow)]
    pub(in crate::http) notifications: Vec<&'a RawValue>,
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    request: Request,
) -> Result<Response, Problem> {
    expect_type(&request, "application/json", |kind| kind == "application/json" || kind.ends_with("+json"))?;
    let body = bytes(request, &app).await?;
    let Items { notifications } = read_json(&body)?;
    if notifications.len() > Batch::MAX {
        let detail = format!("a batch has at most {} notifications; the stream takes any number", Batch::MAX);
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    // One was counted with the request itself.
    let more = u32::try_from(notifications.len()).unwrap_or(u32::MAX).saturating_sub(1);
    if let Some((limit, Decision::Wait(wait))) =
        caller.limit.as_ref().map(|limit| (limit, limit.take_more(more)))
    {
        // Or it would be one short again after the wait.
        limit.refund(1);
        app.parts.metrics.shed("rate_limit");
        return Err(Problem::too_many(
            "rate limit exceeded: the batch holds more notifications than the caller may send now",
            wait,
        ));
    }
    let intake = Intake::new(&app, &caller, trace::current_traceparent());
    let pending = intake.send(notifications.iter().map(|raw| Ok(raw.get().as_bytes()))).await;
    let (mut accepted, total) = (0, pending.len());
    let mut results = Vec::with_capacity(RESULT_BYTES * total);
    for (index, outcome) in settled(&app, pending).await.iter().enumerate() {
        if index > 0 {
            results.push(b',');
        }
        accepted += usize::from(outcome.is_ok());
        write_result(&mut results, index as u64, outcome);
    }
    let refused = total - accepted;
    let mut text = format!(r#"{{"accepted":{accepted},"refused":{refused},"results":["#).into_bytes();
    text.append(&mut results);
    text.extend_from_slice(b"]}");
    Ok(([(CONTENT_TYPE, JSON)], text).into_response())
}
