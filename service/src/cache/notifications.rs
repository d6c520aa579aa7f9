//! Cached notifications: written when they are acknowledged, read through, refreshed early.
//!
//! A row that changes leaves an empty entry for a moment. Copies are only written where there is no
//! entry, so one that was read before the change, or an acknowledgement that is late, is not kept.

use super::Cache;
use crate::domain::view::NotificationView;
use nsys_contract::keys;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long it takes at most to write a copy of a row that was read from the primary.
const COPY_DELAY: Duration = Duration::from_secs(3);

/// How long the empty entry of a changed row stays: longer than it takes to read the row as it was before, from a
/// replica that lags behind by so much, and to write a copy of it.
pub(super) fn changed_for(read_max_lag: Duration) -> Duration {
    read_max_lag + COPY_DELAY
}

/// Makes way for a fresh copy, unless the row has changed since.
const DROP_UNLESS_CHANGED: &str =
    "if redis.call('GET', KEYS[1]) ~= '' then return redis.call('UNLINK', KEYS[1]) end return 0";

/// Why a read found nothing.
pub(crate) enum LookupMiss<E> {
    /// There is no such row.
    Absent,
    /// The row could not be read.
    Failed(E),
}

impl Cache {
    /// Remembers an acknowledged notification: here at once, in Redis after the answer. A `claimed`
    /// idempotency key is kept, with the fingerprint of its request, before the caller is answered.
    pub(crate) async fn remember(&self, view: &Arc<NotificationView>, claimed: Option<(&str, &str)>) {
        self.recent.insert(Arc::clone(view));
        let Some((key, request_hash)) = claimed else {
            return self.enqueue_copy(view.id(), view.text());
        };
        let mut pipe = redis::pipe();
        self.add(&mut pipe, view.id(), &view.text());
        self.keep_claim(&mut pipe, view.tenant(), key, request_hash);
        let _: Option<()> = self.call("set", pipe).await;
    }

    /// Adds a copy, unless there is an entry.
    pub(super) fn add(&self, pipe: &mut redis::Pipeline, id: Uuid, text: &[u8]) {
        let ttl = self.ttl_ms(self.settings.ttl_notification);
        pipe.cmd("SET").arg(keys::notification(id)).arg(text).arg("NX").arg("PX").arg(ttl).ignore();
    }

    /// Forgets cached copies after rows changed. Other processes' own copies live `local_ttl` at most.
    pub(crate) async fn forget(&self, ids: &[Uuid]) {
        if ids.is_empty() {
            return;
        }
        let mut pipe = redis::pipe();
        for id in ids {
            self.mark_changed(&mut pipe, &keys::notification(id));
        }
        let _: Option<()> = self.call("forget", pipe).await;
        self.metrics.cache_events(keys::NOTIFICATION, "changed", ids.len() as u64);
        for id in ids {
            self.local.invalidate(id).await;
        }
        self.recent.forget(ids);
    }

    /// Puts an empty entry where a copy was, or might be written from what was read before the change.
    pub(super) fn mark_changed(&self, pipe: &mut redis::Pipeline, key: &str) {
        let ms = u64::try_from(self.changed_for.as_millis()).unwrap_or(u64::MAX);
        pipe.cmd("SET").arg(key).arg("").arg("PX").arg(ms).ignore();
    }

    /// What this process acknowledged lately under an id.
    pub(crate) fn acknowledged(&self, id: Uuid) -> Option<Arc<NotificationView>> {
        self.recent.get(id)
    }

    /// Whether an id is known not to exist. Only ids that nobody can foretell are remembered so: one
    /// that is derived from a key may be accepted at any moment.
    pub(crate) fn is_absent(&self, id: Uuid) -> bool {
        let absent = self.absent.contains_key(&id);
        if absent {
            self.metrics.cache_event(keys::NOTIFICATION, "negative_hit");
        }
        absent
    }

    /// Remembers that an id does not exist. Everything accepted before must be stored by now.
    pub(crate) fn note_absent(&self, id: Uuid) {
        if id.get_version_num() != DERIVED {
            self.absent.insert(id, ());
        }
    }

    /// The copy of this process.
    pub(crate) async fn held(&self, id: Uuid) -> Option<Arc<NotificationView>> {
        let hit = self.local.get(&id).await?;
        self.metrics.cache_hit(keys::NOTIFICATION);
        Some(hit)
    }

