//! The audit log: who changed what.

use super::{Db, DbError, push_scope};
use crate::domain::scope::Scope;
use nsys_contract::api::AuditEntry;
use nsys_contract::schema;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{QueryBuilder, Row};

/// An act to be recorded.
pub(crate) struct Act<'a> {
    pub(crate) actor_id: &'a str,
    pub(crate) actor: &'a str,
    /// In which it was done.
    pub(crate) tenant_id: Option<String>,
    /// For example `user.update`.
    pub(crate) action: &'static str,
    pub(crate) target: &'a str,
    pub(crate) detail: Value,
}

/// Which entries a page shows, newest first; `before` is the last of the page before.
pub(crate) struct AuditFilter {
    pub(crate) scope: Scope,
    pub(crate) actor: Option<String>,
    pub(crate) action: Option<String>,
    pub(crate) before: Option<i64>,
    pub(crate) limit: i64,
}

fn entry(row: &PgRow) -> Result<AuditEntry, sqlx::Error> {
    let Json(detail) = row.try_get::<Json<Value>, _>("detail")?;
    Ok(AuditEntry {
        id: row.try_get("id")?,
        created_at: row.try_get::<jiff_sqlx::Timestamp, _>("created_at")?.to_jiff(),
        actor: row.try_get("actor")?,
        actor_id: row.try_get("actor_id")?,
        tenant_id: row.try_get("tenant_id")?,
        action: row.try_get("action")?,
        target: row.try_get("target")?,
        detail,
    })
}

impl Db {
    pub(crate) async fn record_acts(&self, acts: &[Act<'_>]) -> Result<(), DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query(
            "INSERT INTO audit_log (actor_id, actor, tenant_id, action, target, detail)
             SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[])",
        )
        .bind(acts.iter().map(|act| act.actor_id).collect::<Vec<_>>())
        .bind(acts.iter().map(|act| act.actor).collect::<Vec<_>>())
        .bind(acts.iter().map(|act| act.tenant_id.as_deref()).collect::<Vec<_>>())
        .bind(acts.iter().map(|act| act.action).collect::<Vec<_>>())
        .bind(acts.iter().map(|act| act.target).collect::<Vec<_>>())
        .bind(acts.iter().map(|act| Json(&act.detail)).collect::<Vec<_>>())
        .execute(&mut *connection);
        self.timed("insert", schema::AUDIT_LOG, query).await.map(drop)
    }

    pub(crate) async fn list_acts(&self, filter: &AuditFilter) -> Result<Vec<AuditEntry>, DbError> {
        let mut sql = QueryBuilder::new(
            "SELECT id, created_at, actor, actor_id, tenant_id, action, target, detail FROM audit_log WHERE true",
        );
        push_scope(&mut sql, "tenant_id", &filter.scope);
        if let Some(actor) = &filter.actor {
            sql.push(" AND (actor = ").push_bind(actor).push(" OR actor_id = ").push_bind(actor).push(")");
        }
        if let Some(action) = &filter.action {
            sql.push(" AND action = ").push_bind(action);
        }
        if let Some(before) = filter.before {
            sql.push(" AND id < ").push_bind(before);
        }
        sql.push(" ORDER BY id DESC LIMIT ").push_bind(filter.limit);
        let mut connection = self.acquire_for_list(&filter.scope).await?;
        let query = sql.build();
        let rows = self.timed("select", schema::AUDIT_LOG, query.fetch_all(&mut *connection)).await?;
        rows.iter().map(entry).collect::<Result<_, sqlx::Error>>().map_err(DbError::from)
    }
}
