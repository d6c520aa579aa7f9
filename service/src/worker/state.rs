//! Figures of the worker that `/health/worker` shows.

use super::dispatcher::{ChannelState, Dispatcher};
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, OnceLock};

/// What the worker of this process has done and is doing; all zero in a process without one.
#[derive(Default)]
pub(crate) struct WorkerState {
    pub(crate) processed: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) busy_us: AtomicU64,
    /// Milliseconds since the epoch; 0 before the first.
    pub(crate) last_processed_ms: AtomicI64,
    pub(crate) total_lag: AtomicI64,
    /// Messages whose batch is in progress.
    pub(crate) in_progress: AtomicU64,
    dispatcher: OnceLock<Arc<Dispatcher>>,
}

impl WorkerState {
    /// Shows what this dispatcher does from now on.
    pub(super) fn show(&self, dispatcher: &Arc<Dispatcher>) {
        // A process has one worker, so this is set once.
        let _ = self.dispatcher.set(Arc::clone(dispatcher));
    }

    /// What each channel does; empty in a process that delivers nothing.
    pub(crate) fn channels(&self) -> Vec<ChannelState> {
        self.dispatcher.get().map(|dispatcher| dispatcher.states()).unwrap_or_default()
    }

    /// Destinations whose circuit is open.
    pub(crate) fn open_circuits(&self) -> Vec<String> {
        self.dispatcher.get().map(|dispatcher| dispatcher.open_circuits()).unwrap_or_default()
    }
}
