//! The order of rows: by which column and which way round, and the list that it is chosen from.

use super::grid::{Column, Grid, GridRow, Value};
use std::cmp::Ordering;

/// The order of a pane's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortOrder {
    /// The column, by its place.
    pub column: usize,
    /// Numbers smallest first, words from Z.
    pub reversed: bool,
}

impl SortOrder {
    /// Which way its values go down the rows: `▲` they rise, `▼` they fall.
    #[must_use]
    pub const fn symbol(self, of: &Column) -> &'static str {
        if of.number == self.reversed { "▲" } else { "▼" }
    }

    /// Sorts the rows; what is missing comes last either way. Headings go.
    #[must_use]
    pub fn apply(self, mut grid: Grid) -> Grid {
        let Some(of) = grid.columns.get(self.column).copied() else { return grid };
        grid.rows.retain(|row| row.heading.is_none());
        let text =
            |row: &GridRow| row.cells.get(self.column).map(|cell| cell.text.clone()).unwrap_or_default();
        let number = |row: &GridRow| match row.cells.get(self.column).map(|cell| cell.value) {
            Some(Value::Number(number)) => Some(number),
            _ => None,
        };
        let turned = |order: Ordering| if self.reversed { order.reverse() } else { order };
        if of.number {
            grid.rows.sort_by(|one, other| match (number(one), number(other)) {
                (Some(one), Some(other)) => turned(other.total_cmp(&one)),
                (one, other) => other.is_some().cmp(&one.is_some()),
            });
        } else {
            grid.rows.sort_by(|one, other| turned(text(one).cmp(&text(other))));
        }
        grid
    }
}

/// The columns that rows can be sorted by, and that are exported: those with values.
#[must_use]
pub fn choices(columns: &[Column]) -> Vec<usize> {
    let fits = |column: &Column| !column.picture && !column.name.is_empty();
    (0..columns.len()).filter(|place| fits(&columns[*place])).collect()
}

#[cfg(test)]
mod tests {
    use super::super::grid::Cell;
    use super::*;

    fn grid() -> Grid {
        let row = |name: &str, value: Option<f64>| {
            GridRow::new(name, vec![Cell::from(name), Cell::number(value, |value| value.to_string())])
        };
        let columns = vec![Column::word("part", 0), Column::number("cpu", 0), Column::bars("share", 4)];
        let rows = vec![row("b", Some(1.0)), row("a", None), row("c", Some(2.0))];
        Grid { columns, rows, ..Grid::default() }
    }

    fn order(column: usize, reversed: bool) -> String {
        let sorted = SortOrder { column, reversed }.apply(grid());
        sorted.rows.iter().map(|row| row.key.as_str()).collect()
    }

    #[test]
    fn the_largest_comes_first_and_what_is_missing_last_either_way() {
        assert_eq!((order(1, false), order(1, true)), ("cba".into(), "bca".into()));
        assert_eq!((order(0, false), order(0, true)), ("abc".into(), "cba".into()));
        let columns = grid().columns;
        let symbol = |column: usize, reversed| SortOrder { column, reversed }.symbol(&columns[column]);
        assert_eq!(
            [symbol(1, false), symbol(1, true), symbol(0, false), symbol(0, true)],
            ["▼", "▲", "▲", "▼"]
        );
        assert_eq!(choices(&columns), [0, 1]);
    }
}
