//! Who may come in: requests in progress are limited, and a bounded line waits for a bounded time.
//!
//! Waiting is cheaper than refusing. A refused caller comes again at once, and reading, refusing and
//! being asked again takes the time that an accepted request needs; a caller in line sends nothing, and
//! its body is not read yet. Kinds of requests have places of their own, so that writes that wait for a
//! log that hangs leave room for reads.

use nsys_contract::config::Limits;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The kinds of requests that do not stand in each other's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Waits for the log.
    Intake,
    /// Everything else that has an end.
    Query,
    /// May take as long as it likes.
    Stream,
    /// Asks how the service is: never refused.
    Vital,
}

/// The places and the lines before them.
pub(crate) struct Admission {
    intake: Door,
    query: Door,
    streams: Door,
}

struct Door {
    places: Semaphore,
    size: usize,
    line: Semaphore,
    line_size: usize,
    patience: Duration,
}

/// A place; it is free again when this goes.
pub(crate) struct Place<'a> {
    _permit: Option<SemaphorePermit<'a>>,
}

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Self {
        let door = |size: usize, line: usize| Door {
            places: Semaphore::new(size),
            size,
            line: Semaphore::new(line),
            line_size: line,
            patience: limits.max_wait,
        };
        Self {
            intake: door(limits.max_in_flight, limits.max_waiting),
            query: door(limits.max_in_flight, limits.max_waiting),
            // What is open for hours frees no place that is worth waiting for.
            streams: door(limits.max_streams, 0),
        }
    }

    /// A place in this lane, at once or after a wait; nothing when the line is full or takes too long.
    pub(crate) async fn enter(&self, lane: Lane) -> Option<Place<'_>> {
        let door = match lane {
            Lane::Intake => &self.intake,
            Lane::Query => &self.query,
            Lane::Stream => &self.streams,
            Lane::Vital => return Some(Place { _permit: None }),
        };
        door.enter().await.map(|permit| Place { _permit: Some(permit) })
    }

    /// Requests that have begun and are not answered yet; those in line have not begun.
    pub(crate) fn in_progress(&self) -> usize {
        self.doors().map(|door| door.size.saturating_sub(door.places.available_permits())).sum()
    }

    /// Requests that wait for a place.
    pub(crate) fn waiting(&self) -> usize {
        self.doors().map(|door| door.line_size.saturating_sub(door.line.available_permits())).sum()
    }

    /// Most that are in progress at once.
    pub(crate) fn size(&self) -> usize {
        self.doors().map(|door| door.size).sum()
    }

    fn doors(&self) -> impl Iterator<Item = &Door> {
        [&self.intake, &self.query, &self.streams].into_iter()
    }
}

impl Door {
    async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(permit) = self.places.try_acquire() {
            return Some(permit);
        }
        let _in_line = self.line.try_acquire().ok()?;
        tokio::time::timeout(self.patience, self.places.acquire()).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn admission(patience: Duration) -> Admission {
        Admission::new(&Limits {
            max_in_flight: 1,
            max_waiting: 1,
            max_wait: patience,
            max_streams: 1,
            ..Limits::default()
        })
    }

    #[tokio::test]
    async fn who_finds_no_place_waits_in_a_line_that_has_an_end() {
        let admission = admission(Duration::from_secs(60));
        let first = admission.enter(Lane::Intake).await.expect("a place");
        let mut second = Box::pin(admission.enter(Lane::Intake));
        assert!((&mut second).now_or_never().is_none(), "it waits");
        assert!(admission.enter(Lane::Intake).await.is_none(), "the line is full");
        assert_eq!((admission.in_progress(), admission.waiting()), (1, 1));
        drop(first);
        assert!(second.await.is_some());
        assert_eq!((admission.in_progress(), admission.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn nobody_waits_longer_than_the_limit() {
        let admission = admission(Duration::from_millis(20));
        let _first = admission.enter(Lane::Query).await.expect("a place");
        assert!(admission.enter(Lane::Query).await.is_none());
        assert_eq!(admission.waiting(), 0, "it left the line");
    }

    #[tokio::test]
    async fn lanes_do_not_stand_in_each_others_way() {
        let admission = admission(Duration::from_secs(60));
        let _write = admission.enter(Lane::Intake).await.expect("a place");
        let _read = admission.enter(Lane::Query).await.expect("a place");
        let _stream = admission.enter(Lane::Stream).await.expect("a place");
        assert!(admission.enter(Lane::Stream).now_or_never().flatten().is_none(), "no line for streams");
        let vital = admission.enter(Lane::Vital).await;
        assert!(vital.is_some());
        assert_eq!((admission.in_progress(), admission.size()), (3, 3));
    }
}
