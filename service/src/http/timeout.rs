//! A timeout for work that mostly does not wait.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// The outcome of `work`; `None` when it takes longer than `timeout`. Work that does not wait pays for no timer.
pub(super) async fn within<T>(timeout: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut alarm = None;
    poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        // Boxed, so that work that does not wait does not carry it along. Unconstrained, so that it fires even
        // when the work spends the task's whole cooperative budget on each poll.
        let alarm = alarm
            .get_or_insert_with(|| Box::pin(tokio::task::coop::unconstrained(tokio::time::sleep(timeout))));
        alarm.as_mut().poll(context).map(|()| None)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_takes_too_long_is_given_up() {
        assert_eq!(within(Duration::ZERO, async { 1 }).await, Some(1));
        let later = async {
            tokio::task::yield_now().await;
            2
        };
        assert_eq!(within(Duration::from_secs(60), later).await, Some(2));
        assert_eq!(within(Duration::from_millis(1), std::future::pending::<u8>()).await, None);
    }
}
