//! The load test: what runs now, and the levels that are done.

use super::super::State;
use super::super::grid::{Cell, Column, Grid, Row};
use super::super::history::{Metric, Series};
use super::Facts;
use crate::render::{Tone, format};
use crate::tui::update::LevelDone;

/// The levels that are done.
pub(super) fn grid(state: &State, at_s: f64) -> Grid {
    let load = state.data.load.at(at_s).and_then(|(_, load)| load.as_ref());
    let row = |(place, level): (usize, &LevelDone)| {
        let tone = match level.verdict.as_str() {
            "passed" => Tone::Good,
            "failed" => Tone::Bad,
            _ => Tone::Warn,
        };
        Row::new(
            place.to_string(),
            vec![
                Cell::from((place + 1).to_string()),
                Cell::from(format::or_missing(level.target, |rate| {
                    format!("{}/s", format::count(rate.into()))
                })),
                Cell::from(format::rate(level.achieved)),
                Cell::from(format::or_missing(level.p95_ms, format::millis)),
                Cell::toned(level.verdict.clone(), Some(tone)),
            ],
        )
    };
    Grid {
        title: "levels that are done".into(),
        columns: vec![
            Column::number("level", 0),
            Column::number("planned", 0),
            Column::number("achieved", 0),
            Column::number("p95", 0),
            Column::text("verdict"),
        ],
        rows: load.map(|load| load.done.iter().enumerate().map(row).collect()).unwrap_or_default(),
        empty: match load {
            Some(_) => "the first level runs".into(),
            None => "no load test runs; start one with  : loadtest incremental --quick".into(),
        },
    }
}

/// The level that runs.
#[must_use]
pub fn facts(state: &State, at_s: f64) -> Facts {
    let Some(load) = state.data.load.at(at_s).and_then(|(_, load)| load.as_ref()) else { return Vec::new() };
    let history = &state.data.history;
    let planned = match (load.target, load.vus) {
        (Some(rate), _) => format!("{}/s", format::count(rate.into())),
        (None, Some(vus)) => format!("{vus} virtual users"),
        (None, None) => format::MISSING.to_owned(),
    };
    let shown = |metric: Metric| {
        let series = Series::Of(metric);
        let value = history.at(&series, at_s);
        Cell::from(format::or_missing(value, |value| super::super::charts::in_words(series.unit(), value)))
    };
    vec![
        ("run", Cell::toned(load.run.clone(), Some(Tone::Strong))),
        ("level", Cell::from((load.done.len() + 1).to_string())),
        ("planned", Cell::from(planned)),
        ("served", shown(Metric::Rate)),
        ("generator CPU", shown(Metric::Generator)),
        ("lag", shown(Metric::Lag)),
    ]
}
