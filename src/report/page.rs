//! report.html: one file, no network, readable without scripts.

use super::charts::{self, Band, ChartLine, Marker, TimeAxis};
use super::context::{JournalChange, ReportContext};
use super::performance::{checks_table, comparison_table, heading, severity};
use super::sections::{details_table, findings};
use super::summary::{
    acknowledged_with, broken_off, levels_table, not_measured, reconciliation, remarks, resume_points,
    verdict_sentence,
};
use crate::domain::diagnosis::{Diagnosis, RuleStatus};
use crate::domain::run::{LevelResult, Run, Sample};
use crate::domain::usl;
use crate::error::{Context as _, Result};
use crate::render::{format, table::Table};
use askama::Template;

/// Points of the drawn law.
const LAW_STEPS: u32 = 60;

/// Headings and cells.
struct PageTable {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl From<Table> for PageTable {
    fn from(table: Table) -> Self {
        let (header, rows) = table.cells();
        Self { header, rows }
    }
}

/// A chart, or why there is none.
struct PageChart {
    title: &'static str,
    unit: &'static str,
    source: &'static str,
    svg: Option<String>,
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
    evidence: Vec<String>,
    symptoms: String,
}

/// One level in full.
struct LevelDetail {
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
    cards: Vec<(&'static str, String)>,
    levels: PageTable,
    causes: Vec<Cause>,
    unknown: String,
    timeline: Vec<PageChart>,
    shapes: Vec<PageChart>,
    scalability: String,
    details: Vec<LevelDetail>,
    remarks: Vec<String>,
    changes: Vec<String>,
    comparison: Option<(String, PageTable, String)>,
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
        cards: cards(run),
        levels: levels_table(run).into(),
        causes: causes(run, found),
        unknown: names(found, RuleStatus::Unknown),
        timeline: timeline(run, context),
        shapes: shapes(run, found),
        scalability: match &found.scalability {
            usl::FitOutcome::Fitted(fit) => fit.sentence(),
            usl::FitOutcome::Missing { reason } => format!("not fitted, {reason}"),
        },
        details: run.levels.iter().map(detail).collect(),
        remarks: run.levels.iter().flat_map(remarks).chain(not_measured(run)).collect(),
        changes: context.changes.iter().map(JournalChange::line).map(|line| line.replace('`', "")).collect(),
        comparison: context.overall.as_ref().map(|overall| {
            (
                format!("{} against {}", overall.after, overall.before),
                comparison_table(overall).into(),
                overall.power().unwrap_or_default(),
            )
        }),
        statements: statements(run).into(),
        facts: facts(run).into(),
        surroundings: surroundings(run),
    };
    page.render().context("cannot write the report")
}

fn counted(run: &Run) -> String {
    reconciliation(run).map_or_else(
        || "Acknowledged and stored could not be compared.".to_owned(),
        |(said, kept)| {
            let (with, said, kept) = (acknowledged_with(run), format::count(said), format::count(kept));
            format!("Acknowledged{with}: {said}; stored: {kept}.")
        },
    )
}

/// The four figures that are asked for first, of the fastest level.
fn cards(run: &Run) -> Vec<(&'static str, String)> {
    let fastest = run.levels.iter().max_by(|one, two| one.throughput_rps.total_cmp(&two.throughput_rps));
    let Some(level) = fastest else { return Vec::new() };
    vec![
        ("highest throughput", format::rate(level.throughput_rps)),
        ("p95 there", format::or_missing(level.latency_ms.p95, format::millis)),
        ("p99 there", format::or_missing(level.latency_ms.p99, format::millis)),
        ("errors there", format::measured(&level.error_rate, format::percent)),
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
        evidence: one
            .evidence
            .iter()
            .map(|seen| {
                format!(
                    "level {}: {} = {:.2}, bound {:.2} ({}: {})",
                    seen.level, seen.metric, seen.value, seen.bound, seen.source, seen.query
                )
            })
            .collect(),
        symptoms: found.symptoms_of(one).map(|two| two.cause).collect::<Vec<_>>().join("; "),
    };
    found.causes().map(of).collect()
}

fn names(found: &Diagnosis, status: RuleStatus) -> String {
    let all = found.findings.iter().filter(|one| one.status == status).map(|one| one.rule);
    all.collect::<Vec<_>>().join(", ")
}

fn start(run: &Run) -> f64 {
    run.levels.first().and_then(|level| level.samples.first()).map_or(0.0, |sample| sample.at_s)
}

fn axis(run: &Run, context: &ReportContext) -> TimeAxis {
    let start = start(run);
    let band = |level: &LevelResult| {
        let (first, last) = (level.samples.first()?, level.samples.last()?);
        let load = level.target_rps.map_or_else(|| format!("{} VUs", level.vus), |rate| format!("{rate}/s"));
        Some(Band {
            from: first.at_s - start,
            to: last.at_s - start,
            name: format!("level {}: {load}", level.level),
        })
    };
    let bands: Vec<_> = run.levels.iter().filter_map(band).collect();
    let marker = |change: &JournalChange| {
        let at: jiff::Timestamp = change.at.parse().ok()?;
        Some(Marker { at: at.as_millisecond() as f64 / 1_000.0 - start, name: change.id.clone() })
    };
    TimeAxis {
        seconds: bands.last().map_or(1.0, |band| band.to),
        markers: context.during.iter().filter_map(marker).collect(),
        bands,
    }
}

type Of = fn(&Sample) -> Option<f64>;

/// Charts on one time axis: a thing that happened stands below itself on each.
fn timeline(run: &Run, context: &ReportContext) -> Vec<PageChart> {
    let (axis, start) = (axis(run, context), start(run));
    let line = |name: &str, colour, of: Of| ChartLine {
        name: name.to_owned(),
        colour,
        points: run
            .levels
            .iter()
            .flat_map(|level| &level.samples)
            .filter_map(|sample| Some((sample.at_s - start, of(sample)?)))
            .collect(),
        dashed: false,
    };
    let chart = |title, unit, source, lines: &[ChartLine]| PageChart {
        title,
        unit,
        source,
        svg: charts::over_time(&axis, lines),
    };
    let planned = ChartLine {
        name: "target".into(),
        colour: "--c6",
        points: axis
            .bands
            .iter()
            .zip(&run.levels)
            .filter_map(|(band, level)| Some((band, f64::from(level.target_rps?))))
            .flat_map(|(band, rate)| [(band.from, rate), (band.to, rate)])
            .collect(),
        dashed: true,
    };
    vec![
        chart(
            "Throughput",
            "requests/s",
            "Prometheus, http_requests_total, four scrapes each",
            &[planned, line("answered", "--c1", |one| one.rate_rps)],
        ),
        chart(
            "Answer time",
            "ms",
            "Prometheus, http_request_duration_seconds, four scrapes each",
            &[
                line("p50", "--c2", |one| one.p50_ms),
                line("p95", "--c3", |one| one.p95_ms),
                line("p99", "--c4", |one| one.p99_ms),
            ],
        ),
        chart(
            "Consumer lag",
            "messages",
            "Kafka offsets",
            &[line("waiting", "--c4", |one| one.lag.map(|lag| lag as f64))],
        ),
        chart(
            "CPU",
            "%",
            "/proc; service of all cores, generator of one core",
            &[
                line("service", "--c1", |one| one.service_cpu_pct),
                line("generator", "--c6", |one| one.generator_cpu_pct),
            ],
        ),
        chart(
            "Memory of the service",
            "MiB",
            "/proc, resident",
            &[line("resident", "--c5", |one| one.service_rss_mb)],
        ),
        chart(
            "Connections to PostgreSQL",
            "connections",
            "pg_stat_activity",
            &[line("open", "--c2", |one| one.db_connections.map(|open| open as f64))],
        ),
    ]
}

/// Charts over levels, percentiles and concurrency.
fn shapes(run: &Run, found: &Diagnosis) -> Vec<PageChart> {
    let by_level = |name: &str, colour, of: fn(&LevelResult) -> Option<f64>| ChartLine {
        name: name.to_owned(),
        colour,
        points: run.levels.iter().filter_map(|level| Some((level.level as f64, of(level)?))).collect(),
        dashed: false,
    };
    let colours = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6"];
    let distribution: Vec<_> = run
        .levels
        .iter()
        .zip(colours.iter().cycle())
        .map(|(level, colour)| {
            let latency = &level.latency_ms;
            let shares = [latency.min, latency.p50, latency.p90, latency.p95, latency.p99, latency.p999];
            let points = shares.iter().enumerate().filter_map(|(index, ms)| Some((index as f64, (*ms)?)));
            ChartLine {
                name: format!("level {}", level.level),
                colour,
                points: points.collect(),
                dashed: false,
            }
        })
        .collect();
    vec![
        PageChart {
            title: "Latency distribution",
            unit: "ms",
            source: "load generator, steady window of each level",
            svg: charts::over_percentiles(&distribution),
        },
        PageChart {
            title: "Cache hit rate by level",
            unit: "%",
            source: "Prometheus, cache_hits_total over hits and misses",
            svg: charts::over_levels(&[by_level("hit rate", "--c2", |level| {
                level.cache.hit_rate.value().map(|share| share * 100.0)
            })]),
        },
        PageChart {
            title: "Errors by level",
            unit: "%",
            source: "load generator, steady window of each level",
            svg: charts::over_levels(&[by_level("failed", "--c4", |level| {
                level.error_rate.value().map(|share| share * 100.0)
            })]),
        },
        PageChart {
            title: "Scalability",
            unit: "requests/s over requests in progress",
            source: "Universal Scalability Law fitted to the levels",
            svg: law(found),
        },
    ]
}

fn law(found: &Diagnosis) -> Option<String> {
    let usl::FitOutcome::Fitted(fit) = &found.scalability else { return None };
    let most = fit.points.iter().map(|one| one.concurrency).fold(1.0, f64::max) * 1.5;
    let at = |step: u32| most * f64::from(step) / f64::from(LAW_STEPS);
    let points = (1..=LAW_STEPS).map(|step| (at(step), fit.throughput(at(step)))).collect();
    let line = ChartLine { name: "law".into(), colour: "--c1", points, dashed: false };
    let levels: Vec<_> = fit.points.iter().map(|one| (one.concurrency, one.throughput_rps)).collect();
    charts::scalability(&levels, line, fit.ceiling_band_rps)
}

fn detail(level: &LevelResult) -> LevelDetail {
    LevelDetail {
        heading: heading(level),
        checks: checks_table(level).into(),
        reasons: level.generator.reasons.clone(),
        findings: findings(level),
        everything: details_table(level).into(),
    }
}

fn statements(run: &Run) -> Table {
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
    table
}

fn facts(run: &Run) -> Table {
    let mut table = Table::new(["level", "number", "value", "source", "question"]).right(&[0, 2]);
    for level in &run.levels {
        for (name, fact) in level.facts.iter() {
            table.row([
                level.level.to_string(),
                name.clone(),
                format::measured_in_words(&fact.value, |value| format!("{value:.3}")),
                fact.source.clone(),
                fact.query.clone(),
            ]);
        }
    }
    table
}

fn service(run: &Run, version: &str) -> String {
    match &run.profile {
        Some(profile) => format!("{version}, described by the profile {}", profile.name),
        None => format!("{version}, {} app, {} worker", run.environment.app, run.environment.worker),
    }
}

fn surroundings(run: &Run) -> Vec<(&'static str, String)> {
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
    use crate::domain::diagnosis::diagnose;
    use crate::domain::run::test_run;

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
    fn what_a_user_wrote_is_text_not_markup() {
        let mut run = test_run(&[20.0]);
        run.note = Some("<script>alert(1)</script>".into());
        assert!(!of(&run).contains("<script>alert"));
    }
}
