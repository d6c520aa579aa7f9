//! Where a load test is, told by its stream: phase, time left, the last second, and whether the generator
//! keeps up. Pure; the end of a run is kept until the next one begins.

use super::guard;
use super::run::Sample;
use super::stream::{RunPhase, StreamEvent};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Seconds that the generator is judged by while it runs.
const RECENT: usize = 10;
/// Fewer seconds tell nothing.
const LEAST: usize = 3;
/// A generator whose threads wait for a processor this share of their time is starved, per cent.
const WAIT_PCT: f64 = 50.0;
/// A machine this busy has no processor left for the generator, per cent.
const MACHINE_PCT: f64 = 95.0;
/// Below this share of the plan a second is short.
const OFFERED: guard::GeneratorBounds =
    guard::GeneratorBounds { cpu_pct: 0.0, offered_share: 0.9, rate_per_cpu: 0.0 };

/// Where a load test is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunProgress {
    /// Name of the run.
    pub run: String,
    /// Its directory.
    pub dir: String,
    /// The level, counted from 1; 0 before the first one.
    pub level: usize,
    /// How many levels there are.
    pub levels: usize,
    /// What it does: `warmup`, `steady`, …
    pub phase: String,
    /// When that ends at the latest, seconds since the epoch, where it is known.
    pub until_s: Option<f64>,
    /// Its last second.
    pub second: Option<ClientSecond>,
    /// Why the generator, not the service, is the limit at present.
    pub limited: Option<String>,
    /// How it ended: `finished`, `stopped` or `interrupted`; absent while it runs.
    pub state: Option<String>,
    /// What it comes to, once it has ended.
    pub verdict: Option<String>,
    /// When it ended, seconds since the epoch.
    pub ended_s: Option<f64>,
}

/// Follows the stream of a load test.
#[derive(Clone, Debug, Default)]
pub struct Follower {
    /// Where it is.
    pub progress: RunProgress,
    recent: VecDeque<Sample>,
}

/// One second of a load test on the client's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientSecond {
    /// Seconds since the epoch.
    pub at_s: f64,
    /// Requests per second that were planned.
    pub planned_rps: Option<f64>,
    /// Answers per second.
    pub rate_rps: Option<f64>,
    /// Median answer time, ms.
    pub p50_ms: Option<f64>,
    /// 95th percentile, ms.
    pub p95_ms: Option<f64>,
    /// 99th percentile, ms.
    pub p99_ms: Option<f64>,
    /// Failed requests per second.
    pub errors_per_s: Option<f64>,
    /// Requests per second that could not be started in time.
    pub not_started_per_s: Option<f64>,
    /// CPU of the generator, per cent of one core.
    pub generator_cpu_pct: Option<f64>,
    /// Share of its running time that the generator waited for a processor, per cent.
    pub generator_wait_pct: Option<f64>,
    /// CPU of the whole machine, per cent of all cores.
    pub machine_cpu_pct: Option<f64>,
}

impl Follower {
    /// Takes a line of the stream.
    pub fn take(&mut self, event: StreamEvent) {
        let progress = &mut self.progress;
        match event {
            StreamEvent::Start { run, dir, levels, .. } => {
                let (phase, levels) = (RunPhase::Preflight.as_str().to_owned(), levels.len());
                *self = Self {
                    progress: RunProgress { run, dir, levels, phase, ..RunProgress::default() },
                    ..Self::default()
                };
            }
            StreamEvent::Phase { level, phase, until_s, .. } => {
                (progress.level, progress.until_s) = (level, until_s);
                progress.phase = phase.as_str().to_owned();
                if !matches!(phase, RunPhase::Warmup | RunPhase::Steady) {
                    self.recent.clear();
                    (progress.second, progress.limited) = (None, None);
                }
            }
            StreamEvent::Second { level, sample } => {
                progress.level = level;
                self.second(*sample);
            }
            StreamEvent::End { at_s, state, verdict } => {
                progress.end(at_s, &state, verdict.as_str());
                self.recent.clear();
            }
            StreamEvent::Waiting { .. } | StreamEvent::Level { .. } => {}
        }
    }

    fn second(&mut self, sample: Sample) {
        self.progress.second = Some(ClientSecond::of(&sample));
        self.recent.push_back(sample);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        self.progress.limited = limited(self.recent.make_contiguous());
    }
}

impl ClientSecond {
    fn of(sample: &Sample) -> Self {
        Self {
            at_s: sample.at_s,
            planned_rps: sample.planned_rps,
            rate_rps: sample.client_rps,
            p50_ms: sample.client_p50_ms,
            p95_ms: sample.client_p95_ms,
            p99_ms: sample.client_p99_ms,
            errors_per_s: sample.client_errors_per_s,
            not_started_per_s: sample.dropped_per_s,
            generator_cpu_pct: sample.generator_cpu_pct,
            generator_wait_pct: sample.generator_wait_pct,
            machine_cpu_pct: sample.machine_cpu_pct,
        }
    }
}

