//! What a user wants to get, and when.

use crate::status::{Channel, NotificationType};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The preferences of one user, as `GET /users/{id}/preferences` shows them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Preferences {
    /// Whose.
    pub user_id: String,
    /// The tenant the user belongs to.
    pub tenant_id: Option<String>,
    /// IANA name of the user's time zone, for example `Europe/Berlin`.
    pub timezone: String,
    /// When not to disturb; `null`: never quiet.
    pub quiet_hours: Option<QuietHours>,
    /// What the user does not want.
    pub muted: Vec<Mute>,
    /// When they were last changed; `null`: these are the defaults.
    pub updated_at: Option<Timestamp>,
}

/// Body of `PUT /users/{id}/preferences`: they are replaced as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PreferencesUpdate {
    /// IANA name of the user's time zone; `UTC` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 64))]
    pub timezone: Option<String>,
    /// When not to disturb. Urgent notifications come through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<QuietHours>,
    /// What the user does not want; transactional and urgent notifications come through.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_items = 30))]
    pub muted: Vec<Mute>,
}

/// A span of the local day, over midnight when `from` is later than `to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    /// Its first minute, `HH:MM`.
    #[cfg_attr(
        feature = "openapi",
        schema(min_length = 5, max_length = 5, pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")
    )]
    pub from: String,
    /// The minute it is over, `HH:MM`.
    #[cfg_attr(
        feature = "openapi",
        schema(min_length = 5, max_length = 5, pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")
    )]
    pub to: String,
}

/// What is not wanted: a channel, a type, or a type by a channel. Both left out is everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Mute {
    /// By this channel; by any when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// Of this type; of any when left out.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<NotificationType>,
}

impl Mute {
    /// Whether this entry is about such a notification.
    #[must_use]
    pub fn covers(&self, channel: Channel, kind: NotificationType) -> bool {
        self.channel.is_none_or(|muted| muted == channel) && self.kind.is_none_or(|muted| muted == kind)
    }
}
