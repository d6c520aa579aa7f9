//! A key while its request is in progress: given back or kept, whatever becomes of whoever asked.

use crate::domain::identity::Identity;
use crate::parts::Parts;
use crate::queue::{Receipt, SendError};
use std::sync::Arc;
use tokio::runtime::Handle;

/// A key that is held for a request. Dropped before it is settled, it is given back.
pub(crate) struct Claim {
    /// Gone once it is settled.
    held: Option<(Arc<Parts>, Identity)>,
}

impl Claim {
    pub(super) fn new(parts: &Arc<Parts>, identity: Identity) -> Self {
        Self { held: Some((Arc::clone(parts), identity)) }
    }

    /// Nothing is to be given back any more.
    pub(crate) fn settled(mut self) {
        self.held = None;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let Some((parts, identity)) = self.held.take() else { return };
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { parts.cache.release(&[identity]).await });
        }
    }
}

/// Gives keys back whose requests failed, before their callers are answered.
pub(crate) async fn release(parts: &Parts, claims: Vec<Claim>) {
    let held = claims.iter().filter_map(|claim| claim.held.as_ref().map(|(_, identity)| identity.clone()));
    let held: Vec<_> = held.collect();
    if held.is_empty() {
        return;
    }
    parts.cache.release(&held).await;
    claims.into_iter().for_each(Claim::settled);
}

/// A request with a key on its way to the log. Dropped before its end is known, it is followed to its end
/// all the same, and its key settled by that.
pub(crate) struct Underway {
    /// Gone once it is settled.
    claim: Option<Claim>,
    /// Gone once the delivery report is there.
    receipt: Option<Receipt>,
    /// Of the request that was sent.
    request_hash: String,
    /// Whether this already is what follows a request whose caller has gone.
    follows: bool,
}

impl Underway {
    /// A request that was sent; without a claim when it repeats one whose key stands for it already.
    pub(crate) fn new(claim: Option<Claim>, receipt: Receipt, request_hash: String) -> Self {
        Self { claim, receipt: Some(receipt), request_hash, follows: false }
    }

    /// Waits until the log has it; a failed one gives its key back. One that was delivered still has to
    /// be kept.
    pub(crate) async fn delivered(&mut self, parts: &Parts) -> Result<(), SendError> {
        let Some(receipt) = &mut self.receipt else { return Ok(()) };
        let outcome = receipt.outcome(&parts.producer).await;
        self.receipt = None;
        if outcome.is_err() {
            release(parts, self.claim.take().into_iter().collect()).await;
        }
        outcome
    }

    /// The key is settled.
    pub(crate) fn settled(mut self) {
        if let Some(claim) = self.claim.take() {
            claim.settled();
        }
    }

    /// What is to be kept of the key.
    fn acknowledged(&self) -> Option<Identity> {
        let (_, identity) = self.claim.as_ref()?.held.as_ref()?;
        Some(Identity { request_hash: self.request_hash.clone(), ..identity.clone() })
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        let Some(claim) = self.claim.take() else { return };
        if self.follows {
            // The runtime ends and drops its tasks: another one would be dropped at once, without an end.
            // The record in Redis ends by itself.
            claim.settled();
            return;
        }
        let (Some((parts, _)), Ok(runtime)) = (&claim.held, Handle::try_current()) else { return };
        let parts = Arc::clone(parts);
        let request_hash = std::mem::take(&mut self.request_hash);
        let mut rest = Self { claim: Some(claim), receipt: self.receipt.take(), request_hash, follows: true };
        runtime.spawn(async move {
            if rest.delivered(&parts).await.is_ok() {
                keep(&parts, vec![rest]).await;
            }
        });
    }
}

/// Keeps the keys of requests that were delivered, in one call, before their callers are answered.
pub(crate) async fn keep(parts: &Parts, delivered: Vec<Underway>) {
    let kept: Vec<_> = delivered.iter().filter_map(Underway::acknowledged).collect();
    if kept.is_empty() {
        return;
    }
    parts.cache.keep(&kept).await;
    delivered.into_iter().for_each(Underway::settled);
}
