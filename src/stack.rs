//! The local stack: where its files are, its parts, how they come up, and who keeps them alive.

pub mod control;
pub mod doctor;
pub mod endpoints;
pub mod health;
pub mod layout;
pub mod parts;
pub mod prepare;
pub mod setup;
pub mod spec;
pub mod supervisor;
pub mod up;

pub use endpoints::Endpoints;
pub use layout::Layout;

use crate::config::Loaded;

/// What every command about the stack needs.
#[derive(Clone, Debug)]
pub struct Stack {
    /// The configuration.
    pub loaded: Loaded,
    /// Where the files are.
    pub layout: Layout,
    /// Where the parts listen.
    pub endpoints: Endpoints,
}

impl Stack {
    /// The stack that the configuration describes.
    #[must_use]
    pub fn new(loaded: Loaded) -> Self {
        let layout = Layout::new(&loaded.state_dir, &loaded.config.stack.name);
        let endpoints = Endpoints::new(loaded.config.stack.port_offset);
        Self { loaded, layout, endpoints }
    }
}
