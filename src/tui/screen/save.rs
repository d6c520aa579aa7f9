//! Writes the open pane to a file in the working directory.

use super::named;
use crate::error::{Context, Result};
use crate::tui::state::{Format, State, export};
use crate::tui::view;
use std::path::PathBuf;

/// Writes the pane as it is shown now. Answers where.
pub(super) fn save(state: &State, format: Format, now_s: f64, size: (u16, u16)) -> Result<PathBuf> {
    let at_s = state.time.at(now_s);
    let text = match format {
        Format::Svg => view::picture(state, now_s, size.0, size.1),
        Format::Csv => export::csv(state, at_s),
        Format::Json => {
            serde_json::to_string_pretty(&export::json(state, at_s)).context("cannot write the pane")? + "\n"
        }
        Format::Markdown => export::markdown(state, at_s),
    };
    let stamp = jiff::Timestamp::from_second(at_s as i64).unwrap_or_default();
    let stamp = stamp.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y%m%d_%H%M%S");
    let path =
        PathBuf::from(format!("nsys-{}-{}-{stamp}.{}", state.stack, state.pane.name(), format.extension()));
    named(std::fs::write(&path, text), &path)?;
    Ok(path)
}
