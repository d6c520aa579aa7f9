//! Notifications line by line, as many as there are, results line by line while they come.
//!
//! Everything between reading and answering is bounded: a group of lines is read only when there is
//! capacity for its results, so whoever does not read is not read from either.

use super::super::endpoint::NDJSON;
use super::super::error::Problem;
use super::super::extract::expect_type;
use super::super::gate::Caller;
use super::super::session::Session;
use super::intake::{Intake, Pending, settled, too_large, write_result};
use crate::auth::Principal;
use crate::domain::limit::Decision;
use crate::domain::lines::Lines;
use crate::http::app::App;
use crate::telemetry::trace;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use nsys_contract::api::StreamSummary;
use opentelemetry::context::FutureExt;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Bytes of a line beside its payload: ids, and the data of a template.
const LINE_BYTES: usize = 192 << 10;
/// Most lines that are sent together.
const GROUP: usize = 1_000;
/// Groups that may wait for their delivery reports or for the reader.
const GROUPS_IN_FLIGHT: usize = 4;
/// Longest silence of the sender.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    session: Session,
    request: Request,
) -> Result<Response, Problem> {
    let fits =
        |kind: &str| matches!(kind, "application/x-ndjson" | "application/ndjson" | "application/jsonl");
    expect_type(&request, NDJSON, fits)?;
    let (sender, receiver) = mpsc::channel(GROUPS_IN_FLIGHT);
    let reader = Arc::clone(&app);
    let reading = async move {
        let end = read(&reader, &caller, &session, request.into_body(), &sender).await.err();
        // Nobody listens any more when this fails.
        let _ = sender.send(Group::End(end)).await;
    };
    tokio::spawn(reading.with_current_context());
    let state = Some(Answers { app, receiver, index: 0, accepted: 0 });
    let answers = futures::stream::unfold(state, |state| async move {
        let (text, state) = state?.next().await?;
        Some((Ok::<_, Infallible>(text), state))
    });
    Ok(([(CONTENT_TYPE, NDJSON)], Body::from_stream(answers)).into_response())
}

/// What goes from reading to answering.
enum Group {
    Lines(Vec<Pending>),
    /// No more lines: the end of the body, or why it was not reached.
    End(Option<Problem>),
}

/// Reads lines and hands them to the producer until the body ends.
async fn read(
    app: &Arc<App>,
    caller: &Principal,
    session: &Session,
    body: Body,
    sender: &mpsc::Sender<Group>,
) -> Result<(), Problem> {
    let mut body = body.into_data_stream();
    let mut lines = Lines::new(max_line(app));
    loop {
        let chunk = tokio::select! {
            biased;
            () = session.ended() => {
                return Err(Problem::unauthorized("the token or API key is no longer valid"));
            }
            () = sender.closed() => return Ok(()),
            chunk = tokio::time::timeout(IDLE_TIMEOUT, body.next()) => chunk,
        };
        let chunk = chunk
            .map_err(|_| Problem::new(StatusCode::REQUEST_TIMEOUT, "no data was received for a minute"))?;
        let ended = match chunk {
            Some(Ok(chunk)) => {
                lines.push(&chunk);
                false
            }
            Some(Err(cause)) => {
                return Err(Problem::bad_request(format!("the request body was cut off: {cause}")));
            }
            None => {
                lines.finish();
                true
            }
        };
        while let Some(group) = group(app, caller, &mut lines).await {
            if sender.send(Group::Lines(group)).await.is_err() {
                return Ok(());
            }
        }
        if ended {
            return Ok(());
        }
        if app.is_draining() {
            return Err(Problem::unavailable("the service is stopping; send the remaining lines again"));
        }
    }
}

/// Longest line, in bytes.
fn max_line(app: &App) -> usize {
    app.parts.config.limits.max_payload_bytes.saturating_add(LINE_BYTES)
}

/// Sends the whole lines that are there, up to a group; `None` when there are none.
async fn group(app: &Arc<App>, caller: &Principal, lines: &mut Lines) -> Option<Vec<Pending>> {
    let group = lines.take(GROUP);
    if group.is_empty() {
        return None;
    }
    let intake = Intake::new(app, caller, trace::current_traceparent());
    let too_large = |_| too_large(max_line(app));
    let pending = intake.send(group.iter().map(|line| lines.read(line).map_err(too_large))).await;
    pay(caller, pending.len()).await;
    Some(pending)
}

/// A stream that comes too fast is slowed down, not refused.
async fn pay(caller: &Principal, lines: usize) {
    let Some(limit) = &caller.limit else { return };
    while let Decision::Wait(wait) = limit.take(u32::try_from(lines).unwrap_or(u32::MAX)) {
        tokio::time::sleep(wait).await;
    }
}

/// The answering side.
struct Answers {
    app: Arc<App>,
    receiver: mpsc::Receiver<Group>,
    index: u64,
    accepted: u64,
}

impl Answers {
    /// The next piece of the answer, and what remains to be answered.
    async fn next(mut self) -> Option<(Bytes, Option<Self>)> {
        let mut text = Vec::new();
        match self.receiver.recv().await? {
            Group::Lines(group) => {
                for outcome in settled(&self.app, group).await {
                    self.accepted += u64::from(outcome.is_ok());
                    write_result(&mut text, self.index, &outcome);
                    text.push(b'\n');
                    self.index += 1;
                }
                Some((Bytes::from(text), Some(self)))
            }
            Group::End(problem) => {
                let summary = StreamSummary {
                    accepted: self.accepted,
                    refused: self.index - self.accepted,
                    complete: problem.is_none(),
                    problem: problem.map(|problem| problem.body()),
                };
                text = serde_json::to_vec(&summary).ok()?;
                text.push(b'\n');
                Some((Bytes::from(text), None))
            }
        }
    }
}
