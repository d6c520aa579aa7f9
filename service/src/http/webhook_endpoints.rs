//! Webhook endpoints: receivers that a tenant registers, each with a secret of its own.

use super::admin::{bad_cursor, narrowed, page, tenant_of};
use super::audit::{self, Action};
use super::endpoint::{Endpoint, delete, get, patch, post};
use super::error::Problem;
use super::etag::{self, Expected};
use super::extract::{Body, Id, OptionalBody, Query};
use super::gate::{Access, Caller};
use crate::auth::Principal;
use crate::channels::EndpointVault;
use crate::db::{EndpointChange, NewEndpoint, StoredEndpoint};
use crate::domain::Violation;
use crate::domain::draft::wrong_id;
use crate::domain::endpoint::{EndpointSecrets, violations};
use crate::http::app::App;
use axum::Json;
use axum::extract::State;
use axum::http::header::ETAG;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use jiff::{SignedDuration, Timestamp};
use nsys_contract::api::{
    IssuedWebhookEndpoint, NewWebhookEndpoint, SecretRotation, TenantQuery, TenantWebhookSecret,
    WebhookAttempt, WebhookAttemptPage, WebhookAttemptQuery, WebhookEndpoint, WebhookEndpointPage,
    WebhookEndpointQuery, WebhookEndpointUpdate, paths,
};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// Longest overlap of a rotation, in seconds: 30 days.
const MAX_OVERLAP_S: u32 = 2_592_000;
/// Tries of a change that others come before.
const TRIES: usize = 5;

type Tagged<T> = ([(HeaderName, String); 1], Json<T>);

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(paths::ENDPOINTS, Access::Operator, "List endpoints")
            .notes("Without their secrets. Operators see their tenant's.")
            .query::<WebhookEndpointQuery>()
            .gives::<WebhookEndpointPage>(200, "One page, by tenant and id")
            .by(list),
        post(paths::ENDPOINTS, Access::Operator, "Register an endpoint")
            .notes(
                "The secret is in this answer and nowhere else. A WEBHOOK notification goes to one endpoint with \
                 `endpointId` in its payload, and to every endpoint that takes it with `eventType`. Requests are \
                 signed after Standard Webhooks.",
            )
            .takes::<NewWebhookEndpoint>()
            .gives::<IssuedWebhookEndpoint>(201, "The endpoint with its secret")
            .fails(&[409, 500])
            .audited(Action::EndpointCreate)
            .by(create),
        get(paths::ENDPOINTS_TENANT_SECRET, Access::Operator, "Show the secret of webhooks that name their URL")
            .notes("Each tenant has its own, derived from `channels.webhook_secret`. That it was shown is recorded.")
            .query::<TenantQuery>()
            .gives::<TenantWebhookSecret>(200, "The secret")
            .fails(&[409])
            .audited(Action::EndpointTenantSecret)
            .by(tenant_secret),
        get(paths::ENDPOINT, Access::Operator, "Show an endpoint")
            .query::<TenantQuery>()
            .gives::<WebhookEndpoint>(200, "The endpoint; `ETag` is its version")
            .by(show),
        patch(paths::ENDPOINT, Access::Operator, "Change, disable or enable an endpoint")
            .notes("Takes effect within a second. With `If-Match` only the version named there is changed.")
            .query::<TenantQuery>()
            .takes::<WebhookEndpointUpdate>()
            .gives::<WebhookEndpoint>(200, "The endpoint as it is now")
            .fails(&[409, 412, 500])
            .audited(Action::EndpointUpdate)
            .by(update),
        delete(paths::ENDPOINT, Access::Operator, "Delete an endpoint")
            .notes("What is still to be delivered to it fails.")
            .query::<TenantQuery>()
            .gives_nothing(204, "It is gone")
            .audited(Action::EndpointDelete)
            .by(remove),
        get(paths::ENDPOINT_ATTEMPTS, Access::Operator, "Show the latest attempts at an endpoint")
            .notes("Newest first, `endpoints.attempts_kept` of them, with the beginning of each answer.")
            .query::<WebhookAttemptQuery>()
            .gives::<WebhookAttemptPage>(200, "One page")
            .by(attempts),
        post(paths::ENDPOINT_ROTATE, Access::Operator, "Give an endpoint a new secret")
            .notes("Until the overlap ends requests carry two signatures, by the new secret and by the old one.")
            .query::<TenantQuery>()
            .may_take::<SecretRotation>()
            .gives::<IssuedWebhookEndpoint>(200, "The endpoint with its new secret")
            .fails(&[409, 500])
            .audited(Action::EndpointRotate)
            .by(rotate),
    ]
}

