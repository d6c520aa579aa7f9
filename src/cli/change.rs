//! Flags of the commands that change something by a plan.

use super::ChangeFlags;
use crate::permit::Consent;
use clap::Args;

/// Flags of every command that makes a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct PlanFlags {
    /// Common flags of changes.
    #[command(flatten)]
    pub change: ChangeFlags,
    /// The stack's name, for a protected stack
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
}

impl PlanFlags {
    /// What they say about going on.
    #[must_use]
    pub fn consent(&self) -> Consent<'_> {
        Consent { yes: self.change.yes, name: self.confirm.as_deref() }
    }
}
