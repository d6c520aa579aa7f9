//! A partition worker: takes batches from its feed, stores them, and hands on what is to be delivered.
//!
//! While a batch is stored the next one is prepared, and waits until it is: a user's notifications stay in
//! their order, and PostgreSQL does not wait for the worker.
//!
//! A batch is finished when its rows are stored: those delivered at once in their final state, the
//! others held by a lease or due at some time. From there on the database knows them, so a slow
//! receiver never holds up the log.

use super::batch::{ReadBatch, Taken, conflicting, undecodable};
use super::decision::{self, First};
use super::dispatcher::{Dispatcher, Job};
use super::message::Incoming;
use super::pipeline::{Predecessor, run_in_order};
use super::recorder::{self, Final};
use super::state::WorkerState;
use crate::cache::recipient_key;
use crate::channels::Providers;
use crate::db::{DbError, Due, Insertion, NewRow, RowState, Undecodable};
use crate::parts::Parts;
use crate::queue::{Feed, PartitionMessage};
use crate::telemetry::trace;
use nsys_contract::status::{Channel, Status};
use opentelemetry::Context;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// What was decided on longer ago is decided again: meanwhile it may have run out, or quiet hours begun.
const FRESH: Duration = Duration::from_secs(1);
/// Longest wait between two tries to reach PostgreSQL.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// What every partition worker of a process shares.
pub(crate) struct PartitionWorkers {
    pub(crate) parts: Arc<Parts>,
    pub(crate) state: Arc<WorkerState>,
    pub(crate) providers: Arc<Providers>,
    pub(crate) dispatcher: Arc<Dispatcher>,
}

impl PartitionWorkers {
    /// Handles a partition until it is given away.
    pub(crate) async fn run(self: Arc<Self>, feed: Arc<Feed>) {
        let wait = self.parts.config.worker.batch_wait;
        let store = |batch: Vec<PartitionMessage>, predecessor| {
            let (partition_workers, feed) = (Arc::clone(&self), Arc::clone(&feed));
            async move { partition_workers.one_batch(&feed, &batch, predecessor).await }
        };
        run_in_order(|| feed.take(wait), store).await;
        feed.end();
    }

    /// Gets a batch ready, and stores it once the one before it is. `false` when the partition was given
    /// away while PostgreSQL was away: nothing is committed then.
    async fn one_batch(&self, feed: &Feed, batch: &[PartitionMessage], predecessor: Predecessor) -> bool {
        let state = &self.state;
        state.in_progress.fetch_add(batch.len() as u64, Ordering::Relaxed);
        let read = ReadBatch::of(feed, batch);
        // What fails here is tried again once the batch before is stored.
        let ready = self.prepare(&read.fresh).await.ok();
        let is_next = predecessor.finished().await;
        let started = Instant::now();
        let done = is_next && self.store_until_done(feed, &read, ready).await;
        state.in_progress.fetch_sub(batch.len() as u64, Ordering::Relaxed);
        if let Some(last) = batch.last()
            && done
        {
            feed.finish(last.offset + 1);
            self.parts.metrics.consumed(&feed.topic, batch.len() as u64);
            state.processed.fetch_add(batch.len() as u64, Ordering::Relaxed);
            let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            state.busy_us.fetch_add(took, Ordering::Relaxed);
            state.last_processed_ms.store(crate::clock::now().as_millisecond(), Ordering::Relaxed);
        }
        done
    }

