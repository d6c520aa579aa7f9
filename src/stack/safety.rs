//! The one place that gives permits for changes: it knows the stack's policy, looks whose database it is,
//! and asks whoever sits at the terminal.

use super::{Runtime, Stack};
use crate::domain::ownership::SchemaOwner;
use crate::error::Result;
use crate::permit::{ChangePermit, Consent, PermitRequest, Policy, Reach};
use crate::render::Out;

/// Gives the permit for a change of this stack.
///
/// # Errors
/// Refused as [`ChangePermit::grant`]; when whose database it is cannot be found out.
#[expect(clippy::disallowed_methods, reason = "the one place that grants permits")]
pub async fn permit(
    stack: &Stack,
    request: PermitRequest<'_>,
    consent: Consent<'_>,
    out: Out,
) -> Result<ChangePermit> {
    let policy = policy(stack, request.reach).await?;
    ChangePermit::grant(&policy, &request, consent, |question| {
        if out.can_ask() { out.ask(question).map(Some) } else { Ok(None) }
    })
}

/// Refuses at once what no agreement would permit, so that a command does not look around first.
///
/// # Errors
/// Under `--read-only`, or when the database is somebody else's.
pub async fn check(stack: &Stack, what: &str, reach: Reach) -> Result<()> {
    policy(stack, reach).await?.allows(what, reach)
}

/// Whose schema the configured database holds.
///
/// # Errors
/// When the database does not answer, or does not let its migrations be read.
pub async fn owner(stack: &Stack) -> Result<SchemaOwner> {
    stack.postgres().await?.schema_owner().await
}

/// Whose the data of a stack are that a profile describes: its user's, whatever is in the database. A load test
/// asks what the profile says; nothing else that reaches data is made there.
fn of_a_profile(stack: &Stack, reach: Reach) -> Option<SchemaOwner> {
    let is_free = matches!(reach, Reach::Parts | Reach::Index | Reach::Load);
    (!is_free)
        .then(|| SchemaOwner::Other { why: format!("the profile {} describes it", stack.profile().name) })
}

async fn policy(stack: &Stack, reach: Reach) -> Result<Policy<'_>> {
    let config = &stack.loaded.config.stack;
    let read_only = stack.loaded.read_only;
    let asks = match (stack.runtime, reach) {
        // What nsys started has the schema that nsys made.
        (Runtime::Local | Runtime::Docker, Reach::Reset) => true,
        (Runtime::Local | Runtime::Docker, _) | (_, Reach::Parts | Reach::Index) => false,
        // The pods are ours; their database may be one that only they reach.
        (Runtime::Kubernetes, Reach::Api) => false,
        (Runtime::Kubernetes | Runtime::External, _) => true,
    };
    let owner = if stack.profile().is_companion() {
        if asks && !read_only { Some(owner(stack).await?) } else { None }
    } else {
        of_a_profile(stack, reach)
    };
    // On a stack that nsys started a damaged schema is nsys' own to reset.
    let owner = owner.filter(|one| stack.runtime.is_elsewhere() || matches!(one, SchemaOwner::Nsys { .. }));
    Ok(Policy { read_only, protected: config.protected, stack: &config.name, owner })
}
