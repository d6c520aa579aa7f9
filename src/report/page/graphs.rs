//! The charts of the page: what happened over time, and how the levels compare.

use super::PageChart;
use crate::domain::diagnosis::Diagnosis;
use crate::domain::run::{LevelResult, Run, Sample};
use crate::domain::usl;
use crate::report::charts::{self, Band, ChartContent, ChartLine, Marker, ObjectiveLine, TimeAxis};
use crate::report::context::{JournalChange, ReportContext};
use crate::report::performance::unit;

/// Points of the drawn law.
const LAW_STEPS: u32 = 60;

/// Samples further apart than this many seconds have a gap between them.
const GAP_S: f64 = 5.0;

type Of = fn(&Sample) -> Option<f64>;

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

/// What a line is drawn from: one piece for each stretch without a gap, none across two levels.
fn pieces(run: &Run, of: Of) -> Vec<Vec<(f64, f64)>> {
    let start = start(run);
    let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
    for level in &run.levels {
        let mut open = false;
        for sample in &level.samples {
            let Some(value) = of(sample) else {
                open = false;
                continue;
            };
            let point = (sample.at_s - start, value);
            match pieces.last_mut().filter(|_| open) {
                Some(piece) if piece.last().is_some_and(|last| point.0 - last.0 <= GAP_S) => {
                    piece.push(point);
                }
                _ => pieces.push(vec![point]),
            }
            open = true;
        }
    }
    pieces
}

fn measured(run: &Run, of: Of) -> bool {
    run.levels.iter().flat_map(|level| &level.samples).any(|sample| of(sample).is_some())
}

/// What the levels were judged by.
fn objective(run: &Run, metric: &str, scale: f64) -> Option<ObjectiveLine> {
    let check = run.levels.iter().flat_map(|level| &level.checks).find(|check| check.metric == metric)?;
    Some(ObjectiveLine {
        value: check.objective * scale,
        text: format!("{} {}", check.relation(), unit(metric, check.objective)),
    })
}

/// Charts on one time axis: a thing that happened stands below itself on each. Rates and times are the
/// generator's, as those of the tiles and tables; the service's own stand beside them under that name.
pub(super) fn timeline(run: &Run, context: &ReportContext) -> Vec<PageChart> {
    let axis = axis(run, context);
    let line = |name: &str, colour, of: Of| ChartLine {
        name: name.to_owned(),
        colour,
        pieces: pieces(run, of),
        dashed: false,
    };
    let chart = |title, unit, source: &str, lines, metric: Option<&str>| {
        let objective = metric.and_then(|metric| objective(run, metric, 1.0));
        let content = ChartContent { title, unit, lines, objective };
        PageChart { drawing: charts::over_time(&axis, &content), title, unit, source: source.to_owned() }
    };
    let planned = ChartLine {
        name: "planned".into(),
        colour: "--c6",
        pieces: axis
            .bands
            .iter()
            .zip(&run.levels)
            .filter_map(|(band, level)| Some((band, f64::from(level.target_rps?))))
            .map(|(band, rate)| vec![(band.from, rate), (band.to, rate)])
            .collect(),
        dashed: true,
    };
    // Generators of a cluster do not report their seconds; then the service's are all there is.
    let by_client = measured(run, |one| one.client_p95_ms);
    let service = "Prometheus, http_request_duration_seconds, four scrapes each";
    let (latency, clock) = if by_client {
        let lines = vec![
            line("p50", "--c2", |one| one.client_p50_ms),
            line("p95", "--c3", |one| one.client_p95_ms),
            line("p99", "--c4", |one| one.client_p99_ms),
            line("p95 by the service's histogram", "--c6", |one| one.p95_ms),
        ];
        (lines, format!("load generator, each second; by the service: {service}"))
    } else {
        let lines = vec![
            line("p50", "--c2", |one| one.p50_ms),
            line("p95", "--c3", |one| one.p95_ms),
            line("p99", "--c4", |one| one.p99_ms),
        ];
        (lines, format!("the service's histogram: {service}"))
    };
    let answered = if measured(run, |one| one.client_rps) {
        (line("answered", "--c1", |one| one.client_rps), "load generator, each second")
    } else {
        (line("answered", "--c1", |one| one.rate_rps), "Prometheus, http_requests_total, four scrapes each")
    };
    vec![
        chart("Throughput", "requests/s", answered.1, vec![planned, answered.0], None),
        chart("Latency", "ms", &clock, latency, Some("p95_ms").filter(|_| by_client)),
        chart(
            "Failed requests",
            "requests/s",
            "load generator, each second",
            vec![line("failed", "--c4", |one| one.client_errors_per_s)],
            None,
        ),
        chart(
            "Consumer lag",
            "messages",
            "Kafka offsets",
            vec![line("waiting", "--c4", |one| one.lag.map(|lag| lag as f64))],
            None,
        ),
        chart(
            "CPU",
            "%",
            "/proc; service of all cores, generator of one core; the objective is the service's",
            vec![
                line("service", "--c1", |one| one.service_cpu_pct),
                line("generator", "--c6", |one| one.generator_cpu_pct),
            ],
            Some("service_cpu_pct"),
        ),
        chart(
            "Memory of the service",
            "MiB",
            "/proc, resident",
            vec![line("resident", "--c5", |one| one.service_rss_mb)],
            Some("service_memory_mb"),
        ),
        chart(
            "Connections to PostgreSQL",
            "connections",
            "pg_stat_activity",
            vec![line("open", "--c2", |one| one.db_connections.map(|open| open as f64))],
            Some("db_connections"),
        ),
    ]
}

