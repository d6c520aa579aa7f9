//! The signing keys of tokens: seen and rotated by admins.

use super::audit::{self, Action};
use super::endpoint::{Endpoint, get, post};
use super::error::Problem;
use super::extract::OptionalBody;
use super::gate::{Access, Caller};
use crate::auth::RotateError;
use crate::http::app::App;
use axum::Json;
use axum::extract::State;
use nsys_contract::api::{KeyRotation, SigningKeys, paths};
use std::sync::Arc;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(paths::ADMIN_KEYS, Access::Admin, "List the signing keys whose tokens are accepted")
            .gives::<SigningKeys>(200, "The keys, newest first")
            .by(list),
        post(paths::ADMIN_KEYS_ROTATE, Access::Admin, "Take a new signing key into use")
            .notes(
                "It is published at once and signs half a minute later; tokens of the older keys are accepted \
                 until they expire. With `revokeOld` it signs at once and every older token is refused.",
            )
            .may_take::<KeyRotation>()
            .gives::<SigningKeys>(200, "The keys as they are now")
            .fails(&[409])
            .audited(Action::SigningKeyRotate)
            .by(rotate),
    ]
}

async fn list(State(app): State<Arc<App>>) -> Json<SigningKeys> {
    Json(SigningKeys { data: app.auth.keyring.list() })
}

async fn rotate(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    OptionalBody(request): OptionalBody<KeyRotation>,
) -> Result<Json<SigningKeys>, Problem> {
    app.auth.keyring.rotate(&app.parts.db, request.revoke_old).await.map_err(|cause| match cause {
        RotateError::NoFile => Problem::conflict(
            "auth.signing_key_file is empty: this process has a key that no other replica knows",
        ),
        RotateError::Db(cause) => cause.into(),
        RotateError::Failed(cause) => {
            tracing::error!(%cause, "The signing keys could not be rotated.");
            Problem::internal("the keys could not be rotated")
        }
    })?;
    if request.revoke_old {
        app.auth.forget_all();
    }
    let keys = app.auth.keyring.list();
    let newest = keys.first().map(|key| key.kid.clone()).unwrap_or_default();
    let detail = serde_json::json!({ "revokeOld": request.revoke_old });
    // They are everybody's: the entry is in no tenant, and admins see it.
    audit::record(&app, &*caller, None, Action::SigningKeyRotate, &newest, detail).await;
    Ok(Json(SigningKeys { data: keys }))
}
