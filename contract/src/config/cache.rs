//! `[cache]`: Redis, and the in-process level before it.

use jiff::fmt::serde::unsigned_duration::friendly::compact::required as span;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `[cache]`: Redis, and the in-process level before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// Address of Redis. Empty: the one of the local stack. Secret when it holds a password.
    pub url: String,
    /// How long a cached user lives: a time, or SHORT (1m), MEDIUM (5m), LONG (1h), DAY or WEEK.
    #[serde(with = "crate::ttl")]
    pub ttl_user: Duration,
    /// How long a cached notification lives: a time or a class, as for users.
    #[serde(with = "crate::ttl")]
    pub ttl_notification: Duration,
    /// How long a missing notification stays cached as missing; never longer than ingestion takes.
    #[serde(with = "span")]
    pub ttl_negative: Duration,
    /// How long an idempotency record lives.
    #[serde(with = "span")]
    pub ttl_idempotency: Duration,
    /// TTLs are spread by up to this share, so that entries made together do not expire together.
    pub ttl_jitter: f64,
    /// Most entries of the in-process level; 0 turns it off.
    pub local_entries: u64,
    /// Longest time an in-process entry may be stale.
    #[serde(with = "span")]
    pub local_ttl: Duration,
    /// Longest wait for Redis; then the request goes on without it.
    #[serde(with = "span")]
    pub timeout: Duration,
    /// How many of the most active users are preloaded each hour; 0 turns warming off.
    pub warm_users: u32,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            url: String::new(),
            ttl_user: Duration::from_secs(300),
            ttl_notification: Duration::from_secs(300),
            ttl_negative: Duration::from_secs(2),
            ttl_idempotency: Duration::from_secs(24 * 3600),
            ttl_jitter: 0.1,
            local_entries: 10_000,
            local_ttl: Duration::from_secs(1),
            timeout: Duration::from_millis(250),
            warm_users: 100,
        }
    }
}
