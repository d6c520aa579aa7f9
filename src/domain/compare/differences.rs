//! Whether runs can be compared at all, and what is different around them.

use crate::domain::run::{LevelResult, Run};
use std::collections::{BTreeMap, BTreeSet};

/// A table that grew by more than this factor makes other work of the same load.
const ROWS_FACTOR: f64 = 3.0;

/// Why two runs cannot be compared; empty when they can.
#[must_use]
pub fn obstacles(before: &Run, after: &Run) -> Vec<String> {
    let mut found = Vec::new();
    let mut must = |what: &str, one: String, two: String| {
        if one != two {
            found.push(format!("{what}: {one} and {two}"));
        }
    };
    let (one, two) = (&before.environment, &after.environment);
    must("scenario", before.kind.clone(), after.kind.clone());
    must("model", format!("{:?}", before.model), format!("{:?}", after.model));
    must("k6", one.k6.clone(), two.k6.clone());
    must("processors", one.cpus.to_string(), two.cpus.to_string());
    must("operating system", one.os.clone(), two.os.clone());
    must("load script", one.script.clone(), two.script.clone());
    // Runs of older versions name neither.
    if let (Some(one), Some(two)) = (&one.host, &two.host) {
        must("host", one.clone(), two.clone());
    }
    if let (Some(one), Some(two)) = (&one.runtime, &two.runtime) {
        must("runtime", one.clone(), two.clone());
    }
    for (one, two) in before.levels.iter().zip(&after.levels) {
        let plan = |level: &LevelResult| {
            let load =
                level.target_rps.map_or_else(|| format!("{} VUs", level.vus), |rate| format!("{rate}/s"));
            format!("{load} for {} s", level.steady_s)
        };
        must(&format!("level {}", one.level), plan(one), plan(two));
    }
    if let (Some(one), Some(two)) = (one.rows, two.rows) {
        let (least, most) = (one.min(two).max(1), one.max(two));
        if most as f64 > least as f64 * ROWS_FACTOR {
            found.push(format!(
                "stored notifications: {one} and {two}, more than {ROWS_FACTOR:.0} times as many"
            ));
        }
    }
    if before.levels.is_empty() || after.levels.is_empty() {
        found.push("a run without a level".into());
    }
    found
}

/// What is different around two runs, as sentences.
#[must_use]
pub fn differences(before: &Run, after: &Run) -> Vec<String> {
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
    keyed(&one.versions, &two.versions, |key| format!("version of {key}"), &mut tell);
    keyed(&one.settings, &two.settings, str::to_owned, &mut tell);
    found
}

fn keyed(
    one: &BTreeMap<String, String>,
    two: &BTreeMap<String, String>,
    name: impl Fn(&str) -> String,
    tell: &mut impl FnMut(&str, String, String),
) {
    let keys: BTreeSet<_> = one.keys().chain(two.keys()).collect();
    for key in keys {
        let value = |all: &BTreeMap<String, String>| all.get(key).cloned().unwrap_or_else(|| "unset".into());
        tell(&name(key), value(one), value(two));
    }
}
