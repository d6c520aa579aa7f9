//! The audit log, as routes write it: which of them leave an entry, and in whose tenant.
//!
//! A route that changes something says in the route table which act it records, or why it records none
//! ([`AuditRule`]). The gate runs an audited handler to its end whatever becomes of its request, so that no change
//! is made whose entry is cut off.

use crate::auth::Principal;
use crate::db::Act;
use crate::http::app::App;
use serde_json::Value;

/// What a route that changes something leaves in the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuditRule {
    /// Entries of this act.
    Records(Action),
    /// None, for this reason.
    RecordsNothing(&'static str),
}

/// The acts there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    ApiKeyIssue,
    ApiKeyRevoke,
    DeadLetterDelete,
    DeadLetterPurge,
    DeadLetterRedrive,
    EndpointCreate,
    EndpointDelete,
    EndpointRotate,
    EndpointTenantSecret,
    EndpointUpdate,
    NotificationCancel,
    NotificationReschedule,
    NotificationRetry,
    PreferencesReplace,
    ReplicaDrain,
    SenderDelete,
    SenderRegister,
    SenderVerify,
    SigningKeyRotate,
    TemplateCreate,
    TemplateDelete,
    TemplateReplace,
    UserCreate,
    UserRegister,
    UserUpdate,
}

impl Action {
    /// The word that entries are filtered by.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ApiKeyIssue => "api_key.issue",
            Self::ApiKeyRevoke => "api_key.revoke",
            Self::DeadLetterDelete => "dead_letter.delete",
            Self::DeadLetterPurge => "dead_letter.purge",
            Self::DeadLetterRedrive => "dead_letter.redrive",
            Self::EndpointCreate => "endpoint.create",
            Self::EndpointDelete => "endpoint.delete",
            Self::EndpointRotate => "endpoint.rotate",
            Self::EndpointTenantSecret => "endpoint.tenant_secret",
            Self::EndpointUpdate => "endpoint.update",
            Self::NotificationCancel => "notification.cancel",
            Self::NotificationReschedule => "notification.reschedule",
            Self::NotificationRetry => "notification.retry",
            Self::PreferencesReplace => "preferences.replace",
            Self::ReplicaDrain => "replica.drain",
            Self::SenderDelete => "sender.delete",
            Self::SenderRegister => "sender.register",
            Self::SenderVerify => "sender.verify",
            Self::SigningKeyRotate => "signing_key.rotate",
            Self::TemplateCreate => "template.create",
            Self::TemplateDelete => "template.delete",
            Self::TemplateReplace => "template.replace",
            Self::UserCreate => "user.create",
            Self::UserRegister => "user.register",
            Self::UserUpdate => "user.update",
        }
    }
}

/// Who acted.
pub(super) struct Actor<'a> {
    pub(super) id: &'a str,
    pub(super) name: &'a str,
}

impl<'a> From<&'a Principal> for Actor<'a> {
    fn from(caller: &'a Principal) -> Self {
        Self { id: &caller.id, name: &caller.name }
    }
}

/// Records an act in the tenant in which it was done, whoever did it. It has happened already: when the record
/// cannot be written, the log has it.
pub(super) async fn record(
    app: &App,
    actor: impl Into<Actor<'_>>,
    tenant: Option<&str>,
    action: Action,
    target: &str,
    detail: Value,
) {
    record_each(app, actor.into(), action, target, vec![(tenant.map(str::to_owned), detail)]).await;
}

/// Records an act that reached several tenants: each has an entry with its own detail.
pub(super) async fn record_each(
    app: &App,
    actor: impl Into<Actor<'_>>,
    action: Action,
    target: &str,
    places: Vec<(Option<String>, Value)>,
) {
    let (Actor { id, name }, action) = (actor.into(), action.as_str());
    if places.is_empty() {
        return;
    }
    for (tenant, detail) in &places {
        tracing::info!(actor = name, action, target, tenant, %detail, "Operator action.");
    }
    let acts: Vec<_> = places
        .into_iter()
        .map(|(tenant_id, detail)| Act { actor_id: id, actor: name, tenant_id, action, target, detail })
        .collect();
    if let Err(cause) = app.parts.db.record_acts(&acts).await {
        tracing::error!(%cause, actor = name, action, target, "The audit log could not be written.");
    }
}