fn tagged(endpoint: WebhookEndpoint) -> Tagged<WebhookEndpoint> {
    ([(ETAG, format!("\"{}\"", endpoint.version))], Json(endpoint))
}

/// The endpoint that a request is about.
struct Named {
    /// Empty for none.
    tenant: String,
    id: Uuid,
}

impl Named {
    fn of(caller: &Principal, id: &Id, query: TenantQuery) -> Result<Self, Problem> {
        let tenant = tenant_of(caller, query.tenant_id)?.unwrap_or_default();
        Ok(Self { tenant, id: id.uuid("endpoint")? })
    }

    /// The tenant whose audit log has what becomes of it.
    fn place(&self) -> Option<&str> {
        Some(self.tenant.as_str()).filter(|tenant| !tenant.is_empty())
    }

    fn absent(&self) -> Problem {
        Problem::not_found(format!("there is no endpoint {}", self.id))
    }

    async fn stored(&self, app: &App) -> Result<StoredEndpoint, Problem> {
        app.parts.db.fetch_endpoint(&self.tenant, self.id).await?.ok_or_else(|| self.absent())
    }
}

/// Secrets that cannot be kept or read are our own mistake.
fn broken(cause: &anyhow::Error) -> Problem {
    tracing::error!(%cause, "The secrets of an endpoint cannot be kept or read.");
    Problem::internal(format!("the secrets of the endpoint cannot be kept or read: {cause}"))
}

async fn list(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Query(query): Query<WebhookEndpointQuery>,
) -> Result<Json<WebhookEndpointPage>, Problem> {
    let after = query.cursor.as_deref().map(|text| {
        let place = page::read_cursor(text)?;
        // An id holds no line break, whatever a tenant's name holds.
        let (tenant, id) = place.rsplit_once('\n')?;
        Some((tenant.to_owned(), id.parse().ok()?))
    });
    let after = after.map(|place| place.ok_or_else(bad_cursor)).transpose()?;
    let (scope, limit) = (narrowed(&caller, query.tenant_id.as_deref())?, page::limit(query.limit));
    let read = app.parts.db.list_endpoints(&scope, after.as_ref(), limit + 1).await?;
    let place =
        |one: &WebhookEndpoint| format!("{}\n{}", one.tenant_id.as_deref().unwrap_or_default(), one.id);
    let (data, next_cursor) = page::cut(read, limit, place);
    Ok(Json(WebhookEndpointPage { has_more: next_cursor.is_some(), data, next_cursor }))
}

/// What is wrong with the fields of a request, as far as they are given.
fn wrong_fields(
    vault: &EndpointVault,
    url: Option<&str>,
    description: Option<&str>,
    event_types: Option<&[String]>,
    headers: Option<&BTreeMap<String, String>>,
) -> Vec<Violation> {
    let mut wrong = violations(url, description, event_types);
    if let Some(url) = url.filter(|_| wrong.iter().all(|wrong| wrong.pointer != "/url"))
        && let Err(detail) = vault.check_url(url)
    {
        wrong.push(Violation::new("/url", detail));
    }
    if let Some(Err(detail)) = headers.map(EndpointVault::check_headers) {
        wrong.push(Violation::new("/headers", detail));
    }
    wrong
}

fn names(headers: &BTreeMap<String, String>) -> Vec<&str> {
    headers.keys().map(String::as_str).collect()
}

