//! The terminal dashboard: sources poll on their own, the state takes their answers, the view draws it.
//!
//! `state` never names ratatui and `view` never names a client; `tests/it/tidy.rs` holds both.

mod keys;
mod screen;
mod source;
mod state;
mod update;
mod view;

pub use screen::{Options, lines, watch};
pub use state::{Pane, State};
pub use update::{Sample, Stamped, Update};
