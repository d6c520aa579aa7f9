//! Pages of an export, in the order of the primary key: each page is one short index scan, whatever
//! the size of the table.

use super::notifications::{COLUMNS, notification};
use super::rows::{Read, each};
use super::{Db, DbError, push_scope};
use crate::domain::scope::Scope;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use nsys_contract::api::Notification;
use nsys_contract::schema;
use nsys_contract::status::{Channel, Status};
use sqlx::pool::PoolConnection;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

/// Which notifications are exported.
#[derive(Clone, Debug)]
pub(crate) struct ExportFilter {
    pub(crate) scope: Scope,
    pub(crate) user_id: Option<String>,
    pub(crate) status: Option<Status>,
    pub(crate) channel: Option<Channel>,
    pub(crate) from: Option<Timestamp>,
    pub(crate) to: Option<Timestamp>,
}

impl Db {
    /// The next page after an id.
    pub(crate) async fn export_page(
        &self,
        filter: &ExportFilter,
        after: Uuid,
        limit: i64,
    ) -> Result<Vec<Read<Notification>>, DbError> {
        if let Some(connection) = self.replica_connection() {
            match self.export_page_on(connection, filter, after, limit).await {
                Ok(found) => return Ok(found),
                Err(cause) => self.distrust_replica(&cause),
            }
        }
        self.export_page_on(self.acquire().await?, filter, after, limit).await
    }

    async fn export_page_on(
        &self,
        mut connection: PoolConnection<Postgres>,
        filter: &ExportFilter,
        after: Uuid,
        limit: i64,
    ) -> Result<Vec<Read<Notification>>, DbError> {
        let mut sql = QueryBuilder::new(format!("SELECT {COLUMNS} FROM notifications WHERE id > "));
        sql.push_bind(after);
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
        if let Some(from) = filter.from {
            sql.push(" AND created_at >= ").push_bind(from.to_sqlx());
        }
        if let Some(to) = filter.to {
            sql.push(" AND created_at < ").push_bind(to.to_sqlx());
        }
        sql.push(" ORDER BY id LIMIT ").push_bind(limit);
        let query = sql.build();
        let rows = self.timed("select", schema::NOTIFICATIONS, query.fetch_all(&mut *connection)).await?;
        Ok(each(schema::NOTIFICATIONS, &rows, notification))
    }
}
