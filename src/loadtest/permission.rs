//! The permit to offer load.

use crate::error::Result;
use crate::permit::{Agreement, ChangePermit, Consent, PermitRequest, Reach};
use crate::render::Out;
use crate::stack::{Stack, safety};

/// The permit to offer load, which writes notifications; on a stack that nsys did not start only when that
/// was agreed to.
///
/// # Errors
/// As [`safety::permit`].
pub async fn permit(stack: &Stack, consent: Consent<'_>, out: Out) -> Result<ChangePermit> {
    let agreement = if stack.runtime.is_elsewhere() { Agreement::Confirmed } else { Agreement::Command };
    let change = PermitRequest { what: "a load test", reach: Reach::Data, agreement };
    safety::permit(stack, change, consent, out).await
}
