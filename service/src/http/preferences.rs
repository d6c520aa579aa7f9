//! What users want to receive, and when.

use super::admin::tenant_of;
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
    let stored = app.parts.db.put_preferences(tenant.as_deref(), &user_id, &update).await?;
    app.parts.cache.forget_recipient(tenant.as_deref(), &user_id).await;
    Ok(Json(stored))
}
