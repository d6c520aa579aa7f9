//! Who may come in: requests in progress are limited, and a bounded line waits for a bounded time.
//!
//! Waiting is cheaper than refusing. A refused caller comes again at once, and reading, refusing and
//! being asked again takes the time that an accepted request needs; a caller in line sends nothing, and
//! its body is not read yet. Kinds of requests have places of their own, so that writes that wait for a
//! log that hangs leave room for reads.

use nsys_contract::config::Limits;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// The kinds of requests that do not stand in each other's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
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

/// The doors of each class.
pub(crate) struct Doors {
    intake: Door,
    query: Door,
    streams: Seats,
    passwords: Door,
}

/// What one class has: places, and a line before them.
struct Door {
    places: Seats,
    line: Seats,
    patience: Duration,
}

/// So many, and which of them are free.
struct Seats {
    free: Arc<Semaphore>,
    size: usize,
}

impl Seats {
    fn new(size: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(size)), size }
    }

    fn taken(&self) -> usize {
        self.size.saturating_sub(self.free.available_permits())
    }
}

/// A place; it is free again when this goes.
pub(crate) struct Place<'a> {
    _permit: Option<SemaphorePermit<'a>>,
}

/// A place of a stream; it is free again when this goes.
pub(crate) struct StreamPlace {
    _permit: OwnedSemaphorePermit,
}

/// A permit to hash a password; it is free again when this goes.
pub(crate) struct HashPermit {
    _permit: OwnedSemaphorePermit,
}

impl Doors {
    pub(crate) fn new(limits: &Limits) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // Whoever signs in must not take the cores of those who send and read.
        let hashers = if limits.password_hashers == 0 { cores.div_ceil(2) } else { limits.password_hashers };
        let door = |places: usize, line: usize| Door {
            places: Seats::new(places),
            line: Seats::new(line),
            patience: limits.max_wait,
        };
        Self {
            intake: door(limits.max_in_flight, limits.max_waiting),
            query: door(limits.max_in_flight, limits.max_waiting),
            streams: Seats::new(limits.max_streams),
            passwords: door(hashers, hashers.saturating_mul(WAITING_PER_HASHER)),
        }
    }

    /// A place for a request of this class, at once or after a wait; nothing when the line is full or takes too long.
    pub(crate) async fn enter(&self, class: Class) -> Option<Place<'_>> {
        let door = match class {
            Class::Intake => &self.intake,
            Class::Query => &self.query,
            Class::Stream | Class::Vital => return Some(Place { _permit: None }),
        };
        door.enter().await.map(|permit| Place { _permit: Some(permit) })
    }

    /// A place for a stream, for as long as its body lasts. What is open for hours frees none that is worth
    /// waiting for, so nobody waits.
    pub(crate) fn enter_stream(&self) -> Option<StreamPlace> {
        let permit = Arc::clone(&self.streams.free).try_acquire_owned().ok()?;
        Some(StreamPlace { _permit: permit })
    }

    /// A permit to hash one password, at once or after a short wait: each hash takes 19 MiB and tens of
    /// milliseconds of a core. Owned, because the work goes on when its caller is gone.
    pub(crate) async fn enter_for_password(&self) -> Option<HashPermit> {
        let Door { places, line, patience } = &self.passwords;
        if let Ok(permit) = Arc::clone(&places.free).try_acquire_owned() {
            return Some(HashPermit { _permit: permit });
        }
        let _in_line = line.free.try_acquire().ok()?;
        let free = Arc::clone(&places.free).acquire_owned();
        let permit = Box::pin(tokio::time::timeout(*patience, free)).await.ok()?.ok()?;
        Some(HashPermit { _permit: permit })
    }

    /// Requests that have begun and are not answered yet; those in line have not begun. Streams are not
    /// among them: they last as long as their callers like.
    pub(crate) fn in_progress(&self) -> usize {
        self.all().map(|door| door.places.taken()).sum()
    }

    /// Requests that wait for a place.
    pub(crate) fn waiting(&self) -> usize {
        self.all().map(|door| door.line.taken()).sum()
    }

    /// Most that are in progress at once.
    pub(crate) fn size(&self) -> usize {
        self.all().map(|door| door.places.size).sum()
    }

    fn all(&self) -> impl Iterator<Item = &Door> {
        [&self.intake, &self.query].into_iter()
    }
}

impl Door {
    async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(permit) = self.places.free.try_acquire() {
            return Some(permit);
        }
        let _in_line = self.line.free.try_acquire().ok()?;
        Box::pin(tokio::time::timeout(self.patience, self.places.free.acquire())).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn doors(patience: Duration) -> Doors {
        Doors::new(&Limits {
            max_in_flight: 1,
            max_waiting: 1,
            max_wait: patience,
            max_streams: 1,
            ..Limits::default()
        })
    }

    #[tokio::test]
    async fn who_finds_no_place_waits_in_a_line_that_has_an_end() {
        let doors = doors(Duration::from_secs(60));
        let first = doors.enter(Class::Intake).await.expect("a place");
        let mut second = Box::pin(doors.enter(Class::Intake));
        assert!((&mut second).now_or_never().is_none(), "it waits");
        assert!(doors.enter(Class::Intake).await.is_none(), "the line is full");
        assert_eq!((doors.in_progress(), doors.waiting()), (1, 1));
        drop(first);
        assert!(second.await.is_some());
        assert_eq!((doors.in_progress(), doors.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn most_of_many_sign_ins_at_once_are_refused_early() {
        let doors = Doors::new(&Limits {
            password_hashers: 1,
            max_wait: Duration::from_secs(60),
            ..Limits::default()
        });
        let hashing = doors.enter_for_password().await.expect("a permit");
        let mut waiting: Vec<_> = (0..200).map(|_| Box::pin(doors.enter_for_password())).collect();
        let refused = waiting.iter_mut().filter_map(|one| one.now_or_never()).filter(Option::is_none).count();
        assert_eq!(refused, 200 - WAITING_PER_HASHER);
        assert!(doors.enter(Class::Query).await.is_some(), "reads have places of their own");
        drop(hashing);
        assert!(waiting.swap_remove(0).await.is_some(), "who waits has its turn");
    }

    #[tokio::test]
    async fn nobody_waits_longer_than_the_limit() {
        let doors = doors(Duration::from_millis(20));
        let _first = doors.enter(Class::Query).await.expect("a place");
        assert!(doors.enter(Class::Query).await.is_none());
        assert_eq!(doors.waiting(), 0, "it left the line");
    }

    #[tokio::test]
    async fn classes_do_not_stand_in_each_others_way() {
        let doors = doors(Duration::from_secs(60));
        let _write = doors.enter(Class::Intake).await.expect("a place");
        let _read = doors.enter(Class::Query).await.expect("a place");
        let stream = doors.enter_stream().expect("a place");
        assert!(doors.enter_stream().is_none(), "no line for streams");
        let vital = doors.enter(Class::Vital).await;
        assert!(vital.is_some());
        assert_eq!((doors.in_progress(), doors.size()), (2, 2));
        drop(stream);
        assert!(doors.enter_stream().is_some(), "its place is free again");
    }
}
