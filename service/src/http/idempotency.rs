//! Decides over idempotency keys, for any number of requests at once.
//!
//! Redis remembers, the row decides. A record in Redis spares the look at the table; where there is none
//! (flushed, evicted, over a day old, or Redis is away) the table is asked by primary key, once for all keys
//! of a request. What neither knows is accepted: the id is derived from the key, so a doubled acceptance is
//! one notification, and a worker that meets another request under a stored key keeps it as a dead letter.

mod claim;
mod rows;

pub(crate) use claim::{Claim, Underway, keep, release};
pub(crate) use rows::StoredRequests;

use crate::cache::Record;
use crate::domain::draft::Draft;
use crate::domain::identity::{Identity, StoredRequest};
use crate::parts::Parts;
use nsys_contract::api::Notification;
use std::sync::Arc;

/// What is known of a key.
pub(crate) enum Known {
    /// Nobody used it; it is held until the claim ends.
    Free(Claim),
    /// A request with this fingerprint is in progress.
    InFlight { request_hash: String },
    /// A request with this fingerprint was acknowledged; its row may not be there yet.
    Acknowledged { request_hash: String },
    /// The row of an earlier request.
    Stored(Arc<StoredRequest>),
}

/// What is to be done with a request.
#[derive(Clone, Debug)]
pub(crate) enum KeyVerdict {
    /// Accept it: the key is free.
    Accept,
    /// It repeats an acknowledged request, with its row where that was read.
    Repeat(Option<Box<Notification>>),
    /// The same request is in progress.
    InFlight,
    /// The key stands for another request.
    Mismatch,
}

impl Known {
    /// The verdict on a request with this fingerprint.
    pub(crate) fn judge(&self, draft: &Draft<'_>, request_hash: &str) -> KeyVerdict {
        match self {
            Self::Free(_) => KeyVerdict::Accept,
            Self::InFlight { request_hash: other } if other == request_hash => KeyVerdict::InFlight,
            Self::Acknowledged { request_hash: other } if other == request_hash => KeyVerdict::Repeat(None),
            Self::Stored(row) if draft.repeats(request_hash, row) => {
                KeyVerdict::Repeat(Some(Box::new(row.notification.clone())))
            }
            Self::InFlight { .. } | Self::Acknowledged { .. } | Self::Stored(_) => KeyVerdict::Mismatch,
        }
    }
}

impl KeyVerdict {
    /// How it is counted.
    pub(crate) const fn outcome(&self) -> &'static str {
        match self {
            Self::Accept => "new",
            Self::Repeat(_) => "replay",
            Self::InFlight => "in_flight",
            Self::Mismatch => "mismatch",
        }
    }
}

/// What is known of each of these keys; those that are free are claimed. Each key once.
pub(crate) async fn look_up(
    parts: &Arc<Parts>,
    stored_requests: &Arc<StoredRequests>,
    requests: Vec<Identity>,
) -> Vec<Known> {
    let records = parts.cache.claim(&requests);
    // From here on nothing stays claimed when the caller goes away.
    let claims: Vec<_> = requests.iter().map(|one| Claim::new(parts, one.clone())).collect();
    let records = records.await;
    let is_open = |record: &Record| matches!(record, Record::New | Record::Unknown);
    let open = requests.iter().zip(&records).filter(|(_, record)| is_open(record)).map(|(one, _)| one.id);
    let open: Vec<_> = open.collect();
    let rows = if open.is_empty() { None } else { stored_requests.fetch(parts, open).await };
    let mut stored = Vec::new();
    let mut known = Vec::with_capacity(requests.len());
    for ((one, record), claim) in requests.into_iter().zip(records).zip(claims) {
        let row = rows.as_ref().filter(|_| is_open(&record)).and_then(|rows| rows.get(&one.id));
        known.push(match (record, row) {
            (_, Some(row)) => {
                stored.push((claim, one, Arc::clone(row)));
                Known::Stored(Arc::clone(row))
            }
            (Record::New | Record::Unknown, None) => Known::Free(claim),
            (Record::InFlight { request_hash }, None) => {
                claim.settled();
                Known::InFlight { request_hash }
            }
            (Record::Taken { request_hash }, None) => {
                claim.settled();
                Known::Acknowledged { request_hash }
            }
        });
    }
    remember(parts, stored).await;
    known
}

/// Makes Redis say what the table knew, instead of the claims.
async fn remember(parts: &Parts, stored: Vec<(Claim, Identity, Arc<StoredRequest>)>) {
    if stored.is_empty() {
        return;
    }
    let rows = stored
        .iter()
        .map(|(_, one, row)| (one.tenant_id.as_deref(), one.key.as_str(), row.request_hash.as_deref()));
    parts.cache.correct(&rows.collect::<Vec<_>>()).await;
    stored.into_iter().for_each(|(claim, ..)| claim.settled());
}
