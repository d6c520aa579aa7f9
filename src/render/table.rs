//! Plain aligned tables for the terminal and Markdown tables for reports, from the same rows.

use super::clean;
use comfy_table::{CellAlignment, ContentArrangement, Table as Inner};

/// A table under construction. Cells are text; columns named in [`Table::right`] align right.
#[derive(Clone, Debug)]
pub struct Table {
    header: Vec<String>,
    right: Vec<usize>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column headings.
    #[must_use]
    pub fn new<S: Into<String>>(header: impl IntoIterator<Item = S>) -> Self {
        Self { header: header.into_iter().map(Into::into).collect(), right: Vec::new(), rows: Vec::new() }
    }

    /// Aligns these columns (counted from 0) to the right, as numbers want it.
    #[must_use]
    pub fn right(mut self, columns: &[usize]) -> Self {
        self.right = columns.to_vec();
        self
    }

    /// Adds a row. A control character in a cell is shown as an escape, so that no text forges a row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let clean = |text: S| clean::cell(&text.into()).into_owned();
        self.rows.push(cells.into_iter().map(clean).collect());
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Headings and cells, for another form.
    #[must_use]
    pub fn cells(self) -> (Vec<String>, Vec<Vec<String>>) {
        (self.header, self.rows)
    }

    /// The text form: columns two spaces apart, no lines. Cells may carry escape codes.
    #[must_use]
    pub fn text(&self) -> String {
        let widths: Vec<usize> = (0..self.header.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.chain(self.header.get(column)).map(|cell| clean::width(cell)).max().unwrap_or(0)
            })
            .collect();
        let header = self.header.iter().map(|name| name.to_uppercase()).collect::<Vec<_>>();
        let mut lines = vec![self.text_line(&header, &widths)];
        lines.extend(self.rows.iter().map(|row| self.text_line(row, &widths)));
        lines.join("\n")
    }

    fn text_line(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for (column, cell) in cells.iter().enumerate() {
            let pad = " ".repeat(widths[column].saturating_sub(clean::width(cell)));
            if column > 0 {
                line.push_str("  ");
            }
            if self.right.contains(&column) {
                line.push_str(&pad);
                line.push_str(cell);
            } else {
                line.push_str(cell);
                line.push_str(&pad);
            }
        }
        line.trim_end().to_owned()
    }

    /// The Markdown form.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut table = Inner::new();
        table.load_style(comfy_table::presets::ASCII_MARKDOWN);
        table.set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(&self.header);
        for row in &self.rows {
            table.add_row(row.iter().map(|cell| cell.replace('|', "\\|")));
        }
        for column in &self.right {
            if let Some(column) = table.column_mut(*column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_whatever_their_colour() {
        let mut table = Table::new(["part", "lag"]).right(&[1]);
        table.row(["kafka".to_owned(), crate::render::style::paint(crate::render::Tone::Bad, "12")]);
        table.row(["pg", "3"]);
        let plain = anstream::adapter::strip_str(&table.text()).to_string();
        assert_eq!(plain, "PART   LAG\nkafka   12\npg       3");
    }

    #[test]
    fn wide_characters_and_line_breaks_shift_no_column() {
        let mut table = Table::new(["name", "role"]);
        table.row(["日本語テスト", "USER"]);
        table.row(["a\nroot", "USER"]);
        assert_eq!(table.text(), "NAME          ROLE\n日本語テスト  USER\na\\nroot       USER");
    }

    #[test]
    fn a_pipe_in_a_cell_does_not_break_markdown() {
        let mut table = Table::new(["q"]);
        table.row(["a|b"]);
        assert!(table.markdown().contains("a\\|b"));
    }
}
