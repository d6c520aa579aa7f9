//! Arguments of `nsys kafka` and `nsys lag`.

use clap::{Args, Subcommand};

/// `nsys kafka …`
#[derive(Clone, Debug, Subcommand)]
pub enum KafkaCommand {
    /// List topics with their partitions
    Topics,
    /// List consumer groups with their members
    Groups,
    /// Show a topic's partitions and settings
    Describe {
        /// Topic to describe
        topic: String,
    },
}

/// Arguments of `nsys lag`.
#[derive(Clone, Debug, Args)]
pub struct LagArgs {
    /// Consumer group; default that of the workers
    #[arg(long)]
    pub group: Option<String>,
    /// Refresh every second until interrupted
    #[arg(long)]
    pub watch: bool,
}
