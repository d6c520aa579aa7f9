//! Accounts and tokens.

use super::error::{Body, Problem};
use super::layers::Caller;
use crate::app::App;
use crate::auth::{hash_password, password_fits};
use crate::db::RegisterError;
use crate::domain::Violation;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use nsys_contract::api::{Login, Register, TokenGrant, User, paths};
use std::sync::{Arc, LazyLock};
use uuid::Uuid;

/// Checked when the account does not exist, so that both cases take the same time.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash_password("nobody").unwrap_or_default());

pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route(paths::REGISTER, post(register))
        .route(paths::LOGIN, post(login))
        .route(paths::ME, get(me))
        .route("/.well-known/jwks.json", get(jwks))
}

async fn register(
    State(app): State<Arc<App>>,
    Body(request): Body<Register>,
) -> Result<(StatusCode, Json<TokenGrant>), Problem> {
    if !app.config.auth.open_registration {
        return Err(Problem::new(StatusCode::FORBIDDEN, "registration is closed"));
    }
    let wrong = wrong_fields(&request);
    if !wrong.is_empty() {
        return Err(Problem::invalid(wrong));
    }
    let hash = off_thread(&app, move || hash_password(&request.password)).await?.map_err(|cause| {
        tracing::error!(%cause, "A password could not be hashed.");
        Problem::unavailable("passwords cannot be hashed now")
    })?;
    let created = app.db.create_user(Uuid::now_v7(), &request.email, &request.name, &hash).await;
    let user = created.map_err(|cause| match cause {
        RegisterError::EmailTaken => {
            Problem::new(StatusCode::CONFLICT, "there is an account with this address")
        }
        RegisterError::Db(cause) => cause.into(),
    })?;
    Ok((StatusCode::CREATED, grant(&app, user)?))
}

async fn login(State(app): State<Arc<App>>, Body(request): Body<Login>) -> Result<Json<TokenGrant>, Problem> {
    let account = app.db.fetch_account(&request.email).await?;
    let hash = account.as_ref().map_or_else(|| NOBODY.clone(), |account| account.password_hash.clone());
    let fits = off_thread(&app, move || password_fits(&request.password, &hash)).await?;
    match account {
        Some(account) if fits => grant(&app, account.user),
        _ => Err(Problem::unauthorized("the address or the password is wrong")),
    }
}

async fn me(State(app): State<Arc<App>>, Caller(claims): Caller) -> Result<Json<User>, Problem> {
    let user = app.db.fetch_user(claims.sub).await?;
    user.map(Json).ok_or_else(|| Problem::unauthorized("the account is gone"))
}

async fn jwks(State(app): State<Arc<App>>) -> Json<serde_json::Value> {
    Json(app.tokens.jwks())
}

fn grant(app: &App, user: User) -> Result<Json<TokenGrant>, Problem> {
    let issued = app.tokens.issue(user.id, &user.email, user.role, user.tenant_id.as_deref());
    let (access_token, expires_in) = issued.map_err(|cause| {
        tracing::error!(%cause, "A token could not be signed.");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the token could not be signed")
    })?;
    Ok(Json(TokenGrant { access_token, token_type: "Bearer".to_owned(), expires_in, user }))
}

/// Runs password work off the async threads, a bounded number at once.
async fn off_thread<T: Send + 'static>(
    app: &App,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let Ok(_permit) = app.hashers.acquire().await else {
        return Err(Problem::unavailable("the service is stopping"));
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| Problem::unavailable("the service is stopping"))
}

fn wrong_fields(request: &Register) -> Vec<Violation> {
    let at = request.email.find('@');
    let email_ok = at.is_some_and(|at| at > 0 && request.email[at..].len() > 1)
        && request.email.len() <= 254
        && !request.email.chars().any(|c| c.is_whitespace() || c.is_control());
    let checks = [
        ("/email", email_ok, "must be an e-mail address"),
        ("/password", (6..=100).contains(&request.password.chars().count()), "must have 6 to 100 characters"),
        (
            "/name",
            (2..=100).contains(&request.name.chars().count()) && !request.name.contains('\0'),
            "must have 2 to 100 characters",
        ),
    ];
    checks
        .into_iter()
        .filter(|(_, ok, _)| !ok)
        .map(|(pointer, _, detail)| Violation { pointer, detail: detail.to_owned() })
        .collect()
}
