//! API keys.

use super::{Db, DbError, push_scope};
use crate::domain::scope::Scope;
use jiff_sqlx::ToSqlx;
use nsys_contract::api::ApiKey;
use nsys_contract::schema;
use nsys_contract::status::Role;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, QueryBuilder, Row};

const COLUMNS: &str = "id, name, role, tenant_id, created_at, expires_at, last_used_at, revoked_at";

/// A key with the hash of its secret.
pub(crate) struct StoredApiKey {
    pub(crate) shown: ApiKey,
    pub(crate) hash: Vec<u8>,
}

fn api_key(row: &PgRow) -> Result<ApiKey, sqlx::Error> {
    let role: &str = row.try_get("role")?;
    let maybe = |column: &str| {
        row.try_get::<Option<jiff_sqlx::Timestamp>, _>(column).map(|at| at.map(jiff_sqlx::Timestamp::to_jiff))
    };
    Ok(ApiKey {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        role: role.parse().unwrap_or(Role::User),
        tenant_id: row.try_get("tenant_id")?,
        created_at: row.try_get::<jiff_sqlx::Timestamp, _>("created_at")?.to_jiff(),
        expires_at: maybe("expires_at")?,
        last_used_at: maybe("last_used_at")?,
        revoked_at: maybe("revoked_at")?,
    })
}

impl Db {
    pub(crate) async fn fetch_api_key(&self, id: &str) -> Result<Option<StoredApiKey>, DbError> {
        let mut connection = self.acquire().await?;
        let sql = format!("SELECT {COLUMNS}, hash FROM api_keys WHERE id = $1");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(id).fetch_optional(&mut *connection);
        let row = self.timed("select", schema::API_KEYS, query).await?;
        row.map(|row| Ok(StoredApiKey { shown: api_key(&row)?, hash: row.try_get("hash")? }))
            .transpose()
            .map_err(|cause: sqlx::Error| cause.into())
    }

    pub(crate) async fn add_api_key(
        &self,
        key: &ApiKey,
        hash: &[u8],
        created_by: &str,
    ) -> Result<(), DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query(
            "INSERT INTO api_keys (id, name, hash, role, tenant_id, created_by, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(&key.id)
        .bind(&key.name)
        .bind(hash)
        .bind(key.role.as_str())
        .bind(&key.tenant_id)
        .bind(created_by)
        .bind(key.created_at.to_sqlx())
        .bind(key.expires_at.map(ToSqlx::to_sqlx))
        .execute(&mut *connection);
        self.timed("insert", schema::API_KEYS, query).await.map(drop)
    }

    /// The keys within reach, newest first.
    pub(crate) async fn list_api_keys(&self, scope: &Scope) -> Result<Vec<ApiKey>, DbError> {
        let mut sql = QueryBuilder::new(format!("SELECT {COLUMNS} FROM api_keys WHERE true"));
        push_scope(&mut sql, "tenant_id", scope);
        sql.push(" ORDER BY created_at DESC LIMIT 1000");
        let mut connection = self.acquire().await?;
        let query = sql.build();
        let rows = self.timed("select", schema::API_KEYS, query.fetch_all(&mut *connection)).await?;
        rows.iter().map(api_key).collect::<Result<_, sqlx::Error>>().map_err(DbError::from)
    }

    /// Revokes a key within reach; `false` when there is none that is not revoked already.
    pub(crate) async fn revoke_api_key(&self, id: &str, scope: &Scope) -> Result<bool, DbError> {
        let mut sql =
            QueryBuilder::new("UPDATE api_keys SET revoked_at = now() WHERE revoked_at IS NULL AND id = ");
        sql.push_bind(id);
        push_scope(&mut sql, "tenant_id", scope);
        let mut connection = self.acquire().await?;
        let query = sql.build();
        let done = self.timed("update", schema::API_KEYS, query.execute(&mut *connection)).await?;
        Ok(done.rows_affected() > 0)
    }

    pub(crate) async fn touch_api_key(&self, id: &str) -> Result<(), DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query("UPDATE api_keys SET last_used_at = now() WHERE id = $1")
            .bind(id)
            .execute(&mut *connection);
        self.timed("update", schema::API_KEYS, query).await.map(drop)
    }
}
