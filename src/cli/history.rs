//! Arguments of `nsys history` and `nsys undo`: the journal.

use super::PlanFlags;
use clap::Args;

/// Arguments of `nsys history`.
#[derive(Clone, Debug, Args)]
pub struct HistoryArgs {
    /// Show this change in full
    pub id: Option<String>,
}

/// Arguments of `nsys undo`.
#[derive(Clone, Debug, Args)]
pub struct UndoArgs {
    /// Change to undo; default the newest
    pub id: Option<String>,
    /// Flags of changes by plan.
    #[command(flatten)]
    pub flags: PlanFlags,
}