async fn create(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Body(request): Body<NewWebhookEndpoint>,
) -> Result<(StatusCode, Tagged<IssuedWebhookEndpoint>), Problem> {
    let vault = &app.endpoints;
    let fields = (&request.url, &request.description, &request.event_types);
    let mut wrong =
        wrong_fields(vault, Some(fields.0), Some(fields.1), Some(fields.2), Some(&request.headers));
    if let Some(detail) = request.tenant_id.as_deref().and_then(wrong_id) {
        wrong.push(Violation::new("/tenantId", detail));
    }
    if !wrong.is_empty() {
        return Err(Problem::invalid(wrong));
    }
    let tenant = tenant_of(&caller, request.tenant_id)?.unwrap_or_default();
    let (id, secret) = (Uuid::now_v7(), EndpointVault::new_secret().map_err(|cause| broken(&cause))?);
    let secrets = EndpointSecrets { secret: secret.clone(), previous: None, headers: request.headers };
    let sealed = vault.seal(&tenant, id, &secrets).map_err(|cause| broken(&cause))?;
    let new = NewEndpoint {
        tenant: &tenant,
        id,
        url: &request.url,
        description: &request.description,
        event_types: &request.event_types,
        header_names: names(&secrets.headers),
        sealed: &sealed,
        created_by: &caller.id,
        owner: caller.owner.map(|owner| owner.to_string()),
    };
    let most = app.parts.config.endpoints.max_per_tenant;
    let full = || Problem::conflict(format!("the tenant has {most} endpoints, as many as it may have"));
    let endpoint = app.parts.db.add_endpoint(&new, most).await?.ok_or_else(full)?;
    let detail =
        json!({"url": endpoint.url, "tenantId": endpoint.tenant_id, "eventTypes": endpoint.event_types});
    audit::record(
        &app,
        &*caller,
        endpoint.tenant_id.as_deref(),
        Action::EndpointCreate,
        &id.to_string(),
        detail,
    )
    .await;
    let tag = [(ETAG, format!("\"{}\"", endpoint.version))];
    Ok((StatusCode::CREATED, (tag, Json(IssuedWebhookEndpoint { secret, endpoint }))))
}

async fn tenant_secret(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Query(query): Query<TenantQuery>,
) -> Result<Json<TenantWebhookSecret>, Problem> {
    let tenant_id = tenant_of(&caller, query.tenant_id)?;
    let secret = app.endpoints.tenant_secret(tenant_id.as_deref()).ok_or_else(|| {
        Problem::conflict("channels.webhook_secret is empty: each process signs with a secret of its own")
    })?;
    let detail = json!({ "tenantId": tenant_id });
    audit::record(
        &app,
        &*caller,
        tenant_id.as_deref(),
        Action::EndpointTenantSecret,
        tenant_id.as_deref().unwrap_or_default(),
        detail,
    )
    .await;
    Ok(Json(TenantWebhookSecret { tenant_id, secret }))
}

async fn show(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    id: Id,
    Query(query): Query<TenantQuery>,
) -> Result<Tagged<WebhookEndpoint>, Problem> {
    Ok(tagged(Named::of(&caller, &id, query)?.stored(&app).await?.shown))
}

fn stale() -> Problem {
    Problem::new(StatusCode::PRECONDITION_FAILED, "the endpoint has a different version")
}

/// Changes an endpoint by what `changed_secrets` makes of its secrets, and until when the old one goes on
/// signing.
async fn change(
    app: &App,
    named: &Named,
    expected: &Expected<i32>,
    update: &WebhookEndpointUpdate,
    changed_secrets: impl Fn(EndpointSecrets) -> (EndpointSecrets, Option<Timestamp>),
) -> Result<WebhookEndpoint, Problem> {
    for _ in 0..TRIES {
        let StoredEndpoint { shown, sealed } = named.stored(app).await?;
        if matches!(expected, Expected::OneOf(versions) if !versions.contains(&shown.version)) {
            return Err(stale());
        }
        let vault = &app.endpoints;
        let secrets = vault.unseal(&named.tenant, named.id, &sealed).map_err(|cause| broken(&cause))?;
        let (secrets, previous_secret_until) = changed_secrets(secrets);
        let sealed = vault.seal(&named.tenant, named.id, &secrets).map_err(|cause| broken(&cause))?;
        let change = EndpointChange {
            url: update.url.as_ref().unwrap_or(&shown.url),
            description: update.description.as_ref().unwrap_or(&shown.description),
            event_types: update.event_types.as_ref().unwrap_or(&shown.event_types),
            header_names: names(&secrets.headers),
            sealed: &sealed,
            previous_secret_until: previous_secret_until.or(shown.previous_secret_until),
            disabled: update.disabled,
        };
        let changed = app.parts.db.change_endpoint(&named.tenant, named.id, shown.version, &change).await?;
        if let Some(endpoint) = changed {
            return Ok(endpoint);
        }
    }
    Err(Problem::in_flight("the endpoint is changed by others at the same time"))
}

