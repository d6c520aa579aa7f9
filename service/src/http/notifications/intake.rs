//! What single requests, batches and streams share: from a draft to a message on the log.

use super::super::admin::tenant_of;
use super::super::error::Problem;
use super::super::extract::{read_json, shortened};
use crate::auth::Principal;
use crate::domain::draft::{Accepted, Draft};
use crate::domain::identity::Identity;
use crate::domain::template::name_fits;
use crate::domain::{Violation, address};
use crate::http::app::App;
use crate::http::app::template_cache::FillError;
use crate::http::idempotency::{self, KeyVerdict, Known, Underway};
use crate::queue::{Receipt, SendError};
use axum::http::StatusCode;
use nsys_contract::api::ItemResult;
use nsys_contract::status::Channel;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Wait before a message is offered again to a producer whose queue is full.
const FULL_PAUSE: Duration = Duration::from_millis(2);

/// Finds out whose a draft is. Comes before its idempotency key is looked at: keys are scoped by tenant.
pub(super) fn assign_tenant(app: &App, caller: &Principal, draft: &mut Draft<'_>) -> Result<(), Problem> {
    if let Some(excess) = app.ingestion.excess() {
        app.parts.metrics.shed(excess.as_str());
        return Err(Problem::overloaded(excess.detail()));
    }
    match &draft.tenant_id {
        Some(tenant) if !caller.may_use_tenant(Some(tenant)) => {
            Err(Problem::forbidden("the caller belongs to another tenant"))
        }
        Some(_) => Ok(()),
        None => {
            draft.tenant_id = tenant_of(caller, None)?.map(Into::into);
            Ok(())
        }
    }
}

/// Checks a draft that has its tenant: its template, its fields. Comes after its idempotency key was looked
/// at: a repeat gets the first answer even when its template or its time is gone.
pub(super) async fn prepare<'a>(app: &App, draft: Draft<'a>, now_ms: i64) -> Result<Accepted<'a>, Problem> {
    let rendered = match draft.template_id.as_deref() {
        Some(id) => Some(Box::pin(render(app, id, &draft)).await?),
        None => None,
    };
    let max_bytes = app.parts.config.limits.max_payload_bytes;
    let accepted = draft.accept(rendered, max_bytes, now_ms).map_err(Problem::invalid)?;
    if let Some(sender) = &accepted.sender {
        Box::pin(require_sender(app, accepted.tenant_id.as_deref(), accepted.channel, sender)).await?;
    }
    Ok(accepted)
}

/// Refuses to send in somebody else's name.
pub(super) async fn require_sender(
    app: &App,
    tenant: Option<&str>,
    channel: Channel,
    sender: &str,
) -> Result<(), Problem> {
    let own = &app.parts.config.channels.smtp_from;
    if channel == Channel::Email && address::sender_of(own).is_some_and(|own| own == sender) {
        return Ok(());
    }
    if app.senders.allows(&app.parts.db, tenant, channel, sender).await? {
        return Ok(());
    }
    let sender = shortened(sender);
    Err(Problem::field(
        "/payload/from",
        format!("{sender} is not a verified sender of this tenant; an operator registers it: POST /senders"),
    ))
}

async fn render(app: &App, id: &str, draft: &Draft<'_>) -> Result<Map<String, Value>, Problem> {
    let empty = Map::new();
    let data = draft.template_data.as_ref().unwrap_or(&empty);
    if !name_fits(id) {
        // No template is called that, and the answer does not repeat a name of any length.
        return Err(Problem::field("/templateId", "is not a valid template name"));
    }
    let max_bytes = app.parts.config.limits.max_payload_bytes;
    let filled = app.templates.fill(&app.parts.db, draft.tenant_id.as_deref(), id, data, max_bytes).await;
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
            FillError::Broken(cause) => Self::internal(format!("the template cannot be rendered: {cause}")),
        }
    }
}

/// The answer to a message that the log did not take.
pub(in crate::http) fn not_sent(app: &App, cause: &SendError) -> Problem {
    if matches!(cause, SendError::Full) {
        app.parts.metrics.shed("queue_full");
        return Problem::overloaded("too many notifications are waiting to be written to the log");
    }
    if matches!(cause, SendError::TooLarge) {
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, cause.to_string());
    }
    Problem::unavailable(format!("the notification could not be stored: {cause}"))
}

/// The answer to another request under a key.
pub(super) fn mismatch() -> Problem {
    let detail = "the idempotency key was already used for a different request";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
}

/// One notification on its way, or decided on already.
pub(super) enum Pending {
    Sent(Uuid, Receipt),
    /// The same, under a key that is held for it.
    Claimed(Uuid, Underway),
    /// It repeats one that was acknowledged.
    Repeated(Uuid),
    Refused(Problem),
}

/// What became of one notification.
pub(in crate::http) type IntakeOutcome = Result<Uuid, Problem>;

/// Takes the notifications of one request.
pub(super) struct Intake<'r> {
    app: &'r Arc<App>,
    caller: &'r Principal,
    now_ms: i64,
    /// The trace they all belong to.
    parent: Option<String>,
}

/// A notification that was read.
struct Item<'a> {
    draft: Draft<'a>,
    identity: Option<Identity>,
}

/// What is known of the keys of one request; shared by those of its items that carry the same one.
type Keys = HashMap<Uuid, Known>;

