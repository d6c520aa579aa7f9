//! API keys, and the signing keys of tokens.

use crate::status::Role;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// An API key as the API shows it: everything but the secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    /// The public part of the key.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The tenant it works for.
    pub tenant_id: Option<String>,
    /// The account or the API key it was issued with: it ends with that.
    pub created_by: String,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Body of `POST /admin/api-keys`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewApiKey {
    /// What it is for; 2 to 100 characters.
    #[cfg_attr(feature = "openapi", schema(min_length = 2, max_length = 100))]
    pub name: String,
    /// `USER` when left out; never more than the caller's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The tenant; the caller's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 256))]
    pub tenant_id: Option<String>,
    /// When it ends by itself; never when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// Answer to `POST /admin/api-keys`. The secret is shown this once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct IssuedApiKey {
    /// Sent as `Authorization: Bearer …` or `X-API-Key: …`.
    pub secret: String,
    /// The key.
    pub key: ApiKey,
}

/// The API keys the caller may see, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApiKeyList {
    /// The keys.
    pub data: Vec<ApiKey>,
}

/// One signing key of tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SigningKey {
    /// The `kid` of its tokens.
    pub kid: String,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// From when tokens are signed with it; before that it is only published.
    pub active_from: Option<Timestamp>,
    /// Until when its tokens are accepted; open while it signs.
    pub accepted_until: Option<Timestamp>,
    /// Whether new tokens are signed with it.
    pub signing: bool,
}

/// The signing keys whose tokens are accepted, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SigningKeys {
    /// The keys.
    pub data: Vec<SigningKey>,
}

/// Body of `POST /admin/keys/rotate`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct KeyRotation {
    /// Refuse every token of the older keys at once: for a key that leaked. Everybody signs in again.
    pub revoke_old: bool,
}
