//! Events of all notifications in their order, for those who follow them.
//!
//! They are read as the text that followers get: what stands in a row is passed on, whatever it is, and
//! everybody who follows shares one text.

use super::{Db, DbError, push_scope};
use crate::domain::scope::Scope;
use crate::domain::watermark::Moment;
use nsys_contract::schema;
use nsys_contract::status::Channel;
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::{QueryBuilder, Row};
use std::sync::Arc;
use uuid::Uuid;

/// Bytes of an event beside its message, about.
const EVENT_BYTES: i64 = 256;

/// Which events somebody wants to see.
#[derive(Clone, Debug)]
pub(crate) struct EventFilter {
    pub(crate) scope: Scope,
    pub(crate) user_id: Option<String>,
    pub(crate) channel: Option<Channel>,
}

impl EventFilter {
    /// Whether an event is among them.
    pub(crate) fn fits(&self, event: &Happened) -> bool {
        self.scope.holds(event.tenant_id.as_deref())
            && self.user_id.as_ref().is_none_or(|user| **user == *event.user_id)
            && self.channel.is_none_or(|channel| *channel.as_str() == *event.channel)
    }
}

/// An event: what has to be known of it, and its text.
#[derive(Clone, Debug)]
pub(crate) struct Happened {
    pub(crate) id: i64,
    tenant_id: Option<Box<str>>,
    user_id: Box<str>,
    channel: Box<str>,
    /// `StatusEvent` as JSON.
    pub(crate) text: Arc<str>,
}

/// Consecutive events.
#[derive(Debug)]
pub(crate) struct Stretch {
    pub(crate) events: Vec<Happened>,
    /// The last one that was looked at, where there are more behind it.
    pub(crate) more_after: Option<i64>,
}

/// Numbers of events that one statement looks through: what a follower missed is read piece by piece,
/// however much of it is somebody else's.
const STRETCH: i64 = 10_000;

/// How much is read at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StretchLimit {
    pub(crate) events: i64,
    /// Bytes of their texts, but for the first one.
    pub(crate) bytes: i64,
}

/// The last events are in the rows themselves: a notification that is delivered at once has no other.
/// Both parts are narrowed before they are joined.
fn select(after: i64, upto: i64) -> QueryBuilder<sqlx::Postgres> {
    let mut sql = QueryBuilder::new(
        "SELECT * FROM (SELECT *, sum(bytes) OVER (ORDER BY id)::bigint AS upto FROM (
             SELECT *, coalesce(octet_length(payload), 0) + coalesce(octet_length(detail), 0) + ",
    );
    sql.push_bind(EVENT_BYTES);
    sql.push(
        " AS bytes FROM (SELECT e.id, e.status, e.detail, e.created_at, n.id AS notification_id, n.user_id, n.tenant_id, n.channel, n.type,
             CASE WHEN n.channel = 'IN_APP' AND e.status = 'DELIVERED' THEN n.payload::text END AS payload
         FROM (SELECT id, notification_id, status, detail, created_at FROM events WHERE id > ",
    );
    sql.push_bind(after).push(" AND id <= ").push_bind(upto);
    sql.push(
        " UNION ALL
          SELECT event_id, id, status, error_message, coalesce(sent_at, failed_at, updated_at)
          FROM notifications WHERE event_id > ",
    );
    sql.push_bind(after).push(" AND event_id <= ").push_bind(upto);
    sql.push(") e JOIN notifications n ON n.id = e.notification_id WHERE true");
    sql
}

/// `StatusEvent` as it stands in the row.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'r> {
    id: i64,
    notification_id: Uuid,
    user_id: &'r str,
    tenant_id: Option<&'r str>,
    channel: &'r str,
    #[serde(rename = "type")]
    kind: &'r str,
    status: &'r str,
    detail: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'r RawValue>,
    created_at: jiff::Timestamp,
}

impl Written<'_> {
    fn happened(&self) -> Result<Happened, sqlx::Error> {
        let text = serde_json::to_string(self).map_err(|cause| sqlx::Error::Decode(Box::new(cause)))?;
        Ok(Happened {
            id: self.id,
            tenant_id: self.tenant_id.map(Into::into),
            user_id: self.user_id.into(),
            channel: self.channel.into(),
            text: text.into(),
        })
    }
}

