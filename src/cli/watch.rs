//! Arguments of `nsys watch`.

use crate::tui::{Pane, ThemeName};
use clap::Args;
use std::path::PathBuf;

/// Arguments of `nsys watch`.
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    /// Pane to open first
    #[arg(value_enum, default_value_t)]
    pub pane: Pane,
    /// Colour theme; t cycles through them
    #[arg(long, value_enum)]
    pub theme: Option<ThemeName>,
    /// Draw with ASCII only
    #[arg(long)]
    pub ascii: bool,
    /// Record every value to a file, for --replay
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    pub record: Option<PathBuf>,
    /// Replay a recording instead of watching a stack
    #[arg(long, value_name = "FILE")]
    pub replay: Option<PathBuf>,
}