impl RunProgress {
    /// Whether it still runs.
    #[must_use]
    pub const fn runs(&self) -> bool {
        self.ended_s.is_none()
    }

    /// Its nsys is gone without a word.
    pub fn interrupt(&mut self, at_s: f64) {
        self.end(at_s, "interrupted", "interrupted");
    }

    fn end(&mut self, at_s: f64, state: &str, verdict: &str) {
        (self.state, self.verdict) = (Some(state.to_owned()), Some(verdict.to_owned()));
        self.ended_s = Some(at_s);
        (self.until_s, self.second, self.limited) = (None, None, None);
    }
}

/// Why the generator is the limit: it offers less than was planned, and has no processor to do it with.
/// Less than planned alone may be the service's doing.
fn limited(recent: &[Sample]) -> Option<String> {
    let short: Vec<bool> = recent.iter().filter_map(|one| guard::short(one, OFFERED)).collect();
    let few = short.iter().filter(|short| **short).count();
    if short.len() < LEAST || few * 2 < short.len() {
        return None;
    }
    let wait = mean(recent, |one| one.generator_wait_pct);
    let machine = mean(recent, |one| one.machine_cpu_pct);
    match (wait, machine) {
        (Some(wait), _) if wait > WAIT_PCT => {
            Some(format!("the generator waits {wait:.0} % of its time for a CPU"))
        }
        (None, Some(machine)) if machine >= MACHINE_PCT => {
            Some(format!("the machine's CPUs are {machine:.0} % busy"))
        }
        _ => None,
    }
}

fn mean(samples: &[Sample], of: fn(&Sample) -> Option<f64>) -> Option<f64> {
    let known: Vec<f64> = samples.iter().filter_map(of).collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::super::stream::PlannedLevel;
    use super::*;

    fn start() -> StreamEvent {
        let levels = vec![PlannedLevel { vus: 10, rate: Some(150), seconds: 60 }; 3];
        let text = |text: &str| text.to_owned();
        StreamEvent::Start {
            at_s: 1.0,
            run: text("r"),
            dir: text("/d"),
            kind: text("smoke"),
            engine: text("k6"),
            levels,
        }
    }

    fn second(at_s: f64, rate: f64, wait: Option<f64>) -> StreamEvent {
        let sample = Sample {
            at_s,
            planned_rps: Some(150.0),
            client_rps: Some(rate),
            dropped_per_s: Some(150.0 - rate),
            generator_wait_pct: wait,
            ..Sample::default()
        };
        StreamEvent::Second { level: 2, sample: Box::new(sample) }
    }

    #[test]
    fn phase_time_left_and_what_was_not_started_are_told() {
        let mut follower = Follower::default();
        follower.take(start());
        follower.take(StreamEvent::Phase {
            at_s: 2.0,
            level: 2,
            phase: RunPhase::Steady,
            until_s: Some(60.0),
        });
        follower.take(second(3.0, 109.0, None));
        let progress = &follower.progress;
        assert_eq!((progress.level, progress.levels, progress.phase.as_str()), (2, 3, "steady"));
        assert_eq!(progress.until_s, Some(60.0));
        assert_eq!(progress.second.and_then(|second| second.not_started_per_s), Some(41.0));
        assert!(progress.runs());
    }

    #[test]
    fn a_starved_generator_is_told_and_a_slow_service_is_not_taken_for_one() {
        let run = |rate: f64, wait: Option<f64>| {
            let mut follower = Follower::default();
            follower.take(start());
            for at in 0..6 {
                follower.take(second(f64::from(at), rate, wait));
            }
            follower.progress.limited
        };
        assert!(run(104.0, Some(80.0)).is_some_and(|why| why.contains("80 %")));
        assert_eq!(run(104.0, Some(5.0)), None);
        assert_eq!(run(149.0, Some(80.0)), None);
        // Not measured is not known.
        assert_eq!(run(104.0, None), None);
    }

    #[test]
    fn the_end_is_kept_until_the_next_start() {
        let mut follower = Follower::default();
        follower.take(start());
        follower.take(StreamEvent::End {
            at_s: 90.0,
            state: "finished".into(),
            verdict: Verdict::GeneratorLimited,
        });
        assert!(!follower.progress.runs());
        assert_eq!(follower.progress.verdict.as_deref(), Some("generator-limited"));
        follower.take(start());
        assert!(follower.progress.runs() && follower.progress.verdict.is_none());
    }
}
