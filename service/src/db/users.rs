//! Accounts.

use super::{Db, DbError};
use nsys_contract::api::User;
use nsys_contract::schema;
use nsys_contract::status::Role;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

/// An account with its password hash.
pub(crate) struct Account {
    pub(crate) user: User,
    pub(crate) password_hash: String,
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

fn user(row: &PgRow) -> Result<User, sqlx::Error> {
    let role: &str = row.try_get("role")?;
    Ok(User {
        id: row.try_get("id")?,
        email: row.try_get("email")?,
        name: row.try_get("name")?,
        role: role.parse().unwrap_or(Role::User),
        tenant_id: row.try_get("tenant_id")?,
        created_at: row.try_get::<jiff_sqlx::Timestamp, _>("created_at")?.to_jiff(),
        disabled_at: None,
    })
}

impl Db {
    pub(crate) async fn create_user(
        &self,
        id: Uuid,
        email: &str,
        name: &str,
        password_hash: &str,
    ) -> Result<User, RegisterError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query(
            "INSERT INTO users (id, email, name, password_hash) VALUES ($1, $2, $3, $4)
             ON CONFLICT (lower(email)) DO NOTHING
             RETURNING id, email, name, role, tenant_id, created_at",
        )
        .bind(id)
        .bind(email)
        .bind(name)
        .bind(password_hash)
        .fetch_optional(&mut *connection);
        let row = self.timed("insert", schema::USERS, query).await?.ok_or(RegisterError::EmailTaken)?;
        Ok(user(&row).map_err(DbError::from)?)
    }

    pub(crate) async fn fetch_account(&self, email: &str) -> Result<Option<Account>, DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query(
            "SELECT id, email, name, role, tenant_id, created_at, password_hash FROM users WHERE lower(email) = lower($1)",
        )
        .bind(email)
        .fetch_optional(&mut *connection);
        let row = self.timed("select", schema::USERS, query).await?;
        row.map(|row| Ok(Account { user: user(&row)?, password_hash: row.try_get("password_hash")? }))
            .transpose()
            .map_err(|cause: sqlx::Error| cause.into())
    }

    pub(crate) async fn fetch_user(&self, id: Uuid) -> Result<Option<User>, DbError> {
        let mut connection = self.acquire().await?;
        let query =
            sqlx::query("SELECT id, email, name, role, tenant_id, created_at FROM users WHERE id = $1")
                .bind(id)
                .fetch_optional(&mut *connection);
        let row = self.timed("select", schema::USERS, query).await?;
        row.as_ref().map(user).transpose().map_err(DbError::from)
    }
}
