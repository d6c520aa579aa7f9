//! Rows as an answer: a table for people, JSON for programs.

use super::table::Table;
use super::{Out, OutputFormat};
use crate::error::Result;
use serde::Serialize;

/// Shows rows as a table, or as JSON.
///
/// # Errors
/// When standard output cannot be written.
pub fn show<T: Serialize>(out: Out, rows: &[T], table: &Table, nothing: &str) -> Result<()> {
    match out.format() {
        OutputFormat::Json => out.json(&rows),
        OutputFormat::Text if table.is_empty() => out.line(nothing),
        OutputFormat::Text => out.line(&table.text()),
    }
}
