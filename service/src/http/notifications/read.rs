//! Showing and listing notifications.

use super::super::admin::{bad_cursor, narrowed, page};
use super::super::error::Problem;
use super::super::extract::{Id, Query};
use super::super::gate::Caller;
use super::lookup::{self, Found};
use super::{TaggedView, tagged};
use crate::auth::Principal;
use crate::db::{ListFilter, Place, Read, WALKED, parted};
use crate::domain::view::NotificationView;
use crate::http::app::App;
use axum::Json;
use axum::extract::State;
use nsys_contract::api::{ListQuery, Notification, NotificationPage};
use std::sync::Arc;

/// Most notifications that a list leaves out first: each of them is read all the same.
const MAX_SKIP: i64 = 10_000;

pub(super) async fn show(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    id: Id,
) -> Result<TaggedView, Problem> {
    Ok(tagged(&*owned(&app, &caller, &id).await?))
}

/// A notification within the caller's reach. Another tenant's does not exist.
pub(super) async fn owned(app: &App, caller: &Principal, id: &Id) -> Result<Arc<NotificationView>, Problem> {
    let absent = || Problem::not_found(format!("there is no notification {}", id.0));
    let found = match lookup::notification(app, id.uuid("notification")?).await? {
        Found::Yes(found) => found,
        Found::No => return Err(absent()),
        Found::NotYet => {
            return Err(Problem::unavailable(
                "the notification may have been accepted, but it is not stored yet",
            ));
        }
    };
    if caller.may_use_tenant(found.tenant()) { Ok(found) } else { Err(absent()) }
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<NotificationPage>, Problem> {
    let limit = page::limit(query.limit);
    let skip = i64::from(query.skip.unwrap_or(0));
    if skip > MAX_SKIP {
        return Err(Problem::bad_request(format!(
            "skip must be at most {MAX_SKIP}; go on from a page's next_cursor with cursor instead"
        )));
    }
    let filter = ListFilter {
        scope: narrowed(&caller, query.tenant_id.as_deref())?,
        user_id: query.user_id,
        status: query.status,
        channel: query.channel,
        kind: query.kind,
        priority: query.priority,
        correlation_id: query.correlation_id,
        from: query.from,
        to: query.to,
        after: query.cursor.as_deref().map(read_cursor).transpose()?,
        // One more than asked tells whether there is a next page.
        limit: limit + 1,
        skip,
    };
    let listed = app.parts.db.list_notifications(&filter).await?;
    if listed.walked_to.is_some() && listed.skipped < skip {
        return Err(Problem::bad_request(format!(
            "skip reaches beyond the newest {WALKED} notifications; go on from a page's next_cursor with cursor instead"
        )));
    }
    let (rows, full) = page::cut(listed.rows, limit, cursor);
    // A page that ended early goes on where it ended.
    let next_cursor = full.or_else(|| listed.walked_to.as_ref().map(|last| page::cursor(&cursor(last))));
    let (data, unreadable) = parted(rows);
    Ok(Json(NotificationPage { has_more: next_cursor.is_some(), data, next_cursor, unreadable }))
}

/// The place of a notification in the order of lists; of one that cannot be read only the id is known.
fn cursor(last: &Read<Notification>) -> String {
    match last {
        Ok(last) => format!("{} {}", last.created_at.as_microsecond(), last.id),
        Err(last) => format!("- {}", last.id),
    }
}

fn read_cursor(text: &str) -> Result<Place, Problem> {
    let read = || {
        let text = page::read_cursor(text)?;
        let (instant, id) = text.split_once(' ')?;
        let instant = match instant {
            "-" => None,
            instant => Some(jiff::Timestamp::from_microsecond(instant.parse().ok()?).ok()?),
        };
        Some((instant, id.parse().ok()?))
    };
    read().ok_or_else(bad_cursor)
}
