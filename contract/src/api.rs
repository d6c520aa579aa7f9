//! HTTP paths and the request and response bodies both programs use.

mod account;
mod admin;
mod batch;
mod dead_letter;
mod endpoint;
mod key;
mod notification;
pub mod paths;
mod preferences;
mod problem;
mod sender;
mod template;

pub use account::{
    AccountUpdate, Login, NewAccount, Register, TenantQuery, TokenGrant, User, UserPage, UserQuery,
};
pub use admin::{
    AuditEntry, AuditPage, AuditQuery, CacheFlush, DrainState, LagReport, ProfileQuery, QueueStats, Stats,
};
pub use batch::{Batch, BatchAnswer, ItemResult, StreamSummary};
pub use dead_letter::{
    DeadLetter, DeadLetterFilter, DeadLetterPage, DeadLetterQuery, Redrive, RedriveAnswer,
};
pub use endpoint::{
    IssuedWebhookEndpoint, NewWebhookEndpoint, SecretRotation, TenantWebhookSecret, WebhookAttempt,
    WebhookAttemptPage, WebhookAttemptQuery, WebhookEndpoint, WebhookEndpointPage, WebhookEndpointQuery,
    WebhookEndpointUpdate,
};
pub use key::{ApiKey, ApiKeyList, IssuedApiKey, KeyRotation, NewApiKey, SigningKey, SigningKeys};
pub use notification::{
    Attempt, AttemptList, CreateNotification, EventList, EventQuery, ExportFormat, ExportQuery, ListQuery,
    Notification, NotificationEvent, NotificationPage, Reschedule, StatusEvent,
};
pub use preferences::{Mute, Preferences, PreferencesUpdate, QuietHours};
pub use problem::{FieldError, Problem, UnreadableRow};
pub use sender::{NewSenderIdentity, SenderIdentity, SenderIdentityList, SenderVerification};
pub use template::{
    NewTemplate, RenderRequest, RenderedTemplate, Template, TemplateList, TemplateQuery, TemplateUpdate,
};

/// `skip_serializing_if` of flags that are rarely set.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}
