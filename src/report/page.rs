//! report.html: one file, no network, readable without scripts, on a phone and on paper.

mod graphs;
mod tables;

use super::charts::Drawing;
use super::context::{JournalChange, ReportContext};
use super::performance::{comparison_table, heading, severity};
use super::sections::{details_table, findings};
use super::summary::{
    broken_off, not_measured, reconciliation_sentence, remarks, resume_points, verdict_sentence,
};
use crate::domain::diagnosis::{Diagnosis, Evidence, RuleStatus};
use crate::domain::run::{LevelResult, Run};
use crate::domain::usl;
use crate::error::{Context as _, Result};
use crate::render::format;
use askama::Template;
use tables::{PageTable, fact_id, level_id};

/// A chart, or why there is none.
struct PageChart {
    title: &'static str,
    unit: &'static str,
    source: String,
    drawing: Option<Drawing>,
}

/// One of the figures that are asked for first, and where it comes from.
struct Tile {
    name: &'static str,
    value: String,
    link: String,
}

/// A line of evidence, and the place of its number.
struct EvidenceLine {
    text: String,
    link: Option<String>,
}

/// One cause as the page shows it.
struct Cause {
    name: String,
    rule: &'static str,
    /// Each with whether it is a command line.
    remedies: Vec<(String, bool)>,
    severity: &'static str,
    strength: &'static str,
    since: String,
    evidence: Vec<EvidenceLine>,
    symptoms: String,
}

/// One level in full.
struct LevelDetail {
    id: String,
    heading: String,
    checks: PageTable,
    reasons: Vec<String>,
    findings: Vec<String>,
    everything: PageTable,
}

#[derive(Template)]
#[template(path = "report.html")]
struct ReportPage<'a> {
    run: &'a Run,
    when: String,
    verdict: &'static str,
    sentence: String,
    resume_points: Vec<String>,
    reconciliation: String,
    diagnosis: &'a str,
    tiles: Vec<Tile>,
    levels: PageTable,
    causes: Vec<Cause>,
    unknown: String,
    timeline: Vec<PageChart>,
    shapes: Vec<PageChart>,
    scalability: String,
    details: Vec<LevelDetail>,
    remarks: Vec<String>,
    changes: Vec<String>,
    comparison: Option<(PageTable, String)>,
    earlier: Option<PageTable>,
    statements: PageTable,
    facts: PageTable,
    surroundings: Vec<(&'static str, String)>,
}

fn when(run: &Run) -> String {
    let from = format::instant(&run.started_at);
    run.finished_at.as_ref().map_or_else(|| from.clone(), |to| format!("{from} to {}", format::instant(to)))
}

/// The page.
///
/// # Errors
/// When the template cannot be filled.
pub fn page(run: &Run, found: &Diagnosis, context: &ReportContext) -> Result<String> {
    let page = ReportPage {
        run,
        when: when(run),
        verdict: run.verdict.as_str(),
        sentence: verdict_sentence(run),
        resume_points: broken_off(run).into_iter().chain(resume_points(run)).collect(),
        reconciliation: counted(run),
        diagnosis: &found.summary,
        tiles: tiles(run),
        levels: tables::levels(run),
        causes: causes(run, found),
        unknown: names(found, RuleStatus::Unknown),
        timeline: graphs::timeline(run, context),
        shapes: graphs::shapes(run, found),
        scalability: match &found.scalability {
            usl::FitOutcome::Fitted(fit) => fit.sentence(),
            usl::FitOutcome::Missing { reason } => format!("not fitted, {reason}"),
        },
        details: run.levels.iter().map(detail).collect(),
        remarks: run.levels.iter().flat_map(remarks).chain(not_measured(run)).collect(),
        changes: context.changes.iter().map(JournalChange::line).map(|line| line.replace('`', "")).collect(),
        comparison: context.overall.as_ref().map(|overall| {
            let name = format!("{} against {}", overall.after, overall.before);
            (PageTable::new(name, comparison_table(overall)), overall.power().unwrap_or_default())
        }),
        earlier: tables::earlier(context),
        statements: tables::statements(run),
        facts: tables::facts(run),
        surroundings: tables::surroundings(run),
    };
    page.render().context("cannot write the report")
}

fn counted(run: &Run) -> String {
    reconciliation_sentence(run)
        .unwrap_or_else(|| "Acknowledged and stored could not be compared.".to_owned())
}

