//! Concurrency limits: a request in progress holds a permit, and a bounded queue waits for one for a bounded time.
//!
//! Waiting is cheaper than refusing. A refused caller retries at once, and reading, refusing and being asked
//! again takes the time that an accepted request needs; a queued caller sends nothing, and its body is not
//! read yet. Each class of requests has permits of its own, so that writes that wait for a log that hangs
//! leave capacity for reads.

use nsys_contract::config::Limits;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// The classes of requests, each with a limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestClass {
    /// Waits for the log.
    Intake,
    /// Everything else that has an end.
    Query,
    /// May take as long as it likes.
    Stream,
    /// Asks how the service is: never refused.
    Vital,
}

/// Passwords that wait for each one that is hashed: about a second's work.
const WAITING_PER_HASHER: usize = 32;

/// The limits of every class.
pub(crate) struct ConcurrencyLimits {
    intake: ConcurrencyLimit,
    query: ConcurrencyLimit,
    streams: PermitPool,
    passwords: ConcurrencyLimit,
}

/// The limit of one class: permits, and the queue for them.
struct ConcurrencyLimit {
    permits: PermitPool,
    queue: PermitPool,
    timeout: Duration,
}

/// A semaphore that knows its size.
struct PermitPool {
    free: Arc<Semaphore>,
    size: usize,
}

impl PermitPool {
    fn new(size: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(size)), size }
    }

    fn taken(&self) -> usize {
        self.size.saturating_sub(self.free.available_permits())
    }
}

/// A permit of a request; dropping it releases it.
pub(crate) struct RequestPermit<'a> {
    _permit: Option<SemaphorePermit<'a>>,
}

/// A permit that may outlive the request: of a stream, or to hash a password; dropping it releases it.
pub(crate) struct OwnedPermit {
    _permit: OwnedSemaphorePermit,
}

impl ConcurrencyLimits {
    pub(crate) fn new(limits: &Limits) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // Whoever signs in must not take the cores of those who send and read.
        let hashers = if limits.password_hashers == 0 { cores.div_ceil(2) } else { limits.password_hashers };
        let limit = |permits: usize, queue: usize| ConcurrencyLimit {
            permits: PermitPool::new(permits),
            queue: PermitPool::new(queue),
            timeout: limits.max_wait,
        };
        Self {
            intake: limit(limits.max_in_flight, limits.max_waiting),
            query: limit(limits.max_in_flight, limits.max_waiting),
            streams: PermitPool::new(limits.max_streams),
            passwords: limit(hashers, hashers.saturating_mul(WAITING_PER_HASHER)),
        }
    }

    /// A permit for a request of this class, at once or after a wait; `None` when the queue is full or takes too long.
    pub(crate) async fn acquire(&self, class: RequestClass) -> Option<RequestPermit<'_>> {
        let limit = match class {
            RequestClass::Intake => &self.intake,
            RequestClass::Query => &self.query,
            RequestClass::Stream | RequestClass::Vital => return Some(RequestPermit { _permit: None }),
        };
        limit.acquire().await.map(|permit| RequestPermit { _permit: Some(permit) })
    }

    /// A permit for a stream, for as long as its body lasts. What is open for hours frees none that is worth
    /// waiting for, so nobody waits.
    pub(crate) fn acquire_stream(&self) -> Option<OwnedPermit> {
        let permit = Arc::clone(&self.streams.free).try_acquire_owned().ok()?;
        Some(OwnedPermit { _permit: permit })
    }

    /// A permit to hash one password, at once or after a short wait: each hash takes 19 MiB and tens of
    /// milliseconds of a core. Owned, because the work goes on when its caller is gone.
    pub(crate) async fn acquire_for_password(&self) -> Option<OwnedPermit> {
        let ConcurrencyLimit { permits, queue, timeout } = &self.passwords;
        if let Ok(permit) = Arc::clone(&permits.free).try_acquire_owned() {
            return Some(OwnedPermit { _permit: permit });
        }
        let _in_queue = queue.free.try_acquire().ok()?;
        let free = Arc::clone(&permits.free).acquire_owned();
        let permit = Box::pin(tokio::time::timeout(*timeout, free)).await.ok()?.ok()?;
        Some(OwnedPermit { _permit: permit })
    }

    /// Requests that have begun and are not answered yet; those in the queue have not begun. Streams are not
    /// among them: they last as long as their callers like.
    pub(crate) fn in_progress(&self) -> usize {
        self.all().map(|limit| limit.permits.taken()).sum()
    }

    /// Requests that wait for a permit.
    pub(crate) fn waiting(&self) -> usize {
        self.all().map(|limit| limit.queue.taken()).sum()
    }

    /// Most that are in progress at once.
    pub(crate) fn size(&self) -> usize {
        self.all().map(|limit| limit.permits.size).sum()
    }

    fn all(&self) -> impl Iterator<Item = &ConcurrencyLimit> {
        [&self.intake, &self.query].into_iter()
    }
}

