//! Follows the events of all notifications for every client of this process at once.
//!
//! One reader asks the database, and only while somebody listens; clients get whole pages and filter
//! them themselves.

use crate::db::{Db, DbError, Happened, StretchLimit};
use crate::domain::watermark::Watermark;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// How often new events are polled for.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Statements of a transaction that are waited for.
const HOLD_STATEMENTS: u32 = 2;
/// Events of one page, and bytes of their texts.
const PAGE: StretchLimit = StretchLimit { events: 2_000, bytes: 4 << 20 };
/// Pages that wait for a slow client; then it reads from the database itself.
const PAGES: usize = 16;
/// Most clients of one process.
const MAX_CLIENTS: usize = 10_000;

/// Consecutive events: those after `after` up to `last`.
pub(crate) struct Page {
    pub(crate) after: i64,
    pub(crate) last: i64,
    pub(crate) events: Vec<Happened>,
}

/// Where clients listen.
pub(crate) struct Follower(broadcast::Sender<Arc<Page>>);

impl Default for Follower {
    fn default() -> Self {
        Self(broadcast::Sender::new(PAGES))
    }
}

impl Follower {
    /// The pages from now on; `None` when too many listen already.
    pub(crate) fn subscribe(&self) -> Option<broadcast::Receiver<Arc<Page>>> {
        (self.0.receiver_count() < MAX_CLIENTS).then(|| self.0.subscribe())
    }

    /// Reads events and passes them on until `stopping`. A transaction that writes events is waited for as
    /// long as two of its statements may take, each up to `statement_timeout`.
    pub(crate) async fn run(&self, db: &Db, statement_timeout: Duration, stopping: &CancellationToken) {
        let mut reader =
            Reader { watermark: Watermark::new(HOLD_STATEMENTS * statement_timeout), last: None };
        while !stopping.is_cancelled() {
            if self.0.receiver_count() == 0 {
                reader.last = None;
            } else {
                match reader.page(db).await {
                    Ok(Some((page, full))) => {
                        // Nobody listens any more when this fails.
                        let _ = self.0.send(Arc::new(page));
                        if full {
                            continue;
                        }
                    }
                    Ok(None) => {}
                    Err(cause) => tracing::warn!(%cause, "Events could not be read; retrying."),
                }
            }
            tokio::select! {
                () = stopping.cancelled() => {}
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
        }
        // Clients see that this replica stops.
        let last = reader.last.unwrap_or_default();
        let _ = self.0.send(Arc::new(Page { after: last, last, events: Vec::new() }));
    }
}

struct Reader {
    watermark: Watermark,
    /// The last event that was passed on; `None` while nobody listens.
    last: Option<i64>,
}

impl Reader {
    /// The next page, empty when nothing happened, and whether there is more; `None` before it is known
    /// where to begin.
    async fn page(&mut self, db: &Db) -> Result<Option<(Page, bool)>, DbError> {
        let safe = self.watermark.observe(db.event_moment().await?);
        if safe == 0 {
            return Ok(None);
        }
        let after = *self.last.get_or_insert(safe);
        let mut page = Page { after, last: safe.max(after), events: Vec::new() };
        let mut more = false;
        if safe > after {
            let read = db.list_status_events(after, safe, None, PAGE).await?;
            more = read.more_after.is_some();
            page.last = read.more_after.unwrap_or(page.last);
            page.events = read.events;
        }
        self.last = Some(page.last);
        Ok(Some((page, more)))
    }
}
