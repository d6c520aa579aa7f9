//! API keys: credentials for programs, shown once.

use super::admin::narrowed;
use super::audit::{self, Action};
use super::endpoint::{Endpoint, delete, get, post};
use super::error::Problem;
use super::extract::{Body, Id, shortened};
use super::gate::{Access, Caller};
use crate::auth::generate_api_key;
use crate::domain::Violation;
use crate::domain::account::wrong_name;
use crate::domain::draft::wrong_id;
use crate::http::app::App;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use nsys_contract::api::{ApiKey, ApiKeyList, IssuedApiKey, NewApiKey, paths};
use nsys_contract::status::Role;
use std::sync::Arc;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(paths::ADMIN_API_KEYS, Access::Operator, "List API keys")
            .notes("Operators see those of their tenant.")
            .gives::<ApiKeyList>(200, "The keys, newest first, without their secrets")
            .by(list),
        post(paths::ADMIN_API_KEYS, Access::Operator, "Issue an API key")
            .notes(
                "The secret is in this answer and nowhere else. A key never has more rights than the account that \
                 issued it, and ends with it; one that was issued with a key ends with that.",
            )
            .takes::<NewApiKey>()
            .gives::<IssuedApiKey>(201, "The key with its secret")
            .audited(Action::ApiKeyIssue)
            .by(issue),
        delete(paths::ADMIN_API_KEY, Access::Operator, "Revoke an API key")
            .notes("Refused by every replica within seconds.")
            .gives_nothing(204, "It is revoked")
            .audited(Action::ApiKeyRevoke)
            .by(revoke),
    ]
}

async fn list(State(app): State<Arc<App>>, Caller(caller): Caller) -> Result<Json<ApiKeyList>, Problem> {
    Ok(Json(ApiKeyList { data: app.parts.db.list_api_keys(&caller.scope()).await? }))
}

async fn issue(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Body(request): Body<NewApiKey>,
) -> Result<(StatusCode, Json<IssuedApiKey>), Problem> {
    let now = crate::clock::now();
    let mut wrong = Vec::new();
    if let Some(detail) = wrong_name(&request.name) {
        wrong.push(Violation::new("/name", detail));
    }
    if request.expires_at.is_some_and(|at| at <= now) {
        wrong.push(Violation::new("/expiresAt", "must be in the future"));
    }
    if let Some(detail) = request.tenant_id.as_deref().and_then(wrong_id) {
        wrong.push(Violation::new("/tenantId", detail));
    }
    if !wrong.is_empty() {
        return Err(Problem::invalid(wrong));
    }
    let role = request.role.unwrap_or(Role::User);
    if role > caller.role {
        return Err(Problem::forbidden("a key cannot have more rights than its issuer"));
    }
    narrowed(&caller, request.tenant_id.as_deref())?;
    let fresh = generate_api_key().map_err(|cause| {
        tracing::error!(%cause, "An API key could not be made.");
        Problem::internal("the key could not be generated")
    })?;
    let key = ApiKey {
        id: fresh.id,
        name: request.name,
        role,
        tenant_id: request.tenant_id.or_else(|| caller.tenant.clone()),
        created_by: caller.id.clone(),
        created_at: now,
        expires_at: request.expires_at,
        last_used_at: None,
        revoked_at: None,
    };
    app.parts.db.add_api_key(&key, &fresh.hash).await?;
    let detail = serde_json::json!({"name": key.name, "role": key.role, "tenantId": key.tenant_id});
    audit::record(&app, &*caller, key.tenant_id.as_deref(), Action::ApiKeyIssue, &key.id, detail).await;
    Ok((StatusCode::CREATED, Json(IssuedApiKey { secret: fresh.text, key })))
}

async fn revoke(State(app): State<Arc<App>>, Caller(caller): Caller, id: Id) -> Result<StatusCode, Problem> {
    let Some(tenant) = app.parts.db.revoke_api_key(&id.0, &caller.scope()).await? else {
        return Err(Problem::not_found(format!("there is no API key {} to revoke", shortened(&id.0))));
    };
    app.auth.changed(&id.0);
    app.parts.cache.announce_change(&id.0).await;
    let detail = serde_json::json!({});
    audit::record(&app, &*caller, tenant.as_deref(), Action::ApiKeyRevoke, &id.0, detail).await;
    Ok(StatusCode::NO_CONTENT)
}
