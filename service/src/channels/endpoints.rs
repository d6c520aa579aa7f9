//! Webhook endpoints: one is called with its own secret and headers; an event goes to all that take it.

use super::http::{Call, HeaderName, HeaderValue, Http, Method, Url};
use super::signature::{SigningSecret, body, data, signatures, signed};
use super::vault::EndpointVault;
use super::{DeliveryOutcome, headers};
use crate::db::{Db, DbError, EndpointAttempt, StoredEndpoint};
use crate::domain::endpoint::{AttemptResult, delivery_id, takes};
use jiff::Timestamp;
use nsys_contract::event::Envelope;
use nsys_contract::status::Status;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use uuid::Uuid;

/// How long an endpoint is used as it was after it has changed.
const STALENESS: Duration = Duration::from_secs(1);
/// Most endpoints remembered.
const MAX_ENTRIES: u64 = 10_000;
/// Attempts that wait to be logged; what exceeds them is not logged.
const UNLOGGED: usize = 4_096;
/// Bytes of an answer that are remembered.
const ANSWER_BYTES: usize = 1_024;
/// Fields of a payload that are about the way to an endpoint, not for it.
const WAY: [&str; 3] = ["endpointId", "eventType", "occurredAt"];

/// The endpoints that were called lately, and the attempts at them.
pub(super) struct Endpoints {
    known: moka::future::Cache<(String, Uuid), Arc<OpenEndpoint>>,
    made: mpsc::Sender<EndpointAttempt>,
    attempts: Mutex<Option<mpsc::Receiver<EndpointAttempt>>>,
}

impl Default for Endpoints {
    fn default() -> Self {
        let known = moka::future::Cache::builder().max_capacity(MAX_ENTRIES).time_to_live(STALENESS);
        let (made, attempts) = mpsc::channel(UNLOGGED);
        Self { known: known.build(), made, attempts: Mutex::new(Some(attempts)) }
    }
}

/// An endpoint as it is called.
struct OpenEndpoint {
    url: Url,
    headers: Vec<(HeaderName, HeaderValue)>,
    secret: SigningSecret,
    /// Signs as well until then.
    previous: Option<(SigningSecret, Timestamp)>,
    is_disabled: AtomicBool,
}

/// A request to an endpoint, and the `webhook-id` that it carries.
struct EndpointCall {
    message: Uuid,
    call: Call,
}

/// Why an endpoint cannot be called.
enum Unusable {
    Absent,
    Db(DbError),
    /// What is stored of it cannot be used.
    Broken(String),
}

impl Endpoints {
    /// The attempts, for whoever logs them; there is one who does.
    pub(super) fn take_attempts(&self) -> Option<mpsc::Receiver<EndpointAttempt>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Makes one attempt at one endpoint.
    pub(super) async fn deliver(
        &self,
        db: &Db,
        http: &Http,
        vault: &EndpointVault,
        envelope: &Envelope,
        id: Uuid,
    ) -> DeliveryOutcome {
        let tenant = envelope.tenant_id.clone().unwrap_or_default();
        let load = async {
            match db.fetch_endpoint(&tenant, id).await {
                Ok(Some(stored)) => {
                    OpenEndpoint::open(&stored, vault).map(Arc::new).map_err(Unusable::Broken)
                }
                Ok(None) => Err(Unusable::Absent),
                Err(cause) => Err(Unusable::Db(cause)),
            }
        };
        let endpoint = match self.known.try_get_with((tenant.clone(), id), load).await {
            Ok(endpoint) => endpoint,
            Err(cause) => return unusable(id, &cause),
        };
        if endpoint.is_disabled.load(Ordering::Relaxed) {
            return DeliveryOutcome::Refused(format!("the endpoint {id} is disabled"));
        }
        let (at, began) = (crate::clock::now(), Instant::now());
        let EndpointCall { message, call } = match endpoint.call(envelope, at) {
            Ok(call) => call,
            Err(refused) => return DeliveryOutcome::Refused(refused),
        };
        let exchange = http.exchange(call, ANSWER_BYTES).await;
        let result = AttemptResult::of(exchange.status);
        if result == AttemptResult::Gone {
            // What is being sent already goes out; nothing else, whenever that is recorded.
            endpoint.is_disabled.store(true, Ordering::Relaxed);
        }
        let error = match &exchange.outcome {
            DeliveryOutcome::Done(_) => None,
            DeliveryOutcome::Retry { error, .. }
            | DeliveryOutcome::Refused(error)
            | DeliveryOutcome::Unwanted(error) => Some(error.clone()),
        };
        let attempt = EndpointAttempt {
            tenant,
            endpoint: id,
            notification: envelope.id,
            message,
            number: envelope.retry_count + 1,
            at,
            took: began.elapsed(),
            result,
            status: exchange.status,
            error,
            answer: exchange.body.filter(|body| !body.is_empty()),
        };
        if self.made.try_send(attempt).is_err() {
            tracing::warn!(endpoint = %id, "An attempt at an endpoint is not logged: too many wait for PostgreSQL.");
        }
        exchange.outcome
    }

