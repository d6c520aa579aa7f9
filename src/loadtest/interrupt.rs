//! Ctrl-C and SIGTERM, remembered from the start of a run on, whatever it is busy with.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Whether the run shall end.
#[derive(Clone, Debug)]
pub(super) struct Interrupt {
    set: watch::Receiver<bool>,
}

impl Interrupt {
    /// Begins to listen. Where signals cannot be waited for, they end the program as they always do.
    pub(super) fn listen() -> Self {
        let (to, set) = watch::channel(false);
        tokio::spawn(async move {
            let Ok(mut terminate) = signal(SignalKind::terminate()) else { return to.closed().await };
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
                () = to.closed() => return,
            }
            // Nobody left to tell: the run is over.
            let _ = to.send(true);
            to.closed().await;
        });
        Self { set }
    }

    /// Whether it came already.
    pub(super) fn is_set(&self) -> bool {
        *self.set.borrow()
    }

    /// Resolves when it comes, at once when it came.
    pub(super) async fn wait(&self) {
        let mut set = self.set.clone();
        if set.wait_for(|set| *set).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
