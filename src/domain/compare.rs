//! Did it help: two runs, level by level, metric by metric. Pure.

use super::run::{LevelResult, Run, Sample};
use super::statistics::{self, Effect};
use super::verdict::Verdict;
use serde::Serialize;

/// Differences below this share are noise on any machine we measured.
pub const NOISE_FLOOR: f64 = 0.05;
/// A difference counts when chance makes it less often than this.
const SIGNIFICANCE: f64 = 0.05;

/// What became of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Better, beyond chance and noise.
    Improved,
    /// Worse, beyond chance and noise.
    Regressed,
    /// Surely within the noise.
    Unchanged,
    /// The measurement cannot tell.
    Inconclusive,
}

impl Change {
    /// The word used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Improved => "improved",
            Self::Regressed => "regressed",
            Self::Unchanged => "unchanged",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// One metric of one level.
#[derive(Clone, Debug, Serialize)]
pub struct Metric {
    /// Its name with the unit last.
    pub name: &'static str,
    /// The level's value in the first run.
    pub before: Option<f64>,
    /// The level's value in the second run.
    pub after: Option<f64>,
    /// Relative change of the per-second series; 0.1 is ten per cent more.
    pub change: Option<f64>,
    /// 95 % interval of that change.
    pub interval: Option<(f64, f64)>,
    /// Probability by chance, corrected for the number of metrics.
    pub p: Option<f64>,
    /// What became of it.
    pub verdict: Change,
    /// Why nothing can be said, when nothing can.
    pub reason: Option<&'static str>,
}

/// One level of both runs.
#[derive(Clone, Debug, Serialize)]
pub struct LevelComparison {
    /// Counted from 1.
    pub level: usize,
    /// Planned requests per second.
    pub target_rps: Option<u32>,
    /// The metrics.
    pub metrics: Vec<Metric>,
}

/// Two runs.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The first.
    pub before: String,
    /// The second.
    pub after: String,
    /// What is different around them, as sentences.
    pub differences: Vec<String>,
    /// Changes of the journal made between them.
    pub changes: Vec<String>,
    /// The levels.
    pub levels: Vec<LevelComparison>,
}

impl Comparison {
    /// Whether any metric became worse.
    #[must_use]
    pub fn regressed(&self) -> bool {
        self.levels.iter().flat_map(|level| &level.metrics).any(|one| one.verdict == Change::Regressed)
    }
}

struct Kind {
    name: &'static str,
    more_is_better: bool,
    value: fn(&LevelResult) -> Option<f64>,
    series: fn(&Sample) -> Option<f64>,
}

const KINDS: [Kind; 5] = [
    Kind {
        name: "throughput_rps",
        more_is_better: true,
        value: |level| Some(level.throughput_rps),
        series: |one| one.rate_rps,
    },
    Kind {
        name: "p50_ms",
        more_is_better: false,
        value: |level| level.latency_ms.p50,
        series: |one| one.p50_ms,
    },
    Kind {
        name: "p95_ms",
        more_is_better: false,
        value: |level| level.latency_ms.p95,
        series: |one| one.p95_ms,
    },
    Kind {
        name: "p99_ms",
        more_is_better: false,
        value: |level| level.latency_ms.p99,
        series: |one| one.p99_ms,
    },
    Kind {
        name: "service_cpu_pct",
        more_is_better: false,
        value: |level| level.service.cpu_pct,
        series: |one| one.service_cpu_pct,
    },
];

/// Why two runs cannot be compared; empty when they can.
#[must_use]
pub fn obstacles(before: &Run, after: &Run) -> Vec<String> {
    let mut found = Vec::new();
    let mut must = |what: &str, one: String, two: String| {
        if one != two {
            found.push(format!("{what}: {one} and {two}"));
        }
    };
    must("scenario", before.kind.clone(), after.kind.clone());
    must("model", format!("{:?}", before.model), format!("{:?}", after.model));
    must("k6", before.environment.k6.clone(), after.environment.k6.clone());
    must("processors", before.environment.cpus.to_string(), after.environment.cpus.to_string());
    must("operating system", before.environment.os.clone(), after.environment.os.clone());
    must("load script", before.environment.script.clone(), after.environment.script.clone());
    for (one, two) in before.levels.iter().zip(&after.levels) {
        let plan = |level: &LevelResult| {
            let load =
                level.target_rps.map_or_else(|| format!("{} VUs", level.vus), |rate| format!("{rate}/s"));
            format!("{load} for {} s", level.steady_s)
        };
        must(&format!("level {}", one.level), plan(one), plan(two));
    }
    if before.levels.is_empty() || after.levels.is_empty() {
        found.push("a run without a level".into());
    }
    found
}

/// Compares two runs that can be compared; levels that only one of them has are left out.
#[must_use]
pub fn compare(before: &Run, after: &Run, changes: Vec<String>) -> Comparison {
    let mut levels: Vec<_> =
        before.levels.iter().zip(&after.levels).map(|(one, two)| compare_level(one, two)).collect();
    correct(&mut levels);
    Comparison {
        before: before.id.clone(),
        after: after.id.clone(),
        differences: differences(before, after),
        changes,
        levels,
    }
}

