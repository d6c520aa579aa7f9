//! Dead letters as operators see them: listed, shown, sent again by filter, deleted.

use super::super::lifecycle::REVIVE;
use super::super::rows::{Read, each};
use super::super::{Db, DbError, member};
use crate::domain::scope::Scope;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff_sqlx::ToSqlx;
use nsys_contract::api::{DeadLetter, DeadLetterFilter, RedriveAnswer};
use nsys_contract::schema;
use nsys_contract::status::Channel;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row};
use std::collections::BTreeMap;
use uuid::Uuid;

/// How many dead letters of each tenant were changed.
pub(crate) type Reached = BTreeMap<Option<String>, u64>;

/// Dead letters changed in one transaction.
const BATCH: i64 = 1_000;
const COLUMNS: &str =
    "id, notification_id, tenant_id, user_id, channel, reason, error, attempts, created_at, redriven_at";
/// Those that nobody has sent again, or is about to.
const OPEN: &str = " AND redriven_at IS NULL AND redrive_at IS NULL";

impl Db {
    /// Dead letters that fit, newest first, those before `before` (an id); with `all`, those sent again too.
    pub(crate) async fn list_dead_letters(
        &self,
        filter: &DeadLetterFilter,
        all: bool,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<Read<DeadLetter>>, DbError> {
        let mut sql = QueryBuilder::<Postgres>::new(format!("SELECT {COLUMNS} FROM dead_letters WHERE true"));
        fitting(&mut sql, filter);
        if !all {
            sql.push(" AND redriven_at IS NULL");
        }
        if let Some(before) = before {
            sql.push(" AND id < ").push_bind(before);
        }
        sql.push(" ORDER BY id DESC LIMIT ").push_bind(limit);
        let mut connection = self.acquire_for_list(&scope(filter)).await?;
        let rows =
            self.timed("select", schema::DEAD_LETTERS, sql.build().fetch_all(&mut *connection)).await?;
        Ok(each(schema::DEAD_LETTERS, &rows, letter))
    }

    /// One dead letter with its message.
    pub(crate) async fn fetch_dead_letter(&self, id: i64) -> Result<Option<DeadLetter>, DbError> {
        let mut connection = self.acquire().await?;
        let sql = format!("SELECT {COLUMNS}, raw FROM dead_letters WHERE id = $1");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id).fetch_optional(&mut *connection);
        let Some(row) = self.timed("select", schema::DEAD_LETTERS, query).await? else { return Ok(None) };
        let raw: Vec<u8> = row.try_get("raw").map_err(DbError::from)?;
        let message = serde_json::from_slice(&raw).unwrap_or_else(|_| STANDARD.encode(&raw).into());
        let letter = letter(&row).map_err(DbError::from)?;
        Ok(Some(DeadLetter { message: Some(message), ..letter }))
    }

