//! The open pane as CSV, JSON or Markdown: the same series and rows that are shown.

use super::grid::{self, Cell, Column, Grid, GridRow};
use super::sort::choices;
use super::{Pane, State, charts, tables};
use crate::render::table::Table;
use serde_json::{Value, json};

/// Whole numbers below this are exact.
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// The series of the pane, second by second, or its rows where it draws none.
#[must_use]
pub fn csv(state: &State, at_s: f64) -> String {
    let series = series(state, at_s);
    if matches!(state.pane, Pane::Overview | Pane::Load | Pane::Cache) && !series.is_empty() {
        return csv_of_series(&series);
    }
    let grid = tables::of_pane(state, at_s);
    let exported = choices(&grid.columns);
    let mut text = line_of(exported.iter().map(|place| grid.columns[*place].key()));
    for row in rows(&grid) {
        text += &line_of(exported.iter().map(|place| match row.cells[*place].value {
            grid::Value::Number(number) => number.to_string(),
            // Missing is empty, never 0.
            grid::Value::Missing => String::new(),
            grid::Value::Text => row.cells[*place].text.trim().to_owned(),
        }));
    }
    text
}

fn rows(grid: &Grid) -> impl Iterator<Item = &GridRow> {
    grid.rows.iter().filter(|row| row.heading.is_none())
}

type Points = Vec<(i64, Option<f64>)>;

/// Name and seconds of each line that the pane draws.
fn series(state: &State, at_s: f64) -> Vec<(String, Points)> {
    let from_s = at_s - state.time.window_s() as f64;
    let lines = charts::of_pane(state, at_s).into_iter().flat_map(|chart| chart.lines);
    let of = |(series, _): (super::history::ChartSeries, charts::LineRole)| {
        let ring = state.data.history.ring(&series)?;
        Some((series.name(), ring.seconds(from_s, at_s).collect()))
    };
    lines.filter_map(of).collect()
}

fn csv_of_series(series: &[(String, Points)]) -> String {
    let mut text =
        line_of(["time".to_owned()].into_iter().chain(series.iter().map(|(name, _)| name.clone())));
    let seconds = series.first().map(|(_, points)| points.as_slice()).unwrap_or_default();
    for (place, (second, _)) in seconds.iter().enumerate() {
        let values = series.iter().map(|(_, points)| {
            // Missing is empty, never 0.
            points.get(place).and_then(|point| point.1).map(|value| value.to_string()).unwrap_or_default()
        });
        text += &line_of([rfc3339(*second)].into_iter().chain(values));
    }
    text
}

fn rfc3339(second: i64) -> String {
    jiff::Timestamp::from_second(second).map(|time| time.to_string()).unwrap_or_default()
}

fn line_of(cells: impl Iterator<Item = String>) -> String {
    let quoted = cells.map(|cell| {
        if cell.contains(['"', ',', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
    });
    quoted.collect::<Vec<_>>().join(",") + "\n"
}

/// Verdict, series and rows.
#[must_use]
pub fn json(state: &State, at_s: f64) -> Value {
    let grid = tables::of_pane(state, at_s);
    let exported = choices(&grid.columns);
    let value = |cell: &Cell| match cell.value {
        // A count stays a count.
        grid::Value::Number(number) if number.fract() == 0.0 && number.abs() < WHOLE => json!(number as i64),
        grid::Value::Number(number) => json!(number),
        grid::Value::Missing => Value::Null,
        grid::Value::Text => json!(cell.text.trim()),
    };
    let object = |row: &GridRow| -> Value {
        exported.iter().map(|place| (grid.columns[*place].key(), value(&row.cells[*place]))).collect()
    };
    let series: Vec<Value> = series(state, at_s)
        .into_iter()
        .map(|(name, points)| json!({"name": name, "points": points}))
        .collect();
    json!({
        "stack": state.stack,
        "pane": state.pane.name(),
        "at": rfc3339(at_s as i64),
        "window_s": state.time.window_s(),
        "verdict": super::verdict::worst(state, at_s).text,
        "series": series,
        "rows": rows(&grid).map(object).collect::<Vec<_>>(),
    })
}

/// Verdict and rows.
#[must_use]
pub fn markdown(state: &State, at_s: f64) -> String {
    let grid = tables::of_pane(state, at_s);
    let shown = choices(&grid.columns);
    let right: Vec<usize> = (0..shown.len()).filter(|place| grid.columns[shown[*place]].number).collect();
    let heading = |place: &usize| -> &str {
        let column: &Column = &grid.columns[*place];
        column.name
    };
    let mut table = Table::new(shown.iter().map(heading)).right(&right);
    for row in rows(&grid) {
        table.row(shown.iter().map(|place| row.cells[*place].text.trim().to_owned()));
    }
    format!(
        "## {} of {} at {}\n\n{}\n\n{}\n",
        state.pane.name(),
        state.stack,
        rfc3339(at_s as i64),
        super::verdict::worst(state, at_s).text,
        table.markdown()
    )
}
