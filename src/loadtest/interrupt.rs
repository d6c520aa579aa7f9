//! Ctrl-C and SIGTERM, remembered from the first load on, whatever nsys is busy with: between two loads,
//! in a preflight and in a seed too.

use crate::error::{Error, Result};
use std::sync::OnceLock;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Exit code of a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Whether the command shall end.
#[derive(Clone, Debug)]
pub(super) struct Interrupt {
    set: watch::Receiver<bool>,
}

/// A signal counts once for the whole command: one that comes between two runs ends the second.
static ONE: OnceLock<watch::Receiver<bool>> = OnceLock::new();

impl Interrupt {
    /// Begins to listen, if nobody does yet. Where signals cannot be waited for, they end the program as
    /// they always do.
    pub(super) fn listen() -> Self {
        let begin = || {
            let (to, set) = watch::channel(false);
            tokio::spawn(async move {
                let both = signal(SignalKind::interrupt()).ok().zip(signal(SignalKind::terminate()).ok());
                let Some((mut interrupt, mut terminate)) = both else { return to.closed().await };
                for first in [true, false] {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    }
                    if !first {
                        tracing::warn!("ended at once; the next nsys command stops leftover generators");
                        std::process::exit(INTERRUPTED);
                    }
                    // Whoever begins to wait later sees it too.
                    let _ = to.send(true);
                }
            });
            set
        };
        Self { set: ONE.get_or_init(begin).clone() }
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

    /// What `work` comes to, unless it is interrupted; `when` says in the error what was not done yet.
    ///
    /// # Errors
    /// Those of `work`, or that it was interrupted.
    pub(super) async fn or<T>(&self, work: impl Future<Output = Result<T>>, when: &str) -> Result<T> {
        tokio::select! {
            biased;
            () = self.wait() => Err(Error::interrupted(format!("stopped {when}"))),
            done = work => done,
        }
    }
}
