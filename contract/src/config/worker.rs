//! `[worker]`: the consuming side.

use jiff::fmt::serde::unsigned_duration::friendly::compact::required as span;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `[worker]`: the consuming side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Worker {
    /// Most messages of one batch.
    pub batch_size: usize,
    /// Wait for a batch to fill; up to four times as long while more comes.
    #[serde(with = "span")]
    pub batch_wait: Duration,
    /// Most deliveries of one channel at once, per process.
    pub channel_concurrency: usize,
    /// Attempts before a notification fails for good.
    pub max_attempts: u32,
    /// Wait before the second attempt; doubles each time.
    #[serde(with = "span")]
    pub retry_base: Duration,
    /// Longest wait between two attempts.
    #[serde(with = "span")]
    pub retry_max: Duration,
    /// How often due and retrying rows are looked for.
    #[serde(with = "span")]
    pub scheduler_interval: Duration,
    /// How long one worker may hold a row before another may take it.
    #[serde(with = "span")]
    pub lease: Duration,
    /// Consecutive failures of one destination that open its circuit breaker.
    pub breaker_failures: u32,
    /// How long an open breaker waits before it lets one attempt through.
    #[serde(with = "span")]
    pub breaker_cooldown: Duration,
    /// How much a process that only works yields to others on processors that they share, from 0 (as much
    /// as they do) to 19.
    pub nice: u8,
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            batch_size: 1_000,
            batch_wait: Duration::from_millis(20),
            channel_concurrency: 256,
            max_attempts: 5,
            retry_base: Duration::from_secs(1),
            retry_max: Duration::from_secs(300),
            scheduler_interval: Duration::from_millis(500),
            lease: Duration::from_secs(60),
            breaker_failures: 5,
            breaker_cooldown: Duration::from_secs(30),
            nice: 19,
        }
    }
}
