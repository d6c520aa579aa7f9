//! What time it is, in the one form that figures carry.

/// Seconds since the epoch.
#[must_use]
pub fn now_s() -> f64 {
    jiff::Timestamp::now().as_millisecond() as f64 / 1_000.0
}
