//! What single requests, batches and streams share: from a draft to a message on the log.

use super::super::admin::tenant_of;
use super::super::error::Problem;
use super::super::extract::read_json;
use crate::app::App;
use crate::auth::Principal;
use crate::domain::Violation;
use crate::domain::draft::{Accepted, Draft};
use crate::domain::template::name_fits;
use crate::queue::{Receipt, SendError};
use crate::templates::FillError;
use axum::http::StatusCode;
use nsys_contract::api::ItemResult;
use serde_json::{Map, Value};
use std::io::Write;
use std::time::Duration;
use uuid::Uuid;

/// Wait before a message is offered again to a producer whose queue is full.
const FULL_PAUSE: Duration = Duration::from_millis(2);

/// Checks a draft: its tenant, its template, its fields.
pub(super) async fn prepare<'a>(
    app: &App,
    caller: &Principal,
    mut draft: Draft<'a>,
    now_ms: i64,
) -> Result<Accepted<'a>, Problem> {
    if let Some(excess) = app.ingestion.excess() {
        app.metrics.shed(excess.as_str());
        return Err(Problem::overloaded(excess.detail()));
    }
    match &draft.tenant_id {
        Some(tenant) if !caller.may_use_tenant(Some(tenant)) => {
            return Err(Problem::forbidden("the caller belongs to another tenant"));
        }
        Some(_) => {}
        None => draft.tenant_id = tenant_of(caller, None)?.map(Into::into),
    }
    let rendered = match draft.template_id.as_deref() {
        Some(id) => Some(Box::pin(render(app, id, &draft)).await?),
        None => None,
    };
    draft.accept(rendered, app.config.limits.max_payload_bytes, now_ms).map_err(Problem::invalid)
}

async fn render(app: &App, id: &str, draft: &Draft<'_>) -> Result<Map<String, Value>, Problem> {
    let empty = Map::new();
    let data = draft.template_data.as_ref().unwrap_or(&empty);
    if !name_fits(id) {
        // No template is called that, and the answer does not repeat a name of any length.
        return Err(Problem::field("/templateId", "is no name of a template"));
    }
    let max_bytes = app.config.limits.max_payload_bytes;
    let filled = app.templates.fill(&app.db, draft.tenant_id.as_deref(), id, data, max_bytes).await;
    match filled {
        Ok(Some((channel, mut payload))) if channel == draft.channel => {
            // The caller's own fields win.
            payload.extend(draft.payload_object());
            Ok(payload)
        }
        Ok(Some((channel, _))) => {
            Err(Problem::field("/templateId", format!("the template is for {channel}")))
        }
        Ok(None) => Err(Problem::field("/templateId", format!("there is no template {id}"))),
        Err(FillError::Db(cause)) if cause.is_unreadable() => Err(Problem::field(
            "/templateId",
            format!("the template {id} cannot be read; replace or delete it"),
        )),
        Err(cause) => Err(cause.into()),
    }
}

impl From<FillError> for Problem {
    fn from(cause: FillError) -> Self {
        match cause {
            FillError::Db(cause) => cause.into(),
            FillError::Wrong(violation) => Self::invalid(vec![violation]),
            FillError::Broken(cause) => Self::internal(format!("the template cannot be filled: {cause}")),
        }
    }
}

/// The answer to a message that the log did not take.
pub(super) fn not_sent(app: &App, cause: &SendError) -> Problem {
    if matches!(cause, SendError::Full) {
        app.metrics.shed("queue_full");
        return Problem::overloaded("too many notifications wait for the log");
    }
    if matches!(cause, SendError::TooLarge) {
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, cause.to_string());
    }
    Problem::unavailable(format!("the notification could not be stored: {cause}"))
}

/// One notification on its way, or refused already.
pub(super) enum Pending {
    Sent(Uuid, Receipt),
    Refused(Problem),
}

/// What became of one notification.
pub(in crate::http) type Outcome = Result<Uuid, Problem>;

/// Takes the notifications of one request.
pub(super) struct Intake<'r> {
    app: &'r App,
    caller: &'r Principal,
    now_ms: i64,
    /// The trace they all belong to.
    parent: Option<String>,
}

impl<'r> Intake<'r> {
    pub(super) fn new(app: &'r App, caller: &'r Principal, parent: Option<String>) -> Self {
        Self { app, caller, now_ms: jiff::Timestamp::now().as_millisecond(), parent }
    }

    /// Checks one notification and hands it to the producer; waits only while the producer is full.
    pub(super) async fn send(&self, raw: &[u8]) -> Pending {
        match self.prepare(raw).await {
            Ok(accepted) => match self.enqueue(&accepted).await {
                Ok(receipt) => Pending::Sent(accepted.id, receipt),
                Err(cause) => Pending::Refused(not_sent(self.app, &cause)),
            },
            Err(problem) => Pending::Refused(problem),
        }
    }

    async fn prepare<'a>(&self, raw: &'a [u8]) -> Result<Accepted<'a>, Problem> {
        prepare(self.app, self.caller, read_json(raw)?, self.now_ms).await
    }

    async fn enqueue(&self, accepted: &Accepted<'_>) -> Result<Receipt, SendError> {
        let patience = tokio::time::Instant::now() + self.app.config.kafka.message_timeout;
        loop {
            match self.app.producer.enqueue(accepted, self.parent.as_deref(), false) {
                Err(SendError::Full) if tokio::time::Instant::now() < patience => {
                    tokio::time::sleep(FULL_PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }
}

impl Pending {
    /// Waits until the log has it.
    pub(super) async fn settled(self, app: &App) -> Outcome {
        match self {
            Self::Sent(id, receipt) => match receipt.delivered(&app.producer).await {
                Ok(()) => Ok(id),
                Err(cause) => Err(not_sent(app, &cause)),
            },
            Self::Refused(problem) => Err(problem),
        }
    }
}

/// Writes an `ItemResult`. Successes are so many that they are worth writing by hand.
pub(in crate::http) fn write_result(into: &mut Vec<u8>, index: u64, outcome: &Outcome) {
    let written = match outcome {
        Ok(id) => {
            write!(into, r#"{{"index":{index},"status":{},"id":"{id}"}}"#, StatusCode::CREATED.as_u16())
        }
        Err(problem) => {
            let (status, problem) = (problem.status().as_u16(), Some(problem.body()));
            let result = ItemResult { index, status, id: None, problem };
            serde_json::to_writer(&mut *into, &result).map_err(Into::into)
        }
    };
    // Writing into memory does not fail.
    debug_assert!(written.is_ok());
}

/// The refusal of a line or an item that is too large.
pub(super) fn too_large(limit: usize) -> Problem {
    Problem::invalid(vec![Violation::new("", format!("must be at most {limit} bytes"))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_those_of_the_contract() {
        let id = Uuid::now_v7();
        let mut text = Vec::new();
        write_result(&mut text, 7, &Ok(id));
        let result: ItemResult = serde_json::from_slice(&text).unwrap();
        assert_eq!(result, ItemResult { index: 7, status: 201, id: Some(id), problem: None });
        text.clear();
        write_result(&mut text, 8, &Err(Problem::field("/userId", "must not be empty")));
        let result: ItemResult = serde_json::from_slice(&text).unwrap();
        assert_eq!((result.index, result.status), (8, 422));
        assert_eq!(result.problem.unwrap().errors[0].pointer, "/userId");
    }
}
