//! The signing keys of tokens that are not in a file.

use super::{Db, DbError};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use nsys_contract::schema;
use sqlx::Row;
use sqlx::postgres::PgRow;

/// One signing key.
pub(crate) struct SigningKeyRow {
    pub(crate) kid: String,
    pub(crate) public: Vec<u8>,
    /// The private key, sealed; `None` for the key that is in the file.
    pub(crate) sealed: Option<Vec<u8>>,
    pub(crate) created_at: Timestamp,
    pub(crate) active_from: Option<Timestamp>,
    pub(crate) revoked_at: Option<Timestamp>,
}

fn signing_key(row: &PgRow) -> Result<SigningKeyRow, sqlx::Error> {
    let maybe = |column: &str| {
        row.try_get::<Option<jiff_sqlx::Timestamp>, _>(column).map(|at| at.map(jiff_sqlx::Timestamp::to_jiff))
    };
    Ok(SigningKeyRow {
        kid: row.try_get("kid")?,
        public: row.try_get("public_key")?,
        sealed: row.try_get("sealed")?,
        created_at: row.try_get::<jiff_sqlx::Timestamp, _>("created_at")?.to_jiff(),
        active_from: maybe("active_from")?,
        revoked_at: maybe("revoked_at")?,
    })
}

impl Db {
    /// The keys; long past ones are left out.
    pub(crate) async fn list_signing_keys(&self) -> Result<Vec<SigningKeyRow>, DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query(
            "SELECT kid, public_key, sealed, created_at, active_from, revoked_at FROM signing_keys
             ORDER BY active_from DESC NULLS LAST LIMIT 100",
        )
        .fetch_all(&mut *connection);
        let rows = self.timed("select", schema::SIGNING_KEYS, query).await?;
        rows.iter().map(signing_key).collect::<Result<_, sqlx::Error>>().map_err(DbError::from)
    }

    /// Adds a key, and the file's own for the record. With `revoke_old` every other key is refused
    /// from now on.
    pub(crate) async fn add_signing_key(
        &self,
        new: &SigningKeyRow,
        first: &SigningKeyRow,
        revoke_old: bool,
    ) -> Result<(), DbError> {
        let query = async {
            let mut transaction = self.main.inner().begin().await?;
            for key in [first, new] {
                sqlx::query(
                    "INSERT INTO signing_keys (kid, public_key, sealed, created_at, active_from)
                     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (kid) DO NOTHING",
                )
                .bind(&key.kid)
                .bind(&key.public)
                .bind(&key.sealed)
                .bind(key.created_at.to_sqlx())
                .bind(key.active_from.map(ToSqlx::to_sqlx))
                .execute(&mut *transaction)
                .await?;
            }
            if revoke_old {
                sqlx::query("UPDATE signing_keys SET revoked_at = $2 WHERE kid <> $1 AND revoked_at IS NULL")
                    .bind(&new.kid)
                    .bind(new.created_at.to_sqlx())
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await
        };
        self.timed("insert", schema::SIGNING_KEYS, query).await
    }
}
