//! API keys.

use super::{Db, DbError, push_scope};
use crate::domain::scope::Scope;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use nsys_contract::api::ApiKey;
use nsys_contract::schema;
use nsys_contract::status::Role;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, QueryBuilder, Row};
use uuid::Uuid;

const COLUMNS: &str = "k.id, k.name, k.role, k.tenant_id, k.created_by, k.created_at, k.expires_at, k.last_used_at, k.revoked_at";

/// A key with the hash of its secret, and who answers for it: keys that a key issued lead back to the
/// account that issued the first one.
pub(crate) struct StoredApiKey {
    pub(crate) shown: ApiKey,
    pub(crate) hash: Vec<u8>,
    /// When it ends by itself, or a key it was issued with does.
    pub(crate) ends_at: Option<Timestamp>,
    /// Whether it was revoked, or a key it was issued with.
    is_revoked: bool,
    /// The account; `None` when it is gone.
    owner: Option<Owner>,
}

struct Owner {
    id: Uuid,
    role: Role,
    tenant_id: Option<String>,
    is_disabled: bool,
}

/// What a key may do now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rights {
    pub(crate) role: Role,
    /// The account that answers for it.
    pub(crate) owner: Uuid,
}

impl StoredApiKey {
    /// Its rights, never more than those of the account behind it; `None` when it has ended.
    pub(crate) fn rights(&self, now: Timestamp) -> Option<Rights> {
        let owner = self.owner.as_ref()?;
        let has_ended = self.is_revoked || owner.is_disabled || self.ends_at.is_some_and(|at| at <= now);
        let reaches_it = owner.role == Role::Admin || owner.tenant_id == self.shown.tenant_id;
        (!has_ended && reaches_it).then(|| Rights { role: self.shown.role.min(owner.role), owner: owner.id })
    }
}

/// A key, the keys it was issued with, and the account at the end.
const CHAIN: &str = "WITH RECURSIVE chain AS (
         SELECT created_by, expires_at, revoked_at, 1 AS depth FROM api_keys WHERE id = $1
         UNION ALL
         SELECT k.created_by, k.expires_at, k.revoked_at, c.depth + 1
         FROM chain c JOIN api_keys k ON k.id = c.created_by WHERE c.depth < 100
     ), whole AS (
         SELECT min(expires_at) AS ends_at, bool_or(revoked_at IS NOT NULL) AS is_revoked,
             (array_agg(created_by ORDER BY depth DESC))[1] AS root
         FROM chain
     )";
/// An account's id is a UUID, a key's is not.
const IS_ACCOUNT: &str = "w.root ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'";

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
        created_by: row.try_get("created_by")?,
        created_at: row.try_get::<jiff_sqlx::Timestamp, _>("created_at")?.to_jiff(),
        expires_at: maybe("expires_at")?,
        last_used_at: maybe("last_used_at")?,
        revoked_at: maybe("revoked_at")?,
    })
}

fn stored_key(row: &PgRow) -> Result<StoredApiKey, sqlx::Error> {
    let ends_at: Option<jiff_sqlx::Timestamp> = row.try_get("ends_at")?;
    let owner = match row.try_get::<Option<Uuid>, _>("owner")? {
        Some(id) => Some(Owner {
            id,
            role: row.try_get::<&str, _>("owner_role")?.parse().unwrap_or(Role::User),
            tenant_id: row.try_get("owner_tenant")?,
            is_disabled: row.try_get("is_disabled")?,
        }),
        None => None,
    };
    Ok(StoredApiKey {
        shown: api_key(row)?,
        hash: row.try_get("hash")?,
        ends_at: ends_at.map(jiff_sqlx::Timestamp::to_jiff),
        is_revoked: row.try_get("is_revoked")?,
        owner,
    })
}

