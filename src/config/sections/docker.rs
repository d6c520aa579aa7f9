//! `[docker]`: containers.

use serde::{Deserialize, Serialize};

/// The section as it is written in `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DockerSection {
    /// Compose files laid over the shipped one, in order.
    pub files: Vec<String>,
    /// Image of the service.
    pub service_image: String,
    /// Image of nsys, for the migrations.
    pub nsys_image: String,
}
