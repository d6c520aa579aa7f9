//! Accounts and tokens.

use super::audit::{self, Action, Actor};
use super::client_address::ClientAddress;
use super::endpoint::{Endpoint, get, post};
use super::error::Problem;
use super::extract::Body;
use super::gate::{Access, Caller};
use crate::auth::{hash_password, password_fits};
use crate::db::{NewUser, RegisterError};
use crate::domain::account::{self, MAX_EMAIL_BYTES, MAX_PASSWORD_CHARS};
use crate::domain::limit::Decision;
use crate::http::app::App;
use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderName, StatusCode};
use nsys_contract::api::{Login, Register, TokenGrant, User, paths};
use nsys_contract::status::Role;
use std::sync::{Arc, LazyLock};
use uuid::Uuid;

/// Checked when the account does not exist, so that both cases take the same time.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash_password("nobody").unwrap_or_default());

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        post(paths::REGISTER, Access::Public, "Create an account")
            .notes("The account gets the role USER and a tenant of its own; an admin can change both.")
            .takes::<Register>()
            .gives::<TokenGrant>(201, "The account and a token for it")
            .fails(&[403, 409, 429])
            .audited(Action::UserRegister)
            .by(register),
        post(paths::LOGIN, Access::Public, "Exchange a password for a token")
            .takes::<Login>()
            .gives::<TokenGrant>(200, "A token")
            .fails(&[401, 429])
            .unaudited("a token changes nothing, and ends by itself")
            .by(login),
        get(paths::ME, Access::User, "Show the caller's account")
            .notes("An API key has no account of its own: 403.")
            .gives::<User>(200, "The account")
            .fails(&[403])
            .by(me),
        get(paths::JWKS, Access::Public, "The public keys that tokens are checked with")
            .notes("A JSON Web Key Set (RFC 7517). A new key is published before it signs.")
            .gives_plain(200, "The keys", super::endpoint::JSON)
            .by(jwks),
    ]
}

async fn register(
    State(app): State<Arc<App>>,
    ClientAddress(from): ClientAddress,
    Body(request): Body<Register>,
) -> Result<(StatusCode, Json<TokenGrant>), Problem> {
    if !app.parts.config.auth.open_registration.is_on() {
        return Err(Problem::forbidden("registration is closed"));
    }
    let wrong = account::violations(&request.email, &request.password, &request.name);
    if !wrong.is_empty() {
        return Err(Problem::invalid(wrong));
    }
    if let Decision::Wait(wait) = app.auth.attempts.register(from).begin() {
        app.parts.metrics.shed("registrations");
        return Err(Problem::too_many("too many accounts were registered recently", wait));
    }
    if app.auth.is_reserved(&app.parts.db.fold_email(&request.email).await?) {
        return Err(Problem::forbidden(
            "this address is reserved: only an administrator can create its account",
        ));
    }
    let id = Uuid::now_v7();
    let tenant = id.to_string();
    let hash = hashed(&app, request.password).await?;
    let new = NewUser {
        id,
        email: &request.email,
        name: &request.name,
        password_hash: &hash,
        role: Role::User,
        tenant_id: &tenant,
    };
    let user = create(&app, &new).await?;
    let actor = Actor { id: &user.id.to_string(), name: &user.email };
    let detail = serde_json::json!({"email": user.email});
    audit::record(&app, actor, user.tenant_id.as_deref(), Action::UserRegister, &user.id.to_string(), detail)
        .await;
    Ok((StatusCode::CREATED, grant(&app, user)?))
}

/// Creates an account, or says that its address is in use.
pub(super) async fn create(app: &App, new: &NewUser<'_>) -> Result<User, Problem> {
    app.parts.db.create_user(new).await.map_err(|cause| match cause {
        RegisterError::EmailTaken => Problem::conflict("an account with this e-mail address already exists"),
        RegisterError::Db(cause) => cause.into(),
    })
}

/// The hash of a password, computed off the async threads.
pub(super) async fn hashed(app: &App, password: String) -> Result<String, Problem> {
    off_thread(app, move || hash_password(&password)).await?.map_err(|cause| {
        tracing::error!(%cause, "A password could not be hashed.");
        Problem::unavailable("passwords cannot be hashed right now")
    })
}

async fn login(
    State(app): State<Arc<App>>,
    ClientAddress(from): ClientAddress,
    Body(request): Body<Login>,
) -> Result<Json<TokenGrant>, Problem> {
    let wrong = || Problem::unauthorized("the e-mail address or the password is wrong");
    // No account has such an address or such a password.
    if request.email.len() > MAX_EMAIL_BYTES || request.password.chars().count() > MAX_PASSWORD_CHARS {
        return Err(wrong());
    }
    let too_many = |what: &str, wait| {
        app.parts.metrics.shed("login_attempts");
        Problem::too_many(format!("too many sign-in attempts {what}"), wait)
    };
    let by_address = app.auth.attempts.sign_in_from(from);
    if let Decision::Wait(wait) = by_address.begin() {
        return Err(too_many("from this address", wait));
    }
    let found = app.parts.db.fetch_account(&request.email).await.inspect_err(|_| by_address.forgive())?;
    // Counted by account, not by spelling: the database decides which addresses are one.
    let whose = found.account.as_ref().map_or(found.folded_email, |account| account.user.id.to_string());
    let by_account = app.auth.attempts.sign_in_to(&whose, from);
    if let Decision::Wait(wait) = by_account.begin() {
        return Err(too_many("for this account", wait));
    }
    let account = found.account;
    let hash = account.as_ref().map(|account| account.password_hash.clone());
    let fits = off_thread(&app, move || {
        password_fits(&request.password, hash.as_deref().unwrap_or_else(|| NOBODY.as_str()))
    });
    let forgive = || {
        by_address.forgive();
        by_account.forgive();
    };
    let fits = fits.await.inspect_err(|_| forgive())?;
    match account {
        Some(account) if fits && account.user.disabled_at.is_none() => {
            forgive();
            app.auth.attempts.signed_in(&whose, from);
            grant(&app, account.user)
        }
        _ => Err(wrong()),
    }
}

async fn me(State(app): State<Arc<App>>, Caller(caller): Caller) -> Result<Json<User>, Problem> {
    let Some(id) = caller.account else {
        return Err(Problem::forbidden("an API key has no account of its own"));
    };
    let user = app.parts.db.fetch_user(id).await?;
    user.map(Json).ok_or_else(|| Problem::unauthorized("the account no longer exists"))
}

async fn jwks(State(app): State<Arc<App>>) -> ([(HeaderName, &'static str); 1], Json<serde_json::Value>) {
    // Shorter than the time for which a new key is only published.
    ([(CACHE_CONTROL, "public, max-age=15")], Json(app.auth.keyring.jwks()))
}

fn grant(app: &App, user: User) -> Result<Json<TokenGrant>, Problem> {
    let (access_token, expires_in) = app.auth.issue(&user).map_err(|cause| {
        tracing::error!(%cause, "A token could not be signed.");
        Problem::internal("the token could not be signed")
    })?;
    Ok(Json(TokenGrant { access_token, token_type: "Bearer".to_owned(), expires_in, user }))
}

/// Runs password work off the async threads, a bounded number at once.
async fn off_thread<T: Send + 'static>(
    app: &App,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let Some(permit) = app.concurrency.acquire_for_password().await else {
        app.parts.metrics.shed("passwords");
        return Err(Problem::overloaded("too many passwords are being checked"));
    };
    let work = move || {
        let _permit = permit;
        work()
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| Problem::unavailable("the service is stopping"))
}
