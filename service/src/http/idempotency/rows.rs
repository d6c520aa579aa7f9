//! Asks the table for the rows behind keys: while one statement runs, whoever comes gathers for the next.
//!
//! The wait is bounded. A database that is away must not keep anybody from being accepted.

use crate::domain::identity::StoredRequest;
use crate::parts::Parts;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use uuid::Uuid;

/// Longest wait for the table.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Most keys of one statement; a batch has at most half of that.
const MAX_KEYS: usize = 2_000;

/// The rows that were found, by id.
pub(super) type Rows = Arc<HashMap<Uuid, Arc<StoredRequest>>>;

/// Those who wait for an answer.
#[derive(Default)]
pub(crate) struct StoredRequests(Mutex<Gathering>);

#[derive(Default)]
struct Gathering {
    waiting: Vec<Question>,
    /// Whether somebody asks already.
    asking: bool,
}

struct Question {
    ids: Vec<Uuid>,
    /// Told nothing when the table did not answer.
    answer: oneshot::Sender<Rows>,
}

impl StoredRequests {
    fn gathering(&self) -> MutexGuard<'_, Gathering> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The questions of the next statement; empty when nobody waits any more.
    fn next(&self) -> Vec<Question> {
        let mut gathering = self.gathering();
        // Whoever gave up is not asked for: while the table hangs, the queue would grow without a bound.
        gathering.waiting.retain(|question| !question.answer.is_closed());
        let mut keys = 0;
        let fitting = gathering.waiting.iter().take_while(|question| {
            keys += question.ids.len();
            keys <= MAX_KEYS
        });
        let count = fitting.count();
        gathering.asking = count > 0;
        gathering.waiting.drain(..count).collect()
    }

    /// The rows of these ids, at most half of [`MAX_KEYS`]; `None` when the table does not answer in time.
    pub(super) async fn fetch(self: &Arc<Self>, parts: &Arc<Parts>, ids: Vec<Uuid>) -> Option<Rows> {
        let (answer, rows) = oneshot::channel();
        let is_first = {
            let mut gathering = self.gathering();
            gathering.waiting.push(Question { ids, answer });
            !std::mem::replace(&mut gathering.asking, true)
        };
        if is_first {
            // A task of its own: the others must not depend on this caller's staying.
            tokio::spawn(Arc::clone(self).ask(Arc::clone(parts)));
        }
        tokio::time::timeout(TIMEOUT, rows).await.ok()?.ok()
    }

    /// Asks until nobody waits.
    async fn ask(self: Arc<Self>, parts: Arc<Parts>) {
        loop {
            let questions = self.next();
            if questions.is_empty() {
                return;
            }
            let ids: Vec<_> = questions.iter().flat_map(|question| question.ids.iter().copied()).collect();
            match tokio::time::timeout(TIMEOUT, parts.db.fetch_requests(&ids)).await {
                Ok(Ok(rows)) => {
                    let rows = Arc::new(rows);
                    for Question { answer, .. } in questions {
                        // Whoever gave up does not listen any more.
                        let _ = answer.send(Arc::clone(&rows));
                    }
                }
                Ok(Err(cause)) => {
                    tracing::warn!(%cause, keys = ids.len(), "Idempotency keys cannot be looked up.");
                }
                Err(_) => tracing::warn!(keys = ids.len(), "Idempotency keys cannot be looked up in time."),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_takes_whole_questions_up_to_its_bound() {
        let all = StoredRequests::default();
        let mut callers = Vec::new();
        for keys in [1_000, 900, 200, 1] {
            let (answer, rows) = oneshot::channel();
            callers.push(rows);
            all.gathering().waiting.push(Question { ids: vec![Uuid::nil(); keys], answer });
        }
        let sizes = |questions: Vec<Question>| questions.iter().map(|one| one.ids.len()).collect::<Vec<_>>();
        assert_eq!(sizes(all.next()), [1_000, 900]);
        assert!(all.gathering().asking);
        assert_eq!(sizes(all.next()), [200, 1]);
        assert_eq!(sizes(all.next()), [0_usize; 0]);
        assert!(!all.gathering().asking, "the next one asks again");
    }

    #[test]
    fn whoever_gave_up_is_not_asked_for() {
        let all = StoredRequests::default();
        let (answer, rows) = oneshot::channel();
        drop(rows);
        all.gathering().waiting.push(Question { ids: vec![Uuid::nil()], answer });
        assert!(all.next().is_empty());
        assert!(all.gathering().waiting.is_empty());
    }
}
