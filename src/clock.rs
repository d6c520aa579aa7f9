//! What time it is, in the forms that figures and records carry.

/// Now.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// Seconds since the epoch.
#[must_use]
pub fn now_s() -> f64 {
    now().as_millisecond() as f64 / 1_000.0
}
