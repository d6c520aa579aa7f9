//! Looks for rows that are due: scheduled ones, retries, those that waited for room, and leases that
//! ran out.

use super::dispatcher::{Dispatcher, Job};
use crate::app::App;
use nsys_contract::status::Channel;
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
    let room = |channel: &Channel| Some((*channel, dispatcher.room(*channel).min(limit)));
    let room: Vec<_> = Channel::ALL.iter().filter_map(room).filter(|(_, free)| *free > 0).collect();
    if room.is_empty() {
        return true;
    }
    let claimed_at = Instant::now();
    match app.db.claim_due(&room, app.config.worker.lease).await {
        Ok(claimed) => {
            let taken = |channel| claimed.iter().filter(|one| one.envelope.channel == channel).count();
            let more = room.iter().any(|(channel, free)| taken(*channel) >= *free);
            dispatcher.submit(claimed.into_iter().map(|one| Job::new(one, claimed_at)).collect());
            more
        }
        Err(cause) => {
            tracing::warn!(%cause, "Due notifications cannot be read; trying again.");
            false
        }
    }
}
