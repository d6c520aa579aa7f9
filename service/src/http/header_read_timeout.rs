//! The header read timeout: how long a connection may take to send the head of a request.
//!
//! hyper asks for a new alarm before each head and drops it when the head is there. Heads come tens of
//! thousands of times a second and alarms go off almost never, so a connection keeps one alarm, which
//! is set again only when it goes off: whether anybody still waits is checked then.

use hyper::rt::{Sleep, Timer};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// The alarm of one connection.
type Alarm = Arc<Mutex<Pin<Box<tokio::time::Sleep>>>>;

/// The timer of one connection.
pub(super) struct HeaderReadTimer(Alarm);

impl HeaderReadTimer {
    /// Whose alarm goes off after `timeout` for the first time.
    pub(super) fn new(timeout: Duration) -> Self {
        Self(Arc::new(Mutex::new(Box::pin(tokio::time::sleep(timeout)))))
    }
}

impl Timer for HeaderReadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(HeaderWait { alarm: Arc::clone(&self.0), deadline })
    }
}

/// One wait. It is over when the alarm has gone off after its deadline.
struct HeaderWait {
    alarm: Alarm,
    deadline: Instant,
}

impl Future for HeaderWait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut alarm = self.alarm.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            // Set for later than this wait ends by none: every wait of a connection is equally long.
            std::task::ready!(alarm.as_mut().poll(context));
            if Instant::now() >= self.deadline {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(self.deadline.into());
        }
    }
}

impl Sleep for HeaderWait {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_wait_ends_at_its_own_deadline() {
        let timeout = Duration::from_millis(20);
        let timer = HeaderReadTimer::new(timeout);
        drop(timer.sleep(timeout));
        let deadline = Instant::now() + 2 * timeout;
        timer.sleep_until(deadline).await;
        assert!(Instant::now() >= deadline);
        // After the alarm went off, too.
        let deadline = Instant::now() + timeout;
        timer.sleep_until(deadline).await;
        assert!(Instant::now() >= deadline);
    }
}
