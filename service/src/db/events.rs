//! Events of all notifications in their order, for those who follow them.

use super::{Db, DbError, member, push_scope};
use crate::domain::horizon::Moment;
use crate::domain::scope::Scope;
use nsys_contract::api::StatusEvent;
use nsys_contract::schema;
use nsys_contract::status::Channel;
use sqlx::postgres::PgRow;
use sqlx::{QueryBuilder, Row};

/// Which events somebody wants to see.
#[derive(Clone, Debug)]
pub(crate) struct EventFilter {
    pub(crate) scope: Scope,
    pub(crate) user_id: Option<String>,
    pub(crate) channel: Option<Channel>,
}

impl EventFilter {
    /// Whether an event is among them.
    pub(crate) fn fits(&self, event: &StatusEvent) -> bool {
        self.scope.holds(event.tenant_id.as_deref())
            && self.user_id.as_ref().is_none_or(|user| *user == event.user_id)
            && self.channel.is_none_or(|channel| channel == event.channel)
    }
}

/// The last events are in the rows themselves: a notification that is delivered at once has no other.
/// Both parts are narrowed before they are joined.
fn select(after: i64, upto: i64) -> QueryBuilder<sqlx::Postgres> {
    let mut sql = QueryBuilder::new(
        "SELECT e.id, e.status, e.detail, e.created_at, n.id AS notification_id, n.user_id, n.tenant_id, n.channel, n.type,
             CASE WHEN n.channel = 'IN_APP' AND e.status = 'DELIVERED' THEN n.payload END AS payload
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

fn event(row: &PgRow) -> Result<StatusEvent, sqlx::Error> {
    Ok(StatusEvent {
        id: row.try_get("id")?,
        notification_id: row.try_get("notification_id")?,
        user_id: row.try_get("user_id")?,
        tenant_id: row.try_get("tenant_id")?,
        channel: member(row, "channel")?,
        kind: member(row, "type")?,
        status: row.try_get("status")?,
        detail: row.try_get("detail")?,
        payload: row.try_get("payload")?,
        created_at: row.try_get::<jiff_sqlx::Timestamp, _>("created_at")?.to_jiff(),
    })
}

impl Db {
    /// The highest number given to an event, and the transactions that run.
    pub(crate) async fn event_moment(&self) -> Result<Moment, DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query(
            "SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS last_id,
                 pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest_running,
                 pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next
             FROM events_id_seq",
        )
        .fetch_one(&mut *connection);
        let row = self.timed("select", schema::EVENTS, query).await?;
        Ok(Moment {
            last_id: row.try_get("last_id")?,
            oldest_running: row.try_get("oldest_running")?,
            next: row.try_get("next")?,
            now_ms: jiff::Timestamp::now().as_millisecond(),
        })
    }

    /// Up to `limit` events after one and up to another, in their order; all of them, or those that
    /// fit.
    pub(crate) async fn list_status_events(
        &self,
        after: i64,
        upto: i64,
        filter: Option<&EventFilter>,
        limit: i64,
    ) -> Result<Vec<StatusEvent>, DbError> {
        let mut sql = select(after, upto);
        if let Some(filter) = filter {
            push_scope(&mut sql, "n.tenant_id", &filter.scope);
            if let Some(user) = &filter.user_id {
                sql.push(" AND n.user_id = ").push_bind(user);
            }
            if let Some(channel) = filter.channel {
                sql.push(" AND n.channel = ").push_bind(channel.as_str());
            }
        }
        sql.push(" ORDER BY e.id LIMIT ").push_bind(limit);
        let mut connection = self.acquire().await?;
        let query = sql.build();
        let rows = self.timed("select", schema::EVENTS, query.fetch_all(&mut *connection)).await?;
        rows.iter().map(event).collect::<Result<_, sqlx::Error>>().map_err(DbError::from)
    }
}
