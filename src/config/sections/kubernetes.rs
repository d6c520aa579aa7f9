//! `[kubernetes]`: a cluster.

use serde::{Deserialize, Serialize};

/// The section as it is written in `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KubernetesSection {
    /// Context of the kubeconfig; empty: the current one.
    pub context: String,
    /// Namespace of the stack.
    pub namespace: String,
    /// Image of the service.
    pub service_image: String,
    /// Image of nsys, for the migrations.
    pub nsys_image: String,
}
