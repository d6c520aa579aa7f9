//! What was changed, and what it did.

use super::levels::{metric_name, unit};
use super::list;
use crate::domain::compare::{Comparison, MetricChange, MetricComparison};
use crate::render::table::Table;
use crate::report::context::{self, Improvement, ReportContext};

pub(super) fn optimisations(context: &ReportContext) -> String {
    if context.changes.is_empty() {
        return "None is in the journal.".into();
    }
    let mut parts = Vec::new();
    let mut measured_ids = Vec::new();
    for (rank, step) in context.improvements.iter().enumerate() {
        measured_ids.extend(step.changes.iter().map(|change| &change.id));
        let changes: Vec<_> = step.changes.iter().map(context::JournalChange::line).collect();
        parts.push(format!(
            "### {}. {}\n\n**Changes**:\n\n{}\n\n**Results** ({} against {}):\n\n{}",
            rank + 1,
            step.changes.iter().map(|one| one.title.as_str()).collect::<Vec<_>>().join(", "),
            list(&changes, ""),
            step.comparison.after,
            step.comparison.before,
            list(&effects(step), "no metric changed beyond chance and noise")
        ));
    }
    let other: Vec<_> = context
        .changes
        .iter()
        .filter(|one| !measured_ids.contains(&&one.id))
        .map(context::JournalChange::line)
        .collect();
    if !other.is_empty() {
        parts.push(format!(
            "Without a run of the same load before and after, so that their effect was not measured:\n\n{}",
            list(&other, "")
        ));
    }
    parts.join("\n\n")
}

/// What a step changed, in words; what it did not change is not listed.
fn effects(step: &Improvement) -> Vec<String> {
    let mut lines = Vec::new();
    for level in &step.comparison.levels {
        for one in &level.metrics {
            if let (
                MetricChange::Improved | MetricChange::Regressed,
                Some(before),
                Some(after),
                Some(change),
            ) = (one.verdict, one.before, one.after, one.change)
            {
                lines.push(format!(
                    "level {}: {} {}: {} → {} ({})",
                    level.level,
                    metric_name(&one.name),
                    one.verdict.as_str(),
                    unit(&one.name, before),
                    unit(&one.name, after),
                    one.change_text(change)
                ));
            }
        }
    }
    lines
}

pub(super) fn before_and_after(context: &ReportContext) -> String {
    let Some(overall) = &context.overall else {
        return "There is no earlier run of the same load with changes since; nothing is compared.".into();
    };
    let changed = overall.changes.len();
    format!(
        "{} against {}, {changed} change{} between.\n\n{}{}",
        overall.after,
        overall.before,
        if changed == 1 { "" } else { "s" },
        comparison_table(overall).markdown(),
        overall.power().map_or_else(String::new, |said| format!("\n\n{said}"))
    )
}

/// Before, after, improvement and verdict, one row for each metric of each level.
pub(in crate::report) fn comparison_table(found: &Comparison) -> Table {
    let mut table = Table::new(["Level", "Metric", "Before", "After", "Change", "Status"]).right(&[2, 3, 4]);
    for level in &found.levels {
        for one in &level.metrics {
            let value = |value: Option<f64>| {
                value.map_or_else(|| "not measured".into(), |value| unit(&one.name, value))
            };
            table.row([
                level.level.to_string(),
                metric_name(&one.name).to_owned(),
                value(one.before),
                value(one.after),
                one.change.map_or_else(|| "not measured".into(), |change| one.change_text(change)),
                verdict_mark(one),
            ]);
        }
    }
    table
}

fn verdict_mark(one: &MetricComparison) -> String {
    let mark = match one.verdict {
        MetricChange::Improved => "✅",
        MetricChange::Regressed => "❌",
        MetricChange::Unchanged => "➖",
        MetricChange::Inconclusive => "❔",
    };
    format!("{mark} {}", one.verdict.as_str())
}
