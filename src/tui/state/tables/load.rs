//! The load test that runs, or the one that ran last: where it is, and the finished levels.

use super::super::State;
use super::super::grid::{Cell, Column, Grid, GridRow};
use super::super::history::{ChartSeries, StackMetric};
use super::FactLine;
use crate::domain::progress::RunProgress;
use crate::render::{Tone, format};
use crate::tui::update::{LevelDone, Load};
use std::time::Duration;

/// Processors of the machine beyond this are as good as all of them, per cent.
const BUSY_PCT: f64 = 90.0;

/// What a verdict means.
pub(crate) fn tone(verdict: &str) -> Tone {
    match verdict {
        "passed" => Tone::Good,
        "failed" => Tone::Bad,
        _ => Tone::Warn,
    }
}

/// The finished levels.
pub(super) fn grid(state: &State, at_s: f64) -> Grid {
    let load = state.data.load.at(at_s).and_then(|(_, load)| load.as_ref());
    let row = |(place, level): (usize, &LevelDone)| {
        let failing = level.error_rate.is_some_and(|share| share > 0.0).then_some(Tone::Warn);
        let missing = level.not_started.is_some_and(|count| count > 0).then_some(Tone::Warn);
        GridRow::new(
            place.to_string(),
            vec![
                Cell::count(Some(place as u64 + 1)),
                Cell::number(level.target.map(f64::from), |rate| format!("{}/s", format::count(rate as u64))),
                Cell::number(Some(level.achieved), format::rate),
                Cell::number(level.p50_ms, format::millis),
                Cell::number(level.p95_ms, format::millis),
                Cell::number(level.p99_ms, format::millis),
                Cell::number(level.error_rate, format::percent).tone(failing),
                Cell::count(level.not_started).tone(missing),
                Cell::toned(level.verdict.clone(), Some(tone(&level.verdict))),
                Cell::toned(level.reasons.join("; "), Some(Tone::Dim)),
            ],
        )
    };
    Grid {
        title: match load {
            Some(load) if !load.runs() => {
                format!("levels of {}, the last run; Enter: report, diagnosis", load.run)
            }
            _ => "finished levels".into(),
        },
        columns: vec![
            Column::number("level", 0),
            Column::number("planned", 0).of("per_s"),
            Column::number("achieved", 0).of("per_s"),
            Column::number("p50", 4).of("ms"),
            Column::number("p95", 0).of("ms"),
            Column::number("p99", 3).of("ms"),
            Column::number("errors", 1),
            Column::number("not started", 2),
            Column::word("verdict", 0),
            Column::text("why"),
        ],
        rows: load.map(|load| load.done.iter().enumerate().map(row).collect()).unwrap_or_default(),
        empty: match load {
            Some(load) if load.runs() => "the first level runs".into(),
            Some(_) => "no level finished".into(),
            None => {
                "no load test ran on this stack yet; start one with  : loadtest incremental --quick".into()
            }
        },
    }
}

/// The level that runs, or how the last run ended.
pub(super) fn facts(state: &State, at_s: f64) -> Vec<FactLine> {
    let Some(load) = state.data.load.at(at_s).and_then(|(_, load)| load.as_ref()) else { return Vec::new() };
    let run = ("run", Cell::toned(load.run.clone(), Some(Tone::Strong)));
    match &load.progress {
        Some(progress) if !progress.runs() => vec![ended(run, progress, at_s)],
        Some(progress) => running(state, run, load, progress, at_s),
        None => vec![vec![
            run,
            ("level", Cell::from((load.done.len() + 1).to_string())),
            ("planned", planned(load)),
        ]],
    }
}

fn ended(run: (&'static str, Cell), progress: &RunProgress, at_s: f64) -> FactLine {
    let verdict = progress.verdict.clone().unwrap_or_else(|| format::MISSING.into());
    let ago = progress.ended_s.map(|end_s| Duration::from_secs_f64((at_s - end_s).max(0.0).floor()));
    vec![
        run,
        (
            progress.state.as_deref().map_or("ended", word),
            Cell::from(format::or_missing(ago, |ago| format!("{} ago", format::duration(ago)))),
        ),
        ("verdict", Cell::toned(verdict.clone(), Some(tone(&verdict)))),
    ]
}

/// Names of facts live as long as the program.
fn word(state: &str) -> &'static str {
    match state {
        "finished" => "finished",
        "stopped" => "stopped by a rule",
        "interrupted" => "interrupted",
        _ => "ended",
    }
}

fn planned(load: &Load) -> Cell {
    Cell::from(match (load.target, load.vus) {
        (Some(rate), _) => format!("{}/s", format::count(rate.into())),
        (None, Some(vus)) => format!("{vus} virtual users"),
        (None, None) => format::MISSING.to_owned(),
    })
}

fn running(
    state: &State,
    run: (&'static str, Cell),
    load: &Load,
    progress: &RunProgress,
    at_s: f64,
) -> Vec<FactLine> {
    let second = progress.second.unwrap_or_default();
    let pct = |value: Option<f64>| format::or_missing(value, |pct| format!("{pct:.0} %"));
    let warn = |wrong: bool| wrong.then_some(Tone::Warn);
    let left = progress.until_s.map(|until_s| (until_s - at_s).max(0.0));
    let left =
        left.map(|left| format!(", {} left", format::duration(Duration::from_secs(left.ceil() as u64))));
    let machine = second
        .machine_cpu_pct
        .or_else(|| state.data.history.at(&ChartSeries::Of(StackMetric::Machine), at_s));
    let lag = state.data.history.at(&ChartSeries::Of(StackMetric::Lag), at_s);
    let dropped = second.not_started_per_s;
    let mut lines = vec![
        vec![
            run,
            ("level", Cell::from(format!("{} of {}", progress.level, progress.levels))),
            ("", Cell::toned(format!("{}{}", progress.phase, left.unwrap_or_default()), Some(Tone::Strong))),
            ("planned", planned(load)),
            ("served", Cell::from(format::or_missing(second.rate_rps, format::rate))),
            (
                "not started",
                Cell::toned(format::or_missing(dropped, format::rate), warn(dropped > Some(0.0))),
            ),
        ],
        vec![
            ("client p50", Cell::from(format::or_missing(second.p50_ms, format::millis))),
            (
                "p95",
                Cell::toned(
                    format::or_missing(second.p95_ms, format::millis),
                    warn(second.p95_ms > Some(state.bounds.p95_ms)),
                ),
            ),
            (
                "p99",
                Cell::toned(
                    format::or_missing(second.p99_ms, format::millis),
                    warn(second.p99_ms > Some(state.bounds.p99_ms)),
                ),
            ),
            (
                "errors",
                Cell::toned(
                    format::or_missing(second.errors_per_s, format::rate),
                    warn(second.errors_per_s > Some(0.0)),
                ),
            ),
            ("machine CPU", Cell::toned(pct(machine), warn(machine > Some(BUSY_PCT)))),
            ("generator CPU", Cell::from(pct(load.generator_cpu_pct.or(second.generator_cpu_pct)))),
            (
                "waits for it",
                Cell::toned(pct(second.generator_wait_pct), warn(second.generator_wait_pct > Some(50.0))),
            ),
            ("lag", Cell::from(format::or_missing(lag, |lag| format::count(lag as u64)))),
        ],
    ];
    if let Some(why) = &progress.limited {
        let text = format!("the limit, not the service: {why}");
        lines.push(vec![("generator", Cell::toned(text, Some(Tone::Warn)))]);
    }
    lines
}
