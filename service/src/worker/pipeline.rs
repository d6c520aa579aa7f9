//! An ordered pipeline: work done one after the other, each prepared while its predecessor is done.

use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Work in progress at once: one is done, one is prepared.
const MAX_IN_PROGRESS: usize = 2;

/// The work before this one.
pub(super) struct Predecessor(Option<JoinHandle<bool>>);

impl Predecessor {
    /// Waits until it is done. `false` when it was given up: nothing goes on behind it. Panics when it did.
    pub(super) async fn finished(self) -> bool {
        let Some(before) = self.0 else { return true };
        match before.await {
            Ok(done) => done,
            Err(cause) if cause.is_panic() => std::panic::resume_unwind(cause.into_panic()),
            // The process ends.
            Err(_) => false,
        }
    }
}

/// Begins `work` on each item that `next` gives, until there is none or one is given up (`false`). Panics
/// when one does, even while it waits for the next item.
pub(super) async fn run_in_order<T, N, W>(next: impl Fn() -> N, work: impl Fn(T, Predecessor) -> W)
where
    N: Future<Output = Option<T>>,
    W: Future<Output = bool> + Send + 'static,
{
    let (permits, over) = (Arc::new(Semaphore::new(MAX_IN_PROGRESS)), CancellationToken::new());
    let upcoming = async || {
        // Nobody closes the semaphore.
        let permit = Arc::clone(&permits).acquire_owned().await.ok()?;
        Some((permit, next().await?))
    };
    let mut last = Predecessor(None);
    while let Some(Some((permit, thing))) = over.run_until_cancelled(upcoming()).await {
        let (work, unless_done) = (work(thing, last), over.clone().drop_guard());
        last = Predecessor(Some(tokio::spawn(async move {
            let done = work.await;
            if done {
                unless_done.disarm();
            }
            drop(permit);
            done
        })));
    }
    last.finished().await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    /// Gives so many things, then waits for ever or says that there are no more.
    async fn count_to(end: usize, given: &AtomicUsize, then_wait: bool) -> Option<usize> {
        let number = given.fetch_add(1, Ordering::Relaxed);
        if number >= end && then_wait {
            std::future::pending::<()>().await;
        }
        (number < end).then_some(number)
    }

    #[tokio::test]
    async fn each_is_got_ready_while_the_one_before_is_done_and_no_further() {
        let (given, said, second) =
            (AtomicUsize::new(0), Arc::<Mutex<Vec<_>>>::default(), Arc::new(Notify::new()));
        let work = |number, predecessor: Predecessor| {
            let (said, second) = (Arc::clone(&said), Arc::clone(&second));
            async move {
                said.lock().unwrap().push(format!("{number} ready"));
                if number == 1 {
                    second.notify_one();
                }
                let done = predecessor.finished().await;
                if number == 0 {
                    second.notified().await;
                    tokio::task::yield_now().await;
                }
                said.lock().unwrap().push(format!("{number} done"));
                done
            }
        };
        run_in_order(|| count_to(3, &given, false), work).await;
        let said = said.lock().unwrap().join(", ");
        assert!(said.starts_with("0 ready, 1 ready, 0 done, "), "{said}");
        let done: Vec<_> = said.split(", ").filter(|one| one.ends_with("done")).collect();
        assert_eq!(done, ["0 done", "1 done", "2 done"]);
    }

    #[tokio::test]
    async fn nobody_goes_on_behind_one_that_is_given_up() {
        let (given, done) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let work = |number, predecessor: Predecessor| {
            let done = Arc::clone(&done);
            async move {
                let goes_on = predecessor.finished().await && number != 1;
                done.fetch_add(usize::from(goes_on), Ordering::Relaxed);
                goes_on
            }
        };
        run_in_order(|| count_to(9, &given, true), work).await;
        assert_eq!(done.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_panic_is_heard_while_the_next_is_waited_for() {
        let given = Arc::new(AtomicUsize::new(0));
        let all = tokio::spawn(async move {
            let work = |_: usize, predecessor: Predecessor| async move {
                predecessor.finished().await && panic!("on purpose")
            };
            run_in_order(|| count_to(1, &given, true), work).await;
        });
        assert!(all.await.unwrap_err().is_panic());
    }
}
