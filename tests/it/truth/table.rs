//! What the bench prints: every number, or a line for each kind of scenario.

use super::play::{Played, Row, RowKind};
use nsys::domain::scenario::LoadEngine;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Every one of these numbers.
pub(super) fn every<'a>(rows: impl IntoIterator<Item = (&'a Played, &'a Row)>) -> String {
    let mut text =
        "| Scenario; engine, generators | Number | Told | True | |\n|---|---|---:|---:|---|\n".to_owned();
    for (play, row) in rows {
        let mark = if row.holds { "" } else { "WRONG" };
        let _ =
            writeln!(text, "| {} | {} | {} | {} | {mark} |", play.name(), row.number, row.told, row.truth);
    }
    text
}

/// How far percentiles of one engine were off at most, in ms.
#[derive(Clone, Copy, Default)]
struct Worst {
    percentile: f64,
    extreme: f64,
}

#[derive(Default)]
struct Line {
    numbers: usize,
    wrong: usize,
    /// Plays whose times were beyond an engine's ceiling, and so not compared.
    beyond: usize,
    by_engine: BTreeMap<&'static str, Worst>,
}

/// A line for each kind of scenario.
pub(super) fn compact(plays: &[Played]) -> String {
    let mut lines: BTreeMap<&str, Line> = BTreeMap::new();
    for play in plays {
        // In the open and the closed model.
        let kind = play.scenario.rsplit_once(", ").map_or(play.scenario, |(kind, _)| kind);
        let line = lines.entry(kind).or_default();
        line.beyond += usize::from(play.is_beyond_ceiling);
        for row in &play.rows {
            line.numbers += 1;
            line.wrong += usize::from(!row.holds);
            let worst = line.by_engine.entry(play.engine.as_str()).or_default();
            match row.kind {
                RowKind::Exact => {}
                RowKind::Percentile(off) => worst.percentile = worst.percentile.max(off),
                RowKind::Extreme(off) => worst.extreme = worst.extreme.max(off),
            }
        }
    }
    let mut text =
        "| Scenario | Numbers | Wrong | native: p50 to p99 | p99.9, max | k6: p50 to p99 | p99.9, max |\n\
                    |---|---:|---:|---:|---:|---:|---:|\n"
            .to_owned();
    let mut total = (0, 0);
    for (name, line) in &lines {
        let of = |engine: LoadEngine| match line.by_engine.get(engine.as_str()) {
            Some(worst) => format!("{} | {}", millis(worst.percentile), millis(worst.extreme)),
            None => "– | –".to_owned(),
        };
        let beyond = if line.beyond > 0 { " ¹" } else { "" };
        let (native, k6) = (of(LoadEngine::Native), of(LoadEngine::K6));
        let _ = writeln!(text, "| {name}{beyond} | {} | {} | {native} | {k6} |", line.numbers, line.wrong);
        total = (total.0 + line.numbers, total.1 + line.wrong);
    }
    let again = plays.iter().filter(|play| play.attempts > 1).count();
    let _ = writeln!(text, "| all | {} | {} | | | | |\n", total.0, total.1);
    let _ = writeln!(text, "{} plays, {again} of them repeated", plays.len());
    text
}

fn millis(off: f64) -> String {
    if off < 0.05 { "0".to_owned() } else { format!("{off:.1} ms") }
}
