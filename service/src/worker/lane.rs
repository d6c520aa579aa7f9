//! One partition's lane: takes batches from its feed, stores them, and hands on what is to be delivered.
//!
//! A batch is finished when its rows are stored: those delivered at once in their final state, the
//! others held by a lease or due at some time. From there on the database knows them, so a slow
//! receiver never holds up the log.

use super::decision::{self, First};
use super::dispatcher::{Dispatcher, Job};
use super::message::Incoming;
use super::recorder::{self, Final};
use crate::app::App;
use crate::cache::recipient_key;
use crate::channels::Providers;
use crate::db::{DbError, Due, NewRow, RowState, Undecodable};
use crate::queue::{Feed, Message};
use crate::telemetry::trace;
use jiff::Timestamp;
use nsys_contract::status::{Channel, Status};
use opentelemetry::Context;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Longest wait between two tries to reach PostgreSQL.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// What every lane of a process shares.
pub(crate) struct Lanes {
    pub(crate) app: Arc<App>,
    pub(crate) providers: Arc<Providers>,
    pub(crate) dispatcher: Arc<Dispatcher>,
}

impl Lanes {
    /// Handles a partition until it is given away. A batch that cannot be stored is tried again until it
    /// can; nothing is skipped because PostgreSQL is away.
    pub(crate) async fn run(self: Arc<Self>, feed: Arc<Feed>) {
        let settings = &self.app.config.worker;
        while let Some(batch) = feed.take(settings.batch_wait).await {
            let started = Instant::now();
            let state = &self.app.worker;
            state.in_progress.fetch_add(batch.len() as u64, Ordering::Relaxed);
            let done = self.store_until_done(&feed, &batch).await;
            state.in_progress.fetch_sub(batch.len() as u64, Ordering::Relaxed);
            if !done {
                break;
            }
            if let Some(last) = batch.last() {
                feed.finish(last.offset + 1);
            }
            self.app.metrics.consumed(&feed.topic, batch.len() as u64);
            state.processed.fetch_add(batch.len() as u64, Ordering::Relaxed);
            let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            state.busy_us.fetch_add(took, Ordering::Relaxed);
            state.last_processed_ms.store(Timestamp::now().as_millisecond(), Ordering::Relaxed);
        }
        feed.end();
    }

