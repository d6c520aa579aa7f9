//! Webhook endpoints, and the notifications that bring an event to each of them.

use super::{Db, DbError, push_scope_or_empty};
use crate::domain::scope::Scope;
use crate::secret::Sealed;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use nsys_contract::api::WebhookEndpoint;
use nsys_contract::schema;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, QueryBuilder, Row};
use uuid::Uuid;

const COLUMNS: &str = "tenant_id, id, url, description, event_types, header_names, previous_secret_until,
    failing_since, disabled_at, disabled_reason, version, created_by, created_at, updated_at";

/// An endpoint with its secrets.
pub(crate) struct StoredEndpoint {
    pub(crate) shown: WebhookEndpoint,
    pub(crate) sealed: Sealed,
}

/// An endpoint to be stored. An empty tenant stands for none.
pub(crate) struct NewEndpoint<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) id: Uuid,
    pub(crate) url: &'a str,
    pub(crate) description: &'a str,
    pub(crate) event_types: &'a [String],
    pub(crate) header_names: Vec<&'a str>,
    pub(crate) sealed: &'a Sealed,
    pub(crate) created_by: &'a str,
    /// The account that is told when it is disabled.
    pub(crate) owner: Option<String>,
}

/// What an endpoint becomes.
pub(crate) struct EndpointChange<'a> {
    pub(crate) url: &'a str,
    pub(crate) description: &'a str,
    pub(crate) event_types: &'a [String],
    pub(crate) header_names: Vec<&'a str>,
    pub(crate) sealed: &'a Sealed,
    pub(crate) previous_secret_until: Option<Timestamp>,
    /// `None`: it stays as it is, whatever a worker made of it meanwhile.
    pub(crate) disabled: Option<bool>,
}

fn endpoint(row: &PgRow) -> Result<WebhookEndpoint, sqlx::Error> {
    let tenant: String = row.try_get("tenant_id")?;
    let maybe = |column: &str| {
        row.try_get::<Option<jiff_sqlx::Timestamp>, _>(column).map(|at| at.map(jiff_sqlx::Timestamp::to_jiff))
    };
    let at = |column: &str| row.try_get::<jiff_sqlx::Timestamp, _>(column).map(jiff_sqlx::Timestamp::to_jiff);
    Ok(WebhookEndpoint {
        id: row.try_get("id")?,
        tenant_id: Some(tenant).filter(|tenant| !tenant.is_empty()),
        url: row.try_get("url")?,
        description: row.try_get("description")?,
        event_types: row.try_get("event_types")?,
        header_names: row.try_get("header_names")?,
        previous_secret_until: maybe("previous_secret_until")?,
        failing_since: maybe("failing_since")?,
        disabled_at: maybe("disabled_at")?,
        disabled_reason: row.try_get("disabled_reason")?,
        version: row.try_get("version")?,
        created_by: row.try_get("created_by")?,
        created_at: at("created_at")?,
        updated_at: at("updated_at")?,
    })
}

fn stored(row: &PgRow) -> Result<StoredEndpoint, sqlx::Error> {
    let sealed = Sealed { key_id: row.try_get("key_id")?, bytes: row.try_get("sealed")? };
    Ok(StoredEndpoint { shown: endpoint(row)?, sealed })
}

impl Db {
    /// Stores a new endpoint; `None` when its tenant has `most` already.
    pub(crate) async fn add_endpoint(
        &self,
        new: &NewEndpoint<'_>,
        most: u32,
    ) -> Result<Option<WebhookEndpoint>, DbError> {
        let mut connection = self.acquire().await?;
        let sql = format!(
            "INSERT INTO webhook_endpoints
                 (tenant_id, id, url, description, event_types, header_names, sealed, key_id, created_by, owner_id)
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
             WHERE (SELECT count(*) FROM webhook_endpoints WHERE tenant_id = $1) < $11
             RETURNING {COLUMNS}"
        );
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(new.tenant)
            .bind(new.id)
            .bind(new.url)
            .bind(new.description)
            .bind(new.event_types)
            .bind(&new.header_names)
            .bind(&new.sealed.bytes)
            .bind(&new.sealed.key_id)
            .bind(new.created_by)
            .bind(&new.owner)
            .bind(i64::from(most))
            .fetch_optional(&mut *connection);
        let row = self.timed("insert", schema::WEBHOOK_ENDPOINTS, query).await?;
        row.as_ref().map(endpoint).transpose().map_err(DbError::from)
    }

