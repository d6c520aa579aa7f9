//! Looks for rows that are due: scheduled ones, retries, those that waited for room, and leases that
//! ran out.

use super::dispatcher::{Dispatcher, Job};
use super::recorder::{self, Final};
use crate::app::App;
use crate::db::{Poison, Room};
use nsys_contract::status::{Channel, Status};
use std::sync::Arc;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// Claims due rows, as many as there is room for, until `stopping`.
pub(crate) async fn run(app: Arc<App>, dispatcher: Arc<Dispatcher>, stopping: CancellationToken) {
    loop {
        let more = claim(&app, &dispatcher).await;
        // What filled the room may not be all: look again as soon as there is room.
        let pause = if more {
            app.config.worker.scheduler_interval / 10
        } else {
            app.config.worker.scheduler_interval
        };
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Claims once. Tells whether there may be more.
async fn claim(app: &App, dispatcher: &Arc<Dispatcher>) -> bool {
    let limit = app.config.worker.batch_size.max(1);
    let room = |channel: &Channel| {
        let (free, bytes) = (dispatcher.room(*channel).min(limit), dispatcher.bytes_left(*channel));
        (free > 0 && bytes > 0).then_some(Room { channel: *channel, free, bytes })
    };
    let room: Vec<_> = Channel::ALL.iter().filter_map(room).collect();
    if room.is_empty() {
        return true;
    }
    let claimed_at = Instant::now();
    match app.db.claim_due(&room, app.config.worker.lease).await {
        Ok(claims) => {
            bury(app, &claims.poison).await;
            let fills = |room: &Room| {
                let taken = claims.due.iter().filter(|one| one.envelope.channel == room.channel);
                let (count, bytes) = taken.fold((0, 0), |(count, bytes), one| (count + 1, bytes + one.bytes));
                count >= room.free || bytes >= room.bytes
            };
            let more = !claims.poison.is_empty() || room.iter().any(fills);
            dispatcher.submit(claims.due.into_iter().map(|one| Job::new(one, claimed_at)).collect());
            more
        }
        Err(cause) => {
            tracing::warn!(%cause, "Due notifications cannot be read; trying again.");
            false
        }
    }
}

/// Rows that cannot be read are dead letters, each by itself: nobody else waits for them.
async fn bury(app: &App, poison: &[Poison]) {
    for one in poison {
        match app.db.bury(one.id, &one.error).await {
            Ok(true) => {
                tracing::error!(id = %one.id, error = %one.error, "A notification cannot be read; it is kept as a dead letter.");
                let ended = one.about.map(|(channel, kind, priority, accepted_ms)| {
                    let status = Status::Failed;
                    Final { channel, kind, priority, status, accepted_ms }
                });
                recorder::count(app, ended.into_iter());
                app.cache.forget(&[one.id]).await;
            }
            // Somebody changed it meanwhile.
            Ok(false) => {}
            Err(cause) => {
                tracing::warn!(id = %one.id, %cause, "A notification that cannot be read cannot be given up; its lease brings it back.");
            }
        }
    }
}
