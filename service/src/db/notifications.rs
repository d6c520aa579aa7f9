//! Reading notifications: one, and keyset pages of lists and exports.

use super::bounded_pool::PooledConnection;
use super::rows::{Read, each};
use super::walk::{self, COLUMNS, ListFilter, Place, WALKED};
use super::{Db, DbError, member};
use crate::domain::identity::StoredRequest;
use nsys_contract::api::Notification;
use nsys_contract::schema;
use nsys_contract::status::{NotificationType, Priority};
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// What a page of a list found.
pub(crate) struct Listed {
    pub(crate) rows: Vec<Read<Notification>>,
    /// How many were left out first.
    pub(crate) skipped: i64,
    /// The last row that was looked at, where the page ended there and more may follow.
    pub(crate) walked_to: Option<Read<Notification>>,
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
        mut connection: PooledConnection,
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
    pub(crate) async fn list_notifications(&self, filter: &ListFilter) -> Result<Listed, DbError> {
        let rows = self.list_rows(&filter.scope, || walk::statement(filter)).await?;
        if !walk::is_bounded(filter) {
            let rows = each(schema::NOTIFICATIONS, &rows, notification);
            return Ok(Listed { rows, skipped: filter.skip, walked_to: None });
        }
        Ok(sifted(&rows, filter.skip)?)
    }
}

/// The rows of a bounded walk: those that fit, without those that are skipped, and where it ended.
pub(super) fn sifted(rows: &[PgRow], skip: i64) -> Result<Listed, sqlx::Error> {
    let mut listed = Listed { rows: Vec::with_capacity(rows.len()), skipped: 0, walked_to: None };
    for row in rows {
        if row.try_get::<i64, _>("place")? == WALKED {
            listed.walked_to = each(schema::NOTIFICATIONS, std::slice::from_ref(row), notification).pop();
        }
        if !row.try_get::<bool, _>("fits")? {
            continue;
        }
        if listed.skipped < skip {
            listed.skipped += 1;
        } else {
            listed.rows.extend(each(schema::NOTIFICATIONS, std::slice::from_ref(row), notification));
        }
    }
    Ok(listed)
}

/// Where a list goes on after a row.
pub(crate) fn place(row: &Read<Notification>) -> Place {
    match row {
        Ok(row) => (Some(row.created_at), row.id),
        // It was selected by its id.
        Err(row) => (None, row.id.parse().unwrap_or_default()),
    }
}
