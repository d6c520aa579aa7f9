//! What users want to receive, and when.

use super::admin::tenant_of;
use super::audit::{self, Action};
use super::endpoint::{Endpoint, get, put};
use super::error::Problem;
use super::extract::{Body, Id, Query};
use super::gate::{Access, Caller};
use crate::domain::draft::wrong_id;
use crate::domain::preferences::violations;
use crate::http::app::App;
use axum::Json;
use axum::extract::State;
use nsys_contract::api::{Preferences, PreferencesUpdate, TenantQuery, paths};
use std::sync::Arc;
use std::time::Duration;

/// Wait before Redis is asked once more to forget.
const FORGET_PAUSE: Duration = Duration::from_secs(1);

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(paths::PREFERENCES, Access::User, "Show a user's preferences")
            .notes("A user without any gets the defaults: nothing muted, never quiet, UTC.")
            .query::<TenantQuery>()
            .gives::<Preferences>(200, "The preferences")
            .fails(&[403])
            .by(show),
        put(paths::PREFERENCES, Access::User, "Replace a user's preferences")
            .notes("They hold for what is delivered from now on, also for what was accepted before.")
            .query::<TenantQuery>()
            .takes::<PreferencesUpdate>()
            .gives::<Preferences>(200, "The preferences as they are now")
            .fails(&[403])
            .audited(Action::PreferencesReplace)
            .by(replace),
    ]
}

async fn show(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Id(user_id): Id,
    Query(query): Query<TenantQuery>,
) -> Result<Json<Preferences>, Problem> {
    let tenant = tenant_of(&caller, query.tenant_id)?;
    if wrong_id(&user_id).is_some() {
        return Err(Problem::not_found("no user can have this id"));
    }
    Ok(Json(app.parts.db.fetch_preferences(tenant.as_deref(), &user_id).await?))
}

async fn replace(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Id(user_id): Id,
    Query(query): Query<TenantQuery>,
    Body(update): Body<PreferencesUpdate>,
) -> Result<Json<Preferences>, Problem> {
    let tenant = tenant_of(&caller, query.tenant_id)?;
    if wrong_id(&user_id).is_some() {
        return Err(Problem::not_found("no user can have this id"));
    }
    let wrong = violations(&update);
    if !wrong.is_empty() {
        return Err(Problem::invalid(wrong));
    }
    let detail = serde_json::to_value(&update).unwrap_or_default();
    let stored = app.parts.db.put_preferences(tenant.as_deref(), &user_id, &update).await?;
    if !app.parts.cache.forget_recipient(tenant.as_deref(), &user_id).await {
        tokio::spawn(forget(Arc::clone(&app), tenant.clone(), user_id.clone()));
    }
    audit::record(&app, &*caller, tenant.as_deref(), Action::PreferencesReplace, &user_id, detail).await;
    Ok(Json(stored))
}

/// Makes Redis forget what it had when it did not answer: otherwise it would tell it again when it does, for as long
/// as it keeps it.
async fn forget(app: Arc<App>, tenant: Option<String>, user_id: String) {
    let cache = &app.parts.cache;
    let until = tokio::time::Instant::now() + cache.recipient_ttl();
    while tokio::time::Instant::now() < until {
        tokio::time::sleep(FORGET_PAUSE).await;
        if cache.forget_recipient(tenant.as_deref(), &user_id).await {
            return;
        }
    }
}