impl Db {
    /// A key with what decides whether it is valid, told soon or not at all.
    pub(crate) async fn fetch_api_key(&self, id: &str) -> Result<Option<StoredApiKey>, DbError> {
        let mut connection = self.acquire_for_identity().await?;
        let sql = format!(
            "{CHAIN} SELECT {COLUMNS}, k.hash, w.ends_at, w.is_revoked, u.id AS owner, u.role AS owner_role,
                 u.tenant_id AS owner_tenant, u.disabled_at IS NOT NULL AS is_disabled
             FROM api_keys k CROSS JOIN whole w LEFT JOIN users u ON u.id = CASE WHEN {IS_ACCOUNT} THEN w.root::uuid END
             WHERE k.id = $1"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(id).fetch_optional(&mut *connection);
        let row = self.timed("select", schema::API_KEYS, query).await?;
        row.as_ref().map(stored_key).transpose().map_err(DbError::from)
    }

    pub(crate) async fn add_api_key(&self, key: &ApiKey, hash: &[u8]) -> Result<(), DbError> {
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
        .bind(&key.created_by)
        .bind(key.created_at.to_sqlx())
        .bind(key.expires_at.map(ToSqlx::to_sqlx))
        .execute(&mut *connection);
        self.timed("insert", schema::API_KEYS, query).await.map(drop)
    }

    /// The keys within reach, newest first.
    pub(crate) async fn list_api_keys(&self, scope: &Scope) -> Result<Vec<ApiKey>, DbError> {
        let mut sql = QueryBuilder::new(format!("SELECT {COLUMNS} FROM api_keys k WHERE true"));
        push_scope(&mut sql, "tenant_id", scope);
        sql.push(" ORDER BY created_at DESC LIMIT 1000");
        let mut connection = self.acquire_for_list(scope).await?;
        let query = sql.build();
        let rows = self.timed("select", schema::API_KEYS, query.fetch_all(&mut *connection)).await?;
        rows.iter().map(api_key).collect::<Result<_, sqlx::Error>>().map_err(DbError::from)
    }

    /// Revokes a key within reach, and tells whose it was; `None` when there is none that is not revoked already.
    pub(crate) async fn revoke_api_key(
        &self,
        id: &str,
        scope: &Scope,
    ) -> Result<Option<Option<String>>, DbError> {
        let mut sql =
            QueryBuilder::new("UPDATE api_keys SET revoked_at = now() WHERE revoked_at IS NULL AND id = ");
        sql.push_bind(id);
        push_scope(&mut sql, "tenant_id", scope);
        sql.push(" RETURNING tenant_id");
        let mut connection = self.acquire().await?;
        let query = sql.build_query_scalar().fetch_optional(&mut *connection);
        self.timed("update", schema::API_KEYS, query).await
    }

    pub(crate) async fn touch_api_key(&self, id: &str) -> Result<(), DbError> {
        let mut connection = self.acquire_for_identity().await?;
        let query = sqlx::query("UPDATE api_keys SET last_used_at = now() WHERE id = $1")
            .bind(id)
            .execute(&mut *connection);
        self.timed("update", schema::API_KEYS, query).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(role: Role, owner: Option<Owner>) -> StoredApiKey {
        let shown = ApiKey {
            id: "0123456789abcdef".to_owned(),
            name: "a program".to_owned(),
            role,
            tenant_id: Some("t".to_owned()),
            created_by: Uuid::nil().to_string(),
            created_at: Timestamp::UNIX_EPOCH,
            expires_at: None,
            last_used_at: None,
            revoked_at: None,
        };
        StoredApiKey { shown, hash: Vec::new(), ends_at: None, is_revoked: false, owner }
    }

    fn owner(role: Role, tenant: &str, is_disabled: bool) -> Option<Owner> {
        Some(Owner { id: Uuid::nil(), role, tenant_id: Some(tenant.to_owned()), is_disabled })
    }

    #[test]
    fn a_key_has_no_more_rights_than_the_account_behind_it() {
        let role = |key: StoredApiKey| key.rights(Timestamp::UNIX_EPOCH).map(|rights| rights.role);
        assert_eq!(role(key(Role::Operator, owner(Role::Admin, "u", false))), Some(Role::Operator));
        assert_eq!(role(key(Role::Operator, owner(Role::User, "t", false))), Some(Role::User));
        assert_eq!(
            role(key(Role::User, owner(Role::Operator, "u", false))),
            None,
            "it went to another tenant"
        );
        assert_eq!(role(key(Role::User, owner(Role::Admin, "t", true))), None, "it is disabled");
        assert_eq!(role(key(Role::User, None)), None, "it is gone");
    }

    #[test]
    fn a_key_ends_with_the_keys_it_was_issued_with() {
        let mut one = key(Role::User, owner(Role::Operator, "t", false));
        one.ends_at = Some(Timestamp::UNIX_EPOCH);
        assert_eq!(one.rights(Timestamp::UNIX_EPOCH), None);
        one.ends_at = None;
        assert!(one.rights(Timestamp::UNIX_EPOCH).is_some());
        one.is_revoked = true;
        assert_eq!(one.rights(Timestamp::UNIX_EPOCH), None);
    }
}
