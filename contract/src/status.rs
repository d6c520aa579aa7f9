//! The closed sets of the notification domain: status, channel, type, priority, role.

use serde::{Deserialize, Serialize};

/// Declares a closed set whose wire and column form is SCREAMING_SNAKE_CASE text.
macro_rules! closed_set {
    ($(#[doc = $doc:literal])+ $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vmeta])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Every member, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The text used on the wire and in columns.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        // Not derived: the derive does not see the texts that this macro puts in.
        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .description(Some(concat!($($doc),+).trim()))
                    .enum_values(Some(Self::ALL.iter().map(|member| member.as_str())))
                    .into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let members: Vec<_> = Self::ALL.iter().map(|member| member.as_str()).collect();
                schemars::json_schema!({"type": "string", "enum": members})
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownMember;

            fn from_str(text: &str) -> Result<Self, UnknownMember> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    other => Err(UnknownMember { set: stringify!($name), text: other.to_owned() }),
                }
            }
        }
    };
}

/// A text that names no member of a closed set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {set} {text:?}")]
pub struct UnknownMember {
    set: &'static str,
    text: String,
}

closed_set! {
    /// Where a notification stands. See [`Status::is_final`].
    Status {
        /// Accepted, not yet picked up for delivery.
        Pending = "PENDING",
        /// Waits for its `scheduledFor`.
        Scheduled = "SCHEDULED",
        /// A worker holds it.
        Processing = "PROCESSING",
        /// An attempt failed; another is due at `nextAttemptAt`.
        Retrying = "RETRYING",
        /// The provider took it.
        Sent = "SENT",
        /// The provider, or the inbox, confirmed delivery.
        Delivered = "DELIVERED",
        /// Permanently failed; a dead letter exists.
        Failed = "FAILED",
        /// Cancelled before delivery.
        Cancelled = "CANCELLED",
        /// Its `expiresAt` passed before delivery.
        Expired = "EXPIRED",
    }
}

impl Status {
    /// Whether nothing more happens to a notification in this status by itself.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Sent | Self::Delivered | Self::Failed | Self::Cancelled | Self::Expired)
    }
}

closed_set! {
    /// How a notification reaches its user.
    Channel {
        /// SMTP.
        Email = "EMAIL",
        /// Text message through an HTTP gateway.
        Sms = "SMS",
        /// Mobile push through an HTTP gateway.
        #[serde(alias = "PUSH_IOS", alias = "PUSH_ANDROID")]
        Push = "PUSH",
        /// Signed HTTP call to the receiver's own URL.
        Webhook = "WEBHOOK",
        /// Stored and streamed to the user's inbox.
        InApp = "IN_APP",
    }
}

closed_set! {
    /// What a notification is about.
    NotificationType {
        /// Caused by an act of the user.
        Transactional = "TRANSACTIONAL",
        /// Promotion; subject to preferences.
        Marketing = "MARKETING",
        /// About the system itself.
        System = "SYSTEM",
        /// Needs attention.
        Alert = "ALERT",
    }
}

closed_set! {
    /// Order of work. `URGENT` may overtake; within a user and a priority order is kept.
    Priority {
        /// When there is nothing else to do.
        Low = "LOW",
        /// The default.
        Medium = "MEDIUM",
        /// Before `MEDIUM`.
        High = "HIGH",
        /// Before everything.
        Urgent = "URGENT",
    }
}

closed_set! {
    /// What a caller may do.
    Role {
        /// Sends and reads in its own tenant.
        User = "USER",
        /// Operates its tenant: dead letters, templates, API keys, the audit log.
        Operator = "OPERATOR",
        /// Everything, in any tenant.
        Admin = "ADMIN",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_member_are_inverse() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse::<Status>().as_ref(), Ok(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
    }

    #[test]
    #[cfg(feature = "openapi")]
    fn the_schema_has_the_texts_of_the_wire() {
        let schema = serde_json::to_value(<Channel as utoipa::PartialSchema>::schema()).unwrap();
        assert_eq!(schema["enum"], serde_json::to_value(Channel::ALL).unwrap());
        assert_eq!(schema["description"], "How a notification reaches its user.");
    }

    #[test]
    fn platform_push_channels_are_push() {
        assert_eq!(serde_json::from_str::<Channel>("\"PUSH_IOS\"").unwrap(), Channel::Push);
    }
}
