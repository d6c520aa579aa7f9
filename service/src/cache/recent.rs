//! What a process acknowledged lately.
//!
//! Each acknowledgement leaves an entry, so this is as plain as can be: the oldest makes way. A cache
//! that weighs what is worth keeping took a twentieth of the time of a request.

use crate::domain::view::NotificationView;
use foldhash::fast::RandomState;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How many acknowledged notifications are remembered until their rows exist. More than these are
/// found by waiting for the workers.
const ENTRIES: usize = 20_000;
/// Longest that one is remembered: by then it is stored, or gone from the table again.
const MEMORY: Duration = Duration::from_secs(600);

/// The latest acknowledgements.
#[derive(Default)]
pub(super) struct Recent(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    by_id: HashMap<Uuid, (Arc<NotificationView>, Instant), RandomState>,
    /// From the oldest on. One that was forgotten keeps its place; one that came twice leaves with its first.
    order: VecDeque<Uuid>,
}

impl Recent {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn insert(&self, view: Arc<NotificationView>) {
        let (id, entry) = (view.id(), (view, Instant::now()));
        let mut entries = self.entries();
        let before = entries.by_id.insert(id, entry);
        entries.order.push_back(id);
        let oldest = if entries.order.len() > ENTRIES { entries.order.pop_front() } else { None };
        let oldest = oldest.and_then(|oldest| entries.by_id.remove(&oldest));
        // Nobody waits while these are freed.
        drop(entries);
        drop((before, oldest));
    }

    pub(super) fn get(&self, id: Uuid) -> Option<Arc<NotificationView>> {
        let (view, since) = self.entries().by_id.get(&id).cloned()?;
        (since.elapsed() < MEMORY).then_some(view)
    }

    pub(super) fn forget(&self, ids: &[Uuid]) {
        let mut entries = self.entries();
        for id in ids {
            entries.by_id.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::draft::Draft;
    use nsys_contract::api::Notification;

    fn view() -> Notification {
        let text = r#"{"userId": "u", "channel": "IN_APP", "type": "SYSTEM", "payload": {"title": "t"}}"#;
        let draft: Draft<'_> = serde_json::from_str(text).unwrap();
        draft.accept(None, 65_536, 0).unwrap().view()
    }

    #[test]
    fn the_oldest_makes_way() {
        let (recent, mut one) = (Recent::default(), view());
        for number in 0..ENTRIES as u128 + 2 {
            one.id = Uuid::from_u128(number);
            recent.insert(Arc::new(NotificationView::new(&one)));
        }
        let known = |number| recent.get(Uuid::from_u128(number)).is_some();
        assert!(!known(0) && !known(1));
        assert!(known(2) && known(ENTRIES as u128 + 1));
        assert_eq!(recent.entries().by_id.len(), ENTRIES);
    }

    #[test]
    fn what_was_forgotten_leaves_no_more_than_its_place() {
        let (recent, one) = (Recent::default(), Arc::new(NotificationView::new(&view())));
        for _ in 0..ENTRIES * 2 {
            recent.insert(Arc::clone(&one));
            recent.forget(&[one.id()]);
            assert!(recent.get(one.id()).is_none());
        }
        assert_eq!(recent.entries().by_id.len(), 0);
        assert_eq!(recent.entries().order.len(), ENTRIES);
    }
}
