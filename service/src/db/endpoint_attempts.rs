//! Attempts at webhook endpoints: the log of the latest, and what they say of an endpoint's health.

use super::delivery::{column, count, ms, sparse};
use super::{Db, DbError};
use crate::domain::endpoint::AttemptResult;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use nsys_contract::api::WebhookAttempt;
use nsys_contract::schema;
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::time::Duration;
use uuid::Uuid;

/// One attempt at an endpoint. An empty tenant stands for none.
#[derive(Clone, Debug)]
pub(crate) struct EndpointAttempt {
    pub(crate) tenant: String,
    pub(crate) endpoint: Uuid,
    pub(crate) notification: Uuid,
    /// The `webhook-id`.
    pub(crate) message: Uuid,
    /// Counted from 1.
    pub(crate) number: u32,
    pub(crate) at: Timestamp,
    pub(crate) took: Duration,
    pub(crate) result: AttemptResult,
    /// `None` when there was no answer.
    pub(crate) status: Option<u16>,
    pub(crate) error: Option<String>,
    /// The beginning of the answer's body.
    pub(crate) answer: Option<String>,
}

/// Endpoints by tenant and id.
pub(crate) type EndpointKey = (String, Uuid);

/// An endpoint that was disabled just now.
pub(crate) struct DisabledEndpoint {
    pub(crate) id: Uuid,
    pub(crate) reason: String,
}

fn attempt(row: &PgRow) -> Result<WebhookAttempt, sqlx::Error> {
    Ok(WebhookAttempt {
        id: row.try_get("id")?,
        notification_id: row.try_get("notification_id")?,
        message_id: row.try_get("message_id")?,
        attempt: row.try_get("attempt")?,
        started_at: row.try_get::<jiff_sqlx::Timestamp, _>("started_at")?.to_jiff(),
        duration_ms: row.try_get("duration_ms")?,
        status: row.try_get("status")?,
        error: row.try_get("error")?,
        answer: row.try_get("answer")?,
    })
}

fn tenants(keys: &[EndpointKey]) -> Vec<&str> {
    column(keys, |(tenant, _)| tenant.as_str())
}

fn ids(keys: &[EndpointKey]) -> Vec<Uuid> {
    column(keys, |(_, id)| *id)
}

