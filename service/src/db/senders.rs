//! Sender identities.

use super::{Db, DbError, member, push_scope_or_empty};
use crate::domain::scope::Scope;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use nsys_contract::api::SenderIdentity;
use nsys_contract::schema;
use nsys_contract::status::Channel;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, QueryBuilder, Row};
use uuid::Uuid;

const COLUMNS: &str = "id, tenant_id, channel, sender, verified_at, created_by, created_at";
/// Most identities of one tenant.
const MAX_OF_TENANT: i64 = 100;
/// Most wrong codes of one identity.
const MAX_ATTEMPTS: i32 = 5;

/// An identity to be registered.
pub(crate) struct NewSender<'a> {
    pub(crate) id: Uuid,
    pub(crate) tenant: Option<&'a str>,
    pub(crate) channel: Channel,
    pub(crate) sender: &'a str,
    pub(crate) created_by: &'a str,
    /// What verifies it, and until when; `None`: it is verified already.
    pub(crate) code: Option<(&'a [u8], Timestamp)>,
}

/// What became of a code.
pub(crate) enum Verification {
    Verified(SenderIdentity),
    /// It is another one, or too late.
    Wrong,
    /// There is no identity within reach that a code is expected for.
    Absent,
}

fn identity(row: &PgRow) -> Result<SenderIdentity, sqlx::Error> {
    let tenant: String = row.try_get("tenant_id")?;
    let verified: Option<jiff_sqlx::Timestamp> = row.try_get("verified_at")?;
    Ok(SenderIdentity {
        id: row.try_get("id")?,
        tenant_id: (!tenant.is_empty()).then_some(tenant),
        channel: member(row, "channel")?,
        sender: row.try_get("sender")?,
        verified_at: verified.map(jiff_sqlx::Timestamp::to_jiff),
        created_by: row.try_get("created_by")?,
        created_at: row.try_get::<jiff_sqlx::Timestamp, _>("created_at")?.to_jiff(),
    })
}

impl Db {
    /// Whether a tenant may send in this name.
    pub(crate) async fn is_verified_sender(
        &self,
        tenant: Option<&str>,
        channel: Channel,
        sender: &str,
    ) -> Result<bool, DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM sender_identities
                 WHERE tenant_id = $1 AND channel = $2 AND sender = $3 AND verified_at IS NOT NULL)",
        )
        .bind(tenant.unwrap_or_default())
        .bind(channel.as_str())
        .bind(sender)
        .fetch_one(&mut *connection);
        self.timed("select", schema::SENDER_IDENTITIES, query).await
    }

    /// The identities within reach.
    pub(crate) async fn list_senders(&self, scope: &Scope) -> Result<Vec<SenderIdentity>, DbError> {
        let mut sql = QueryBuilder::new(format!("SELECT {COLUMNS} FROM sender_identities WHERE true"));
        push_scope_or_empty(&mut sql, "tenant_id", scope);
        sql.push(" ORDER BY channel, sender, id LIMIT 1000");
        let mut connection = self.acquire_for_list(scope).await?;
        let query = sql.build();
        let rows = self.timed("select", schema::SENDER_IDENTITIES, query.fetch_all(&mut *connection)).await?;
        rows.iter().map(identity).collect::<Result<_, sqlx::Error>>().map_err(DbError::from)
    }

    /// Registers an identity. One that waits for its code gets the new one; `None` when it is verified already, or
    /// the tenant has as many as it may have.
    pub(crate) async fn add_sender(&self, new: &NewSender<'_>) -> Result<Option<SenderIdentity>, DbError> {
        let mut connection = self.acquire().await?;
        let sql = format!(
            "INSERT INTO sender_identities AS s
                 (id, tenant_id, channel, sender, created_by, code_hash, code_expires_at, verified_at)
             SELECT $1, $2, $3, $4, $5, $6, $7, CASE WHEN $6::bytea IS NULL THEN now() END
             WHERE (SELECT count(*) FROM sender_identities WHERE tenant_id = $2) < {MAX_OF_TENANT}
             ON CONFLICT (tenant_id, channel, sender) DO UPDATE
                 SET id = excluded.id, created_by = excluded.created_by, created_at = now(), code_attempts = 0,
                     code_hash = excluded.code_hash, code_expires_at = excluded.code_expires_at,
                     verified_at = excluded.verified_at
                 WHERE s.verified_at IS NULL
             RETURNING {COLUMNS}"
        );
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(new.id)
            .bind(new.tenant.unwrap_or_default())
            .bind(new.channel.as_str())
            .bind(new.sender)
            .bind(new.created_by)
            .bind(new.code.map(|(hash, _)| hash))
            .bind(new.code.map(|(_, until)| until.to_sqlx()))
            .fetch_optional(&mut *connection);
        let row = self.timed("insert", schema::SENDER_IDENTITIES, query).await?;
        row.as_ref().map(identity).transpose().map_err(DbError::from)
    }

    /// Takes a code for an identity within reach. Each one that is wrong counts.
    pub(crate) async fn verify_sender(
        &self,
        id: Uuid,
        scope: &Scope,
        code_hash: &[u8],
    ) -> Result<Verification, DbError> {
        let mut sql = QueryBuilder::new(
            "UPDATE sender_identities SET code_attempts = code_attempts + 1,
                 verified_at = CASE WHEN code_expires_at > now() AND code_hash = ",
        );
        sql.push_bind(code_hash).push(" THEN now() END WHERE verified_at IS NULL AND id = ").push_bind(id);
        sql.push(" AND code_attempts < ").push_bind(MAX_ATTEMPTS);
        push_scope_or_empty(&mut sql, "tenant_id", scope);
        sql.push(format_args!(" RETURNING {COLUMNS}"));
        let mut connection = self.acquire().await?;
        let query = sql.build();
        let row =
            self.timed("update", schema::SENDER_IDENTITIES, query.fetch_optional(&mut *connection)).await?;
        Ok(match row.as_ref().map(identity).transpose()? {
            None => Verification::Absent,
            Some(identity) if identity.verified_at.is_some() => Verification::Verified(identity),
            Some(_) => Verification::Wrong,
        })
    }

    /// Deletes an identity within reach, and tells what it was.
    pub(crate) async fn delete_sender(
        &self,
        id: Uuid,
        scope: &Scope,
    ) -> Result<Option<SenderIdentity>, DbError> {
        let mut sql = QueryBuilder::new("DELETE FROM sender_identities WHERE id = ");
        sql.push_bind(id);
        push_scope_or_empty(&mut sql, "tenant_id", scope);
        sql.push(format_args!(" RETURNING {COLUMNS}"));
        let mut connection = self.acquire().await?;
        let query = sql.build();
        let row =
            self.timed("delete", schema::SENDER_IDENTITIES, query.fetch_optional(&mut *connection)).await?;
        row.as_ref().map(identity).transpose().map_err(DbError::from)
    }
}