fn compare_level(before: &LevelResult, after: &LevelResult) -> LevelComparison {
    let blocked = [before, after].iter().find_map(|level| match level.verdict {
        Verdict::GeneratorLimited => Some("the load could not be offered"),
        Verdict::Interrupted => Some("the level was interrupted"),
        _ => None,
    });
    let metrics = KINDS.iter().map(|kind| {
        let effect = statistics::compare(&window(before, kind.series), &window(after, kind.series));
        let (verdict, reason) = match (blocked, &effect) {
            (Some(why), _) => (Change::Inconclusive, Some(why)),
            (None, None) => (Change::Inconclusive, Some("too few independent seconds")),
            (None, Some(effect)) => (judge(kind, effect, effect.p), None),
        };
        Metric {
            name: kind.name,
            before: (kind.value)(before),
            after: (kind.value)(after),
            change: effect.map(|effect| effect.ratio - 1.0),
            interval: effect.map(|effect| (effect.low - 1.0, effect.high - 1.0)),
            p: effect.map(|effect| effect.p),
            verdict,
            reason,
        }
    });
    LevelComparison { level: before.level, target_rps: before.target_rps, metrics: metrics.collect() }
}

/// Reads every probability again, now that it is one of many.
fn correct(levels: &mut [LevelComparison]) {
    let metrics: Vec<_> =
        levels.iter_mut().flat_map(|level| &mut level.metrics).filter(|one| one.p.is_some()).collect();
    let corrected = statistics::holm(&metrics.iter().filter_map(|one| one.p).collect::<Vec<_>>());
    for (metric, p) in metrics.into_iter().zip(corrected) {
        metric.p = Some(p);
        let kind = KINDS.iter().find(|kind| kind.name == metric.name);
        if let (Some(kind), Some(change), Some((low, high)), None) =
            (kind, metric.change, metric.interval, metric.reason)
        {
            let effect = Effect { ratio: change + 1.0, low: low + 1.0, high: high + 1.0, p };
            metric.verdict = judge(kind, &effect, p);
        }
    }
}

fn judge(kind: &Kind, effect: &Effect, p: f64) -> Change {
    let beyond_noise = (effect.ratio - 1.0).abs() >= NOISE_FLOOR;
    if p < SIGNIFICANCE && beyond_noise {
        return if (effect.ratio > 1.0) == kind.more_is_better {
            Change::Improved
        } else {
            Change::Regressed
        };
    }
    // Two floors, so that what is within one floor can be told from noise at all.
    let within = effect.low > 1.0 - 2.0 * NOISE_FLOOR && effect.high < 1.0 + 2.0 * NOISE_FLOOR;
    if within { Change::Unchanged } else { Change::Inconclusive }
}

fn window(level: &LevelResult, of: fn(&Sample) -> Option<f64>) -> Vec<f64> {
    let end = level.steady_from_s + level.steady_s as f64;
    let inside = level.samples.iter().filter(|one| one.at_s >= level.steady_from_s && one.at_s <= end);
    inside.filter_map(of).collect()
}

fn differences(before: &Run, after: &Run) -> Vec<String> {
    let (one, two) = (&before.environment, &after.environment);
    let mut found = Vec::new();
    let mut tell = |what: &str, one: String, two: String| {
        if one != two {
            found.push(format!("{what}: {one} -> {two}"));
        }
    };
    tell("app replicas", one.app.to_string(), two.app.to_string());
    tell("worker replicas", one.worker.to_string(), two.worker.to_string());
    tell("nsys", one.nsys.clone(), two.nsys.clone());
    let rows = |count: Option<i64>| count.map_or_else(|| "unknown".into(), |count| count.to_string());
    tell("stored notifications", rows(one.rows), rows(two.rows));
    let keys: std::collections::BTreeSet<_> = one.settings.keys().chain(two.settings.keys()).collect();
    for key in keys {
        let value = |settings: &std::collections::BTreeMap<String, String>| {
            settings.get(key).cloned().unwrap_or_else(|| "unset".into())
        };
        tell(key, value(&one.settings), value(&two.settings));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::run::test_run;

    #[test]
    fn a_run_against_itself_changed_nothing() {
        let run = test_run(&[20.0]);
        let found = compare(&run, &run, Vec::new());
        assert!(!found.regressed());
        assert!(found.differences.is_empty());
        assert_eq!(found.levels[0].metrics[2].verdict, Change::Unchanged);
    }

    #[test]
    fn twice_the_latency_is_a_regression_and_half_an_improvement() {
        let (slow, fast) = (test_run(&[40.0]), test_run(&[20.0]));
        assert!(compare(&fast, &slow, Vec::new()).regressed());
        let found = compare(&slow, &fast, Vec::new());
        assert_eq!(found.levels[0].metrics[2].verdict, Change::Improved);
    }

    #[test]
    fn a_level_the_generator_could_not_offer_tells_nothing() {
        let (slow, mut fast) = (test_run(&[40.0]), test_run(&[20.0]));
        fast.levels[0].verdict = Verdict::GeneratorLimited;
        let found = compare(&slow, &fast, Vec::new());
        assert!(found.levels[0].metrics.iter().all(|one| one.verdict == Change::Inconclusive));
    }

    #[test]
    fn other_machines_and_other_loads_are_not_compared() {
        let (one, mut two) = (test_run(&[20.0]), test_run(&[20.0]));
        assert!(obstacles(&one, &two).is_empty());
        two.environment.cpus = 64;
        two.levels[0].target_rps = Some(999);
        assert_eq!(obstacles(&one, &two).len(), 2);
    }
}
