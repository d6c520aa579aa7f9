//! The accounts that nsys works with: the load-test account, and those whose passwords are kept here.

use super::Stack;
use crate::clients::api::{self, Api};
use crate::clients::postgres::Postgres;
use crate::error::{Error, ErrorKind, Result};
use crate::permit::ChangePermit;
use argon2::{Argon2, PasswordHasher};
use nsys_contract::api::TokenGrant;
use nsys_contract::status::Role;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// Account that load tests use; an administrator, exempt from rate limits.
pub const LOADTEST_USER: &str = "loadtest@example.com";

/// The name of the secret that holds an account's password.
#[must_use]
pub fn account_secret(email: &str) -> String {
    if email.eq_ignore_ascii_case(LOADTEST_USER) {
        return PASSWORD.into();
    }
    let readable = |one: char| if one.is_ascii_alphanumeric() || one == '-' { one } else { '_' };
    let name: String = email.to_lowercase().chars().map(readable).collect();
    // Two addresses may read alike.
    let digest: String =
        Sha256::digest(email.to_lowercase()).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("user-{name}-{digest}")
}

/// Name of the file with the load-test account's password.
const PASSWORD: &str = "loadtest-user";

/// A token of an administrator: the one that the configuration gives for a stack that runs elsewhere, or the
/// load-test account's. Makes and promotes no account.
///
/// # Errors
/// Refused when there is no such account here, or it is not an administrator; when the API does not answer.
pub async fn loadtest_user(stack: &Stack) -> Result<String> {
    let given = &stack.loaded.config.external.api_token;
    if stack.runtime.is_elsewhere() && !given.is_empty() {
        return Ok(given.clone());
    }
    let missing = |why: &str| {
        let hint = if stack.runtime.is_elsewhere() {
            "give a token of an administrator in NSYS_EXTERNAL__API_TOKEN, or have one made: nsys user bootstrap"
        } else {
            "nsys up makes it"
        };
        Err(Error::refused(format!("{LOADTEST_USER} {why}")).hint(hint))
    };
    let Some(password) = stack.layout.known_secret(PASSWORD)? else {
        return missing("has no password here: nsys did not create it on this stack");
    };
    match sign_in_for_load(stack, &password).await? {
        Some(grant) if grant.user.role == Role::Admin => Ok(grant.access_token),
        Some(_) => missing("is not an administrator"),
        None => missing("is not known to the API"),
    }
}

/// The same after the account was made an administrator, or made at all, where it is not one.
///
/// # Errors
/// When the API or the database refuses.
pub async fn make_loadtest_user(permit: &ChangePermit, stack: &Stack) -> Result<String> {
    let password = stack.layout.secret(PASSWORD)?;
    let known = sign_in_for_load(stack, &password).await?;
    if known.as_ref().is_none_or(|grant| grant.user.role != Role::Admin) {
        let mut database = Postgres::connect(&stack.database_url()?, Duration::from_secs(15)).await?;
        match known {
            Some(_) => database.promote(permit, LOADTEST_USER).await?,
            // Nobody can register it, whether or not registration is open: its address has no rate limit.
            None => {
                let hash = hashed(password).await?;
                database.add_administrator(permit, LOADTEST_USER, "Load test", &hash).await?;
            }
        }
    }
    loadtest_user(stack).await
}

/// The hash of a password as the service reads it: argon2id in PHC format, which says itself how it was made.
async fn hashed(password: String) -> Result<String> {
    let work = move || Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string());
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(hash)) => Ok(hash),
        Ok(Err(cause)) => Err(Error::failed(format!("cannot hash a password: {cause}"))),
        Err(cause) => Err(Error::failed(format!("cannot hash a password: {cause}"))),
    }
}

/// Signs the load-test account in; absent when the API does not know it by this password.
async fn sign_in_for_load(stack: &Stack, password: &str) -> Result<Option<TokenGrant>> {
    match api::sign_in(&stack.endpoints.api_url(), LOADTEST_USER, password).await {
        Ok(grant) => Ok(Some(grant)),
        Err(error) if error.kind == ErrorKind::Refused => Ok(None),
        Err(error) => Err(error),
    }
}

/// The service's API, called as the load-test account.
///
/// # Errors
/// As [`loadtest_user`].
pub async fn operator_api(stack: &Stack) -> Result<Api> {
    let token = loadtest_user(stack).await.map_err(or_health)?;
    Ok(Api::new(stack.endpoints.api_url(), token))
}

/// What went wrong, with a look at the health as the next command where none is named.
#[must_use]
pub fn or_health(error: Error) -> Error {
    if error.hint.is_some() { error } else { error.hint("nsys health") }
}

/// The API, called as this account.
///
/// # Errors
/// When the account's password is not known here, or it cannot sign in.
pub async fn api_as(stack: &Stack, email: Option<&str>) -> Result<Api> {
    match email {
        None => operator_api(stack).await,
        Some(email) => {
            let grant = sign_in(stack, email, None).await?;
            Ok(Api::new(stack.endpoints.api_url(), grant.access_token))
        }
    }
}

/// Signs an account in, with this password or the one that is kept here.
///
/// # Errors
/// When no password is known, or the API refuses it.
pub async fn sign_in(stack: &Stack, email: &str, password: Option<String>) -> Result<TokenGrant> {
    let password = match password {
        Some(password) => password,
        None => stack.layout.known_secret(&account_secret(email))?.ok_or_else(|| {
            Error::refused(format!("the password of {email} is not known here"))
                .hint("give it with --password-stdin, or create the account with: nsys user add")
        })?,
    };
    api::sign_in(&stack.endpoints.api_url(), email, &password).await
}
