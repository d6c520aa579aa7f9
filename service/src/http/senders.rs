//! Sender identities: in whose name a tenant may send.
//!
//! An administrator vouches for one. Anybody else shows that the address is theirs: a code goes to it, through this
//! service itself and in no tenant, where nobody but administrators sees what became of it.

use super::admin::{narrowed, tenant_of};
use super::audit::{self, Action};
use super::endpoint::{Endpoint, delete, get, post};
use super::error::Problem;
use super::extract::{Body, Id, Query, shortened};
use super::gate::{Access, Caller};
use super::notifications::intake;
use crate::auth::Principal;
use crate::db::{NewSender, Verification};
use crate::domain::address::registrable;
use crate::domain::draft::{Draft, wrong_id};
use crate::http::app::App;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::SignedDuration;
use nsys_contract::api::{
    NewSenderIdentity, SenderIdentity, SenderIdentityList, SenderVerification, TenantQuery, paths,
};
use nsys_contract::status::{Channel, Role};
use rand::RngExt;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use uuid::Uuid;

/// How long a code counts.
const CODE_LIFETIME: SignedDuration = SignedDuration::from_hours(1);

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(paths::SENDERS, Access::Operator, "List sender identities")
            .notes("Operators see those of their tenant.")
            .query::<TenantQuery>()
            .gives::<SenderIdentityList>(200, "The identities")
            .by(list),
        post(paths::SENDERS, Access::Operator, "Register a sender identity")
            .notes(
                "A payload's `from` has to be a verified identity of its tenant. One that an administrator registers \
                 is verified; to any other e-mail address a code is sent, which counts for an hour. Registering it \
                 once more sends another code.",
            )
            .takes::<NewSenderIdentity>()
            .gives::<SenderIdentity>(201, "The identity")
            .fails(&[409])
            .audited(Action::SenderRegister)
            .by(register),
        post(paths::SENDER_VERIFY, Access::Operator, "Verify a sender identity with its code")
            .notes("After five wrong codes it has to be registered once more.")
            .takes::<SenderVerification>()
            .gives::<SenderIdentity>(200, "The identity, verified")
            .audited(Action::SenderVerify)
            .by(verify),
        delete(paths::SENDER, Access::Operator, "Delete a sender identity")
            .notes("What was accepted before is still sent in its name. Every replica knows within seconds.")
            .gives_nothing(204, "It is gone")
            .audited(Action::SenderDelete)
            .by(remove),
    ]
}

async fn list(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Query(query): Query<TenantQuery>,
) -> Result<Json<SenderIdentityList>, Problem> {
    let scope = narrowed(&caller, query.tenant_id.as_deref())?;
    Ok(Json(SenderIdentityList { data: app.parts.db.list_senders(&scope).await? }))
}

async fn register(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Body(request): Body<NewSenderIdentity>,
) -> Result<(StatusCode, Json<SenderIdentity>), Problem> {
    if let Some(detail) = request.tenant_id.as_deref().and_then(wrong_id) {
        return Err(Problem::field("/tenantId", detail));
    }
    if !matches!(request.channel, Channel::Email | Channel::Sms) {
        return Err(Problem::field("/channel", "must be EMAIL or SMS: no other channel has senders"));
    }
    let tenant = tenant_of(&caller, request.tenant_id)?;
    let sender = registrable(request.channel, &request.sender)
        .ok_or_else(|| Problem::field("/sender", "must be one address without a name, or a number"))?;
    let vouched = caller.role == Role::Admin;
    if !vouched && request.channel != Channel::Email {
        return Err(Problem::field(
            "/channel",
            "only an administrator can vouch for senders of text messages",
        ));
    }
    let (id, code) = (Uuid::now_v7(), format!("{:08}", rand::rng().random_range(0..100_000_000_u32)));
    let hash = code_hash(id, &code);
    let new = NewSender {
        id,
        tenant: tenant.as_deref(),
        channel: request.channel,
        sender: &sender,
        created_by: &caller.id,
        code: (!vouched).then_some((hash.as_slice(), crate::clock::now() + CODE_LIFETIME)),
    };
    let taken =
        || Problem::conflict("it is registered already, or the tenant has as many senders as it may have");
    let identity = app.parts.db.add_sender(&new).await?.ok_or_else(taken)?;
    if !vouched {
        send_code(&app, &caller, &sender, &code).await?;
    }
    app.senders.forget(tenant.as_deref(), identity.channel, &identity.sender);
    let detail = json!({"channel": identity.channel, "sender": identity.sender, "verified": vouched});
    audit::record(&app, &*caller, tenant.as_deref(), Action::SenderRegister, &id.to_string(), detail).await;
    Ok((StatusCode::CREATED, Json(identity)))
}

