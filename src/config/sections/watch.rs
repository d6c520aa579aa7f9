//! `[watch]`: the dashboard.

use serde::{Deserialize, Serialize};

/// The section as it is written in `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchSection {
    /// The colours.
    pub theme: String,
    /// Whether only ASCII is drawn.
    pub ascii: bool,
    /// Whether the mouse is used.
    pub mouse: bool,
}
