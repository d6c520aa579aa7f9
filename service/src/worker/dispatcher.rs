//! Hands notifications to their providers: by priority, each user's in order, at most so many of a channel at
//! once, holding back those whose destination has an open circuit.
//!
//! Every job is a row that this process holds by a lease. A job that could outlive its lease is not
//! begun: another worker may have the row by then.

use super::decision::{self, After};
use crate::cache::recipient_key;
use crate::channels::{DeliveryOutcome, Providers};
use crate::db::{ClaimedRow, DbError, FinishedAttempt, RowState};
use crate::domain::breaker::{Admission, Breakers};
use crate::domain::recipient::Recipient;
use crate::domain::retry;
use crate::parts::Parts;
use crate::telemetry::trace;
use jiff::Timestamp;
use nsys_contract::config::Worker;
use nsys_contract::event::Envelope;
use nsys_contract::status::{Channel, Priority};
use opentelemetry::context::FutureExt;
use opentelemetry::trace::SpanKind;
use opentelemetry::{Context, KeyValue};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// A row to deliver.
pub(crate) struct Job {
    pub(crate) envelope: Envelope,
    pub(crate) first_attempt: u32,
    /// The number of the claim that holds the row.
    pub(crate) claim: i32,
    /// When the lease was taken.
    pub(crate) claimed: Instant,
    /// How long it was held back in this round because the circuit of its destination was open.
    pub(crate) held: Duration,
    /// The trace it belongs to; empty when that is not recorded.
    pub(crate) trace: Context,
    /// Bytes of memory that its payload takes, about.
    pub(crate) memory: usize,
}

/// Memory that the payloads of one channel take at most, in bytes, but for what the last batch or claim
/// brought.
const IN_HAND_BYTES: usize = 16 << 20;
/// Bytes of payloads that one claim of a channel brings, but for the first row.
const CLAIM_BYTES: usize = 1 << 20;

impl Job {
    pub(crate) fn new(claimed: ClaimedRow, at: Instant) -> Self {
        Self {
            envelope: claimed.envelope,
            first_attempt: claimed.first_attempt,
            claim: claimed.claim,
            claimed: at,
            held: claimed.held,
            trace: Context::new(),
            memory: claimed.memory,
        }
    }

    fn order_key(&self) -> OrderKey {
        (self.envelope.tenant_id.clone(), self.envelope.user_id.clone(), self.envelope.priority)
    }
}

/// What is delivered in order: one user's notifications of one priority.
type OrderKey = (Option<String>, String, Priority);

/// What one channel has in hand.
#[derive(Default)]
struct ChannelQueue {
    /// The first job of each key that has none in progress, one queue for each priority.
    heads: [VecDeque<Job>; Priority::ALL.len()],
    /// The jobs behind the first, of every key that has a first, waiting or in progress.
    waiting_by_key: HashMap<OrderKey, VecDeque<Job>>,
    /// Jobs that were not begun.
    queued: usize,
    running: usize,
    /// Memory of the payloads of all of them.
    memory: usize,
    closed: bool,
}

impl ChannelQueue {
    fn push(&mut self, job: Job) {
        self.queued += 1;
        self.memory += job.memory;
        match self.waiting_by_key.entry(job.order_key()) {
            Entry::Occupied(waiting) => waiting.into_mut().push_back(job),
            Entry::Vacant(entry) => {
                entry.insert(VecDeque::new());
                self.heads[job.envelope.priority as usize].push_back(job);
            }
        }
    }

    /// The next job to begin: of the highest priority, the one that waits longest.
    fn next(&mut self) -> Option<Job> {
        let job = self.heads.iter_mut().rev().find_map(VecDeque::pop_front)?;
        self.queued -= 1;
        Some(job)
    }