impl ConcurrencyLimit {
    async fn acquire(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(permit) = self.permits.free.try_acquire() {
            return Some(permit);
        }
        let _in_queue = self.queue.free.try_acquire().ok()?;
        Box::pin(tokio::time::timeout(self.timeout, self.permits.free.acquire())).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn concurrency(timeout: Duration) -> ConcurrencyLimits {
        ConcurrencyLimits::new(&Limits {
            max_in_flight: 1,
            max_waiting: 1,
            max_wait: timeout,
            max_streams: 1,
            ..Limits::default()
        })
    }

    #[tokio::test]
    async fn a_request_without_a_permit_waits_in_a_bounded_queue() {
        let concurrency = concurrency(Duration::from_secs(60));
        let first = concurrency.acquire(RequestClass::Intake).await.expect("a permit");
        let mut second = Box::pin(concurrency.acquire(RequestClass::Intake));
        assert!((&mut second).now_or_never().is_none(), "it waits");
        assert!(concurrency.acquire(RequestClass::Intake).await.is_none(), "the queue is full");
        assert_eq!((concurrency.in_progress(), concurrency.waiting()), (1, 1));
        drop(first);
        assert!(second.await.is_some());
        assert_eq!((concurrency.in_progress(), concurrency.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn most_of_many_sign_ins_at_once_are_refused_early() {
        let concurrency = ConcurrencyLimits::new(&Limits {
            password_hashers: 1,
            max_wait: Duration::from_secs(60),
            ..Limits::default()
        });
        let hashing = concurrency.acquire_for_password().await.expect("a permit");
        let mut waiting: Vec<_> = (0..200).map(|_| Box::pin(concurrency.acquire_for_password())).collect();
        let refused = waiting.iter_mut().filter_map(|one| one.now_or_never()).filter(Option::is_none).count();
        assert_eq!(refused, 200 - WAITING_PER_HASHER);
        assert!(concurrency.acquire(RequestClass::Query).await.is_some(), "reads have permits of their own");
        drop(hashing);
        assert!(waiting.swap_remove(0).await.is_some(), "who waits has its turn");
    }

    #[tokio::test]
    async fn nobody_waits_longer_than_the_limit() {
        let concurrency = concurrency(Duration::from_millis(20));
        let _first = concurrency.acquire(RequestClass::Query).await.expect("a permit");
        assert!(concurrency.acquire(RequestClass::Query).await.is_none());
        assert_eq!(concurrency.waiting(), 0, "it left the queue");
    }

    #[tokio::test]
    async fn classes_do_not_stand_in_each_others_way() {
        let concurrency = concurrency(Duration::from_secs(60));
        let _write = concurrency.acquire(RequestClass::Intake).await.expect("a permit");
        let _read = concurrency.acquire(RequestClass::Query).await.expect("a permit");
        let stream = concurrency.acquire_stream().expect("a permit");
        assert!(concurrency.acquire_stream().is_none(), "no queue for streams");
        let vital = concurrency.acquire(RequestClass::Vital).await;
        assert!(vital.is_some());
        assert_eq!((concurrency.in_progress(), concurrency.size()), (2, 2));
        drop(stream);
        assert!(concurrency.acquire_stream().is_some(), "its permit is free again");
    }
}
