//! The rows of each pane at a moment, filtered and sorted.

mod cache;
mod db;
mod lag;
mod load;
mod stack;

use super::charts::{self, ValueSource};
use super::events::{EventKind, StackEvent};
use super::grid::{Cell, Column, Grid, GridRow};
use super::{Pane, State};
use crate::render::{Tone, format};
use crate::tui::update::Mark;

pub use db::window as db_window;

/// A line of facts: names with their values.
pub type FactLine = Vec<(&'static str, Cell)>;

/// The rows of the open pane. Those of a source that does not answer have no colours: they are old.
#[must_use]
pub fn of_pane(state: &State, at_s: f64) -> Grid {
    let grid = coloured(state, at_s);
    match source_of(state.pane) {
        Some(source) if !charts::source(state, source, at_s).fresh => grid.greyed(),
        _ => grid,
    }
}

/// Where the rows of a pane come from; those of the overview come from everywhere.
const fn source_of(pane: Pane) -> Option<ValueSource> {
    match pane {
        Pane::Overview => None,
        Pane::Lag => Some(ValueSource::Lag),
        Pane::Load => Some(ValueSource::Load),
        Pane::Db => Some(ValueSource::Db),
        Pane::Cache => Some(ValueSource::Cache),
        Pane::Stack => Some(ValueSource::Parts),
    }
}

/// The lines of facts of the open pane.
#[must_use]
pub fn facts(state: &State, at_s: f64) -> Vec<FactLine> {
    let mut lines = match state.pane {
        Pane::Load => load::facts(state, at_s),
        Pane::Db => db::facts(state, at_s),
        Pane::Cache => cache::facts(state, at_s),
        Pane::Overview | Pane::Lag | Pane::Stack => Vec::new(),
    };
    if source_of(state.pane).is_some_and(|source| !charts::source(state, source, at_s).fresh) {
        lines.iter_mut().flatten().for_each(|(_, cell)| cell.tone = Some(Tone::Dim));
    }
    lines
}

fn coloured(state: &State, at_s: f64) -> Grid {
    let mut grid = match state.pane {
        Pane::Overview => overview(state, at_s),
        Pane::Lag => return sorted(state, lag::grid(state, at_s)),
        Pane::Load => load::grid(state, at_s),
        Pane::Db => db::grid(state, at_s),
        Pane::Cache => cache::grid(state, at_s),
        // There the filter is for the log.
        Pane::Stack => return sorted(state, stack::grid(state, at_s)),
    };
    grid.rows.retain(|row| state.lets(&row.text()));
    sorted(state, grid)
}

/// What is drawn over time, as numbers.
fn overview(state: &State, at_s: f64) -> Grid {
    let from_s = at_s - state.time.window_s() as f64;
    let row = |chart: charts::PaneChart| {
        let (series, _) = chart.lines.first()?;
        let ring = state.data.history.ring(series)?;
        let known: Vec<f64> = ring.seconds(from_s, at_s).filter_map(|(_, value)| value).collect();
        let shown = |value: Option<f64>| Cell::number(value, |value| charts::in_words(series.unit(), value));
        let mean = (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64);
        let fresh = charts::source(state, chart.source, at_s).fresh;
        let tone = (!fresh).then_some(Tone::Dim);
        let shown = |value| shown(value).tone(tone);
        Some(GridRow::new(
            series.name(),
            vec![
                Cell::from(chart.part),
                Cell::from(series.name()),
                Cell::from(series.unit().name()),
                shown(ring.at(at_s)),
                shown(known.iter().copied().reduce(f64::min)),
                shown(mean),
                shown(known.iter().copied().reduce(f64::max)),
            ],
        ))
    };
    Grid {
        title: "values of the window".into(),
        columns: vec![
            Column::word("part", 2),
            Column::text("value"),
            Column::word("unit", Column::UNSEEN),
            Column::number("now", 0),
            Column::number("least", 1),
            Column::number("mean", 0),
            Column::number("most", 0),
        ],
        rows: charts::of_pane(state, at_s).into_iter().filter_map(row).collect(),
        empty: "no value yet".into(),
    }
}

/// The calls that were made.
#[must_use]
pub fn calls(state: &State) -> Grid {
    let row = |made: &super::calls::CallCount| {
        let outcome = match &made.last.error {
            Some(error) => Cell::toned(error.clone(), Some(Tone::Bad)),
            None => Cell::toned("ok", Some(Tone::Good)),
        };
        GridRow::new(
            made.last.command.clone(),
            vec![
                Cell::count(Some(made.count)),
                Cell::count(Some(made.failed)).tone((made.failed > 0).then_some(Tone::Warn)),
                Cell::number(Some(made.last.took_ms), format::millis),
                outcome,
                Cell::from(made.last.command.clone()),
            ],
        )
    };
    Grid {
        title: "calls it makes, as you would make them; y copies one".into(),
        columns: vec![
            Column::number("made", 1),
            Column::number("failed", 1),
            Column::number("took", 0).of("ms"),
            Column::word("last", 2),
            Column::text("call"),
        ],
        rows: state.data.calls.iter().map(row).collect(),
        empty: "no calls yet".into(),
    }
}

/// What happened, newest first.
#[must_use]
pub fn events(state: &State) -> Grid {
    let (changes, marks) = state.data.changes_and_marks();
    let of = |kind: EventKind, tone: Tone| move |mark: &Mark| StackEvent { mark: mark.clone(), kind, tone };
    let mut all: Vec<StackEvent> = state.data.events.iter().cloned().collect();
    all.extend(changes.map(of(EventKind::Change, Tone::Strong)));
    all.extend(marks.map(of(EventKind::Mark, Tone::Strong)));
    all.sort_by(|one, other| other.mark.at_s.total_cmp(&one.mark.at_s));
    let row = |(place, one): (usize, &StackEvent)| {
        GridRow::new(
            format!("{}/{place}", one.mark.at_s),
            vec![
                Cell::from(state.zone.show(one.mark.at_s, "%d %b %H:%M:%S")),
                Cell::toned(one.kind.as_str(), Some(Tone::Dim)),
                Cell::toned(one.mark.text.clone(), Some(one.tone)),
            ],
        )
    };
    // Counted from the oldest, so that a row keeps its key when a newer one comes.
    let count = all.len();
    Grid {
        title: "what happened while this was open; y copies one".into(),
        columns: vec![Column::word("when", 0), Column::word("kind", 0), Column::text("what")],
        rows: all.iter().enumerate().map(|(place, one)| row((count - place, one))).collect(),
        empty: "nothing happened yet".into(),
    }
}

/// In the order that was chosen; else in their own.
fn sorted(state: &State, grid: Grid) -> Grid {
    match state.sorted_by() {
        Some(order) => order.apply(grid),
        None => grid,
    }
}
