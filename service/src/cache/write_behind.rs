//! Write-behind: copies of acknowledged notifications on their way to Redis, many in one call.
//!
//! Nothing depends on them: an id that Redis does not know yet is found by its row, or by waiting for
//! the workers. So nobody waits for them either, and while Redis is slow they are left out.

use super::Cache;
use nsys_contract::keys;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::bytes::Bytes;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Copies that may wait; more are left out.
const WAITING: usize = 8_192;
/// Most copies of one call.
const BATCH: usize = 256;

/// Wait for more before a call: a call costs Redis, this process and the kernel more than what it carries.
const GATHER: Duration = Duration::from_millis(5);

/// A notification's id and its JSON text.
type Copy = (Uuid, Bytes);

/// The queue of copies, and its end until somebody takes it.
pub(super) struct WriteBehindQueue {
    sender: mpsc::Sender<Copy>,
    receiver: Mutex<Option<mpsc::Receiver<Copy>>>,
}

impl Default for WriteBehindQueue {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        Self { sender, receiver: Mutex::new(Some(receiver)) }
    }
}

impl Cache {
    /// Writes copies until `stopping`. Of several callers the first one does; the others return at once.
    pub(crate) async fn write_behind(&self, stopping: &CancellationToken) {
        let receiver = self.write_behind.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut receiver) = receiver else { return };
        let mut copies = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                count = receiver.recv_many(&mut copies, BATCH) => if count == 0 { return },
            }
            if copies.len() < BATCH {
                tokio::time::sleep(GATHER).await;
                while copies.len() < BATCH
                    && let Ok(copy) = receiver.try_recv()
                {
                    copies.push(copy);
                }
            }
            let mut pipe = redis::pipe();
            for (id, text) in copies.drain(..) {
                self.add(&mut pipe, id, &text);
            }
            let _: Option<()> = self.call("set", pipe).await;
        }
    }

    /// Queues a copy.
    pub(super) fn enqueue_copy(&self, id: Uuid, text: Bytes) {
        if self.write_behind.sender.try_send((id, text)).is_err() {
            self.metrics.cache_event(keys::NOTIFICATION, "left_out");
        }
    }
}
