//! What people read of a run, made from results.json, its diagnosis and its context.

mod charts;
pub mod context;
mod export;
mod page;
mod performance;
mod sections;
mod summary;

pub use context::ReportContext;
pub use export::{csv, junit};
pub use page::page;
pub use performance::performance;
pub use summary::summary;

use crate::domain::diagnosis::Diagnosis;
use crate::domain::run::Run;
use crate::error::Result;
use crate::loadtest::store;
use std::path::Path;

/// The files of a report with what stands in them.
///
/// # Errors
/// When the page's template cannot be filled.
pub fn files(run: &Run, found: &Diagnosis, context: &ReportContext) -> Result<[(&'static str, String); 5]> {
    Ok([
        ("SUMMARY.md", summary(run, true)),
        ("PERFORMANCE_REPORT.md", performance(run, found, context)),
        ("junit.xml", junit(run)),
        ("checks.csv", csv(run)),
        ("report.html", page(run, found, context)?),
    ])
}

/// Writes every report into the run's directory.
///
/// # Errors
/// When a file cannot be written.
pub fn write(dir: &Path, run: &Run, found: &Diagnosis, context: &ReportContext) -> Result<()> {
    for (name, text) in files(run, found, context)? {
        store::write(&dir.join(name), &text)?;
    }
    Ok(())
}