    /// How many open dead letters fit.
    pub(crate) async fn count_dead_letters(&self, filter: &DeadLetterFilter) -> Result<u64, DbError> {
        let mut sql = QueryBuilder::<Postgres>::new("SELECT count(*) FROM dead_letters WHERE true");
        fitting(&mut sql, filter);
        sql.push(OPEN);
        let mut connection = self.acquire_for_list(&scope(filter)).await?;
        let query = sql.build_query_scalar::<i64>().fetch_one(&mut *connection);
        let count = self.timed("select", schema::DEAD_LETTERS, query).await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Sends up to `limit` open dead letters again, so many a second: their notifications begin a new round of
    /// attempts, and what could not be decoded goes back on the log. Nothing is sent here; each is due at
    /// its own instant, and the workers take it from there.
    pub(crate) async fn redrive(
        &self,
        filter: &DeadLetterFilter,
        rate: u32,
        limit: u64,
        by: &str,
        reached: &mut Reached,
    ) -> Result<RedriveAnswer, DbError> {
        let matched = self.count_dead_letters(filter).await?;
        let mut done = 0;
        while done < limit.min(matched) {
            let size = BATCH.min(i64::try_from(limit - done).unwrap_or(BATCH));
            let redriven = self.redrive_batch(filter, rate, done, size, by, reached).await?;
            if redriven == 0 {
                break;
            }
            done += redriven;
        }
        Ok(RedriveAnswer { matched, done, remaining: matched.saturating_sub(done), dry_run: false })
    }

    async fn redrive_batch(
        &self,
        filter: &DeadLetterFilter,
        rate: u32,
        before: u64,
        size: i64,
        by: &str,
        reached: &mut Reached,
    ) -> Result<u64, DbError> {
        let wait = |place: usize| (before as f64 + place as f64) / f64::from(rate.max(1));
        let redrive = async {
            let mut transaction = self.main.inner().begin().await?;
            let mut sql = QueryBuilder::<Postgres>::new(
                "SELECT id, notification_id, tenant_id FROM dead_letters WHERE true",
            );
            fitting(&mut sql, filter);
            sql.push(OPEN).push(" ORDER BY id LIMIT ").push_bind(size).push(" FOR UPDATE SKIP LOCKED");
            let found: Vec<(i64, Option<Uuid>, Option<String>)> =
                sql.build_query_as().fetch_all(&mut *transaction).await?;
            let places = found.iter().enumerate();
            let (ids, waits): (Vec<Uuid>, Vec<f64>) =
                places.clone().filter_map(|(place, (_, id, _))| Some(((*id)?, wait(place)))).unzip();
            sqlx::query(REVIVE).bind(ids).bind(waits).bind(by).execute(&mut *transaction).await?;
            let (letters, waits): (Vec<i64>, Vec<f64>) =
                places.map(|(place, (letter, ..))| (*letter, wait(place))).unzip();
            // A dead letter whose notification is gone, or was settled otherwise, is closed too.
            sqlx::query(
                "UPDATE dead_letters d SET redrive_at = now() + make_interval(secs => t.wait_s),
                     redriven_at = CASE WHEN d.notification_id IS NOT NULL THEN now() END
                 FROM UNNEST($1::bigint[], $2::float8[]) AS t(id, wait_s)
                 WHERE d.id = t.id AND d.redriven_at IS NULL",
            )
            .bind(letters)
            .bind(waits)
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(found)
        };
        let found = self.timed("update", schema::DEAD_LETTERS, redrive).await?;
        let done = found.len() as u64;
        count_by_tenant(reached, found.into_iter().map(|(_, _, tenant)| tenant));
        Ok(done)
    }

    /// Deletes the dead letters that fit, those sent again too. Their notifications stay as they are.
    pub(crate) async fn purge_dead_letters(
        &self,
        filter: &DeadLetterFilter,
        reached: &mut Reached,
    ) -> Result<(), DbError> {
        loop {
            let mut sql = QueryBuilder::<Postgres>::new(
                "DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters WHERE true",
            );
            fitting(&mut sql, filter);
            sql.push(" LIMIT ").push_bind(BATCH).push(") RETURNING tenant_id");
            let mut connection = self.acquire().await?;
            let query = sql.build_query_scalar::<Option<String>>().fetch_all(&mut *connection);
            let deleted = self.timed("delete", schema::DEAD_LETTERS, query).await?;
            if deleted.is_empty() {
                return Ok(());
            }
            count_by_tenant(reached, deleted.into_iter());
        }
    }
}

fn count_by_tenant(reached: &mut Reached, tenants: impl Iterator<Item = Option<String>>) {
    for tenant in tenants {
        *reached.entry(tenant).or_default() += 1;
    }
}

/// Whose dead letters a filter asks for.
fn scope(filter: &DeadLetterFilter) -> Scope {
    filter.tenant_id.clone().map_or(Scope::All, |tenant| Scope::Tenant(Some(tenant)))
}

/// Adds a filter's conditions.
fn fitting(sql: &mut QueryBuilder<Postgres>, filter: &DeadLetterFilter) {
    if !filter.ids.is_empty() {
        sql.push(" AND id = ANY(").push_bind(&filter.ids).push(")");
    }
    if let Some(reason) = &filter.reason {
        sql.push(" AND reason = ").push_bind(reason);
    }
    if let Some(channel) = filter.channel {
        sql.push(" AND channel = ").push_bind(channel.as_str());
    }
    if let Some(tenant) = &filter.tenant_id {
        sql.push(" AND tenant_id = ").push_bind(tenant);
    }
    if let Some(from) = filter.from {
        sql.push(" AND created_at >= ").push_bind(from.to_sqlx());
    }
    if let Some(to) = filter.to {
        sql.push(" AND created_at < ").push_bind(to.to_sqlx());
    }
}

fn letter(row: &PgRow) -> Result<DeadLetter, sqlx::Error> {
    let channel: Option<&str> = row.try_get("channel")?;
    Ok(DeadLetter {
        id: row.try_get("id")?,
        notification_id: row.try_get("notification_id")?,
        tenant_id: row.try_get("tenant_id")?,
        user_id: row.try_get("user_id")?,
        channel: if channel.is_some() { Some(member::<Channel>(row, "channel")?) } else { None },
        reason: row.try_get("reason")?,
        error: row.try_get("error")?,
        attempts: row.try_get("attempts")?,
        created_at: row.try_get::<jiff_sqlx::Timestamp, _>("created_at")?.to_jiff(),
        redriven_at: row
            .try_get::<Option<jiff_sqlx::Timestamp>, _>("redriven_at")?
            .map(jiff_sqlx::Timestamp::to_jiff),
        message: None,
    })
}
