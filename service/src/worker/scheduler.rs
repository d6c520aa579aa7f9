//! Looks for rows that are due: scheduled ones, retries, those that waited for capacity, and leases that
//! ran out.

use super::dispatcher::{Dispatcher, Job};
use super::recorder::{self, Final};
use crate::db::{ChannelCapacity, UnreadableClaim};
use crate::parts::Parts;
use nsys_contract::status::{Channel, Status};
use std::sync::Arc;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// Rows of a channel that the first claim looks at.
const FIRST: usize = 32;

/// How many rows of each channel a claim looks at. PostgreSQL has to write out the payload of every row that
/// it looks at to know its size, so where few of them fill a claim, few are looked at.
struct Reach([usize; Channel::ALL.len()]);

impl Default for Reach {
    fn default() -> Self {
        Self([FIRST; Channel::ALL.len()])
    }
}

impl Reach {
    fn of(&self, channel: Channel) -> usize {
        self.0[channel as usize]
    }

    /// Learns from a claim: from how many rows came, and whether they were cut off by their bytes.
    fn learn(&mut self, channel: Channel, rows: usize, is_cut: bool) {
        let reach = &mut self.0[channel as usize];
        if is_cut {
            *reach = rows.max(1) * 2;
        } else if rows >= *reach {
            *reach = reach.saturating_mul(4);
        }
    }
}

/// Claims due rows, as many as there is capacity for, until `stopping`.
pub(crate) async fn run(parts: Arc<Parts>, dispatcher: Arc<Dispatcher>, stopping: CancellationToken) {
    let mut reach = Reach::default();
    loop {
        let more = claim(&parts, &dispatcher, &mut reach).await;
        // What filled the capacity may not be all: claim again as soon as there is some.
        let pause = if more {
            parts.config.worker.scheduler_interval / 10
        } else {
            parts.config.worker.scheduler_interval
        };
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Claims once. Returns whether there may be more.
async fn claim(parts: &Parts, dispatcher: &Arc<Dispatcher>, reach: &mut Reach) -> bool {
    let limit = parts.config.worker.batch_size.max(1);
    let capacity = |channel: &Channel| {
        let (free, bytes) = (dispatcher.capacity(*channel), dispatcher.bytes_of_claim(*channel));
        let free = free.min(limit).min(reach.of(*channel));
        (free > 0 && bytes > 0).then_some(ChannelCapacity { channel: *channel, free, bytes })
    };
    let capacity: Vec<_> = Channel::ALL.iter().filter_map(capacity).collect();
    if capacity.is_empty() {
        return true;
    }
    let claimed_at = Instant::now();
    match parts.db.claim_due(&capacity, parts.config.worker.lease).await {
        Ok(claims) => {
            bury(parts, &claims.poison).await;
            let mut fills = |capacity: &ChannelCapacity| {
                let taken = claims.due.iter().filter(|one| one.envelope.channel == capacity.channel);
                let (rows, bytes) = taken.fold((0, 0), |(rows, bytes), one| (rows + 1, bytes + one.bytes));
                let is_cut = bytes >= capacity.bytes;
                reach.learn(capacity.channel, rows, is_cut);
                rows >= capacity.free || is_cut
            };
            // Every channel learns, whatever the others say.
            let filled = capacity.iter().filter(|capacity| fills(capacity)).count();
            let more = !claims.poison.is_empty() || filled > 0;
            dispatcher.submit(claims.due.into_iter().map(|one| Job::new(one, claimed_at)).collect());
            more
        }
        Err(cause) => {
            tracing::warn!(%cause, "Due notifications could not be claimed; retrying.");
            // It may have been too much for one statement.
            *reach = Reach::default();
            false
        }
    }
}

/// Rows that cannot be read are dead letters, each by itself: nobody else waits for them.
async fn bury(parts: &Parts, poison: &[UnreadableClaim]) {
    for one in poison {
        match parts.db.bury(one.id, &one.error).await {
            Ok(true) => {
                tracing::error!(id = %one.id, error = %one.error, "A notification is unreadable; it was moved to the dead letters.");
                let ended = one.about.map(|(channel, kind, priority, accepted_ms)| {
                    let status = Status::Failed;
                    Final { channel, kind, priority, status, accepted_ms }
                });
                recorder::count(parts, ended.into_iter());
                parts.cache.forget(&[one.id]).await;
            }
            // Somebody changed it meanwhile.
            Ok(false) => {}
            Err(cause) => {
                tracing::warn!(id = %one.id, %cause, "An unreadable notification could not be moved to the dead letters; it is retried when its lease expires.");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_rows_are_looked_at_few_at_a_time() {
        let mut reach = Reach::default();
        for rows in [32, 128, 512] {
            reach.learn(Channel::Email, rows, false);
        }
        assert_eq!((reach.of(Channel::Email), reach.of(Channel::Sms)), (2_048, FIRST));
        reach.learn(Channel::Email, 16, true);
        assert_eq!(reach.of(Channel::Email), 32);
        reach.learn(Channel::Email, 10, false);
        assert_eq!(reach.of(Channel::Email), 32, "nothing more was due");
        reach.learn(Channel::Email, 0, true);
        assert_eq!(reach.of(Channel::Email), 2, "one is always looked at");
    }
}
