//! Which source asks which part, and how each source is.

use super::source_value::SourceHealth;
use super::{Pane, State};

/// The sources with the part that each of them asks and the pane that shows it.
pub(super) fn failures(state: &State, at_s: f64) -> Vec<(&'static str, Pane, SourceHealth<'_>)> {
    let data = &state.data;
    vec![
        ("supervisor", Pane::Stack, data.parts.health(at_s)),
        ("kafka", Pane::Lag, data.lag.health(at_s)),
        ("postgres", Pane::Db, data.db.health(at_s)),
        ("redis", Pane::Cache, data.cache.health(at_s)),
        ("prometheus", Pane::Overview, data.service.health(at_s)),
    ]
}
