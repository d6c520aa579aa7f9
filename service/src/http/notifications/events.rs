//! Changes of status as server-sent events, resumed where a client left off.

use super::super::admin::narrowed;
use super::super::error::Problem;
use super::super::extract::Query;
use super::super::gate::Caller;
use super::super::session::Session;
use crate::db::{EventFilter, Happened, StretchLimit};
use crate::http::app::App;
use crate::http::app::follower::Page;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{Stream, StreamExt};
use nsys_contract::api::EventQuery;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

const LAST_EVENT_ID: &str = "last-event-id";
/// Proxies that would hold events back know this field.
const NO_BUFFERING: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");
/// How long a client waits before it connects again.
const RECONNECT: Duration = Duration::from_secs(2);
/// How often a line is sent when nothing happens, so that a dead connection is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events read at once while a client catches up, and bytes of their texts.
const CATCH_UP: StretchLimit = StretchLimit { events: 500, bytes: 256 << 10 };

pub(super) async fn follow(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    session: Session,
    headers: HeaderMap,
    Query(query): Query<EventQuery>,
) -> Result<Response, Problem> {
    let filter = EventFilter {
        scope: narrowed(&caller, query.tenant_id.as_deref())?,
        user_id: query.user_id,
        channel: query.channel,
    };
    let last = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()).map(str::trim);
    let last: Option<i64> = last
        .filter(|id| !id.is_empty())
        .map(str::parse)
        .transpose()
        .map_err(|_| Problem::bad_request("Last-Event-ID is not the id of an event"))?;
    let pages = app.follower.subscribe().ok_or_else(|| {
        app.parts.metrics.shed("followers");
        Problem::overloaded("too many clients are following events")
    })?;
    let hello = futures::stream::once(async { Ok::<_, Infallible>(Event::default().retry(RECONNECT)) });
    let follower = Following { app, session, filter, pages, last, ready: Vec::new().into_iter() };
    let events = hello.chain(follower.events());
    let answer = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT));
    Ok(([NO_BUFFERING], answer).into_response())
}

/// One client.
struct Following {
    app: Arc<App>,
    session: Session,
    filter: EventFilter,
    pages: Receiver<Arc<Page>>,
    /// The last event that is behind the client; `None` before it begins.
    last: Option<i64>,
    /// What is to be sent next.
    ready: std::vec::IntoIter<Happened>,
}

impl Following {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        futures::stream::unfold(self, |mut following| async move {
            loop {
                if let Some(event) = following.ready.next() {
                    return Some((Ok(written(&event)), following));
                }
                following.read().await?;
            }
        })
    }

    /// Reads what is new; `None` ends the stream: the client connects again and resumes.
    async fn read(&mut self) -> Option<()> {
        let page = tokio::select! {
            page = self.pages.recv() => page,
            () = self.session.ended() => return None,
        };
        let page = match page {
            Ok(page) => page,
            // This client is slow: what it missed is read again from the database.
            Err(RecvError::Lagged(_)) => return Some(()),
            Err(RecvError::Closed) => return None,
        };
        if self.app.is_draining() {
            return None;
        }
        let last = *self.last.get_or_insert(page.after);
        if last == page.after {
            let fitting = page.events.iter().filter(|event| self.filter.fits(event)).cloned();
            self.ready = fitting.collect::<Vec<_>>().into_iter();
            self.last = Some(page.last);
        } else if last < page.last {
            self.catch_up(last, page.last).await?;
        }
        Some(())
    }

    /// Reads one piece of what lies between; the next page brings on the next piece.
    async fn catch_up(&mut self, after: i64, upto: i64) -> Option<()> {
        let read = self.app.parts.db.list_status_events(after, upto, Some(&self.filter), CATCH_UP).await;
        let read = read.inspect_err(|cause| tracing::warn!(%cause, "Events cannot be read.")).ok()?;
        self.last = Some(read.more_after.unwrap_or(upto));
        self.ready = read.events.into_iter();
        Some(())
    }
}

fn written(event: &Happened) -> Event {
    Event::default().id(event.id.to_string()).event("status").data(&*event.text)
}
