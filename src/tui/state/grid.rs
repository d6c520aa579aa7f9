//! Rows and columns before they are drawn: the same ones are shown, filtered, copied and exported.

use crate::render::{Tone, format};

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its heading.
    pub name: &'static str,
    /// Numbers stand to the right and are never cut.
    pub number: bool,
    /// Takes the room that is left; its text may be cut.
    pub grows: bool,
    /// Text that is too long is cut in its middle: names differ at both ends.
    pub middle: bool,
    /// Only a picture of numbers that other columns hold: nothing for a program.
    pub picture: bool,
    /// In what its numbers are counted when a program reads them: `ms`, `bytes`; empty for pieces.
    pub unit: &'static str,
    /// On a narrow screen the highest rank goes first; rank 0 stays. [`Column::UNSEEN`] is exported only.
    pub rank: u8,
}

impl Column {
    /// The rank of a column that is exported but not shown.
    pub const UNSEEN: u8 = u8::MAX;

    /// A column of numbers.
    #[must_use]
    pub const fn number(name: &'static str, rank: u8) -> Self {
        Self { name, number: true, grows: false, middle: false, picture: false, unit: "", rank }
    }

    /// A column of words.
    #[must_use]
    pub const fn word(name: &'static str, rank: u8) -> Self {
        Self { name, number: false, grows: false, middle: true, picture: false, unit: "", rank }
    }

    /// A column of bars.
    #[must_use]
    pub const fn bars(name: &'static str, rank: u8) -> Self {
        Self { name, number: false, grows: false, middle: false, picture: true, unit: "", rank }
    }

    /// The same column, counted in this unit.
    #[must_use]
    pub const fn of(mut self, unit: &'static str) -> Self {
        self.unit = unit;
        self
    }

    /// Its name for programs: the unit last, no blanks.
    #[must_use]
    pub fn key(&self) -> String {
        let name = self.name.replace(' ', "_");
        if self.unit.is_empty() { name } else { format!("{name}_{}", self.unit) }
    }

    /// The column that takes the room that is left.
    #[must_use]
    pub const fn text(name: &'static str) -> Self {
        Self { name, number: false, grows: true, middle: false, picture: false, unit: "", rank: 0 }
    }

    /// The same for names.
    #[must_use]
    pub const fn name(name: &'static str) -> Self {
        Self { name, number: false, grows: true, middle: true, picture: false, unit: "", rank: 0 }
    }
}

/// What a cell says to a program.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Its text.
    Text,
    /// This number, in the unit of its column.
    Number(f64),
    /// Nothing: it could not be had.
    Missing,
}

/// A piece of text with its meaning.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The text.
    pub text: String,
    /// The same for a program.
    pub value: Value,
    /// What it means, if anything.
    pub tone: Option<Tone>,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, None)
    }
}

impl Cell {
    /// Text with a meaning.
    #[must_use]
    pub fn toned(text: impl Into<String>, tone: Option<Tone>) -> Self {
        let text = text.into();
        let value = if text == format::MISSING { Value::Missing } else { Value::Text };
        Self { text, value, tone }
    }

    /// A number, shown as people read it; `–` where it could not be had.
    #[must_use]
    pub fn number(value: Option<f64>, show: impl FnOnce(f64) -> String) -> Self {
        match value {
            Some(value) => Self { text: show(value), value: Value::Number(value), tone: None },
            None => Self::from(format::MISSING),
        }
    }

    /// How many.
    #[must_use]
    pub fn count(value: Option<u64>) -> Self {
        Self::number(value.map(|value| value as f64), |value| format::count(value as u64))
    }

    /// The same with this meaning.
    #[must_use]
    pub fn tone(mut self, tone: Option<Tone>) -> Self {
        self.tone = tone;
        self
    }
}

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub struct GridRow {
    /// Known by this when rows change places.
    pub key: String,
    /// One for each column.
    pub cells: Vec<Cell>,
    /// A heading across all columns, shown in place of the cells.
    pub heading: Option<Vec<Cell>>,
}

impl GridRow {
    /// An ordinary row.
    #[must_use]
    pub fn new(key: impl Into<String>, cells: Vec<Cell>) -> Self {
        Self { key: key.into(), cells, heading: None }
    }

    /// The text that a filter looks at and that is copied.
    #[must_use]
    pub fn text(&self) -> String {
        let cells = self.heading.as_ref().unwrap_or(&self.cells);
        cells.iter().map(|cell| cell.text.as_str()).collect::<Vec<_>>().join(" ")
    }
}

/// A table before it is drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grid {
    /// What it shows.
    pub title: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its rows.
    pub rows: Vec<GridRow>,
    /// What to say when there is none.
    pub empty: String,
}

impl Grid {
    /// Where the row with this key is; where it is gone, the first row that can be chosen.
    #[must_use]
    pub fn place(&self, key: Option<&str>) -> Option<usize> {
        let found = key.and_then(|key| self.rows.iter().position(|row| row.key == key));
        found.or_else(|| self.rows.iter().position(|row| row.heading.is_none()))
    }

    /// Without any meaning in its colours: what it shows is old.
    #[must_use]
    pub fn greyed(mut self) -> Self {
        let rows = self.rows.iter_mut();
        let cells = rows.flat_map(|row| row.cells.iter_mut().chain(row.heading.iter_mut().flatten()));
        cells.for_each(|cell| cell.tone = Some(Tone::Dim));
        self
    }

    /// The key of the row so many steps from the one with `key`; headings are passed over.
    #[must_use]
    pub fn step(&self, key: Option<&str>, steps: isize) -> Option<String> {
        let here = self.place(key)?;
        let chosen: Vec<usize> =
            (0..self.rows.len()).filter(|place| self.rows[*place].heading.is_none()).collect();
        let at = chosen.iter().position(|place| *place == here).unwrap_or(0);
        let to = at.saturating_add_signed(steps).min(chosen.len().saturating_sub(1));
        chosen.get(to).map(|place| self.rows[*place].key.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let heading = |text: &str| GridRow {
            key: text.into(),
            cells: Vec::new(),
            heading: Some(vec![Cell::from(text)]),
        };
        let row = |key: &str| GridRow::new(key, vec![Cell::from(key)]);
        Grid { rows: vec![heading("one"), row("a"), row("b"), heading("two"), row("c")], ..Grid::default() }
    }

    #[test]
    fn a_row_is_known_by_its_key_and_headings_are_passed_over() {
        let grid = grid();
        assert_eq!(grid.place(None), Some(1));
        assert_eq!(grid.step(Some("b"), 1).as_deref(), Some("c"));
        assert_eq!(grid.step(Some("a"), -5).as_deref(), Some("a"));
        assert_eq!(grid.step(Some("c"), 9).as_deref(), Some("c"));
        assert_eq!(grid.place(Some("gone")), Some(1));
        assert_eq!(Grid::default().step(None, 1), None);
    }
}