    /// Makes one notification of an event for each endpoint that takes it: each is tried, retried and kept as a
    /// dead letter by itself. Made again, it makes none a second time.
    pub(super) async fn fan_out(&self, db: &Db, envelope: &Envelope, event: &str) -> DeliveryOutcome {
        let tenant = envelope.tenant_id.as_deref().unwrap_or_default();
        let later = |cause: &DbError| DeliveryOutcome::Retry {
            error: format!("its endpoints could not be looked up: {cause}"),
            after: None,
            down: false,
        };
        let subscribed = match db.list_subscriptions(tenant).await {
            Ok(subscribed) => subscribed,
            Err(cause) => return later(&cause),
        };
        let takers = subscribed.into_iter().filter(|(_, types)| takes(types, event));
        let deliveries: Vec<_> =
            takers.map(|(endpoint, _)| (delivery_id(envelope.id, endpoint, None), endpoint)).collect();
        if deliveries.is_empty() {
            return DeliveryOutcome::Unwanted("no endpoint of the tenant takes this event type".to_owned());
        }
        match db.add_deliveries(envelope.id, &deliveries).await {
            Ok(()) => DeliveryOutcome::Done(Status::Sent),
            Err(cause) => later(&cause),
        }
    }
}

fn unusable(id: Uuid, cause: &Unusable) -> DeliveryOutcome {
    match cause {
        Unusable::Absent => DeliveryOutcome::Refused(format!("there is no endpoint {id} in this tenant")),
        Unusable::Db(cause) => DeliveryOutcome::Retry {
            error: format!("the endpoint {id} could not be looked up: {cause}"),
            after: None,
            down: false,
        },
        // Ours to repair: nothing is refused for it, and it is not tried over and over.
        Unusable::Broken(cause) => {
            DeliveryOutcome::Retry { error: format!("the endpoint {id}: {cause}"), after: None, down: true }
        }
    }
}

impl OpenEndpoint {
    fn open(stored: &StoredEndpoint, vault: &EndpointVault) -> Result<Self, String> {
        let shown = &stored.shown;
        let tenant = shown.tenant_id.as_deref().unwrap_or_default();
        let secrets =
            vault.unseal(tenant, shown.id, &stored.sealed).map_err(|cause| format!("its secret: {cause}"))?;
        let secret = |text: &str| SigningSecret::parse(text).map_err(|cause| format!("its secret: {cause}"));
        let previous = match (&secrets.previous, shown.previous_secret_until) {
            (Some(text), Some(until)) => Some((secret(text)?, until)),
            _ => None,
        };
        let given = secrets.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Ok(Self {
            url: shown.url.parse().map_err(|cause| format!("its URL: {cause}"))?,
            headers: headers::parsed(given)?,
            secret: secret(&secrets.secret)?,
            previous,
            is_disabled: AtomicBool::new(shown.disabled_at.is_some()),
        })
    }