    /// Endpoints by tenant and id, those after one.
    pub(crate) async fn list_endpoints(
        &self,
        scope: &Scope,
        after: Option<&(String, Uuid)>,
        limit: i64,
    ) -> Result<Vec<WebhookEndpoint>, DbError> {
        let mut sql = QueryBuilder::new(format!("SELECT {COLUMNS} FROM webhook_endpoints WHERE true"));
        push_scope_or_empty(&mut sql, "tenant_id", scope);
        if let Some((tenant, id)) = after {
            sql.push(" AND (tenant_id, id) > (").push_bind(tenant).push(", ").push_bind(*id).push(")");
        }
        sql.push(" ORDER BY tenant_id, id LIMIT ").push_bind(limit);
        let mut connection = self.acquire().await?;
        let query = sql.build();
        let rows = self.timed("select", schema::WEBHOOK_ENDPOINTS, query.fetch_all(&mut *connection)).await?;
        rows.iter().map(endpoint).collect::<Result<_, sqlx::Error>>().map_err(DbError::from)
    }

    pub(crate) async fn fetch_endpoint(
        &self,
        tenant: &str,
        id: Uuid,
    ) -> Result<Option<StoredEndpoint>, DbError> {
        let mut connection = self.acquire().await?;
        let sql = format!(
            "SELECT {COLUMNS}, sealed, key_id FROM webhook_endpoints WHERE tenant_id = $1 AND id = $2"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(tenant).bind(id).fetch_optional(&mut *connection);
        let row = self.timed("select", schema::WEBHOOK_ENDPOINTS, query).await?;
        row.as_ref().map(stored).transpose().map_err(DbError::from)
    }

    /// Changes an endpoint that still has this version; `None` when it has another one, or is gone. One that is
    /// called elsewhere or let in again has not failed yet.
    pub(crate) async fn change_endpoint(
        &self,
        tenant: &str,
        id: Uuid,
        version: i32,
        change: &EndpointChange<'_>,
    ) -> Result<Option<WebhookEndpoint>, DbError> {
        let mut connection = self.acquire().await?;
        let sql = format!(
            "UPDATE webhook_endpoints SET url = $4, description = $5, event_types = $6, header_names = $7,
                 sealed = $8, key_id = $9, previous_secret_until = $10, version = version + 1, updated_at = now(),
                 failing_since = CASE WHEN url = $4 AND $11 IS DISTINCT FROM false THEN failing_since END,
                 disabled_at = CASE WHEN $11 THEN coalesce(disabled_at, now())
                     WHEN $11 IS NULL THEN disabled_at END,
                 disabled_reason = CASE WHEN $11 THEN coalesce(disabled_reason, 'by request')
                     WHEN $11 IS NULL THEN disabled_reason END
             WHERE tenant_id = $1 AND id = $2 AND version = $3 RETURNING {COLUMNS}"
        );
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(tenant)
            .bind(id)
            .bind(version)
            .bind(change.url)
            .bind(change.description)
            .bind(change.event_types)
            .bind(&change.header_names)
            .bind(&change.sealed.bytes)
            .bind(&change.sealed.key_id)
            .bind(change.previous_secret_until.map(ToSqlx::to_sqlx))
            .bind(change.disabled)
            .fetch_optional(&mut *connection);
        let row = self.timed("update", schema::WEBHOOK_ENDPOINTS, query).await?;
        row.as_ref().map(endpoint).transpose().map_err(DbError::from)
    }

    /// Deletes an endpoint with its attempts; `false` when there is none.
    pub(crate) async fn delete_endpoint(&self, tenant: &str, id: Uuid) -> Result<bool, DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query(
            "WITH attempts AS (
                 DELETE FROM webhook_attempts WHERE tenant_id = $1 AND endpoint_id = $2
             )
             DELETE FROM webhook_endpoints WHERE tenant_id = $1 AND id = $2",
        )
        .bind(tenant)
        .bind(id)
        .execute(&mut *connection);
        Ok(self.timed("delete", schema::WEBHOOK_ENDPOINTS, query).await?.rows_affected() > 0)
    }

    /// The endpoints of a tenant that are not disabled, with the event types that they take.
    pub(crate) async fn list_subscriptions(&self, tenant: &str) -> Result<Vec<(Uuid, Vec<String>)>, DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query_as(
            "SELECT id, event_types FROM webhook_endpoints WHERE tenant_id = $1 AND disabled_at IS NULL ORDER BY id",
        )
        .bind(tenant)
        .fetch_all(&mut *connection);
        self.timed("select", schema::WEBHOOK_ENDPOINTS, query).await
    }

    /// Makes the notifications that bring an event to endpoints, by the id of each and its endpoint; one that is
    /// there already stays as it is. They are due at once, and as old as the event.
    pub(crate) async fn add_deliveries(
        &self,
        event: Uuid,
        deliveries: &[(Uuid, Uuid)],
    ) -> Result<(), DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query(
            "INSERT INTO notifications (id, user_id, tenant_id, channel, type, priority, status, payload, expires_at,
                 next_attempt_at, correlation_id, causation_id, created_at, updated_at)
             SELECT t.id, n.user_id, n.tenant_id, n.channel, n.type, n.priority, 'PENDING',
                 n.payload || jsonb_build_object('endpointId', t.endpoint), n.expires_at,
                 now(), n.correlation_id, n.id::text, n.created_at, now()
             FROM notifications n, UNNEST($2::uuid[], $3::uuid[]) AS t(id, endpoint)
             WHERE n.id = $1 ON CONFLICT (id) DO NOTHING",
        )
        .bind(event)
        .bind(deliveries.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind(deliveries.iter().map(|(_, endpoint)| *endpoint).collect::<Vec<_>>())
        .execute(&mut *connection);
        self.timed("insert", schema::NOTIFICATIONS, query).await.map(drop)
    }

    /// Endpoints whose secrets are encrypted with another key than this one.
    pub(crate) async fn list_endpoints_of_other_keys(
        &self,
        key_id: &str,
        limit: i64,
    ) -> Result<Vec<StoredEndpoint>, DbError> {
        let mut connection = self.acquire().await?;
        let sql = format!(
            "SELECT {COLUMNS}, sealed, key_id FROM webhook_endpoints WHERE key_id <> $1
             ORDER BY tenant_id, id LIMIT $2"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(key_id).bind(limit).fetch_all(&mut *connection);
        let rows = self.timed("select", schema::WEBHOOK_ENDPOINTS, query).await?;
        rows.iter().map(stored).collect::<Result<_, sqlx::Error>>().map_err(DbError::from)
    }

    /// Puts what was encrypted anew in the place of what was there; `false` when that has changed meanwhile.
    pub(crate) async fn replace_sealed(
        &self,
        stored: &StoredEndpoint,
        anew: &Sealed,
    ) -> Result<bool, DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query(
            "UPDATE webhook_endpoints SET sealed = $4, key_id = $5
             WHERE tenant_id = $1 AND id = $2 AND sealed = $3",
        )
        .bind(stored.shown.tenant_id.as_deref().unwrap_or_default())
        .bind(stored.shown.id)
        .bind(&stored.sealed.bytes)
        .bind(&anew.bytes)
        .bind(&anew.key_id)
        .execute(&mut *connection);
        Ok(self.timed("update", schema::WEBHOOK_ENDPOINTS, query).await?.rows_affected() > 0)
    }
}
