//! `[limits]`: rate limits and load shedding.

use jiff::fmt::serde::unsigned_duration::friendly::compact::required as span;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `[limits]`: rate limits and load shedding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests per second and caller in each replica, a batch counting as its notifications; 0: no limit.
    pub rate_per_second: u32,
    /// Requests a caller may make at once above its rate.
    pub burst: u32,
    /// Administrators with these e-mail addresses are not limited. Nobody can register one of them.
    pub exempt: Vec<String>,
    /// Most requests in progress per process, of those that write to the log and of all others each.
    pub max_in_flight: usize,
    /// Most requests of either kind that wait for a permit; above it requests are shed with 503.
    pub max_waiting: usize,
    /// Longest wait for a permit; after it a request is shed with 503.
    #[serde(with = "span")]
    pub max_wait: Duration,
    /// Most streams (ingest line by line, exports, followed events) open per process.
    pub max_streams: usize,
    /// Accepting stops when this many messages are pending for the workers.
    pub max_backlog: u64,
    /// Accepting stops when the messages that wait take this many bytes on the log.
    pub max_backlog_bytes: u64,
    /// Largest payload of a notification or a template, in bytes, with its numbers written out in full.
    pub max_payload_bytes: usize,
    /// Password hashes computed at once per process; 0 means one for two cores. 32 times as many wait, for
    /// `max_wait` at most; more are refused with 503.
    pub password_hashers: usize,
}

impl Limits {
    /// Most that `max_payload_bytes` may be: a message on the log holds it with all that stands beside it.
    pub const MOST_PAYLOAD_BYTES: usize = 900_000;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rate_per_second: 1_000,
            burst: 2_000,
            exempt: vec!["loadtest@example.com".into()],
            max_in_flight: 10_000,
            max_waiting: 10_000,
            max_wait: Duration::from_secs(1),
            max_streams: 10_000,
            max_backlog: 10_000_000,
            max_backlog_bytes: 10 << 30,
            max_payload_bytes: 64 << 10,
            password_hashers: 0,
        }
    }
}
