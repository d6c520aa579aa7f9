//! Accounts.

use super::bounded_pool::PooledConnection;
use super::{Db, DbError, push_scope};
use crate::domain::scope::Scope;
use jiff_sqlx::ToSqlx;
use nsys_contract::api::{AccountUpdate, User};
use nsys_contract::schema;
use nsys_contract::status::Role;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, QueryBuilder, Row};
use uuid::Uuid;

const COLUMNS: &str = "id, email, name, role, tenant_id, created_at, disabled_at";

/// An account with its password hash.
pub(crate) struct Account {
    pub(crate) user: User,
    pub(crate) password_hash: String,
}

/// What is known of an address.
pub(crate) struct FoundAccount {
    /// The address as the database folds it: spellings that are one account are one here.
    pub(crate) folded_email: String,
    pub(crate) account: Option<Account>,
}

/// An account to be made.
pub(crate) struct NewUser<'a> {
    pub(crate) id: Uuid,
    pub(crate) email: &'a str,
    pub(crate) name: &'a str,
    pub(crate) password_hash: &'a str,
    pub(crate) role: Role,
    pub(crate) tenant_id: &'a str,
}

/// Why an account could not be created.
pub(crate) enum RegisterError {
    /// The address is in use.
    EmailTaken,
    /// The database failed.
    Db(DbError),
}

impl From<DbError> for RegisterError {
    fn from(cause: DbError) -> Self {
        Self::Db(cause)
    }
}

/// Which accounts a list shows, by id; `after` is the last of the page before.
pub(crate) struct UserFilter {
    pub(crate) scope: Scope,
    pub(crate) email: Option<String>,
    pub(crate) role: Option<Role>,
    pub(crate) after: Option<Uuid>,
    pub(crate) limit: i64,
}

fn user(row: &PgRow) -> Result<User, sqlx::Error> {
    let role: &str = row.try_get("role")?;
    let disabled_at: Option<jiff_sqlx::Timestamp> = row.try_get("disabled_at")?;
    Ok(User {
        id: row.try_get("id")?,
        email: row.try_get("email")?,
        name: row.try_get("name")?,
        role: role.parse().unwrap_or(Role::User),
        tenant_id: row.try_get("tenant_id")?,
        created_at: row.try_get::<jiff_sqlx::Timestamp, _>("created_at")?.to_jiff(),
        disabled_at: disabled_at.map(jiff_sqlx::Timestamp::to_jiff),
    })
}

impl Db {
    pub(crate) async fn create_user(&self, new: &NewUser<'_>) -> Result<User, RegisterError> {
        let mut connection = self.acquire().await?;
        let sql = format!(
            "INSERT INTO users (id, email, name, password_hash, role, tenant_id) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (lower(email)) DO NOTHING RETURNING {COLUMNS}"
        );
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(new.id)
            .bind(new.email)
            .bind(new.name)
            .bind(new.password_hash)
            .bind(new.role.as_str())
            .bind(new.tenant_id)
            .fetch_optional(&mut *connection);
        let row = self.timed("insert", schema::USERS, query).await?.ok_or(RegisterError::EmailTaken)?;
        Ok(user(&row).map_err(DbError::from)?)
    }

    pub(crate) async fn fetch_account(&self, email: &str) -> Result<FoundAccount, DbError> {
        let mut connection = self.acquire().await?;
        let sql = format!(
            "SELECT folded, {COLUMNS}, password_hash FROM (SELECT lower($1) AS folded) AS asked
             LEFT JOIN users ON lower(email) = folded"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(email).fetch_one(&mut *connection);
        let row = self.timed("select", schema::USERS, query).await?;
        let read = || {
            let password_hash: Option<String> = row.try_get("password_hash")?;
            let account = match password_hash {
                Some(password_hash) => Some(Account { user: user(&row)?, password_hash }),
                None => None,
            };
            Ok(FoundAccount { folded_email: row.try_get("folded")?, account })
        };
        read().map_err(|cause: sqlx::Error| cause.into())
    }

    /// An address as the unique index of accounts folds it.
    pub(crate) async fn fold_email(&self, email: &str) -> Result<String, DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query_scalar("SELECT lower($1)").bind(email).fetch_one(&mut *connection);
        self.timed("select", schema::USERS, query).await
    }

    pub(crate) async fn fetch_user(&self, id: Uuid) -> Result<Option<User>, DbError> {
        self.fetch_user_on(self.acquire().await?, id).await
    }

    /// The account behind a token, told soon or not at all.
    pub(crate) async fn fetch_identity(&self, id: Uuid) -> Result<Option<User>, DbError> {
        self.fetch_user_on(self.acquire_for_identity().await?, id).await
    }

    async fn fetch_user_on(
        &self,
        mut connection: PooledConnection,
        id: Uuid,
    ) -> Result<Option<User>, DbError> {
        let sql = format!("SELECT {COLUMNS} FROM users WHERE id = $1");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(id).fetch_optional(&mut *connection);
        let row = self.timed("select", schema::USERS, query).await?;
        row.as_ref().map(user).transpose().map_err(DbError::from)
    }

    /// One page of accounts, by id.
    pub(crate) async fn list_users(&self, filter: &UserFilter) -> Result<Vec<User>, DbError> {
        let mut sql = QueryBuilder::new(format!("SELECT {COLUMNS} FROM users WHERE true"));
        push_scope(&mut sql, "tenant_id", &filter.scope);
        if let Some(email) = &filter.email {
            sql.push(" AND lower(email) = lower(").push_bind(email).push(")");
        }
        if let Some(role) = filter.role {
            sql.push(" AND role = ").push_bind(role.as_str());
        }
        if let Some(after) = filter.after {
            sql.push(" AND id > ").push_bind(after);
        }
        sql.push(" ORDER BY id LIMIT ").push_bind(filter.limit);
        let mut connection = self.acquire_for_list(&filter.scope).await?;
        let query = sql.build();
        let rows = self.timed("select", schema::USERS, query.fetch_all(&mut *connection)).await?;
        rows.iter().map(user).collect::<Result<_, sqlx::Error>>().map_err(DbError::from)
    }

    /// Changes what the update names; `None` when there is no such account.
    pub(crate) async fn update_user(
        &self,
        id: Uuid,
        update: &AccountUpdate,
    ) -> Result<Option<User>, DbError> {
        let mut connection = self.acquire().await?;
        let now = crate::clock::now().to_sqlx();
        let sql = format!(
            "UPDATE users SET role = coalesce($2, role), tenant_id = coalesce($3, tenant_id),
                 name = coalesce($4, name), updated_at = $6,
                 disabled_at = CASE WHEN $5 THEN coalesce(disabled_at, $6) WHEN NOT $5 THEN NULL ELSE disabled_at END
             WHERE id = $1 RETURNING {COLUMNS}"
        );
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(id)
            .bind(update.role.map(Role::as_str))
            .bind(&update.tenant_id)
            .bind(&update.name)
            .bind(update.disabled)
            .bind(now)
            .fetch_optional(&mut *connection);
        let row = self.timed("update", schema::USERS, query).await?;
        row.as_ref().map(user).transpose().map_err(DbError::from)
    }
}