impl Db {
    /// Adds attempts to the log.
    pub(crate) async fn log_endpoint_attempts(&self, made: &[EndpointAttempt]) -> Result<(), DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query(
            "INSERT INTO webhook_attempts (tenant_id, endpoint_id, notification_id, message_id, attempt, started_at,
                 duration_ms, status, error, answer)
             SELECT * FROM UNNEST($1::text[], $2::uuid[], $3::uuid[], $4::uuid[], $5::int[], $6::timestamptz[],
                 $7::real[], $8::smallint[], $9::text[], $10::text[])",
        )
        .bind(column(made, |one| one.tenant.as_str()))
        .bind(column(made, |one| one.endpoint))
        .bind(column(made, |one| one.notification))
        .bind(column(made, |one| one.message))
        .bind(column(made, |one| count(one.number)))
        .bind(column(made, |one| one.at.to_sqlx()))
        .bind(column(made, |one| ms(one.took)))
        .bind(sparse(made, |one| one.status.and_then(|status| i16::try_from(status).ok())))
        .bind(sparse(made, |one| one.error.as_deref()))
        .bind(sparse(made, |one| one.answer.as_deref()))
        .execute(&mut *connection);
        self.timed("insert", schema::WEBHOOK_ATTEMPTS, query).await.map(drop)
    }

    /// Notes that endpoints work: whatever failed before, they are not failing.
    pub(crate) async fn note_working_endpoints(&self, working: &[EndpointKey]) -> Result<(), DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query(
            "UPDATE webhook_endpoints e SET failing_since = NULL
             FROM UNNEST($1::text[], $2::uuid[]) AS t(tenant_id, id)
             WHERE e.tenant_id = t.tenant_id AND e.id = t.id AND e.failing_since IS NOT NULL",
        )
        .bind(tenants(working))
        .bind(ids(working))
        .execute(&mut *connection);
        self.timed("update", schema::WEBHOOK_ENDPOINTS, query).await.map(drop)
    }

    /// Notes that endpoints fail, and disables those that have for `longest` (zero: none), or say that they are
    /// `gone`. That is recorded in the audit log, and whoever registered the endpoint finds it in the inbox.
    pub(crate) async fn note_failing_endpoints(
        &self,
        failing: &[EndpointKey],
        gone: &[EndpointKey],
        longest: Duration,
    ) -> Result<Vec<DisabledEndpoint>, DbError> {
        let mut connection = self.acquire().await?;
        let all: Vec<_> = failing.iter().chain(gone).cloned().collect();
        let query = sqlx::query(
            "WITH noted AS (
                 SELECT t.tenant_id, t.id, t.gone, CASE
                         WHEN t.gone THEN 'it answered 410 Gone'
                         WHEN $4 > 0 AND e.failing_since < now() - make_interval(secs => $4)
                             THEN 'every attempt has failed since '
                                 || to_char(e.failing_since AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
                     END AS reason
                 FROM UNNEST($1::text[], $2::uuid[], $3::bool[]) AS t(tenant_id, id, gone)
                 JOIN webhook_endpoints e USING (tenant_id, id) WHERE e.disabled_at IS NULL
             ), changed AS (
                 UPDATE webhook_endpoints e SET failing_since = coalesce(e.failing_since, now()),
                     disabled_at = CASE WHEN n.reason IS NOT NULL THEN now() END, disabled_reason = n.reason
                 FROM noted n WHERE e.tenant_id = n.tenant_id AND e.id = n.id AND e.disabled_at IS NULL
                     AND (e.failing_since IS NULL OR n.reason IS NOT NULL)
                 RETURNING e.tenant_id, e.id, e.url, e.owner_id, e.disabled_reason
             ), disabled AS MATERIALIZED (
                 SELECT * FROM changed WHERE disabled_reason IS NOT NULL
             ), recorded AS (
                 INSERT INTO audit_log (actor_id, actor, tenant_id, action, target, detail)
                 SELECT 'worker', 'worker', nullif(tenant_id, ''), 'endpoint.disable', id::text,
                     jsonb_build_object('reason', disabled_reason, 'url', url)
                 FROM disabled
             ), told AS (
                 INSERT INTO notifications (id, user_id, tenant_id, channel, type, priority, status, payload,
                     next_attempt_at, created_at, updated_at)
                 SELECT gen_random_uuid(), owner_id, nullif(tenant_id, ''), 'IN_APP', 'ALERT', 'HIGH', 'PENDING',
                     jsonb_build_object('title', 'A webhook endpoint was disabled', 'endpointId', id, 'url', url,
                         'message', 'Nothing is sent to ' || url || ' any more: ' || disabled_reason),
                     now(), now(), now()
                 FROM disabled WHERE owner_id IS NOT NULL
             )
             SELECT id, disabled_reason FROM disabled",
        )
        .bind(tenants(&all))
        .bind(ids(&all))
        .bind((0..all.len()).map(|place| place >= failing.len()).collect::<Vec<_>>())
        .bind(longest.as_secs_f64())
        .fetch_all(&mut *connection);
        let rows = self.timed("update", schema::WEBHOOK_ENDPOINTS, query).await?;
        let disabled = |row: &PgRow| {
            Ok(DisabledEndpoint { id: row.try_get("id")?, reason: row.try_get("disabled_reason")? })
        };
        rows.iter().map(disabled).collect::<Result<_, sqlx::Error>>().map_err(DbError::from)
    }

    /// Deletes all but the latest `kept` attempts at each of these endpoints.
    pub(crate) async fn trim_endpoint_attempts(
        &self,
        endpoints: &[EndpointKey],
        kept: u32,
    ) -> Result<(), DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query(
            "WITH old AS MATERIALIZED (
                 SELECT t.tenant_id, t.id, last.id AS upto
                 FROM UNNEST($1::text[], $2::uuid[]) AS t(tenant_id, id), LATERAL (
                     SELECT a.id FROM webhook_attempts a WHERE a.tenant_id = t.tenant_id AND a.endpoint_id = t.id
                     ORDER BY a.id DESC OFFSET $3 LIMIT 1) AS last
             )
             DELETE FROM webhook_attempts a USING old
             WHERE a.tenant_id = old.tenant_id AND a.endpoint_id = old.id AND a.id <= old.upto",
        )
        .bind(tenants(endpoints))
        .bind(ids(endpoints))
        .bind(i64::from(kept))
        .execute(&mut *connection);
        self.timed("delete", schema::WEBHOOK_ATTEMPTS, query).await.map(drop)
    }

    /// Deletes up to `limit` attempts older than `age`. Returns how many.
    pub(crate) async fn delete_old_endpoint_attempts(
        &self,
        age: Duration,
        limit: u32,
    ) -> Result<u64, DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query(
            "DELETE FROM webhook_attempts WHERE ctid = ANY(ARRAY(
                 SELECT ctid FROM webhook_attempts WHERE started_at < now() - make_interval(secs => $1) LIMIT $2))",
        )
        .bind(age.as_secs_f64())
        .bind(i64::from(limit))
        .execute(&mut *connection);
        Ok(self.timed("delete", schema::WEBHOOK_ATTEMPTS, query).await?.rows_affected())
    }

    /// The attempts at an endpoint, newest first, those before one.
    pub(crate) async fn list_endpoint_attempts(
        &self,
        tenant: &str,
        endpoint: Uuid,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<WebhookAttempt>, DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query(
            "SELECT id, notification_id, message_id, attempt, started_at, duration_ms, status, error, answer
             FROM webhook_attempts WHERE tenant_id = $1 AND endpoint_id = $2 AND id < $3
             ORDER BY id DESC LIMIT $4",
        )
        .bind(tenant)
        .bind(endpoint)
        .bind(before.unwrap_or(i64::MAX))
        .bind(limit)
        .fetch_all(&mut *connection);
        let rows = self.timed("select", schema::WEBHOOK_ATTEMPTS, query).await?;
        rows.iter().map(attempt).collect::<Result<_, sqlx::Error>>().map_err(DbError::from)
    }
}
