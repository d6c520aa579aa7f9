//! Whether runs can be compared at all, and what is different around them.

use crate::domain::run::{Environment, LevelResult, Run, StackIdentity};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

/// A table that grew by more than this factor makes other work of the same load.
const ROWS_FACTOR: f64 = 3.0;

/// Why two runs cannot be compared; empty when they can.
#[must_use]
pub fn obstacles(before: &Run, after: &Run) -> Vec<String> {
    let mut found = Vec::new();
    must(&mut found, "scenario", &before.kind, &after.kind);
    must(&mut found, "model", &format!("{:?}", before.model), &format!("{:?}", after.model));
    for (one, two) in before.levels.iter().zip(&after.levels) {
        let plan = |level: &LevelResult| {
            let load =
                level.target_rps.map_or_else(|| format!("{} VUs", level.vus), |rate| format!("{rate}/s"));
            format!("{load} for {} s", level.steady_s)
        };
        must(&mut found, &format!("level {}", one.level), &plan(one), &plan(two));
    }
    found.extend(other_place(&before.environment, &after.environment));
    if before.levels.is_empty() || after.levels.is_empty() {
        found.push("a run without a level".into());
    }
    found
}

/// Why runs at two places cannot be compared, whatever they offer; empty when they can.
#[must_use]
pub fn other_place(one: &Environment, two: &Environment) -> Vec<String> {
    let mut found = Vec::new();
    must(&mut found, "k6", &one.k6, &two.k6);
    must(&mut found, "processors", &one.cpus, &two.cpus);
    must(&mut found, "operating system", &one.os, &two.os);
    must(&mut found, "load script", &one.script, &two.script);
    // Runs of older versions name neither.
    if let (Some(one), Some(two)) = (&one.host, &two.host) {
        must(&mut found, "host", one, two);
    }
    if let (Some(one), Some(two)) = (&one.runtime, &two.runtime) {
        must(&mut found, "runtime", one, two);
    }
    if let (Some(one), Some(two)) = (one.rows, two.rows) {
        let (least, most) = (one.min(two).max(1), one.max(two));
        if most as f64 > least as f64 * ROWS_FACTOR {
            found.push(format!(
                "stored notifications: {one} and {two}, more than {ROWS_FACTOR:.0} times as many"
            ));
        }
    }
    found
}

/// Notes what is not the same.
fn must<T: PartialEq + Display>(found: &mut Vec<String>, what: &str, one: &T, two: &T) {
    if one != two {
        found.push(format!("{what}: {one} and {two}"));
    }
}

/// What is different around two runs, as sentences.
#[must_use]
pub fn differences(before: &Run, after: &Run) -> Vec<String> {
    let (one, two) = (&before.environment, &after.environment);
    let mut found = Vec::new();
    let mut note = |what: &str, one: String, two: String| {
        if one != two {
            found.push(format!("{what}: {one} -> {two}"));
        }
    };
    let stack = |run: &Run| run.stack.as_ref().map_or_else(|| "unknown".into(), StackIdentity::label);
    note("stack", stack(before), stack(after));
    note("app replicas", one.app.to_string(), two.app.to_string());
    note("worker replicas", one.worker.to_string(), two.worker.to_string());
    note("nsys", one.nsys.clone(), two.nsys.clone());
    let rows = |count: Option<i64>| count.map_or_else(|| "unknown".into(), |count| count.to_string());
    note("stored notifications", rows(one.rows), rows(two.rows));
    keyed(&one.versions, &two.versions, |key| format!("version of {key}"), &mut note);
    keyed(&one.settings, &two.settings, str::to_owned, &mut note);
    found
}

fn keyed(
    one: &BTreeMap<String, String>,
    two: &BTreeMap<String, String>,
    name: impl Fn(&str) -> String,
    note: &mut impl FnMut(&str, String, String),
) {
    let keys: BTreeSet<_> = one.keys().chain(two.keys()).collect();
    for key in keys {
        let value = |all: &BTreeMap<String, String>| all.get(key).cloned().unwrap_or_else(|| "unset".into());
        note(&name(key), value(one), value(two));
    }
}
