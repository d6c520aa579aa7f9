//! The tables of the page. Numbers link to where they come from.

use crate::domain::run::{LevelResult, Run};
use crate::domain::verdict::{CheckStatus, Verdict};
use crate::render::format;
use crate::render::table::Table;
use crate::report::context::ReportContext;
use crate::report::performance::{checks_table, metric_name, unit};
use crate::report::summary::levels_table;

/// A cell: its text, where it leads, and what leads to it.
#[derive(Debug, Default)]
pub(super) struct PageCell {
    pub(super) text: String,
    pub(super) link: Option<String>,
    pub(super) id: Option<String>,
}

/// Headings and cells.
#[derive(Debug)]
pub(super) struct PageTable {
    /// What a screen reader calls it.
    pub(super) name: String,
    pub(super) header: Vec<String>,
    pub(super) rows: Vec<Vec<PageCell>>,
}

impl PageTable {
    pub(super) fn new(name: impl Into<String>, table: Table) -> Self {
        let (header, rows) = table.cells();
        let cell = |text: String| PageCell { text: plain(&text).to_owned(), ..PageCell::default() };
        let rows = rows.into_iter().map(|row| row.into_iter().map(cell).collect()).collect();
        Self { name: name.into(), header, rows }
    }
}

/// Without the mark that stands before a word in Markdown: fonts without it show an empty box, and a screen reader
/// reads its name.
fn plain(text: &str) -> &str {
    match text.split_once(' ') {
        Some((mark, word)) if !mark.is_empty() && mark.chars().all(|sign| sign as u32 >= 0x2600) => word,
        _ => text,
    }
}

/// The place of a level's own section.
pub(super) fn level_id(level: usize) -> String {
    format!("level-{level}")
}

/// The place of a number in the table of all numbers.
pub(super) fn fact_id(level: usize, name: &str) -> String {
    format!("fact-{level}-{name}")
}

/// The levels; one that did not pass says what it missed.
pub(super) fn levels(run: &Run) -> PageTable {
    let mut table = PageTable::new("Levels", levels_table(run));
    for (row, level) in table.rows.iter_mut().zip(&run.levels) {
        if let Some(first) = row.first_mut() {
            first.link = Some(level_id(level.level));
        }
        if let Some(last) = row.last_mut() {
            let missed = missed(level);
            if level.verdict != Verdict::Passed && !missed.is_empty() {
                last.text += &format!(": {}", missed.join(", "));
            }
        }
    }
    table
}

/// The objectives that were missed, each with its value and its bound; else those that could not be judged.
fn missed(level: &LevelResult) -> Vec<String> {
    let of = |status: CheckStatus| level.checks.iter().filter(move |check| check.status == status);
    let failed: Vec<_> = of(CheckStatus::Fail)
        .map(|check| {
            let value = format::measured(&check.value, |value| unit(&check.metric, value));
            let bound = unit(&check.metric, check.objective);
            format!("{} {value} ({} {bound})", metric_name(&check.metric), check.relation())
        })
        .collect();
    if !failed.is_empty() {
        return failed;
    }
    of(CheckStatus::Unknown).map(|check| format!("{} not measured", metric_name(&check.metric))).collect()
}

/// What a level was judged by; a number that was asked for leads to its question.
pub(super) fn checks(level: &LevelResult) -> PageTable {
    let mut table = PageTable::new(format!("Objectives of level {}", level.level), checks_table(level));
    for (row, check) in table.rows.iter_mut().zip(&level.checks) {
        if let Some(value) = row.get_mut(1).filter(|_| level.facts.get(&check.metric).is_some()) {
            value.link = Some(fact_id(level.level, &check.metric));
        }
    }
    table
}

/// The statements that took the most time on each level.
pub(super) fn statements(run: &Run) -> PageTable {
    let mut table = Table::new(["level", "calls", "mean ms", "total ms", "statement"]).right(&[0, 1, 2, 3]);
    for level in &run.levels {
        for one in &level.db.top {
            table.row([
                level.level.to_string(),
                one.calls.to_string(),
                format!("{:.2}", one.mean_ms),
                format!("{:.0}", one.total_ms),
                one.query.clone(),
            ]);
        }
    }
    PageTable::new("Statements that took the most time", table)
}

/// Every number with the question that was asked.
pub(super) fn facts(run: &Run) -> PageTable {
    let mut table = Table::new(["level", "number", "value", "source", "question"]).right(&[0, 2]);
    let mut places = Vec::new();
    for level in &run.levels {
        for (name, fact) in level.facts.iter() {
            places.push(fact_id(level.level, name));
            table.row([
                level.level.to_string(),
                name.clone(),
                format::measured_in_words(&fact.value, |value| format!("{value:.3}")),
                fact.source.clone(),
                fact.query.clone(),
            ]);
        }
    }
    let mut table = PageTable::new("Every number", table);
    for (row, place) in table.rows.iter_mut().zip(places) {
        if let Some(number) = row.get_mut(1) {
            number.id = Some(place);
        }
    }
    table
}

/// The runs of the same load before this one, and this one last; absent where it is the first.
pub(super) fn earlier(context: &ReportContext) -> Option<PageTable> {
    if context.series.len() < 2 {
        return None;
    }
    let header = ["run", "began", "achieved", "p50", "p95", "p99", "errors", "verdict"];
    let mut table = Table::new(header).right(&[2, 3, 4, 5, 6]);
    for one in &context.series {
        let ms = |value| format::or_missing(value, format::millis);
        table.row([
            one.id.clone(),
            format::instant(&one.started_at),
            format::rate(one.throughput_rps),
            ms(one.p50_ms),
            ms(one.p95_ms),
            ms(one.p99_ms),
            format::measured(&one.error_rate, format::percent),
            one.verdict.as_str().to_owned(),
        ]);
    }
    Some(PageTable::new("Runs of the same load, oldest first", table))
}

fn service(run: &Run, version: &str) -> String {
    match &run.profile {
        Some(profile) => format!("{version}, described by the profile {}", profile.name),
        None => format!("{version}, {} app, {} worker", run.environment.app, run.environment.worker),
    }
}

/// The machine, the parts and their versions.
pub(super) fn surroundings(run: &Run) -> Vec<(&'static str, String)> {
    let here = &run.environment;
    let version = |part: &str| here.versions.get(part).cloned().unwrap_or_else(|| "not measured".into());
    vec![
        ("System", here.os.clone()),
        ("Processors", here.cpus.to_string()),
        ("Memory", format!("{:.1} GiB", here.memory_mb as f64 / 1_024.0)),
        ("Disk", here.disk.clone().unwrap_or_else(|| "not measured".into())),
        ("Service", service(run, &version("service"))),
        ("Database", version("postgres")),
        ("Cache", version("redis")),
        ("Broker", version("kafka")),
        ("Generator", here.k6.clone()),
        ("nsys", here.nsys.clone()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_left_out_and_nothing_else() {
        for (shown, wanted) in [("❌ missed", "missed"), ("⚠️ near", "near"), ("➖ unchanged", "unchanged")]
        {
            assert_eq!(plain(shown), wanted);
        }
        for text in ["≤ 100/s", "− 3 %", "missed", "", "± 2", "P95 Latency"] {
            assert_eq!(plain(text), text);
        }
    }
}