    /// The job of a key has ended: the next one of that key may begin.
    fn release(&mut self, key: OrderKey, memory: usize) {
        self.memory = self.memory.saturating_sub(memory);
        let Entry::Occupied(mut entry) = self.waiting_by_key.entry(key) else { return };
        match entry.get_mut().pop_front() {
            Some(next) => self.heads[next.envelope.priority as usize].push_front(next),
            None => {
                entry.remove();
            }
        }
    }

    fn drain(&mut self) -> Vec<Job> {
        self.closed = true;
        self.queued = 0;
        let heads = self.heads.iter_mut().rev().flat_map(|queue| queue.drain(..));
        heads.chain(self.waiting_by_key.values_mut().flat_map(|queue| queue.drain(..))).collect()
    }
}

/// What a channel does, for `/health/worker`.
#[derive(Clone, Debug)]
pub(crate) struct ChannelState {
    pub(crate) channel: Channel,
    pub(crate) provider: &'static str,
    pub(crate) waiting: usize,
    pub(crate) running: usize,
}

/// Delivers claimed rows and sends what became of them to the recorder.
pub(crate) struct Dispatcher {
    parts: Arc<Parts>,
    providers: Arc<Providers>,
    queues: Vec<Mutex<ChannelQueue>>,
    breakers: Mutex<Breakers>,
    ended: mpsc::Sender<(FinishedAttempt, Envelope)>,
    tasks: TaskTracker,
}

impl Dispatcher {
    pub(crate) fn new(
        parts: Arc<Parts>,
        providers: Arc<Providers>,
        ended: mpsc::Sender<(FinishedAttempt, Envelope)>,
    ) -> Self {
        let settings = &parts.config.worker;
        Self {
            queues: Channel::ALL.iter().map(|_| Mutex::default()).collect(),
            breakers: Mutex::new(Breakers::new(settings.breaker_failures, settings.breaker_cooldown)),
            tasks: TaskTracker::new(),
            parts,
            providers,
            ended,
        }
    }

    fn settings(&self) -> &Worker {
        &self.parts.config.worker
    }

