//! What users want, read for delivery.

use super::{Db, DbError};
use crate::domain::recipient::Recipient;
use jiff_sqlx::Time;
use nsys_contract::schema;
use nsys_contract::status::{Channel, NotificationType};
use serde::Deserialize;
use sqlx::Row;
use sqlx::postgres::PgRow;

/// One entry of the column `muted`.
#[derive(Deserialize)]
struct Mute {
    channel: Option<Channel>,
    #[serde(rename = "type")]
    kind: Option<NotificationType>,
}

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
        rows.iter().map(recipient).collect::<Result<_, sqlx::Error>>().map_err(DbError::from)
    }
}

fn recipient(row: &PgRow) -> Result<(RecipientKey, Recipient), sqlx::Error> {
    let time = |column: &str| row.try_get::<Option<Time>, _>(column).map(|at| at.map(Time::to_jiff));
    // An entry that this build does not know mutes nothing.
    let muted: sqlx::types::JsonValue = row.try_get("muted")?;
    let muted = muted.as_array().into_iter().flatten();
    let muted = muted.filter_map(|entry| Mute::deserialize(entry).ok()).map(|mute| (mute.channel, mute.kind));
    let recipient = Recipient {
        timezone: row.try_get("timezone")?,
        quiet: time("quiet_from")?.zip(time("quiet_to")?),
        muted: muted.collect(),
    };
    Ok(((row.try_get("tenant_id")?, row.try_get("user_id")?), recipient))
}