async fn update(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    id: Id,
    Query(query): Query<TenantQuery>,
    headers: HeaderMap,
    Body(update): Body<WebhookEndpointUpdate>,
) -> Result<Tagged<WebhookEndpoint>, Problem> {
    let named = Named::of(&caller, &id, query)?;
    let expected = etag::expected(&headers, |text| text.parse().ok());
    let fields = (update.url.as_deref(), update.description.as_deref(), update.event_types.as_deref());
    let wrong = wrong_fields(&app.endpoints, fields.0, fields.1, fields.2, update.headers.as_ref());
    if !wrong.is_empty() {
        return Err(Problem::invalid(wrong));
    }
    let changed_secrets = |secrets: EndpointSecrets| {
        let headers = update.headers.clone().unwrap_or_else(|| secrets.headers.clone());
        (EndpointSecrets { headers, ..secrets }, None)
    };
    let endpoint = change(&app, &named, &expected, &update, changed_secrets).await?;
    let detail = json!({
        "tenantId": endpoint.tenant_id, "version": endpoint.version, "url": update.url, "disabled": update.disabled,
        "eventTypes": update.event_types, "headerNames": update.headers.as_ref().map(names),
    });
    audit::record(&app, &*caller, named.place(), Action::EndpointUpdate, &id.0, detail).await;
    Ok(tagged(endpoint))
}

async fn remove(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    id: Id,
    Query(query): Query<TenantQuery>,
) -> Result<StatusCode, Problem> {
    let named = Named::of(&caller, &id, query)?;
    if !app.parts.db.delete_endpoint(&named.tenant, named.id).await? {
        return Err(named.absent());
    }
    audit::record(
        &app,
        &*caller,
        named.place(),
        Action::EndpointDelete,
        &id.0,
        json!({"tenantId": named.tenant}),
    )
    .await;
    Ok(StatusCode::NO_CONTENT)
}

async fn attempts(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    id: Id,
    Query(query): Query<WebhookAttemptQuery>,
) -> Result<Json<WebhookAttemptPage>, Problem> {
    let named = Named::of(&caller, &id, TenantQuery { tenant_id: query.tenant_id })?;
    named.stored(&app).await?;
    let before = query.cursor.as_deref().map(|text| page::read_cursor(text).and_then(|id| id.parse().ok()));
    let before = before.map(|id| id.ok_or_else(bad_cursor)).transpose()?;
    let limit = page::limit(query.limit);
    let read = app.parts.db.list_endpoint_attempts(&named.tenant, named.id, before, limit + 1).await?;
    let (data, next_cursor) = page::cut(read, limit, |one: &WebhookAttempt| one.id.to_string());
    Ok(Json(WebhookAttemptPage { has_more: next_cursor.is_some(), data, next_cursor }))
}

async fn rotate(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    id: Id,
    Query(query): Query<TenantQuery>,
    OptionalBody(request): OptionalBody<SecretRotation>,
) -> Result<Tagged<IssuedWebhookEndpoint>, Problem> {
    let named = Named::of(&caller, &id, query)?;
    let overlap = match request.overlap_seconds {
        Some(seconds) if seconds > MAX_OVERLAP_S => {
            return Err(Problem::field("/overlapSeconds", format!("must be at most {MAX_OVERLAP_S}")));
        }
        Some(seconds) => SignedDuration::from_secs(i64::from(seconds)),
        None => SignedDuration::try_from(app.parts.config.endpoints.secret_overlap).unwrap_or_default(),
    };
    let now = crate::clock::now();
    let secret = EndpointVault::new_secret().map_err(|cause| broken(&cause))?;
    let changed_secrets = |secrets: EndpointSecrets| {
        (
            secrets.rotated(secret.clone(), overlap.is_positive()),
            Some(now.saturating_add(overlap).unwrap_or(now)),
        )
    };
    let endpoint =
        change(&app, &named, &Expected::Any, &WebhookEndpointUpdate::default(), changed_secrets).await?;
    let detail =
        json!({"tenantId": endpoint.tenant_id, "previousSecretUntil": endpoint.previous_secret_until});
    audit::record(&app, &*caller, named.place(), Action::EndpointRotate, &id.0, detail).await;
    let tag = [(ETAG, format!("\"{}\"", endpoint.version))];
    Ok((tag, Json(IssuedWebhookEndpoint { secret, endpoint })))
}