impl<'r> Intake<'r> {
    pub(super) fn new(app: &'r Arc<App>, caller: &'r Principal, parent: Option<String>) -> Self {
        Self { app, caller, now_ms: crate::clock::now().as_millisecond(), parent }
    }

    /// Checks notifications and hands them to the producer, in their order; waits only for what is known
    /// of their keys, which is asked once for all of them, and while the producer is full.
    pub(super) async fn send<'a>(
        &self,
        items: impl Iterator<Item = Result<&'a [u8], Problem>>,
    ) -> Vec<Pending> {
        let items: Vec<_> = items.map(|raw| self.read(raw?)).collect();
        let mut keys = self.keys(&items).await;
        let mut pending = Vec::with_capacity(items.len());
        for item in items {
            pending.push(match item {
                Ok(item) => self.send_one(item, &mut keys).await.unwrap_or_else(Pending::Refused),
                Err(problem) => Pending::Refused(problem),
            });
        }
        if !keys.is_empty() {
            Box::pin(free(self.app, keys)).await;
        }
        pending
    }

    fn read<'a>(&self, raw: &'a [u8]) -> Result<Item<'a>, Problem> {
        let mut draft: Draft<'a> = read_json(raw)?;
        assign_tenant(self.app, self.caller, &mut draft)?;
        let identity = draft.identify();
        Ok(Item { draft, identity })
    }

    /// Asks what is known of the items' keys. Items without any cost nothing here.
    async fn keys(&self, items: &[Result<Item<'_>, Problem>]) -> Keys {
        let mut first = HashMap::new();
        for identity in items.iter().flatten().filter_map(|item| item.identity.as_ref()) {
            first.entry(identity.id).or_insert_with(|| identity.clone());
        }
        if first.is_empty() {
            return Keys::new();
        }
        let identities: Vec<_> = first.into_values().collect();
        let ids: Vec<_> = identities.iter().map(|identity| identity.id).collect();
        ids.into_iter()
            .zip(Box::pin(idempotency::look_up(&self.app.parts, &self.app.stored_requests, identities)).await)
            .collect()
    }

    async fn send_one(&self, item: Item<'_>, keys: &mut Keys) -> Result<Pending, Problem> {
        let Item { draft, identity } = item;
        let known = identity.as_ref().zip(identity.as_ref().and_then(|identity| keys.get(&identity.id)));
        if let Some((identity, known)) = known {
            let verdict = known.judge(&draft, &identity.request_hash);
            self.app.parts.metrics.idempotency(verdict.outcome());
            match verdict {
                KeyVerdict::Repeat(_) => return Ok(Pending::Repeated(identity.id)),
                KeyVerdict::Mismatch => return Err(mismatch()),
                // Both get the same id, and the worker meets the second one again: one notification.
                KeyVerdict::Accept | KeyVerdict::InFlight => {}
            }
        }
        let accepted = prepare(self.app, draft, self.now_ms).await?;
        let receipt = self.enqueue(&accepted).await.map_err(|cause| not_sent(self.app, &cause))?;
        let Some(identity) = identity else { return Ok(Pending::Sent(accepted.id, receipt)) };
        // From here on the key stands for this item, for those that follow too.
        let request_hash = identity.request_hash;
        let now = Known::InFlight { request_hash: request_hash.clone() };
        Ok(match keys.insert(identity.id, now) {
            Some(Known::Free(claim)) => {
                Pending::Claimed(accepted.id, Underway::new(Some(claim), receipt, request_hash))
            }
            _ => Pending::Sent(accepted.id, receipt),
        })
    }

    async fn enqueue(&self, accepted: &Accepted<'_>) -> Result<Receipt, SendError> {
        let deadline = tokio::time::Instant::now() + self.app.parts.config.kafka.message_timeout;
        loop {
            match self.app.parts.producer.enqueue(accepted, self.parent.as_deref(), false) {
                Err(SendError::Full) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(FULL_PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }
}

/// Gives back the keys under which nothing was sent.
async fn free(app: &App, keys: Keys) {
    let free = keys.into_values().filter_map(|known| match known {
        Known::Free(claim) => Some(claim),
        _ => None,
    });
    idempotency::release(&app.parts, free.collect()).await;
}

/// Waits until the log has what was sent, and keeps its keys.
pub(super) async fn settled(app: &App, pending: Vec<Pending>) -> Vec<IntakeOutcome> {
    let mut outcomes = Vec::with_capacity(pending.len());
    let mut delivered = Vec::new();
    for one in pending {
        let (id, outcome) = match one {
            Pending::Sent(id, receipt) => (id, receipt.delivered(&app.parts.producer).await),
            Pending::Claimed(id, mut underway) => {
                let outcome = underway.delivered(&app.parts).await;
                if outcome.is_ok() {
                    delivered.push(underway);
                }
                (id, outcome)
            }
            Pending::Repeated(id) => (id, Ok(())),
            Pending::Refused(problem) => {
                outcomes.push(Err(problem));
                continue;
            }
        };
        outcomes.push(outcome.map(|()| id).map_err(|cause| not_sent(app, &cause)));
    }
    if !delivered.is_empty() {
        Box::pin(idempotency::keep(&app.parts, delivered)).await;
    }
    outcomes
}

/// Writes an `ItemResult`. Successes are so many that they are worth writing by hand.
pub(in crate::http) fn write_result(into: &mut Vec<u8>, index: u64, outcome: &IntakeOutcome) {
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
