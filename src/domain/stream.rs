//! The stream of a load test in progress: one JSON object a line in `run/loadtest.ndjson` of the stack.
//!
//! Whoever follows it reads from the beginning and then what is added. A new run begins the file anew.
//! A line without an end is still being written. Unknown events and fields are to be skipped.

use super::check::Verdict;
use super::run::{Condition, Sample};
use serde::{Deserialize, Serialize};

/// What a run does at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunPhase {
    /// Checks that the load can be offered and measured.
    Preflight,
    /// Fills the table that reads go to.
    Seed,
    /// The command before a level runs.
    Before,
    /// Load that is not measured.
    Warmup,
    /// Load that is measured.
    Steady,
    /// Waits until the stack has settled.
    Stabilise,
    /// Collects what the parts counted.
    Collect,
}

impl RunPhase {
    /// The word used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::Seed => "seed",
            Self::Before => "before",
            Self::Warmup => "warmup",
            Self::Steady => "steady",
            Self::Stabilise => "stabilise",
            Self::Collect => "collect",
        }
    }
}

/// One level as planned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedLevel {
    /// Virtual users.
    pub vus: u32,
    /// Requests per second, the highest of the level; absent in the closed model.
    pub rate: Option<u32>,
    /// Length with the warm-up.
    pub seconds: u64,
}

/// One line of the stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "event")]
pub enum StreamEvent {
    /// The run began, or went on after an interruption.
    Start {
        /// Seconds since the epoch.
        at_s: f64,
        /// Name of the run.
        run: String,
        /// Its directory.
        dir: String,
        /// The scenario.
        kind: String,
        /// `k6` or `native`.
        engine: String,
        /// Every level; those before the first one that is offered were done earlier.
        levels: Vec<PlannedLevel>,
    },
    /// Something else is done from now on.
    Phase {
        /// Seconds since the epoch.
        at_s: f64,
        /// The level, counted from 1; 0 before the first one.
        level: usize,
        /// What is done.
        phase: RunPhase,
        /// When it ends at the latest, seconds since the epoch, where that is known.
        until_s: Option<f64>,
    },
    /// One second of a level.
    Second {
        /// The level, counted from 1.
        level: usize,
        /// What was measured.
        sample: Box<Sample>,
    },
    /// What is waited for after a level.
    Waiting {
        /// Seconds since the epoch.
        at_s: f64,
        /// The level, counted from 1.
        level: usize,
        /// Everything that is waited for, met or not.
        conditions: Vec<Condition>,
    },
    /// A level ended.
    Level {
        /// Seconds since the epoch.
        at_s: f64,
        /// The level, counted from 1.
        level: usize,
        /// What it comes to.
        verdict: Verdict,
        /// Requests per second of the steady window.
        throughput_rps: f64,
        /// 95th percentile of the steady window, in ms.
        p95_ms: Option<f64>,
        /// Share of failed requests.
        error_rate: Option<f64>,
    },
    /// The run ended.
    End {
        /// Seconds since the epoch.
        at_s: f64,
        /// `finished`, `stopped` or `interrupted`.
        state: String,
        /// What it comes to.
        verdict: Verdict,
    },
}

/// One second as one generator saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tick {
    /// Seconds since the epoch.
    pub at_s: f64,
    /// Requests per second that were answered or failed.
    pub rate: f64,
    /// Failed requests per second.
    pub errors: f64,
    /// Requests per second that could not be started.
    pub dropped: f64,
    /// Median answer time, in ms.
    pub p50_ms: Option<f64>,
    /// 95th percentile, in ms.
    pub p95_ms: Option<f64>,
    /// 99th percentile, in ms.
    pub p99_ms: Option<f64>,
}

impl Tick {
    /// The same second of two generators. Of percentiles the larger one: an upper bound, good enough
    /// to watch and never stored as a result.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let larger = |one: Option<f64>, two: Option<f64>| one.into_iter().chain(two).reduce(f64::max);
        Self {
            at_s: self.at_s.max(other.at_s),
            rate: self.rate + other.rate,
            errors: self.errors + other.errors,
            dropped: self.dropped + other.dropped,
            p50_ms: larger(self.p50_ms, other.p50_ms),
            p95_ms: larger(self.p95_ms, other.p95_ms),
            p99_ms: larger(self.p99_ms, other.p99_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let sample = Sample { at_s: 3.0, lag: Some(4), ..Sample::default() };
        let event = StreamEvent::Second { level: 2, sample: Box::new(sample) };
        let line = serde_json::to_string(&event).unwrap();
        assert!(line.starts_with(r#"{"event":"second","level":2,"sample":{"at_s":3.0"#), "{line}");
        assert_eq!(serde_json::from_str::<StreamEvent>(&line).unwrap(), event);
    }

    #[test]
    fn two_generators_of_one_second_add_up() {
        let one = Tick { at_s: 1.0, rate: 10.0, p95_ms: Some(5.0), ..Tick::default() };
        let two = Tick { at_s: 1.2, rate: 12.0, p95_ms: None, ..Tick::default() };
        let both = one.plus(&two);
        assert_eq!((both.rate, both.p95_ms, both.at_s), (22.0, Some(5.0), 1.2));
    }
}
