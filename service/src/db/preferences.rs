//! What users want: read for delivery, shown and replaced.

use super::{Db, DbError};
use crate::domain::recipient::Recipient;
use jiff_sqlx::{Time, ToSqlx};
use nsys_contract::api::{Mute, Preferences, PreferencesUpdate, QuietHours};
use nsys_contract::schema;
use serde::Deserialize;
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::JsonValue;

/// Whom a notification is for: tenant (empty: none) and user.
pub(crate) type RecipientKey = (String, String);

impl Db {
    /// The preferences of these users; those without any are left out.
    pub(crate) async fn fetch_recipients(
        &self,
        keys: &[RecipientKey],
    ) -> Result<Vec<(RecipientKey, Recipient)>, DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query(
            "SELECT tenant_id, user_id, timezone, quiet_from, quiet_to, muted FROM preferences
             WHERE (tenant_id, user_id) IN (SELECT * FROM UNNEST($1::text[], $2::text[]))",
        )
        .bind(keys.iter().map(|(tenant, _)| tenant.as_str()).collect::<Vec<_>>())
        .bind(keys.iter().map(|(_, user)| user.as_str()).collect::<Vec<_>>())
        .fetch_all(&mut *connection);
        let rows = self.timed("select", schema::PREFERENCES, query).await?;
        // What nobody can read is told, and is as if it were not there: it must not hold up everybody else.
        Ok(super::rows::each(schema::PREFERENCES, &rows, recipient)
            .into_iter()
            .filter_map(Result::ok)
            .collect())
    }

    /// A user's preferences; the defaults when there are none.
    pub(crate) async fn fetch_preferences(
        &self,
        tenant: Option<&str>,
        user: &str,
    ) -> Result<Preferences, DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query(
            "SELECT timezone, quiet_from, quiet_to, muted, updated_at FROM preferences
             WHERE tenant_id = $1 AND user_id = $2",
        )
        .bind(tenant.unwrap_or_default())
        .bind(user)
        .fetch_optional(&mut *connection);
        let row = self.timed("select", schema::PREFERENCES, query).await?;
        let stored = row.as_ref().map(|row| preferences(row, tenant, user)).transpose()?;
        Ok(stored.unwrap_or_else(|| Preferences {
            user_id: user.to_owned(),
            tenant_id: tenant.map(str::to_owned),
            timezone: "UTC".to_owned(),
            quiet_hours: None,
            muted: Vec::new(),
            updated_at: None,
        }))
    }

    /// Replaces a user's preferences. Times that are none of the day are not stored: check them before.
    pub(crate) async fn put_preferences(
        &self,
        tenant: Option<&str>,
        user: &str,
        update: &PreferencesUpdate,
    ) -> Result<Preferences, DbError> {
        let quiet = update.quiet_hours.as_ref();
        let quiet = quiet.and_then(|quiet| quiet.from.parse().ok().zip(quiet.to.parse().ok()));
        let (from, to): (Option<jiff::civil::Time>, Option<jiff::civil::Time>) = quiet.unzip();
        let mut connection = self.acquire().await?;
        let query = sqlx::query(
            "INSERT INTO preferences (tenant_id, user_id, timezone, quiet_from, quiet_to, muted)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (tenant_id, user_id) DO UPDATE SET timezone = excluded.timezone,
                 quiet_from = excluded.quiet_from, quiet_to = excluded.quiet_to, muted = excluded.muted, updated_at = now()
             RETURNING timezone, quiet_from, quiet_to, muted, updated_at",
        )
        .bind(tenant.unwrap_or_default())
        .bind(user)
        .bind(update.timezone.as_deref().unwrap_or("UTC"))
        .bind(from.map(ToSqlx::to_sqlx))
        .bind(to.map(ToSqlx::to_sqlx))
        .bind(serde_json::to_value(&update.muted).unwrap_or_default())
        .fetch_one(&mut *connection);
        let row = self.timed("insert", schema::PREFERENCES, query).await?;
        Ok(preferences(&row, tenant, user)?)
    }
}

fn time(row: &PgRow, column: &str) -> Result<Option<jiff::civil::Time>, sqlx::Error> {
    row.try_get::<Option<Time>, _>(column).map(|at| at.map(Time::to_jiff))
}

/// An entry that this build does not know mutes nothing.
fn muted(row: &PgRow) -> Result<Vec<Mute>, sqlx::Error> {
    let entries: JsonValue = row.try_get("muted")?;
    let entries = entries.as_array().into_iter().flatten();
    Ok(entries.filter_map(|entry| Mute::deserialize(entry).ok()).collect())
}

fn recipient(row: &PgRow) -> Result<(RecipientKey, Recipient), sqlx::Error> {
    let recipient = Recipient {
        timezone: row.try_get("timezone")?,
        quiet: time(row, "quiet_from")?.zip(time(row, "quiet_to")?),
        muted: muted(row)?,
    };
    Ok(((row.try_get("tenant_id")?, row.try_get("user_id")?), recipient))
}

fn preferences(row: &PgRow, tenant: Option<&str>, user: &str) -> Result<Preferences, sqlx::Error> {
    let minutes = |at: jiff::civil::Time| format!("{:02}:{:02}", at.hour(), at.minute());
    let quiet = time(row, "quiet_from")?.zip(time(row, "quiet_to")?);
    let updated: jiff_sqlx::Timestamp = row.try_get("updated_at")?;
    Ok(Preferences {
        user_id: user.to_owned(),
        tenant_id: tenant.map(str::to_owned),
        timezone: row.try_get("timezone")?,
        quiet_hours: quiet.map(|(from, to)| QuietHours { from: minutes(from), to: minutes(to) }),
        muted: muted(row)?,
        updated_at: Some(updated.to_jiff()),
    })
}
