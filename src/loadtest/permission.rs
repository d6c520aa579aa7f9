//! The permit to offer load.

use crate::error::Result;
use crate::permit::{ChangePermit, Consent, PermitRequest, Reach, RequiredConsent};
use crate::render::Out;
use crate::stack::{Stack, safety};

/// The permit to offer load, which writes notifications; on a stack that nsys did not start only when that
/// was agreed to.
///
/// # Errors
/// As [`safety::permit`].
pub async fn permit(stack: &Stack, consent: Consent<'_>, out: Out) -> Result<ChangePermit> {
    let agreement =
        if stack.runtime.is_elsewhere() { RequiredConsent::Confirmed } else { RequiredConsent::Command };
    let change = PermitRequest { what: "a load test", reach: Reach::Load, agreement };
    safety::permit(stack, change, consent, out).await
}