    fn queue(&self, channel: Channel) -> MutexGuard<'_, ChannelQueue> {
        self.queues[channel as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn breakers(&self) -> MutexGuard<'_, Breakers> {
        self.breakers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many more jobs of a channel are taken. What is more than that waits in the database, where
    /// it is not in the way of other channels.
    pub(crate) fn capacity(&self, channel: Channel) -> usize {
        let limit = self.settings().channel_concurrency.max(1).saturating_mul(4);
        let queue = self.queue(channel);
        if queue.closed { 0 } else { limit.saturating_sub(queue.queued + queue.running) }
    }

    /// How many more bytes of payloads of a channel are taken, as they are in memory.
    pub(crate) fn bytes_left(&self, channel: Channel) -> usize {
        IN_HAND_BYTES.saturating_sub(self.queue(channel).memory)
    }

    /// How many bytes one claim of due notifications of a channel may bring.
    pub(crate) fn bytes_of_claim(&self, channel: Channel) -> usize {
        self.bytes_left(channel).min(CLAIM_BYTES)
    }

    /// Takes jobs. There has to be capacity for them.
    pub(crate) fn submit(self: &Arc<Self>, jobs: Vec<Job>) {
        for job in jobs {
            let channel = job.envelope.channel;
            let mut queue = self.queue(channel);
            queue.push(job);
            while queue.running < self.settings().channel_concurrency.max(1) {
                let Some(job) = queue.next() else { break };
                queue.running += 1;
                let dispatcher = Arc::clone(self);
                self.tasks.spawn(async move { dispatcher.run(channel, job).await });
            }
        }
    }

    /// Delivers one job after the other until there is none.
    async fn run(self: Arc<Self>, channel: Channel, mut job: Job) {
        loop {
            let (key, memory) = (job.order_key(), job.memory);
            // A job behind its lease is dropped: whoever claims the row next delivers it.
            let handled = self.handle(&job).with_context(job.trace.clone());
            if let Some(state) = handled.await {
                let ended = FinishedAttempt { id: job.envelope.id, claim: job.claim, state };
                // Ends may wait for PostgreSQL, and nobody needs their payloads.
                job.envelope.payload = serde_json::Value::Null;
                if self.ended.send((ended, job.envelope)).await.is_err() {
                    tracing::error!("The recorder has ended before the last delivery.");
                }
            }
            let mut queue = self.queue(channel);
            queue.release(key, memory);
            match queue.next().filter(|_| !queue.closed) {
                Some(next) => job = next,
                None => {
                    queue.running -= 1;
                    return;
                }
            }
        }
    }

    /// Whether a delivery that begins now ends before the lease does.
    fn outlasts(&self, claimed: Instant) -> bool {
        let left = self.settings().lease.saturating_sub(claimed.elapsed());
        left >= self.parts.config.channels.timeout.min(self.settings().lease / 2)
    }

    async fn handle(&self, job: &Job) -> Option<RowState> {
        let envelope = &job.envelope;
        if !self.outlasts(job.claimed) {
            return None;
        }
        let recipient = self.recipient(envelope).await;
        // PostgreSQL may have taken its time to tell.
        if !self.outlasts(job.claimed) {
            return None;
        }
        let now = crate::clock::now();
        let about = (envelope.channel, envelope.kind, envelope.priority);
        let recipient = match recipient {
            Ok(recipient) => recipient,
            Err(_) if decision::needs_consent(about.1, about.2) => {
                return Some(decision::consent_unknown(envelope.retry_count));
            }
            Err(_) => None,
        };
        let expires = envelope.expires_at.and_then(|ms| Timestamp::from_millisecond(ms).ok());
        if let Some(state) =
            decision::not_now(recipient.as_deref(), about, expires, envelope.retry_count, now)
        {
            return Some(state);
        }
        let provider = self.providers.of(envelope.channel);
        let destination = provider.destination(envelope);
        if let Some(state) = destination.as_deref().and_then(|one| self.held(one, job)) {
            return Some(state);
        }
        let started = Instant::now();
        let about = || {
            vec![
                KeyValue::new("notification.channel", envelope.channel.as_str()),
                KeyValue::new("notification.provider", provider.as_str()),
            ]
        };
        let outcome =
            trace::step("deliver", SpanKind::Client, about, provider.deliver(&self.parts.db, envelope)).await;
        self.parts.metrics.delivered(envelope.channel, started.elapsed());
        if let Some(destination) = &destination {
            let worked = !matches!(outcome, DeliveryOutcome::Retry { down: true, .. });
            self.breakers().record(destination, worked, Instant::now());
        }
        Some(self.after(job, started.elapsed()).state(outcome, rand::random()))
    }

    /// What the user wants; `None` when there is nothing special. Fails while neither a cache nor the database
    /// can tell.
    async fn recipient(&self, envelope: &Envelope) -> Result<Option<Arc<Recipient>>, DbError> {
        let (tenant, user) = (envelope.tenant_id.as_deref(), envelope.user_id.as_str());
        let known = self.parts.cache.recipients(&self.parts.db, std::iter::once((tenant, user))).await;
        Ok(known?.remove(&recipient_key(tenant, user)))
    }

    fn after<'a>(&'a self, job: &'a Job, took: Duration) -> After<'a> {
        After {
            settings: self.settings(),
            providers: &self.providers,
            channel: job.envelope.channel,
            number: job.envelope.retry_count + 1,
            first: job.first_attempt,
            took,
        }
    }

    /// The state of a notification whose destination has an open circuit; `None` when it may be tried.
    fn held(&self, destination: &str, job: &Job) -> Option<RowState> {
        let Admission::Hold(wait) = self.breakers().admit(destination, Instant::now()) else { return None };
        // Spread, so that they do not all come back as the breaker lets one through.
        let wait = wait + self.settings().breaker_cooldown.mul_f64(rand::random::<f64>());
        let longest = retry::longest_hold(self.settings(), self.providers.schedule(job.envelope.channel));
        let error = format!("the circuit for {destination} is open");
        Some(decision::held_back(job.held, wait, longest, job.envelope.retry_count, error))
    }

    /// Ids of the jobs that were not begun; those under way end first.
    pub(crate) async fn close(&self) -> Vec<Uuid> {
        let left: Vec<_> = Channel::ALL.iter().flat_map(|channel| self.queue(*channel).drain()).collect();
        self.tasks.close();
        self.tasks.wait().await;
        left.into_iter().map(|job| job.envelope.id).collect()
    }

    /// What each channel does.
    pub(crate) fn states(&self) -> Vec<ChannelState> {
        let state = |channel: &Channel| {
            let queue = self.queue(*channel);
            ChannelState {
                channel: *channel,
                provider: self.providers.of(*channel).as_str(),
                waiting: queue.queued,
                running: queue.running,
            }
        };
        Channel::ALL.iter().map(state).collect()
    }

    /// Destinations whose circuit is open now.
    pub(crate) fn open_circuits(&self) -> Vec<String> {
        self.breakers().open_circuits(Instant::now()).into_iter().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::tests_support::envelope;

    fn job(user: &str, priority: Priority, number: u128) -> Job {
        let mut envelope = envelope("EMAIL", serde_json::json!({}));
        envelope.user_id = user.to_owned();
        envelope.priority = priority;
        envelope.id = Uuid::from_u128(number);
        let (claimed, held, trace) = (Instant::now(), Duration::ZERO, Context::new());
        Job { envelope, first_attempt: 1, claim: 0, claimed, held, trace, memory: 10 }
    }

    fn next(queue: &mut ChannelQueue) -> Option<(u128, OrderKey)> {
        queue.next().map(|job| (job.envelope.id.as_u128(), job.order_key()))
    }

    #[test]
    fn higher_priorities_go_first_and_one_users_go_one_after_the_other() {
        let mut queue = ChannelQueue::default();
        for one in [
            job("a", Priority::Low, 1),
            job("a", Priority::Low, 2),
            job("b", Priority::Low, 3),
            job("c", Priority::Urgent, 4),
            job("a", Priority::High, 5),
        ] {
            queue.push(one);
        }
        assert_eq!(next(&mut queue).unwrap().0, 4);
        assert_eq!(next(&mut queue).unwrap().0, 5);
        let (first, key) = next(&mut queue).unwrap();
        assert_eq!(first, 1);
        // 2 has to wait for 1, so 3 goes.
        assert_eq!(next(&mut queue).unwrap().0, 3);
        assert_eq!(next(&mut queue), None);
        queue.release(key, 10);
        assert_eq!(next(&mut queue).unwrap().0, 2);
        assert_eq!(queue.queued, 0);
    }

    #[test]
    fn what_comes_while_its_user_is_busy_keeps_its_order() {
        let mut queue = ChannelQueue::default();
        queue.push(job("a", Priority::Medium, 1));
        let (_, key) = next(&mut queue).unwrap();
        for number in 2..4 {
            queue.push(job("a", Priority::Medium, number));
        }
        queue.release(key.clone(), 10);
        queue.push(job("a", Priority::Medium, 4));
        for number in 2..5 {
            assert_eq!(next(&mut queue).unwrap().0, number);
            assert_eq!(next(&mut queue), None);
            queue.release(key.clone(), 10);
        }
        assert!(queue.waiting_by_key.is_empty(), "an idle key is kept");
    }

    #[test]
    fn a_closed_queue_gives_back_everything_it_did_not_begin() {
        let mut queue = ChannelQueue::default();
        queue.push(job("a", Priority::Medium, 1));
        assert!(queue.next().is_some());
        queue.push(job("a", Priority::Medium, 2));
        queue.push(job("b", Priority::Low, 3));
        let mut left: Vec<_> = queue.drain().iter().map(|job| job.envelope.id.as_u128()).collect();
        left.sort_unstable();
        assert_eq!((left, queue.queued), (vec![2, 3], 0));
    }
}