    /// Reads through what this process does not hold: Redis, then `load`, once per id at a time.
    pub(crate) async fn notification<E: Clone + Send + Sync + 'static>(
        &self,
        id: Uuid,
        load: impl Future<Output = Result<Option<NotificationView>, E>>,
    ) -> Result<Option<Arc<NotificationView>>, Arc<LookupMiss<E>>> {
        let found = self.local.try_get_with(id, async {
            let cached = self.read(id).await;
            let stale = cached.is_some();
            if let Some((hit, left)) = cached
                && !self.is_refresh_due(left, rand::random())
            {
                self.metrics.cache_hit(keys::NOTIFICATION);
                return Ok(Arc::new(hit));
            }
            self.metrics.cache_miss(keys::NOTIFICATION);
            let started = Instant::now();
            let row = load.await.map_err(LookupMiss::Failed)?;
            self.observe_load(started.elapsed());
            let row = row.ok_or(LookupMiss::Absent)?;
            let mut pipe = redis::pipe();
            if stale {
                pipe.cmd("EVAL").arg(DROP_UNLESS_CHANGED).arg(1).arg(keys::notification(id)).ignore();
            }
            self.add(&mut pipe, id, &row.text());
            let _: Option<()> = self.call("set", pipe).await;
            Ok(Arc::new(row))
        });
        match found.await {
            Ok(hit) => Ok(Some(hit)),
            Err(miss) if matches!(*miss, LookupMiss::Absent) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// The entry in Redis, and how long it still lives.
    async fn read(&self, id: Uuid) -> Option<(NotificationView, Duration)> {
        let name = keys::notification(id);
        let mut pipe = redis::pipe();
        pipe.cmd("GET").arg(&name).cmd("PTTL").arg(&name);
        let (text, left_ms): (Option<Vec<u8>>, i64) = self.call("get", pipe).await?;
        // An empty entry is no notification: the row has changed.
        let hit = NotificationView::from_text(text?.into())?;
        // An entry without an end has one all the same: it was written by hand.
        Some((hit, Duration::from_millis(u64::try_from(left_ms).unwrap_or(0))))
    }

    /// Whether this reader should load the row before its entry runs out, so that not all readers load
    /// it at once when it has (XFetch: the nearer the end and the dearer the load, the likelier).
    fn is_refresh_due(&self, left: Duration, jitter: f64) -> bool {
        let cost = Duration::from_micros(self.load_us.load(Ordering::Relaxed));
        let due = cost.mul_f64(-jitter.max(f64::MIN_POSITIVE).ln()) >= left;
        if due {
            self.metrics.cache_event(keys::NOTIFICATION, "early_refresh");
        }
        due
    }

    fn observe_load(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let mean = self.load_us.load(Ordering::Relaxed);
        self.load_us.store((mean.saturating_mul(7).saturating_add(took) / 8).max(1), Ordering::Relaxed);
    }
}

/// The UUID version of ids that are derived from an idempotency key.
const DERIVED: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;
    use nsys_contract::config::Cache as Settings;

    fn cache() -> Cache {
        let settings = Settings { url: "redis://127.0.0.1:1/".into(), ..Settings::default() };
        Cache::connect(&settings, Duration::from_secs(10), Duration::from_secs(5), Metrics::default())
            .unwrap()
    }

    #[test]
    fn a_replica_that_may_still_be_read_does_not_know_less_than_the_cache() {
        for lag in [Duration::ZERO, Duration::from_secs(5), Duration::from_secs(60)] {
            let settings = Settings { url: "redis://127.0.0.1:1/".into(), ..Settings::default() };
            let cache = Cache::connect(&settings, Duration::from_secs(10), lag, Metrics::default()).unwrap();
            assert!(cache.changed_for >= lag + COPY_DELAY, "{lag:?}");
        }
    }

    #[test]
    fn an_entry_is_refreshed_near_its_end_and_not_long_before() {
        let cache = cache();
        cache.load_us.store(1_000, Ordering::Relaxed);
        assert!(cache.is_refresh_due(Duration::ZERO, 0.5));
        assert!(cache.is_refresh_due(Duration::from_micros(600), 0.5));
        assert!(!cache.is_refresh_due(Duration::from_micros(800), 0.5));
        assert!(!cache.is_refresh_due(Duration::from_secs(60), 1e-300));
    }

    #[test]
    fn only_ids_that_nobody_can_foretell_are_remembered_as_absent() {
        let cache = cache();
        let (random, derived) = (Uuid::now_v7(), Uuid::new_v5(&Uuid::NAMESPACE_DNS, b"k"));
        cache.note_absent(random);
        cache.note_absent(derived);
        assert!(cache.is_absent(random));
        assert!(!cache.is_absent(derived));
    }

    #[tokio::test]
    async fn without_redis_the_row_is_read() {
        let found = cache().notification::<()>(Uuid::now_v7(), async { Ok(None) }).await;
        assert!(matches!(found, Ok(None)));
        let failed = cache().notification::<u8>(Uuid::now_v7(), async { Err(7) }).await;
        assert!(matches!(failed.err().as_deref(), Some(LookupMiss::Failed(7))));
    }
}
