//! Levels: what load is offered and for how long.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How load is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Model {
    /// At a rate, whatever the answers do.
    Open,
    /// By virtual users that wait for each answer.
    Closed,
}

/// One level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Level {
    /// Virtual users: all of them in the closed model, the most in the open one.
    pub vus: u32,
    /// Requests per second, the highest of the level; absent in the closed model.
    pub rate: Option<u32>,
    /// Length with the warm-up, in seconds.
    pub seconds: u64,
    /// The parts of a level that changes its rate; empty when it does not.
    #[serde(default)]
    pub stages: Vec<Stage>,
}

/// One part of a level that changes its rate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Stage {
    /// `before`, `spike` or `after`.
    pub name: String,
    /// Requests per second.
    pub rate: u32,
    /// Its length.
    pub seconds: u64,
}

/// A span of a level that is offered, and measured, as one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// `warmup`, `steady`, or the name of a stage.
    pub name: String,
    /// Requests per second; absent in the closed model.
    pub rate: Option<u32>,
    /// Seconds from the start of the level.
    pub start_s: u64,
    /// Its length.
    pub seconds: u64,
    /// Whether it counts.
    pub measured: bool,
}

/// Name of the window that is not measured.
pub const WARMUP: &str = "warmup";
/// Name of the only measured window of a level with one rate.
pub const STEADY: &str = "steady";
/// The parts of a spike, in order.
pub const SPIKE_STAGES: [&str; 3] = ["before", "spike", "after"];

/// Longest time that a request may take, in seconds; then it has failed.
pub const TIMEOUT_S: u64 = 30;
/// Requests in progress when the load ends may take so long to end, in seconds; then they are given up
/// and have failed, `unanswered`.
pub const GRACE_S: u64 = 15;

/// Longest warm-up, in seconds.
const LONGEST_WARMUP_S: u64 = 30;

/// In-flight requests are bounded by one virtual user for every ten requests per second, the ratio of
/// the guide: that lets answers take 100 ms on average.
fn users_for(rate: u32) -> u32 {
    (rate / 10).clamp(10, 10_000)
}

impl Level {
    /// A level at one rate.
    #[must_use]
    pub fn open(rate: u32, seconds: u64) -> Self {
        Self { vus: users_for(rate), rate: Some(rate), seconds, stages: Vec::new() }
    }

    /// Reads `1000/s:5m`.
    ///
    /// # Errors
    /// When the text has another form.
    pub fn by_rate(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not RATE/s:DURATION, for example 1000/s:5m");
        let (rate, span) = text.split_once("/s:").ok_or_else(wrong)?;
        let rate: u32 = rate.parse().ok().filter(|rate| *rate > 0).ok_or_else(wrong)?;
        Ok(Self::open(rate, seconds(span).ok_or_else(wrong)?))
    }

    /// Reads `100:5m`.
    ///
    /// # Errors
    /// When the text has another form.
    pub fn by_users(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not VUS:DURATION, for example 100:5m");
        let (vus, span) = text.split_once(':').ok_or_else(wrong)?;
        let vus: u32 = vus.parse().ok().filter(|vus| *vus > 0).ok_or_else(wrong)?;
        Ok(Self { vus, rate: None, seconds: seconds(span).ok_or_else(wrong)?, stages: Vec::new() })
    }

    /// One level of three rates: before the spike, the spike, after it.
    ///
    /// # Errors
    /// When there are not three, or one has no rate.
    pub fn spike(parts: &[Self]) -> Result<Self, String> {
        let [before, spike, after] = parts else {
            return Err(format!(
                "a spike has three rates, before, during and after, for example \
                 --rates 100/s:30s,1000/s:15s,100/s:60s; {} were given",
                parts.len()
            ));
        };
        let rate = |level: &Self| level.rate.ok_or("a spike is offered by rate, not by virtual users");
        let stages = SPIKE_STAGES.iter().zip([before, spike, after]).map(|(name, level)| {
            Ok(Stage { name: (*name).to_owned(), rate: rate(level)?, seconds: level.seconds })
        });
        let stages = stages.collect::<Result<Vec<_>, String>>()?;
        let highest = stages.iter().map(|stage| stage.rate).max().unwrap_or(1);
        let seconds = stages.iter().map(|stage| stage.seconds).sum();
        Ok(Self { vus: users_for(highest), rate: Some(highest), seconds, stages })
    }

