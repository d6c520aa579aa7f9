//! The terminal dashboard: sources poll on their own, the state takes their answers, the view draws it.
//!
//! # Layout
//! - `source`: one file for each part that is asked; tells [`Stamped`] updates on a bounded channel
//! - [`state`]: what is known and shown; pure, never names a terminal or a client
//! - `view`: draws the state; never names a client
//! - [`key`]: a key, whatever terminal it came from; [`keys`]: the table of bindings, which is the help too
//! - `screen`: the terminal, the loop, commands that run, recordings
//!
//! `tests/it/tidy.rs` holds the borders.

pub mod bench;
pub mod key;
pub mod keys;
mod lines;
mod screen;
mod source;
pub mod state;
pub mod update;
mod view;

pub use lines::lines;
pub use screen::{Options, watch};
pub use state::{Pane, State, ThemeName};
pub use update::Stamped;
