//! Levels: what load is offered and for how long.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How load is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Model {
    /// At a rate, whatever the answers do.
    Open,
    /// By virtual users that wait for each answer.
    Closed,
}

/// One level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// Virtual users: all of them in the closed model, the most in the open one.
    pub vus: u32,
    /// Requests per second; absent in the closed model.
    pub rate: Option<u32>,
    /// Length with the warm-up, in seconds.
    pub seconds: u64,
}

const fn open(rate: u32, vus: u32, seconds: u64) -> Level {
    Level { vus, rate: Some(rate), seconds }
}

/// The guide's six levels.
pub const INCREMENTAL: [Level; 6] = [
    open(1_000, 100, 300),
    open(5_000, 500, 600),
    open(10_000, 1_000, 600),
    open(25_000, 2_500, 600),
    open(50_000, 5_000, 600),
    open(100_000, 10_000, 300),
];

/// A ladder for a laptop, about two minutes.
pub const QUICK: [Level; 4] =
    [open(100, 30, 20), open(300, 60, 20), open(600, 120, 20), open(1_000, 200, 20)];

/// Does it work at all.
pub const SMOKE: [Level; 1] = [open(10, 5, 10)];

impl Level {
    /// Reads `1000/s:5m`. In-flight requests are bounded by one VU for every ten per second, the
    /// ratio of the guide.
    ///
    /// # Errors
    /// When the text has another form.
    pub fn by_rate(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not RATE/s:DURATION, for example 1000/s:5m");
        let (rate, span) = text.split_once("/s:").ok_or_else(wrong)?;
        let rate: u32 = rate.parse().ok().filter(|rate| *rate > 0).ok_or_else(wrong)?;
        Ok(open(rate, (rate / 10).clamp(10, 10_000), seconds(span).ok_or_else(wrong)?))
    }

    /// Reads `100:5m`.
    ///
    /// # Errors
    /// When the text has another form.
    pub fn by_users(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not VUS:DURATION, for example 100:5m");
        let (vus, span) = text.split_once(':').ok_or_else(wrong)?;
        let vus: u32 = vus.parse().ok().filter(|vus| *vus > 0).ok_or_else(wrong)?;
        Ok(Self { vus, rate: None, seconds: seconds(span).ok_or_else(wrong)? })
    }

    /// Warm-up and steady window, in seconds. The window is never empty.
    #[must_use]
    pub fn windows(&self, warmup_share: f64) -> (u64, u64) {
        let warmup =
            ((self.seconds as f64 * warmup_share) as u64).min(30).min(self.seconds.saturating_sub(1));
        (warmup, self.seconds - warmup)
    }
}

fn seconds(text: &str) -> Option<u64> {
    let span: jiff::SignedDuration = text.parse().ok()?;
    Duration::try_from(span).ok().map(|span| span.as_secs()).filter(|seconds| *seconds > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_as_the_guide_writes_them() {
        assert_eq!(Level::by_rate("1000/s:5m"), Ok(open(1_000, 100, 300)));
        assert_eq!(Level::by_users("500:10m"), Ok(Level { vus: 500, rate: None, seconds: 600 }));
        for wrong in ["1000:5m", "0/s:5m", "x/s:5m", "10/s:5", "10/s:0s"] {
            assert!(Level::by_rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_steady_window_is_never_empty() {
        assert_eq!(open(1, 1, 1).windows(0.9), (0, 1));
        assert_eq!(open(1, 1, 20).windows(0.2), (4, 16));
        assert_eq!(open(1, 1, 600).windows(0.2), (30, 570));
    }
}
