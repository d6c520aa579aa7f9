//! `[stack]`: where and how the stack runs.

use jiff::fmt::serde::unsigned_duration::friendly::compact::required as span;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What `stack.runtime` may be.
pub const RUNTIMES: [&str; 5] = ["auto", "local", "docker", "external", "kubernetes"];

/// The section as it is written in `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StackSection {
    /// Name of this stack.
    pub name: String,
    /// Where it runs.
    pub runtime: String,
    /// Added to every default port.
    pub port_offset: u16,
    /// Replicas of the api.
    pub app: u32,
    /// Replicas of the worker.
    pub worker: u32,
    /// Restarts of a failing part before it stays down.
    pub restart_limit: u32,
    /// Largest heap of the broker, in MiB.
    pub kafka_heap_mb: u32,
    /// Most memory Redis uses, in MiB.
    pub redis_max_memory_mb: u32,
    /// Most bytes kept per partition of topics that are not the service's.
    pub kafka_retention_bytes: u64,
    /// How often Prometheus scrapes.
    #[serde(with = "span")]
    pub scrape_interval: Duration,
    /// Whether changes want the stack's name typed.
    pub protected: bool,
    /// File with the profile of the stack; empty: the notification service.
    pub profile: String,
}
