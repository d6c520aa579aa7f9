//! Templates.

use super::rows::{Read, each};
use super::{Db, DbError, push_scope_or_empty};
use crate::domain::scope::Scope;
use nsys_contract::api::Template;
use nsys_contract::schema;
use nsys_contract::status::Channel;
use serde_json::{Map, Value};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, QueryBuilder, Row};

const COLUMNS: &str = "id, tenant_id, channel, payload, version, created_at, updated_at";

/// Templates of one page, and bytes of their payloads, but for the first one.
const PAGE: i64 = 1_000;
const PAGE_BYTES: i64 = 4 << 20;

/// One page of a list.
pub(crate) struct TemplatePage {
    pub(crate) rows: Vec<Read<Template>>,
    /// Tenant and name of the last one, where more may follow.
    pub(crate) more_after: Option<(String, String)>,
}

/// What becomes of a template that is there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It stays; nothing is written.
    Keep,
    /// It is replaced.
    Replace,
    /// It is replaced when it still has one of these versions.
    ReplaceVersions(Vec<i32>),
}

fn template(row: &PgRow) -> Result<Template, sqlx::Error> {
    let tenant: String = row.try_get("tenant_id")?;
    let Json(payload) = row.try_get::<Json<Map<String, Value>>, _>("payload")?;
    Ok(Template {
        id: row.try_get("id")?,
        tenant_id: Some(tenant).filter(|tenant| !tenant.is_empty()),
        channel: super::member(row, "channel")?,
        payload,
        version: row.try_get("version")?,
        created_at: row.try_get::<jiff_sqlx::Timestamp, _>("created_at")?.to_jiff(),
        updated_at: row.try_get::<jiff_sqlx::Timestamp, _>("updated_at")?.to_jiff(),
    })
}

impl Db {
    pub(crate) async fn fetch_template(
        &self,
        tenant: Option<&str>,
        id: &str,
    ) -> Result<Option<Template>, DbError> {
        let mut connection = self.acquire().await?;
        let sql = format!("SELECT {COLUMNS} FROM templates WHERE tenant_id = $1 AND id = $2");
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(tenant.unwrap_or(""))
            .bind(id)
            .fetch_optional(&mut *connection);
        let row = self.timed("select", schema::TEMPLATES, query).await?;
        row.as_ref().map(template).transpose().map_err(DbError::from)
    }

    /// Templates by tenant and name, those after one; and the last that was looked at, where more may follow.
    pub(crate) async fn list_templates(
        &self,
        scope: &Scope,
        after: Option<&(String, String)>,
    ) -> Result<TemplatePage, DbError> {
        let mut sql = QueryBuilder::new(format!(
            "SELECT {COLUMNS}, upto FROM (
                 SELECT *, sum(octet_length(payload::text)) OVER (ORDER BY tenant_id, id) AS upto,
                     octet_length(payload::text) AS bytes
                 FROM (SELECT * FROM templates WHERE true"
        ));
        push_scope_or_empty(&mut sql, "tenant_id", scope);
        if let Some((tenant, id)) = after {
            sql.push(" AND (tenant_id, id) > (").push_bind(tenant).push(", ").push_bind(id).push(")");
        }
        sql.push(" ORDER BY tenant_id, id LIMIT ").push_bind(PAGE);
        sql.push(") AS found) AS sized WHERE upto - bytes < ").push_bind(PAGE_BYTES);
        sql.push(" ORDER BY tenant_id, id");
        let mut connection = self.acquire_for_list(scope).await?;
        let query = sql.build();
        let rows = self.timed("select", schema::TEMPLATES, query.fetch_all(&mut *connection)).await?;
        let last = |row: &PgRow| Ok::<_, sqlx::Error>((row.try_get("tenant_id")?, row.try_get("id")?));
        let more_after = match rows.last() {
            Some(row) => {
                let is_full = i64::try_from(rows.len()).is_ok_and(|len| len >= PAGE)
                    || row.try_get::<i64, _>("upto")? >= PAGE_BYTES;
                if is_full { Some(last(row)?) } else { None }
            }
            None => None,
        };
        Ok(TemplatePage { rows: each(schema::TEMPLATES, &rows, template), more_after })
    }

    /// Writes a template; `None` when the one that is there stays.
    pub(crate) async fn put_template(
        &self,
        tenant: Option<&str>,
        id: &str,
        channel: Channel,
        payload: &Map<String, Value>,
        existing: Existing,
    ) -> Result<Option<Template>, DbError> {
        let (replace, versions) = match existing {
            Existing::Keep => (false, None),
            Existing::Replace => (true, None),
            Existing::ReplaceVersions(versions) => (true, Some(versions)),
        };
        let mut connection = self.acquire().await?;
        // A version can only be expected of a template that is there.
        let sql = format!(
            "INSERT INTO templates AS t (tenant_id, id, channel, payload)
             SELECT $1, $2, $3, $4
             WHERE $6::int[] IS NULL OR EXISTS (SELECT FROM templates WHERE tenant_id = $1 AND id = $2)
             ON CONFLICT (tenant_id, id) DO UPDATE
                 SET channel = excluded.channel, payload = excluded.payload, version = t.version + 1, updated_at = now()
                 WHERE $5 AND ($6::int[] IS NULL OR t.version = ANY($6))
             RETURNING {COLUMNS}"
        );
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(tenant.unwrap_or(""))
            .bind(id)
            .bind(channel.as_str())
            .bind(Json(payload))
            .bind(replace)
            .bind(versions)
            .fetch_optional(&mut *connection);
        let row = self.timed("insert", schema::TEMPLATES, query).await?;
        row.as_ref().map(template).transpose().map_err(DbError::from)
    }

    /// Deletes a template; `false` when there is none.
    pub(crate) async fn delete_template(&self, tenant: Option<&str>, id: &str) -> Result<bool, DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query("DELETE FROM templates WHERE tenant_id = $1 AND id = $2")
            .bind(tenant.unwrap_or(""))
            .bind(id)
            .execute(&mut *connection);
        Ok(self.timed("delete", schema::TEMPLATES, query).await?.rows_affected() > 0)
    }
}