/// The four figures that are asked for first, of the fastest level.
fn tiles(run: &Run) -> Vec<Tile> {
    let fastest = run.levels.iter().max_by(|one, two| one.throughput_rps.total_cmp(&two.throughput_rps));
    let Some(level) = fastest else { return Vec::new() };
    let tile = |name, value| Tile { name, value, link: level_id(level.level) };
    vec![
        tile("highest throughput", format::rate(level.throughput_rps)),
        tile("p95 there", format::or_missing(level.latency_ms.p95, format::millis)),
        tile("p99 there", format::or_missing(level.latency_ms.p99, format::millis)),
        tile("errors there", format::measured(&level.error_rate, format::percent)),
    ]
}

fn causes(run: &Run, found: &Diagnosis) -> Vec<Cause> {
    let of = |one: &crate::domain::diagnosis::RuleFinding| Cause {
        name: one.cause_in_full(),
        rule: one.rule,
        remedies: one.remedies.iter().map(|remedy| (remedy.to_string(), remedy.is_command())).collect(),
        severity: severity(run, one),
        strength: one.strength.as_str(),
        since: one.onset.map_or_else(String::new, |onset| format!("from {}", onset.sentence())),
        evidence: one.evidence.iter().map(|seen| evidence(run, seen)).collect(),
        symptoms: found.symptoms_of(one).map(|two| two.cause).collect::<Vec<_>>().join("; "),
    };
    found.causes().map(of).collect()
}

fn evidence(run: &Run, seen: &Evidence) -> EvidenceLine {
    let level = run.levels.iter().find(|level| level.level == seen.level);
    let known = level.is_some_and(|level| level.facts.get(seen.metric).is_some());
    EvidenceLine {
        text: format!(
            "level {}: {} = {:.2}, bound {:.2} ({}: {})",
            seen.level, seen.metric, seen.value, seen.bound, seen.source, seen.query
        ),
        link: known.then(|| fact_id(seen.level, seen.metric)),
    }
}

fn names(found: &Diagnosis, status: RuleStatus) -> String {
    let all = found.findings.iter().filter(|one| one.status == status).map(|one| one.rule);
    all.collect::<Vec<_>>().join(", ")
}

fn detail(level: &LevelResult) -> LevelDetail {
    LevelDetail {
        id: level_id(level.level),
        heading: heading(level),
        checks: tables::checks(level),
        reasons: level.generator.reasons.clone(),
        findings: findings(level),
        everything: PageTable::new(
            format!("Everything measured on level {}", level.level),
            details_table(level),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::diagnosis::diagnose;
    use crate::domain::run::test_run;
    use crate::domain::verdict::{ObjectiveCheck, Verdict};

    fn of(run: &Run) -> String {
        let config: crate::config::Config = toml::from_str(crate::config::DEFAULTS).unwrap();
        page(run, &diagnose(run, &config.bounds()), &ReportContext::default()).unwrap()
    }

    #[test]
    fn the_page_needs_no_network() {
        let text = of(&test_run(&[20.0, 30.0]));
        for forbidden in ["http://", "https://", "src=", "@import", "url(h", "url(d"] {
            let at = text.find(forbidden).map(|at| &text[at.saturating_sub(60)..(at + 60).min(text.len())]);
            assert_eq!(at, None, "{forbidden}");
        }
    }

    #[test]
    fn a_chart_without_measurement_says_so() {
        let mut run = test_run(&[20.0]);
        for sample in &mut run.levels[0].samples {
            sample.lag = None;
        }
        assert!(of(&run).contains("not measured"));
    }

    #[test]
    fn every_link_of_the_page_leads_somewhere() {
        let text = of(&test_run(&[20.0, 300.0]));
        let links: Vec<_> =
            text.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(links.len() > 10, "{links:?}");
        for link in links {
            assert_eq!(text.matches(&format!("id=\"{link}\"")).count(), 1, "{link}");
        }
    }

    #[test]
    fn a_failed_level_says_at_first_sight_what_it_missed() {
        let mut run = test_run(&[20.0, 300.0]);
        run.levels[1].verdict = Verdict::Failed;
        run.levels[1].checks = vec![ObjectiveCheck::new("p95_ms", 300.0.into(), 100.0, false, "k6")];
        let text = of(&run);
        let table = text.split("<h2 id=\"bottlenecks\">").next().unwrap();
        assert!(table.contains("failed: P95 Latency 300 ms (at most 100 ms)"), "{table}");
    }

    #[test]
    fn what_a_user_wrote_is_text_not_markup() {
        let mut run = test_run(&[20.0]);
        run.note = Some("<script>alert(1)</script>".into());
        assert!(!of(&run).contains("<script>alert"));
    }
}