/// Charts over levels, percentiles and concurrency.
pub(super) fn shapes(run: &Run, found: &Diagnosis) -> Vec<PageChart> {
    let by_level = |name: &str, colour, of: fn(&LevelResult) -> Option<f64>| ChartLine {
        name: name.to_owned(),
        colour,
        pieces: vec![run.levels.iter().filter_map(|level| Some((level.level as f64, of(level)?))).collect()],
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
                pieces: vec![points.collect()],
                dashed: false,
            }
        })
        .collect();
    let steady = "load generator, steady window of each level";
    let chart =
        |content: ChartContent, draw: fn(&ChartContent) -> Option<charts::Drawing>, source: &str| PageChart {
            title: content.title,
            unit: content.unit,
            source: source.to_owned(),
            drawing: draw(&content),
        };
    vec![
        chart(
            ChartContent { title: "Latency distribution", unit: "ms", lines: distribution, objective: None },
            charts::over_percentiles,
            steady,
        ),
        chart(
            ChartContent {
                title: "Cache hit rate by level",
                unit: "%",
                lines: vec![by_level("hit rate", "--c2", |level| {
                    level.cache.hit_rate.value().map(|share| share * 100.0)
                })],
                objective: objective(run, "cache_hit_rate", 100.0),
            },
            charts::over_levels,
            "Prometheus, cache_hits_total over hits and misses",
        ),
        chart(
            ChartContent {
                title: "Errors by level",
                unit: "%",
                lines: vec![by_level("failed", "--c4", |level| {
                    level.error_rate.value().map(|share| share * 100.0)
                })],
                objective: objective(run, "error_rate", 100.0),
            },
            charts::over_levels,
            steady,
        ),
        law(found),
    ]
}

fn law(found: &Diagnosis) -> PageChart {
    let (title, unit) = ("Scalability", "requests/s over requests in progress");
    let source = "Universal Scalability Law fitted to the levels".to_owned();
    let drawing = match &found.scalability {
        usl::FitOutcome::Missing { .. } => None,
        usl::FitOutcome::Fitted(fit) => {
            let most = fit.points.iter().map(|one| one.concurrency).fold(1.0, f64::max) * 1.5;
            let at = |step: u32| most * f64::from(step) / f64::from(LAW_STEPS);
            let points = (1..=LAW_STEPS).map(|step| (at(step), fit.throughput(at(step)))).collect();
            let line = ChartLine { name: "law".into(), colour: "--c1", pieces: vec![points], dashed: false };
            let levels: Vec<_> = fit.points.iter().map(|one| (one.concurrency, one.throughput_rps)).collect();
            let content = ChartContent { title, unit, lines: vec![line], objective: None };
            charts::scalability(&content, &levels, fit.ceiling_band_rps)
        }
    };
    PageChart { title, unit, source, drawing }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::run::test_run;

    #[test]
    fn no_line_crosses_levels_or_seconds_without_a_measurement() {
        let mut run = test_run(&[20.0, 30.0]);
        for level in &mut run.levels {
            for sample in &mut level.samples {
                sample.lag = Some(1);
            }
        }
        let whole = pieces(&run, |one| one.lag.map(|lag| lag as f64));
        assert_eq!(whole.len(), 2, "one for each level: {whole:?}");
        let middle = run.levels[0].samples.len() / 2;
        run.levels[0].samples[middle].lag = None;
        let broken = pieces(&run, |one| one.lag.map(|lag| lag as f64));
        assert_eq!(broken.len(), 3, "{broken:?}");
    }
}
