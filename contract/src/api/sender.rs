//! Sender identities: in whose name a tenant may send.

use crate::status::Channel;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A sender identity as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SenderIdentity {
    /// The id.
    pub id: Uuid,
    /// The tenant it belongs to.
    pub tenant_id: Option<String>,
    /// The channel it is for.
    pub channel: Channel,
    /// The address, number or name that a payload's `from` may hold.
    pub sender: String,
    /// Since when it may be used; `null` while its code was not given.
    pub verified_at: Option<Timestamp>,
    /// The account or API key that registered it.
    pub created_by: String,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// Body of `POST /senders`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewSenderIdentity {
    /// `EMAIL`, or `SMS` by an administrator.
    pub channel: Channel,
    /// An e-mail address without a name, or the number or name that text messages come from.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 320))]
    pub sender: String,
    /// The tenant; the caller's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 256))]
    pub tenant_id: Option<String>,
}

/// Body of `POST /senders/{id}/verify`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SenderVerification {
    /// The code that was sent to the address.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 64))]
    pub code: String,
}

/// The sender identities the caller may see, by channel and sender.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SenderIdentityList {
    /// The identities.
    pub data: Vec<SenderIdentity>,
}