    /// What is offered one after the other: the warm-up, then what is measured, never empty. A level
    /// that changes its rate warms up at its first one.
    #[must_use]
    pub fn windows(&self, warmup_share: f64) -> Vec<Window> {
        let window = |name: &str, rate: Option<u32>, start_s: u64, seconds: u64| Window {
            name: name.to_owned(),
            rate,
            start_s,
            seconds,
            measured: name != WARMUP,
        };
        let first = self.stages.first().map_or(self.seconds, |stage| stage.seconds);
        let share = (first as f64 * warmup_share) as u64;
        let warmup = share.min(LONGEST_WARMUP_S).min(first.saturating_sub(1));
        let mut windows = Vec::new();
        let first_rate = self.stages.first().map_or(self.rate, |stage| Some(stage.rate));
        if warmup > 0 {
            windows.push(window(WARMUP, first_rate, 0, warmup));
        }
        if self.stages.is_empty() {
            windows.push(window(STEADY, self.rate, warmup, self.seconds - warmup));
            return windows;
        }
        let (mut start, mut cut) = (warmup, warmup);
        for stage in &self.stages {
            windows.push(window(&stage.name, Some(stage.rate), start, stage.seconds - cut));
            (start, cut) = (start + stage.seconds - cut, 0);
        }
        windows
    }

    /// Requests planned, warm-up included; absent in the closed model.
    #[must_use]
    pub fn planned_requests(&self) -> Option<u64> {
        if self.stages.is_empty() {
            return self.rate.map(|rate| u64::from(rate) * self.seconds);
        }
        Some(self.stages.iter().map(|stage| u64::from(stage.rate) * stage.seconds).sum())
    }

    /// What is offered, in a word: `1000/s`, `100 VUs`, `100/s, 1000/s, 100/s`.
    #[must_use]
    pub fn load(&self) -> String {
        match (self.stages.as_slice(), self.rate) {
            ([], Some(rate)) => format!("{rate}/s"),
            ([], None) => format!("{} VUs", self.vus),
            (stages, _) => {
                stages.iter().map(|stage| format!("{}/s", stage.rate)).collect::<Vec<_>>().join(", ")
            }
        }
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
        let level = Level::by_rate("1000/s:5m").unwrap();
        assert_eq!((level.rate, level.vus, level.seconds), (Some(1_000), 100, 300));
        let level = Level::by_users("500:10m").unwrap();
        assert_eq!((level.rate, level.vus, level.seconds), (None, 500, 600));
        for wrong in ["1000:5m", "0/s:5m", "x/s:5m", "10/s:5", "10/s:0s"] {
            assert!(Level::by_rate(wrong).is_err(), "{wrong}");
        }
    }

    fn spans(level: &Level, share: f64) -> Vec<(String, u64, u64)> {
        level.windows(share).into_iter().map(|one| (one.name, one.start_s, one.seconds)).collect()
    }

    #[test]
    fn the_steady_window_is_never_empty() {
        let (warmup, steady) = (WARMUP.to_owned(), STEADY.to_owned());
        assert_eq!(spans(&Level::open(1, 1), 0.9), [(steady.clone(), 0, 1)]);
        assert_eq!(spans(&Level::open(1, 20), 0.2), [(warmup.clone(), 0, 4), (steady.clone(), 4, 16)]);
        assert_eq!(spans(&Level::open(1, 600), 0.2), [(warmup, 0, 30), (steady, 30, 570)]);
    }

    #[test]
    fn a_spike_is_one_level_of_three_rates() {
        let parts = ["100/s:30s", "1000/s:10s", "100/s:40s"].map(|text| Level::by_rate(text).unwrap());
        let level = Level::spike(&parts).unwrap();
        assert_eq!((level.rate, level.vus, level.seconds), (Some(1_000), 100, 80));
        let names: Vec<_> = level.windows(0.2).into_iter().map(|one| one.name).collect();
        assert_eq!(names, ["warmup", "before", "spike", "after"]);
        let total: u64 = level.windows(0.2).iter().map(|one| one.seconds).sum();
        assert_eq!(total, 80);
        assert_eq!(level.planned_requests(), Some(17_000));
        assert!(Level::spike(&parts[..2]).unwrap_err().contains("three rates"));
    }
}