/// Hides the code from whoever reads the table.
fn code_hash(id: Uuid, code: &str) -> Vec<u8> {
    Sha256::digest(format!("{id}:{code}")).to_vec()
}

async fn send_code(app: &App, caller: &Principal, address: &str, code: &str) -> Result<(), Problem> {
    let now = crate::clock::now();
    let mail = json!({
        "userId": caller.id, "channel": "EMAIL", "type": "TRANSACTIONAL", "priority": "HIGH",
        "expiresAt": now + CODE_LIFETIME,
        "payload": {
            "to": address, "subject": "Confirm this sender address",
            "body": format!(
                "{} asks to send messages in the name of {address}.\n\nThe code is {code}. It counts for an hour. \
                 Ignore this message if you do not know what it is about.\n",
                caller.name
            ),
        },
    });
    let mail = mail.to_string();
    let draft: Draft<'_> = serde_json::from_str(&mail)
        .map_err(|cause| Problem::internal(format!("no mail can be made: {cause}")))?;
    let max_bytes = app.parts.config.limits.max_payload_bytes;
    let accepted = draft.accept(None, max_bytes, now.as_millisecond()).map_err(Problem::invalid)?;
    app.parts.producer.send(&accepted).await.map_err(|cause| intake::not_sent(app, &cause))
}

async fn verify(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    id: Id,
    Body(request): Body<SenderVerification>,
) -> Result<Json<SenderIdentity>, Problem> {
    let sender = id.uuid("sender identity")?;
    let hash = code_hash(sender, request.code.trim());
    let identity = match app.parts.db.verify_sender(sender, &caller.scope(), &hash).await? {
        Verification::Verified(identity) => identity,
        Verification::Wrong => {
            return Err(Problem::field("/code", "is not the code that was sent, or came too late"));
        }
        Verification::Absent => {
            let detail =
                format!("no sender identity {} waits for a code; register it again", shortened(&id.0));
            return Err(Problem::not_found(detail));
        }
    };
    let tenant = identity.tenant_id.as_deref();
    app.senders.forget(tenant, identity.channel, &identity.sender);
    let detail = json!({"channel": identity.channel, "sender": identity.sender});
    audit::record(&app, &*caller, tenant, Action::SenderVerify, &id.0, detail).await;
    Ok(Json(identity))
}

async fn remove(State(app): State<Arc<App>>, Caller(caller): Caller, id: Id) -> Result<StatusCode, Problem> {
    let deleted = app.parts.db.delete_sender(id.uuid("sender identity")?, &caller.scope()).await?;
    let absent = || Problem::not_found(format!("there is no sender identity {}", shortened(&id.0)));
    let identity = deleted.ok_or_else(absent)?;
    let tenant = identity.tenant_id.as_deref();
    app.senders.forget(tenant, identity.channel, &identity.sender);
    let detail = json!({"channel": identity.channel, "sender": identity.sender});
    audit::record(&app, &*caller, tenant, Action::SenderDelete, &id.0, detail).await;
    Ok(StatusCode::NO_CONTENT)
}
