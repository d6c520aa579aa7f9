//! One row in full: every value uncut, and the commands that are about it. It runs nothing by itself.

use super::grid::{Cell, GridRow};
use super::{Pane, State, tables, verdict};
use nsys_contract::topics;

/// Commands that a detail offers at most: one for each digit.
const COMMANDS: usize = 9;

/// A row in full.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowDetail {
    /// What it is about.
    pub title: String,
    /// Its values by name, uncut.
    pub facts: Vec<(String, Cell)>,
    /// Commands about it, without the program. One that changes something asks before it does.
    pub commands: Vec<String>,
}

/// The chosen row of the open pane in full; none where there is no row.
#[must_use]
pub fn of_chosen(state: &State, at_s: f64) -> Option<RowDetail> {
    if state.overlay.has_own_rows() {
        return None;
    }
    let grid = tables::of_pane(state, at_s);
    let row = &grid.rows[grid.place(state.chosen())?];
    let named =
        grid.columns.iter().zip(&row.cells).filter(|(column, _)| !column.name.is_empty() && !column.picture);
    let facts = named.map(|(column, cell)| (column.name.to_owned(), cell.clone())).collect();
    let mut commands = commands(state, row, at_s);
    commands.truncate(COMMANDS);
    Some(RowDetail { title: title(state.pane, row), facts, commands })
}

fn title(pane: Pane, row: &GridRow) -> String {
    match pane {
        Pane::Overview => row.key.clone(),
        Pane::Lag => format!("partition {}", row.key),
        Pane::Load => format!("level {}", row.cells.first().map_or("", |cell| &cell.text)),
        Pane::Db => "statement".to_owned(),
        Pane::Cache => format!("keys {}", row.key),
        Pane::Stack => row.key.clone(),
    }
}

fn commands(state: &State, row: &GridRow, at_s: f64) -> Vec<String> {
    let text = |place: usize| row.cells.get(place).map_or("", |cell| cell.text.as_str());
    match state.pane {
        Pane::Lag => {
            let (group, topic) = (text(0), text(1));
            let mut commands = vec![format!("lag --group {}", quoted(group))];
            commands.push(format!("kafka describe {}", quoted(topic)));
            if group == topics::WORKER_GROUP {
                commands.push("logs worker".to_owned());
            }
            commands
        }
        Pane::Db => ["db slow", "db indexes", "tune db --suggest"].map(str::to_owned).into(),
        Pane::Cache => vec![
            format!("cache keys --prefix {}", quoted(&row.key)),
            format!("cache flush --prefix {}", quoted(&row.key)),
        ],
        Pane::Stack => vec![format!("logs {}", row.key), format!("restart {}", row.key)],
        Pane::Load => {
            let load = state.data.load.at(at_s).and_then(|(_, load)| load.as_ref());
            let run = load.map(|load| load.run.as_str()).unwrap_or_default();
            ["report", "diagnose", "loadtest show"].map(|what| format!("{what} {}", quoted(run))).into()
        }
        Pane::Overview => {
            let hint = verdict::worst(state, at_s).hint;
            hint.map(|hint| hint.trim_start_matches("nsys ").to_owned()).into_iter().collect()
        }
    }
}

/// As one word of a command line.
fn quoted(word: &str) -> String {
    let plain =
        !word.is_empty() && !word.contains(|one: char| one.is_whitespace() || matches!(one, '"' | '\''));
    match (plain, word.contains('\'')) {
        (true, _) => word.to_owned(),
        (false, false) => format!("'{word}'"),
        (false, true) => format!("\"{word}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::bench::second;

    #[test]
    fn a_row_is_shown_in_full_with_commands_about_it() {
        let mut state = State { pane: Pane::Db, ..State::default() };
        for at in 1_000..1_100 {
            second(f64::from(at), 2).into_iter().for_each(|stamped| state.update(stamped));
        }
        let detail = of_chosen(&state, 1_099.0).unwrap();
        assert!(
            detail.facts.iter().any(|(name, cell)| name == "statement" && cell.text.len() > 40),
            "{detail:?}"
        );
        state.pane = Pane::Stack;
        let detail = of_chosen(&state, 1_099.0).unwrap();
        assert_eq!(detail.commands, ["logs postgres", "restart postgres"]);
        state.pane = Pane::Lag;
        let detail = of_chosen(&state, 1_099.0).unwrap();
        assert!(detail.title.contains("notifications/0"), "{detail:?}");
        assert!(detail.commands.iter().all(|one| !one.starts_with("tune") && !one.starts_with("scale")));
    }

    #[test]
    fn words_with_blanks_stay_one_word() {
        assert_eq!(
            super::super::palette::words(&quoted("a b")).unwrap(),
            super::super::palette::words("'a b'").unwrap()
        );
        assert_eq!((quoted("plain"), quoted("it's")), ("plain".into(), "\"it's\"".into()));
    }
}
