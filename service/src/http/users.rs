//! Accounts, as admins see and change them.

use super::admin::{bad_cursor, narrowed, page};
use super::audit::{self, Action};
use super::auth;
use super::endpoint::{Endpoint, get, patch, post};
use super::error::Problem;
use super::extract::{Body, Id, Query};
use super::gate::{Access, Caller};
use crate::db::{NewUser, UserFilter};
use crate::domain::Violation;
use crate::domain::account::{violations, wrong_name};
use crate::domain::draft::wrong_id;
use crate::http::app::App;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use nsys_contract::api::{AccountUpdate, NewAccount, User, UserPage, UserQuery, paths};
use nsys_contract::status::Role;
use std::sync::Arc;
use uuid::Uuid;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(paths::ADMIN_USERS, Access::Admin, "List accounts")
            .query::<UserQuery>()
            .gives::<UserPage>(200, "One page, by id")
            .by(list),
        post(paths::ADMIN_USERS, Access::Admin, "Create an account with a role and a tenant")
            .takes::<NewAccount>()
            .gives::<User>(201, "The account")
            .fails(&[409])
            .audited(Action::UserCreate)
            .by(create),
        get(paths::ADMIN_USER, Access::Admin, "Show an account").gives::<User>(200, "The account").by(show),
        patch(paths::ADMIN_USER, Access::Admin, "Change an account's role, tenant, name or state")
            .notes("Takes effect at once, for its tokens and the API keys it issued; within a minute where Redis is away.")
            .takes::<AccountUpdate>()
            .gives::<User>(200, "The account as it is now")
            .fails(&[409])
            .audited(Action::UserUpdate)
            .by(update),
    ]
}

async fn list(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Query(query): Query<UserQuery>,
) -> Result<Json<UserPage>, Problem> {
    let after = query.cursor.as_deref().map(|text| page::read_cursor(text).and_then(|id| id.parse().ok()));
    let limit = page::limit(query.limit);
    let filter = UserFilter {
        scope: narrowed(&caller, query.tenant_id.as_deref())?,
        email: query.email,
        role: query.role,
        after: after.map(|id: Option<Uuid>| id.ok_or_else(bad_cursor)).transpose()?,
        limit: limit + 1,
    };
    let users = app.parts.db.list_users(&filter).await?;
    let (data, next_cursor) = page::cut(users, limit, |user: &User| user.id.to_string());
    Ok(Json(UserPage { has_more: next_cursor.is_some(), data, next_cursor }))
}

async fn create(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Body(request): Body<NewAccount>,
) -> Result<(StatusCode, Json<User>), Problem> {
    let mut wrong = violations(&request.email, &request.password, &request.name);
    if let Some(detail) = request.tenant_id.as_deref().and_then(wrong_id) {
        wrong.push(Violation::new("/tenantId", detail));
    }
    if !wrong.is_empty() {
        return Err(Problem::invalid(wrong));
    }
    let id = Uuid::now_v7();
    let own = id.to_string();
    let hash = auth::hashed(&app, request.password).await?;
    let new = NewUser {
        id,
        email: &request.email,
        name: &request.name,
        password_hash: &hash,
        role: request.role.unwrap_or(Role::User),
        tenant_id: request.tenant_id.as_deref().unwrap_or(&own),
    };
    let user = auth::create(&app, &new).await?;
    let detail = serde_json::json!({"email": user.email, "role": user.role, "tenantId": user.tenant_id});
    let (tenant, id) = (user.tenant_id.as_deref(), user.id.to_string());
    audit::record(&app, &*caller, tenant, Action::UserCreate, &id, detail).await;
    Ok((StatusCode::CREATED, Json(user)))
}

async fn show(State(app): State<Arc<App>>, id: Id) -> Result<Json<User>, Problem> {
    let user = app.parts.db.fetch_user(id.uuid("account")?).await?;
    user.map(Json).ok_or_else(|| Problem::not_found(format!("there is no account {}", id.0)))
}

async fn update(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    id: Id,
    Body(update): Body<AccountUpdate>,
) -> Result<Json<User>, Problem> {
    let account = id.uuid("account")?;
    let mut wrong = Vec::new();
    if let Some(detail) = update.tenant_id.as_deref().and_then(wrong_id) {
        wrong.push(Violation::new("/tenantId", detail));
    }
    if let Some(detail) = update.name.as_deref().and_then(wrong_name) {
        wrong.push(Violation::new("/name", detail));
    }
    if !wrong.is_empty() {
        return Err(Problem::invalid(wrong));
    }
    let loses_rights = update.disabled == Some(true) || update.role.is_some_and(|role| role != Role::Admin);
    if caller.account == Some(account) && loses_rights {
        return Err(Problem::conflict("admins cannot remove their own rights; another admin can"));
    }
    let absent = || Problem::not_found(format!("there is no account {}", id.0));
    let before = app.parts.db.fetch_user(account).await?.ok_or_else(absent)?;
    let user = app.parts.db.update_user(account, &update).await?.ok_or_else(absent)?;
    // This replica knows at once, the others as soon as they hear of it, or look again.
    app.auth.changed(&user.id.to_string());
    app.parts.cache.announce_change(&user.id.to_string()).await;
    let detail = serde_json::to_value(&update).unwrap_or_default();
    // Who moves from one tenant to another has gone from the one and come to the other.
    let mut places = vec![(user.tenant_id.clone(), detail.clone())];
    if before.tenant_id != user.tenant_id {
        places.push((before.tenant_id, detail));
    }
    audit::record_each(&app, &*caller, Action::UserUpdate, &id.0, places).await;
    Ok(Json(user))
}