    /// `false` when the partition was given away while PostgreSQL was away: nothing is committed then.
    async fn store_until_done(&self, feed: &Feed, batch: &[Message]) -> bool {
        let mut backoff = Duration::from_millis(50);
        loop {
            match self.handle(feed, batch).await {
                Ok(()) => return true,
                Err(cause) => {
                    self.app.worker.errors.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%cause, batch = batch.len(), "A batch cannot be stored; trying again.");
                }
            }
            if feed.is_closed() {
                return false;
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    async fn handle(&self, feed: &Feed, batch: &[Message]) -> Result<(), DbError> {
        let mut poison = Vec::new();
        let mut again = Vec::new();
        let mut seen = HashSet::with_capacity(batch.len());
        let mut fresh = Vec::with_capacity(batch.len());
        for message in batch {
            match Incoming::read(message) {
                // One notification may be in a batch twice; the first one counts.
                Ok(incoming) if seen.insert(incoming.id()) => fresh.push((message, incoming)),
                Ok(incoming) => again.push((message, incoming)),
                Err(error) => poison.push(undecodable(feed, message, error)),
            }
        }
        self.store(feed, fresh, &mut poison, &mut again).await?;
        if !again.is_empty() {
            let again: Vec<_> = again.iter().map(|(_, one)| (one.id(), one.request_hash())).collect();
            self.app.db.meet_again(&again).await?;
            self.app.metrics.redelivered(again.len() as u64);
        }
        if !poison.is_empty() {
            tracing::warn!(topic = %feed.topic, partition = feed.partition, count = poison.len(), "Messages cannot be handled; they are kept as dead letters.");
            self.app.db.keep_undecodable(&poison).await?;
        }
        Ok(())
    }

    /// Stores what is new. What the database refuses is found by halves and becomes a dead letter.
    async fn store<'a>(
        &self,
        feed: &'a Feed,
        fresh: Vec<(&'a Message, Incoming<'a>)>,
        poison: &mut Vec<Undecodable<'a>>,
        again: &mut Vec<(&'a Message, Incoming<'a>)>,
    ) -> Result<(), DbError> {
        let mut parts = vec![fresh];
        while let Some(mut part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            match self.store_part(&part).await {
                Ok(new) if new.len() == part.len() => {}
                Ok(new) => again.extend(part.into_iter().filter(|(_, one)| !new.contains(&one.id()))),
                Err(cause) if cause.is_data() && part.len() > 1 => {
                    let second = part.split_off(part.len() / 2);
                    parts.extend([second, part]);
                }
                Err(cause) if cause.is_data() => {
                    poison.extend(
                        part.iter().map(|(message, _)| undecodable(feed, message, cause.to_string())),
                    );
                }
                Err(cause) => return Err(cause),
            }
        }
        Ok(())
    }

    /// Inserts the rows of new notifications and hands on those to deliver. Tells which were new.
    async fn store_part(&self, part: &[(&Message, Incoming<'_>)]) -> Result<HashSet<Uuid>, DbError> {
        let app = &self.app;
        let users = part.iter().map(|(_, one)| (one.tenant_id(), one.user_id()));
        let wishes = app.cache.recipients(&app.db, users).await?;
        let now = Timestamp::now();
        let mut room = HashMap::new();
        let rows: Vec<NewRow<'_>> = part
            .iter()
            .map(|(_, one)| {
                let recipient = if wishes.is_empty() {
                    None
                } else {
                    wishes.get(&recipient_key(one.tenant_id(), one.user_id()))
                };
                let recipient = recipient.map(AsRef::as_ref);
                let settings = &app.config.worker;
                one.row(match decision::first(one, recipient, &self.providers, settings, now) {
                    First::Settled(state) => state,
                    First::Deliver => self.hold(one, &mut room),
                })
            })
            .collect();
        let claimed = Instant::now();
        let traces: Vec<_> = part
            .iter()
            .map(|(message, _)| trace::consumed(message.traceparent.as_deref()?, "process notifications"))
            .collect();
        let stored = app.db.store(&rows, app.config.worker.lease);
        let new: HashSet<Uuid> = trace::step_in_all(&traces, "store", stored).await?.into_iter().collect();
        self.hand_on(part, &rows, &new, &traces, claimed);
        recorder::count(app, rows.iter().filter(|row| new.contains(&row.id)).map(ending));
        let copied: Vec<_> =
            part.iter().filter(|(message, _)| message.copied).map(|(_, one)| one.id()).collect();
        if !copied.is_empty() {
            // The lane does not wait for Redis; the call is bounded in time.
            let app = Arc::clone(app);
            tokio::spawn(async move { app.cache.forget(&copied).await });
        }
        Ok(new)
    }

    /// The state of a notification that has to be handed to its provider: held by this process while
    /// there is room, else left to the scheduler of whichever worker has some.
    fn hold(&self, one: &Incoming<'_>, room: &mut HashMap<Channel, usize>) -> RowState {
        let free = room.entry(one.channel()).or_insert_with(|| self.dispatcher.room(one.channel()));
        let retry_count = one.retry_count();
        if *free == 0 {
            return RowState { retry_count, ..RowState::new(Status::Pending, Some(Due::In(Duration::ZERO))) };
        }
        *free -= 1;
        RowState { retry_count, ..RowState::new(Status::Processing, None) }
    }

    fn hand_on(
        &self,
        part: &[(&Message, Incoming<'_>)],
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
                claimed,
                age: Duration::ZERO,
                trace: trace.clone().unwrap_or_default(),
            })
            .collect();
        self.dispatcher.submit(jobs);
    }
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

fn undecodable<'a>(feed: &'a Feed, message: &'a Message, error: String) -> Undecodable<'a> {
    Undecodable {
        topic: &feed.topic,
        partition: feed.partition,
        offset: message.offset,
        key: &message.key,
        raw: &message.value,
        error,
    }
}
