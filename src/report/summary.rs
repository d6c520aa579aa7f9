//! SUMMARY.md and what the terminal shows: one table, what was missed, where it was measured.

use super::sections::findings;
use crate::domain::run::{LevelResult, ProfileGap, ResumePoint, Run, SearchResult, StackIdentity};
use crate::domain::scenario::LoadEngine;
use crate::domain::verdict::{CheckStatus, ObjectiveCheck, Verdict};
use crate::measured::Measured;
use crate::render::{format, table::Table};

pub(super) fn levels_table(run: &Run) -> Table {
    let generator_cpu = if is_k6(run) { "k6 CPU" } else { "generator CPU" };
    let header = [
        "level",
        "target",
        "achieved",
        "p50",
        "p95",
        "p99",
        "errors",
        "lag max",
        "drain",
        generator_cpu,
        "service CPU",
        "verdict",
    ];
    let mut table = Table::new(header).right(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    let pct = |value: &Measured<f64>| format::measured(value, |value| format!("{value:.0} %"));
    for level in &run.levels {
        let latency = &level.latency_ms;
        table.row([
            level.level.to_string(),
            level.target_rps.map_or_else(|| format!("{} VUs", level.vus), |rate| format!("{rate}/s")),
            format::rate(level.throughput_rps),
            format::or_missing(latency.p50, format::millis),
            format::or_missing(latency.p95, format::millis),
            format::or_missing(latency.p99, format::millis),
            format::measured(&level.error_rate, format::percent),
            format::measured(&level.kafka.lag_max, |lag: i64| lag.to_string()),
            format::measured(&level.kafka.drain_s, |seconds| format!("{seconds:.1} s")),
            pct(&level.generator.cpu_pct),
            pct(&level.service.cpu_pct),
            level.verdict.as_str().to_owned(),
        ]);
    }
    table
}

fn is_k6(run: &Run) -> bool {
    run.plan.as_ref().is_none_or(|plan| plan.engine == LoadEngine::K6)
}

/// Where the run was interrupted and continued, and what was different then.
pub(super) fn resume_points(run: &Run) -> Vec<String> {
    let resume_point = |one: &ResumePoint| {
        let differences = if one.differences.is_empty() {
            "with the same settings".to_owned()
        } else {
            format!("although {}", one.differences.join("; "))
        };
        format!(
            "interrupted, and resumed at level {} on {}, {differences}",
            one.level,
            format::instant(&one.resumed_at)
        )
    };
    run.resume_points.iter().map(resume_point).collect()
}

/// Why the run ended before its end.
pub(super) fn broken_off(run: &Run) -> Option<String> {
    run.broken_off
        .as_ref()
        .map(|why| format!("it could not continue: {why}; `nsys loadtest resume` continues there"))
}

/// What is to be said about a level beside its numbers.
pub(super) fn remarks(level: &LevelResult) -> Vec<String> {
    let mut remarks = findings(level);
    let limits = level
        .generator
        .reasons
        .iter()
        .map(|reason| format!("level {}: generator-limited: {reason}", level.level));
    remarks.extend(limits);
    remarks.extend(failures(level));
    let not_met = |check: &&ObjectiveCheck| !matches!(check.status, CheckStatus::Pass | CheckStatus::Skipped);
    for check in level.checks.iter().filter(not_met) {
        let value = match &check.value {
            Measured::Value(value) => format!("is {value:.2}"),
            gap => format!("is {}", format::measured_in_words(gap, |value| value.to_string())),
        };
        remarks.push(format!(
            "level {}: {} {value}, {} {} is wanted ({})",
            level.level,
            check.metric,
            check.relation(),
            check.objective,
            check.source
        ));
    }
    remarks
}

/// What failed, by cause, and how long the others took.
fn failures(level: &LevelResult) -> Option<String> {
    if level.errors.is_empty() {
        return None;
    }
    let causes: Vec<_> =
        level.errors.iter().map(|(cause, count)| format!("{} {cause}", format::count(*count))).collect();
    let of = |ms: Option<f64>| format::or_missing(ms, format::millis);
    let own = &level.success_ms;
    Some(format!(
        "level {}: failed, warm-up included: {}; the successful ones of the steady window took p50 {}, p95 {}, \
         p99 {}; the slowest request of all took or waited {}",
        level.level,
        causes.join(", "),
        of(own.p50),
        of(own.p95),
        of(own.p99),
        of(level.latency_ms.max)
    ))
}

/// Acknowledged and stored, of all levels.
pub(super) fn reconciliation(run: &Run) -> Option<(u64, u64)> {
    let kept: Option<u64> = run.levels.iter().map(|level| level.reconciliation.stored.value()).sum();
    Some((acknowledged(run)?, kept?))
}

/// The same, in words.
pub(super) fn reconciliation_sentence(run: &Run) -> Option<String> {
    let (said, kept) = reconciliation(run)?;
    // Each request of another service has statuses of its own.
    let with = if run.profile.is_some() { "" } else { " with 201" };
    Some(format!("Acknowledged{with}: {}; stored: {}.", format::count(said), format::count(kept)))
}

/// Acknowledged requests of all levels.
fn acknowledged(run: &Run) -> Option<u64> {
    run.levels.iter().map(|level| level.reconciliation.acknowledged.value()).sum()
}

/// What a search found: an interval, and what gave way at its upper end.
pub(super) fn search_sentence(search: &SearchResult) -> String {
    let SearchResult { rate_rps, broke_at_rps, gave_way, confirmed, ended_by } = search;
    let kept = match (rate_rps, confirmed) {
        (Some(rate), true) => format!("{rate}/s met every objective, confirmed by a longer level"),
        (Some(rate), false) => {
            format!("{rate}/s met every objective but was not confirmed by a longer level")
        }
        (None, _) => "no rate tried met every objective".into(),
    };
    let broke = broke_at_rps.map_or_else(
        || "; none tried missed one".to_owned(),
        |rate| {
            let what = if gave_way.is_empty() { "not measured".into() } else { gave_way.join(", ") };
            format!("; {rate}/s is the lowest that missed one ({what})")
        },
    );
    let ended = ended_by.as_ref().map_or_else(String::new, |why| format!("; the search ended early: {why}"));
    kept + &broke + &ended
}

pub(super) fn verdict_sentence(run: &Run) -> String {
    if let Some(search) = &run.search {
        return format!("{}: {}", run.verdict.as_str(), search_sentence(search));
    }
    let highest = run.levels.iter().rev().find(|level| level.verdict == Verdict::Passed);
    let reached = highest.map_or_else(
        || "no level met every objective".to_owned(),
        |level| {
            format!(
                "the highest level that met every objective is {} at {}",
                level.level,
                format::rate(level.throughput_rps)
            )
        },
    );
    let missed: Vec<_> = run
        .levels
        .iter()
        .filter(|level| level.verdict == Verdict::Failed)
        .map(|level| level.level.to_string())
        .collect();
    let missed = if missed.is_empty() {
        String::new()
    } else {
        format!("level {} missed objectives; ", missed.join(", "))
    };
    let reached = missed + &reached;
    format!("{}: {reached}", run.verdict.as_str())
}

/// The summary, as Markdown or for the terminal.
#[must_use]
pub fn summary(run: &Run, markdown: bool) -> String {
    let table = levels_table(run);
    let body = if run.levels.is_empty() {
        "No level was finished.".to_owned()
    } else if markdown {
        table.markdown()
    } else {
        table.text()
    };
    let heading = if markdown { format!("# {}\n\n", run.id) } else { format!("{}\n\n", run.id) };
    let mut text = format!("{heading}{}\n\n{body}\n", verdict_sentence(run));
    if let Some(sentence) = reconciliation_sentence(run) {
        text += &format!("\n{sentence}\n");
    } else if let Some(said) = acknowledged(run).filter(|_| run.profile.is_some()) {
        let said = format::count(said);
        text += &format!("\nAcknowledged: {said}; whether all of them were stored is not measured.\n");
    }
    let of_the_run = broken_off(run).into_iter().chain(resume_points(run));
    let remarks = of_the_run.chain(run.levels.iter().flat_map(remarks)).chain(not_measured(run));
    for remark in remarks {
        text += &format!("{} {remark}\n", if markdown { "-" } else { " " });
    }
    text + &place(run)
}

/// Where it was measured, and what the percentiles are of.
fn place(run: &Run) -> String {
    let environment = &run.environment;
    let replicas = match run.profile {
        // How many there are of another service nobody said.
        Some(_) => String::new(),
        None => format!(" {} app, {} worker;", environment.app, environment.worker),
    };
    format!(
        "\nStack {}; {}, {} CPUs, {} MiB;{replicas} {}; {}.\nPercentiles are {}, of all requests that were due in the steady window of each level (warm-up left out); unanswered requests count with the time they waited.",
        run.stack.as_ref().map_or_else(|| format::MISSING.to_owned(), StackIdentity::label),
        environment.os,
        environment.cpus,
        environment.memory_mb,
        environment.k6,
        environment.generator_place(),
        if is_k6(run) { "k6's" } else { "the native engine's" }
    )
}

/// What the profile of the stack leaves unknown, a sentence each.
pub(super) fn not_measured(run: &Run) -> Vec<String> {
    let gaps = run.profile.iter().flat_map(|profile| &profile.not_measured);
    gaps.map(ProfileGap::sentence).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::run::test_run;

    fn found(search: SearchResult) -> String {
        let mut run = test_run(&[20.0, 200.0]);
        run.search = Some(search);
        summary(&run, false)
    }

    #[test]
    fn a_search_tells_its_interval_and_what_gave_way() {
        let text = found(SearchResult {
            rate_rps: Some(800),
            broke_at_rps: Some(860),
            gave_way: vec!["p95_ms is 120.00, 100 wanted".into()],
            confirmed: true,
            ended_by: None,
        });
        for wanted in ["800/s met every objective, confirmed", "860/s is the lowest", "p95_ms is 120.00"] {
            assert!(text.contains(wanted), "{wanted} is missing in {text}");
        }
        let text = found(SearchResult {
            rate_rps: Some(800),
            ended_by: Some("cut short".into()),
            ..SearchResult::default()
        });
        assert!(text.contains("was not confirmed") && text.contains("ended early: cut short"), "{text}");
    }

    #[test]
    fn failed_requests_are_named_by_cause_beside_the_times_of_the_others() {
        let mut run = test_run(&[20.0]);
        run.levels[0].errors = [("unanswered".to_owned(), 20), ("status 503".to_owned(), 3)].into();
        run.levels[0].success_ms.p95 = Some(15.0);
        run.levels[0].latency_ms.max = Some(27_000.0);
        let text = summary(&run, false);
        assert!(text.contains("3 status 503, 20 unanswered") && text.contains("p95 15.0 ms"), "{text}");
        assert!(text.contains(&format::millis(27_000.0)), "{text}");
    }
}