    fn call(&self, envelope: &Envelope, now: Timestamp) -> Result<EndpointCall, String> {
        let payload = &envelope.payload;
        let text = |name: &str| payload.get(name).and_then(Value::as_str);
        let kind = match text("eventType") {
            Some(kind) => kind.to_owned(),
            None => format!("notification.{}", envelope.kind.as_str().to_ascii_lowercase()),
        };
        // When it happened, not when it is sent: the same in every attempt.
        let at = text("occurredAt").and_then(|text| text.parse().ok());
        let at = at.or_else(|| Timestamp::from_millisecond(envelope.timestamp).ok()).unwrap_or(now);
        let body = body(&kind, &at.to_string(), data(payload, &WAY));
        // Of one event every endpoint, and every replay, gets the same id.
        let event = envelope.causation_id.as_deref().and_then(|text| text.parse().ok());
        let message = event.unwrap_or(envelope.id);
        let id = message.to_string();
        let previous = self.previous.as_ref().filter(|(_, until)| *until > now).map(|(secret, _)| secret);
        let secrets = std::iter::once(&self.secret).chain(previous);
        let now_s = now.as_second();
        let mut headers = self.headers.clone();
        headers.extend(signed(&id, now_s, &signatures(secrets, &id, now_s, &body))?);
        let call = Call { method: Method::POST, url: self.url.clone(), headers, body: body.into_bytes() };
        Ok(EndpointCall { message, call })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::signature::generate;
    use crate::channels::tests_support::envelope;
    use serde_json::json;

    fn endpoint(previous_until: Option<i64>) -> OpenEndpoint {
        let secret = || SigningSecret::parse(&generate().unwrap()).unwrap();
        OpenEndpoint {
            url: "https://example.com/h".parse().unwrap(),
            headers: headers::parsed([("Authorization", "Bearer sesame")].into_iter()).unwrap(),
            secret: secret(),
            previous: previous_until.map(|until| (secret(), Timestamp::from_second(until).unwrap())),
            is_disabled: AtomicBool::new(false),
        }
    }

    fn header(call: &Call, name: &str) -> String {
        let found = call.headers.iter().find(|(known, _)| known.as_str() == name);
        found.unwrap().1.to_str().unwrap().to_owned()
    }

    #[test]
    fn during_the_overlap_both_secrets_sign_and_then_the_new_one_alone() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let count = |until: Option<i64>| {
            let call = endpoint(until).call(&envelope("WEBHOOK", json!({})), now).unwrap().call;
            header(&call, "webhook-signature").split(' ').filter(|one| one.starts_with("v1,")).count()
        };
        assert_eq!([count(None), count(Some(1_700_000_001)), count(Some(1_700_000_000))], [1, 2, 1]);
    }

    #[test]
    fn an_event_keeps_its_id_its_type_and_its_time_in_every_delivery() {
        let event = Uuid::from_u128(9);
        let payload = json!({"endpointId": Uuid::nil(), "eventType": "invoice.paid", "occurredAt": "2026-01-02T03:04:05Z", "total": 3});
        let mut one = envelope("WEBHOOK", payload);
        one.causation_id = Some(event.to_string());
        let call = endpoint(None).call(&one, crate::clock::now()).unwrap().call;
        assert_eq!(header(&call, "webhook-id"), event.to_string());
        assert_eq!(header(&call, "authorization"), "Bearer sesame");
        let body: Value = serde_json::from_slice(&call.body).unwrap();
        let expected =
            json!({"type": "invoice.paid", "timestamp": "2026-01-02T03:04:05Z", "data": {"total": 3}});
        assert_eq!(body, expected);
    }

    #[test]
    fn what_names_no_type_is_of_its_own() {
        let one = envelope("WEBHOOK", json!({"endpointId": Uuid::nil(), "payload": {"a": 1}}));
        let call = endpoint(None).call(&one, crate::clock::now()).unwrap().call;
        assert_eq!(header(&call, "webhook-id"), one.id.to_string());
        let body: Value = serde_json::from_slice(&call.body).unwrap();
        let expected =
            json!({"type": "notification.system", "timestamp": "2023-11-14T22:13:20Z", "data": {"a": 1}});
        assert_eq!(body, expected);
    }
}
