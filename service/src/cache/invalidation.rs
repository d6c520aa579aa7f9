//! Listens for "forget what begins with this", so that `nsys cache flush` and changed preferences
//! reach the in-process level of every replica.

use super::Cache;
use futures::StreamExt;
use nsys_contract::keys;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Wait between two tries to subscribe.
const RESUBSCRIBE_PAUSE: Duration = Duration::from_secs(1);

impl Cache {
    /// Listens until `stopping`. What was announced while Redis was away is not known, so everything is
    /// forgotten whenever the connection is made anew. `on_account_change` gets the id of each account or
    /// API key that was changed.
    pub(crate) async fn follow_invalidations(
        &self,
        on_account_change: impl Fn(&str),
        stopping: &CancellationToken,
    ) {
        while !stopping.is_cancelled() {
            tokio::select! {
                () = stopping.cancelled() => return,
                outcome = self.listen(&on_account_change) => if let Err(cause) = outcome {
                    tracing::debug!(%cause, "The subscription to cache invalidations failed; retrying.");
                }
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(RESUBSCRIBE_PAUSE) => {}
            }
        }
    }

    async fn listen(&self, on_account_change: impl Fn(&str)) -> redis::RedisResult<()> {
        let mut connection = self.client.get_async_pubsub().await?;
        connection.subscribe(keys::INVALIDATION_CHANNEL).await?;
        self.forget_all("");
        let mut messages = connection.into_on_message();
        while let Some(message) = messages.next().await {
            self.forget_local(&on_account_change, &message.get_payload::<String>()?).await;
        }
        Ok(())
    }

    /// Forgets in-process copies: of one key, or of all that begin with something.
    async fn forget_local(&self, on_account_change: impl Fn(&str), what: &str) {
        match what.strip_prefix(keys::ONE) {
            Some(key) => match key.strip_prefix(keys::SESSION) {
                Some(caller) => on_account_change(caller),
                None => self.forget_one(key).await,
            },
            None => self.forget_all(what),
        }
    }

    /// Tells every replica that an account or API key was changed.
    pub(crate) async fn announce_change(&self, caller: &str) {
        let mut pipe = redis::pipe();
        pipe.cmd("PUBLISH").arg(keys::INVALIDATION_CHANNEL).arg(keys::one(&keys::session(caller))).ignore();
        let _: Option<()> = self.call("announce", pipe).await;
    }

    async fn forget_one(&self, key: &str) {
        if let Some(id) = key.strip_prefix(keys::NOTIFICATION).and_then(|id| id.parse::<Uuid>().ok()) {
            self.local.invalidate(&id).await;
        }
        self.recipients.invalidate(key);
    }

    fn forget_all(&self, prefix: &str) {
        if may_begin_with(keys::NOTIFICATION, prefix) {
            self.local.invalidate_all();
            self.absent.invalidate_all();
            self.metrics.cache_event(keys::NOTIFICATION, "flushed");
        }
        if may_begin_with(keys::USER, prefix) {
            self.recipients.invalidate_all();
            self.metrics.cache_event(keys::USER, "flushed");
        }
    }
}

/// Whether keys of a kind may begin with `prefix`. Part of a kind is forgotten with all of it: that
/// costs one read of each, and happens rarely.
fn may_begin_with(kind: &str, prefix: &str) -> bool {
    prefix.starts_with(kind) || kind.starts_with(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_reaches_the_kinds_it_may_mean() {
        assert!(may_begin_with(keys::USER, "") && may_begin_with(keys::NOTIFICATION, ""));
        assert!(may_begin_with(keys::USER, "user:") && !may_begin_with(keys::NOTIFICATION, "user:"));
        assert!(may_begin_with(keys::USER, "user:t:u") && may_begin_with(keys::NOTIFICATION, "noti"));
        assert!(!may_begin_with(keys::NOTIFICATION, "idempotency:"));
    }
}