fn event(row: &PgRow) -> Result<Happened, sqlx::Error> {
    let payload =
        row.try_get::<Option<&str>, _>("payload")?.map(serde_json::from_str::<&RawValue>).transpose();
    let written = Written {
        id: row.try_get("id")?,
        notification_id: row.try_get("notification_id")?,
        user_id: row.try_get("user_id")?,
        tenant_id: row.try_get("tenant_id")?,
        channel: row.try_get("channel")?,
        kind: row.try_get("type")?,
        status: row.try_get("status")?,
        detail: row.try_get("detail")?,
        payload: payload.map_err(|cause| sqlx::Error::Decode(Box::new(cause)))?,
        created_at: row.try_get::<jiff_sqlx::Timestamp, _>("created_at")?.to_jiff(),
    };
    written.happened()
}

impl Db {
    /// The highest number given to an event, and after that, who holds the sequence they come from.
    pub(crate) async fn event_moment(&self) -> Result<Moment, DbError> {
        let mut connection = self.acquire().await?;
        let both = async {
            // Two statements: whoever has taken one of these numbers holds the lock before the second looks.
            let last_id = sqlx::query_scalar(
                "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM events_id_seq",
            )
            .fetch_one(&mut *connection)
            .await?;
            let holders = sqlx::query_scalar(
                "SELECT DISTINCT virtualtransaction FROM pg_locks
                 WHERE locktype = 'relation' AND relation = 'events_id_seq'::regclass AND mode = 'RowExclusiveLock'
                     AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            )
            .fetch_all(&mut *connection)
            .await?;
            Ok((last_id, holders))
        };
        let (last_id, holders) = self.timed("select", schema::EVENTS, both).await?;
        Ok(Moment { last_id, holders, now_ms: crate::clock::now().as_millisecond() })
    }

    /// Events after one and up to another, in their order, as many as `limit` allows; all of them, or those
    /// that fit. One that cannot be read is left out.
    pub(crate) async fn list_status_events(
        &self,
        after: i64,
        upto: i64,
        filter: Option<&EventFilter>,
        limit: StretchLimit,
    ) -> Result<Stretch, DbError> {
        let end = upto.min(after.saturating_add(STRETCH));
        let mut sql = select(after, end);
        if let Some(filter) = filter {
            push_scope(&mut sql, "n.tenant_id", &filter.scope);
            if let Some(user) = &filter.user_id {
                sql.push(" AND n.user_id = ").push_bind(user);
            }
            if let Some(channel) = filter.channel {
                sql.push(" AND n.channel = ").push_bind(channel.as_str());
            }
        }
        sql.push(" ORDER BY e.id LIMIT ").push_bind(limit.events);
        sql.push(") AS read) AS sized) AS summed WHERE upto - bytes < ")
            .push_bind(limit.bytes)
            .push(" ORDER BY id");
        // The one reader of a process waits for nobody's lists; a client that catches up is like any other.
        let mut connection = match filter {
            Some(filter) => self.acquire_for_list(&filter.scope).await?,
            None => self.acquire().await?,
        };
        let query = sql.build();
        let rows = self.timed("select", schema::EVENTS, query.fetch_all(&mut *connection)).await?;
        let cut_after = match rows.last() {
            Some(last) => {
                let whole = |column: &str| last.try_get::<i64, _>(column).map_err(DbError::from);
                let is_full = i64::try_from(rows.len()).is_ok_and(|len| len >= limit.events);
                (is_full || whole("upto")? >= limit.bytes).then_some(whole("id")?)
            }
            None => None,
        };
        let more_after = cut_after.or((end < upto).then_some(end));
        let events =
            super::rows::each(schema::EVENTS, &rows, event).into_iter().filter_map(Result::ok).collect();
        Ok(Stretch { events, more_after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nsys_contract::api::StatusEvent;

    #[test]
    fn an_event_is_one_of_the_contract_whatever_its_numbers() {
        let payload: &RawValue = serde_json::from_str(r#"{"title": "t", "n": 1e30}"#).unwrap();
        let written = Written {
            id: 7,
            notification_id: Uuid::nil(),
            user_id: "u\"",
            tenant_id: None,
            channel: "IN_APP",
            kind: "SYSTEM",
            status: "DELIVERED",
            detail: Some("d"),
            payload: Some(payload),
            created_at: jiff::Timestamp::UNIX_EPOCH,
        };
        let event: StatusEvent = serde_json::from_str(&written.happened().unwrap().text).unwrap();
        assert_eq!((event.id, event.user_id.as_str(), event.channel), (7, "u\"", Channel::InApp));
        assert_eq!(event.payload.unwrap()["n"], 1e30);
        let huge: &RawValue = serde_json::from_str(r#"{"n": 1e400}"#).unwrap();
        let written = Written { payload: Some(huge), detail: None, ..written };
        assert!(written.happened().unwrap().text.contains(r#""payload":{"n": 1e400}"#));
    }
}
