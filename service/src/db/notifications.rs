//! Reading notifications: one, and keyset pages.

use super::rows::{Read, each};
use super::{Db, DbError, member, push_scope};
use crate::domain::identity::StoredRequest;
use crate::domain::scope::Scope;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use nsys_contract::api::Notification;
use nsys_contract::schema;
use nsys_contract::status::{Channel, NotificationType, Priority, Status};
use sqlx::Row;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgRow, Postgres};
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

pub(super) const COLUMNS: &str = "id, user_id, tenant_id, channel, type, priority, status, scheduled_for, expires_at, \
    created_at, updated_at, correlation_id, idempotency_key";

/// Which notifications a list shows. `after` is the last (created_at, id) of the page
/// before; of one that cannot be read the id alone.
#[derive(Clone, Debug)]
pub(crate) struct ListFilter {
    pub(crate) scope: Scope,
    pub(crate) user_id: Option<String>,
    pub(crate) status: Option<Status>,
    pub(crate) channel: Option<Channel>,
    pub(crate) kind: Option<NotificationType>,
    pub(crate) priority: Option<Priority>,
    pub(crate) correlation_id: Option<String>,
    pub(crate) from: Option<Timestamp>,
    pub(crate) to: Option<Timestamp>,
    pub(crate) after: Option<(Option<Timestamp>, Uuid)>,
    pub(crate) limit: i64,
    pub(crate) skip: i64,
}

pub(super) fn notification(row: &PgRow) -> Result<Notification, sqlx::Error> {
    let instant = |column: &str| row.try_get::<jiff_sqlx::Timestamp, _>(column).map(|at| at.to_jiff());
    let maybe = |column: &str| {
        row.try_get::<Option<jiff_sqlx::Timestamp>, _>(column).map(|at| at.map(jiff_sqlx::Timestamp::to_jiff))
    };
    Ok(Notification {
        id: row.try_get("id")?,
        user_id: row.try_get("user_id")?,
        tenant_id: row.try_get("tenant_id")?,
        channel: member(row, "channel")?,
        kind: member::<NotificationType>(row, "type")?,
        priority: member::<Priority>(row, "priority")?,
        status: member(row, "status")?,
        scheduled_for: maybe("scheduled_for")?,
        created_at: instant("created_at")?,
        updated_at: instant("updated_at")?,
        correlation_id: row.try_get("correlation_id")?,
        idempotency_key: row.try_get("idempotency_key")?,
        expires_at: maybe("expires_at")?,
        duplicate: false,
    })
}

impl Db {
    /// One notification. The replica may not have it yet: only the primary says that there is none.
    pub(crate) async fn fetch_notification(&self, id: Uuid) -> Result<Option<Notification>, DbError> {
        if let Some(connection) = self.replica_connection() {
            match self.fetch_notification_on(connection, id).await {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                Err(cause) => self.distrust_replica(&cause),
            }
        }
        self.fetch_notification_on(self.acquire().await?, id).await
    }

    async fn fetch_notification_on(
        &self,
        mut connection: PoolConnection<Postgres>,
        id: Uuid,
    ) -> Result<Option<Notification>, DbError> {
        let sql = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM notifications WHERE id = $1"));
        let query = sqlx::query(sql).bind(id).fetch_optional(&mut *connection);
        let row = self.timed("select", schema::NOTIFICATIONS, query).await?;
        row.as_ref().map(notification).transpose().map_err(DbError::from)
    }

    /// The requests behind these ids, from the primary: a replica may not have them yet.
    pub(crate) async fn fetch_requests(
        &self,
        ids: &[Uuid],
    ) -> Result<HashMap<Uuid, Arc<StoredRequest>>, DbError> {
        let mut connection = self.acquire().await?;
        let sql = format!(
            "SELECT {COLUMNS}, request_hash, CASE WHEN request_hash IS NULL THEN payload::text END AS contents
             FROM notifications WHERE id = ANY($1)"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(ids).fetch_all(&mut *connection);
        let rows = self.timed("select", schema::NOTIFICATIONS, query).await?;
        let request = |row: &PgRow| -> Result<_, sqlx::Error> {
            let contents: Option<&str> = row.try_get("contents")?;
            let one = StoredRequest {
                notification: notification(row)?,
                request_hash: row.try_get("request_hash")?,
                payload: contents.and_then(|text| serde_json::from_str(text).ok()),
            };
            Ok((one.notification.id, Arc::new(one)))
        };
        // One that cannot be read counts as none: it spoils no other, and the worker meets it again.
        Ok(rows.iter().filter_map(|row| request(row).ok()).collect())
    }

    /// One page of notifications, newest first.
    pub(crate) async fn list_notifications(
        &self,
        filter: &ListFilter,
    ) -> Result<Vec<Read<Notification>>, DbError> {
        if let Some(connection) = self.replica_connection() {
            match self.list_notifications_on(connection, filter).await {
                Ok(found) => return Ok(found),
                Err(cause) => self.distrust_replica(&cause),
            }
        }
        self.list_notifications_on(self.acquire().await?, filter).await
    }

    async fn list_notifications_on(
        &self,
        mut connection: PoolConnection<Postgres>,
        filter: &ListFilter,
    ) -> Result<Vec<Read<Notification>>, DbError> {
        let mut sql =
            sqlx::QueryBuilder::<Postgres>::new(format!("SELECT {COLUMNS} FROM notifications WHERE true"));
        push_scope(&mut sql, "tenant_id", &filter.scope);
        if let Some(user) = &filter.user_id {
            sql.push(" AND user_id = ").push_bind(user);
        }
        if let Some(status) = filter.status {
            sql.push(" AND status = ").push_bind(status.as_str());
        }
        if let Some(channel) = filter.channel {
            sql.push(" AND channel = ").push_bind(channel.as_str());
        }
        if let Some(kind) = filter.kind {
            sql.push(" AND type = ").push_bind(kind.as_str());
        }
        if let Some(priority) = filter.priority {
            sql.push(" AND priority = ").push_bind(priority.as_str());
        }
        if let Some(from) = filter.from {
            sql.push(" AND created_at >= ").push_bind(from.to_sqlx());
        }
        if let Some(to) = filter.to {
            sql.push(" AND created_at < ").push_bind(to.to_sqlx());
        }
        if let Some(correlation) = &filter.correlation_id {
            sql.push(" AND correlation_id = ").push_bind(correlation);
        }
        if let Some((created_at, id)) = filter.after {
            match created_at {
                Some(at) => sql.push(" AND (created_at, id) < (").push_bind(at.to_sqlx()),
                None => sql
                    .push(" AND (created_at, id) < ((SELECT created_at FROM notifications WHERE id = ")
                    .push_bind(id)
                    .push(")"),
            };
            sql.push(", ").push_bind(id).push(")");
        }
        sql.push(" ORDER BY created_at DESC, id DESC LIMIT ").push_bind(filter.limit);
        if filter.skip > 0 {
            sql.push(" OFFSET ").push_bind(filter.skip);
        }
        let query = sql.build();
        let rows = self.timed("select", schema::NOTIFICATIONS, query.fetch_all(&mut *connection)).await?;
        Ok(each(schema::NOTIFICATIONS, &rows, notification))
    }
}