    /// A batch that cannot be stored is tried again until it can; nothing is skipped because PostgreSQL is
    /// away. `false` when the partition was given away meanwhile.
    async fn store_until_done(
        &self,
        feed: &Feed,
        read: &ReadBatch<'_>,
        mut ready: Option<Ready<'_>>,
    ) -> bool {
        let mut backoff = Duration::from_millis(50);
        loop {
            match self.handle(feed, read, ready.take()).await {
                Ok(()) => return true,
                Err(cause) => {
                    self.state.errors.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%cause, batch = read.len(), "A batch could not be stored; retrying.");
                }
            }
            if feed.is_closed() {
                return false;
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    async fn handle(
        &self,
        feed: &Feed,
        read: &ReadBatch<'_>,
        ready: Option<Ready<'_>>,
    ) -> Result<(), DbError> {
        let (repeated, refused) = self.store(feed, &read.fresh, ready).await?;
        let again: Vec<_> = read.again.iter().chain(repeated).collect();
        let mut conflicts = Vec::new();
        if !again.is_empty() {
            let keys: Vec<_> = again.iter().map(|(_, one)| (one.id(), one.request_hash())).collect();
            let existing = self.parts.db.record_redelivery(&keys).await?;
            self.parts.metrics.redelivered(again.len() as u64);
            let differing: Vec<_> = again
                .into_iter()
                .zip(&existing)
                .filter(|((_, one), existing)| one.differs(existing))
                .collect();
            let keys = differing.iter().filter_map(|((_, one), existing)| {
                Some((one.tenant_id(), one.idempotency_key()?, existing.request_hash.as_deref()))
            });
            let keys: Vec<_> = keys.collect();
            if !keys.is_empty() {
                // Redis may have kept the later request: the row's is the first.
                self.parts.cache.correct(&keys).await;
            }
            conflicts.extend(differing.into_iter().map(|(taken, _)| conflicting(feed, taken)));
        }
        let poison: Vec<_> = read.poison.iter().chain(&refused).chain(&conflicts).collect();
        if !poison.is_empty() {
            tracing::warn!(topic = %feed.topic, partition = feed.partition, count = poison.len(), "Messages cannot be handled; they are kept as dead letters.");
            self.parts.db.insert_dead_letters(&poison).await?;
        }
        Ok(())
    }

    /// Stores what is new; returns what was there already, and what the database refuses.
    ///
    /// One statement inserts a whole batch. Where PostgreSQL refuses one of its values the statement fails as a
    /// whole, without a word on which row it was: the batch is halved until the row stands alone, and everything
    /// else is stored on the way. Halves are pushed last to first, so that they are stored first to last and a
    /// user's notifications keep their order. Rows that were prepared ahead serve the first statement only, and
    /// only while they are fresh: a half is prepared anew, and so is a batch that waited for its predecessor or
    /// for PostgreSQL, because expiry and quiet hours go on meanwhile.
    async fn store<'a>(
        &self,
        feed: &'a Feed,
        fresh: &'a [Taken<'a>],
        mut ready: Option<Ready<'_>>,
    ) -> Result<(Vec<&'a Taken<'a>>, Vec<Undecodable<'a>>), DbError> {
        let (mut repeated, mut refused) = (Vec::new(), Vec::new());
        let mut pending = vec![fresh];
        while let Some(part) = pending.pop() {
            if part.is_empty() {
                continue;
            }
            let mut rows = match ready.take().filter(|ready| ready.since.elapsed() < FRESH) {
                Some(ready) => ready.rows,
                None => self.prepare(part).await?.rows,
            };
            match self.store_part(part, &mut rows).await {
                Ok(new) if new.len() == part.len() => {}
                Ok(new) => repeated.extend(part.iter().filter(|(_, one)| !new.contains(&one.id()))),
                Err(cause) if cause.is_data() && part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    pending.extend([second, first]);
                }
                Err(cause) if cause.is_data() => {
                    let letter = |(message, _): &Taken<'a>| undecodable(feed, message, cause.to_string());
                    refused.extend(part.iter().map(letter));
                }
                Err(cause) => return Err(cause),
            }
        }
        Ok((repeated, refused))
    }

    /// Decides what becomes of new notifications.
    async fn prepare<'a>(&self, part: &'a [Taken<'a>]) -> Result<Ready<'a>, DbError> {
        let parts = &self.parts;
        let since = Instant::now();
        let users = part.iter().map(|(_, one)| (one.tenant_id(), one.user_id()));
        let preferences = parts.cache.recipients(&parts.db, users).await?;
        let now = crate::clock::now();
        let mut capacity = HashMap::new();
        let rows = part.iter().map(|(_, one)| {
            let recipient = if preferences.is_empty() {
                None
            } else {
                preferences.get(&recipient_key(one.tenant_id(), one.user_id()))
            };
            let recipient = recipient.map(AsRef::as_ref);
            let settings = &parts.config.worker;
            one.row(match decision::first(one, recipient, &self.providers, settings, now) {
                First::Settled(state) => state,
                First::Deliver => self.hold(one, &mut capacity),
            })
        });
        let rows = Insertion::new(rows.collect(), parts.config.worker.lease);
        Ok(Ready { rows, since })
    }

    /// Inserts the rows of new notifications and hands on those to deliver. Returns which were new.
    async fn store_part(
        &self,
        part: &[Taken<'_>],
        rows: &mut Insertion<'_>,
    ) -> Result<HashSet<Uuid>, DbError> {
        let parts = &self.parts;
        let claimed = Instant::now();
        let traces: Vec<_> = part
            .iter()
            .map(|(message, _)| trace::consumed(message.traceparent.as_deref()?, "process notifications"))
            .collect();
        let stored = parts.db.store(rows);
        let new: HashSet<Uuid> = trace::step_in_all(&traces, "store", stored).await?.into_iter().collect();
        let rows = rows.rows();
        self.hand_on(part, rows, &new, &traces, claimed);
        recorder::count(parts, rows.iter().filter(|row| new.contains(&row.id)).map(ending));
        let copied: Vec<_> =
            part.iter().filter(|(message, _)| message.copied).map(|(_, one)| one.id()).collect();
        if !copied.is_empty() {
            // The partition worker does not wait for Redis; the call is bounded in time.
            let parts = Arc::clone(parts);
            tokio::spawn(async move { parts.cache.forget(&copied).await });
        }
        Ok(new)
    }

    /// The state of a notification that has to be handed to its provider: held by this process while
    /// there is capacity, else left to the scheduler of whichever worker has some.
    fn hold(&self, one: &Incoming<'_>, capacity: &mut HashMap<Channel, (usize, usize)>) -> RowState {
        let channel = one.channel();
        let (free, bytes) = capacity
            .entry(channel)
            .or_insert_with(|| (self.dispatcher.capacity(channel), self.dispatcher.bytes_left(channel)));
        let retry_count = one.retry_count();
        if *free == 0 || *bytes == 0 {
            return RowState { retry_count, ..RowState::new(Status::Pending, Some(Due::In(Duration::ZERO))) };
        }
        *free -= 1;
        *bytes = bytes.saturating_sub(one.memory());
        RowState { retry_count, ..RowState::new(Status::Processing, None) }
    }

    fn hand_on(
        &self,
        part: &[Taken<'_>],
        rows: &[NewRow<'_>],
        new: &HashSet<Uuid>,
        traces: &[Option<Context>],
        claimed: Instant,
    ) {
        let all = part.iter().zip(rows).zip(traces);
        let jobs: Vec<_> = all
            .filter(|((_, row), _)| row.state.status == Status::Processing && new.contains(&row.id))
            .map(|(((_, one), _), trace)| Job {
                envelope: one.envelope(),
                first_attempt: 1,
                claim: 0,
                claimed,
                held: Duration::ZERO,
                trace: trace.clone().unwrap_or_default(),
                memory: one.memory(),
            })
            .collect();
        self.dispatcher.submit(jobs);
    }
}

/// Rows, and when they were decided on.
struct Ready<'a> {
    rows: Insertion<'a>,
    since: Instant,
}

fn ending(row: &NewRow<'_>) -> Final {
    Final {
        channel: row.channel,
        kind: row.kind,
        priority: row.priority,
        status: row.state.status,
        accepted_ms: row.created_at.as_millisecond(),
    }
}
