//! Which values are drawn over time, pane by pane. What is drawn is also what is exported.

use super::history::{ChartSeries, StackMetric, Unit};
use super::source_value::SourceValue;
use super::verdict::age;
use super::{Pane, State};
use crate::render::{Tone, format};

/// Which of a chart's lines it is; decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineRole {
    /// The thing itself.
    Main,
    /// What it is compared with.
    Other,
    /// A third line.
    Third,
    /// Something that should be 0.
    Bad,
}

/// Where the values of a chart come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueSource {
    /// Prometheus.
    Service,
    /// The broker.
    Lag,
    /// PostgreSQL.
    Db,
    /// Redis.
    Cache,
    /// The supervisor and the system.
    Parts,
    /// The load test.
    Load,
    /// The machine.
    Machine,
}

/// A chart: some lines in one unit on the common time axis.
#[derive(Clone, Debug, PartialEq)]
pub struct PaneChart {
    /// Its name.
    pub name: String,
    /// The part it is about; charts of one part stand together.
    pub part: &'static str,
    /// Where they come from.
    pub source: ValueSource,
    /// Its lines; the first is in front.
    pub lines: Vec<(ChartSeries, LineRole)>,
    /// The present value in words.
    pub value: String,
    /// The value beyond which it is not as it should be.
    pub bound: Option<f64>,
    /// Where the height is scarce the highest rank goes first.
    pub rank: u8,
    /// It is never higher than so many rows.
    pub tallest: u16,
}

impl PaneChart {
    fn new(
        place: (&'static str, ValueSource),
        name: &str,
        rank: u8,
        lines: &[(StackMetric, LineRole)],
    ) -> Self {
        let lines = lines.iter().map(|(metric, role)| (ChartSeries::Of(*metric), *role)).collect();
        let (part, source) = place;
        let tallest = match rank {
            0 => 8,
            1 => 5,
            2 => 3,
            _ => 2,
        };
        Self { name: name.to_owned(), part, source, lines, value: String::new(), bound: None, rank, tallest }
    }

    const fn bound(mut self, bound: f64) -> Self {
        self.bound = Some(bound);
        self
    }

    const fn tallest(mut self, rows: u16) -> Self {
        self.tallest = rows;
        self
    }
}

const SERVICE: (&str, ValueSource) = ("service", ValueSource::Service);
const KAFKA: (&str, ValueSource) = ("kafka", ValueSource::Service);
const GROUP: (&str, ValueSource) = ("kafka", ValueSource::Lag);
const POSTGRES: (&str, ValueSource) = ("postgres", ValueSource::Db);
const POOL: (&str, ValueSource) = ("postgres", ValueSource::Service);
const HITS: (&str, ValueSource) = ("redis", ValueSource::Service);
const REDIS: (&str, ValueSource) = ("redis", ValueSource::Cache);
const GENERATOR: (&str, ValueSource) = ("client", ValueSource::Load);
const MACHINE: (&str, ValueSource) = ("machine", ValueSource::Machine);

/// A value in its unit.
#[must_use]
pub fn in_words(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Rate => format::rate(value),
        Unit::Millis => format::millis(value),
        Unit::Count => format::count(value.max(0.0).round() as u64),
        Unit::Share => format::percent(value),
        Unit::Cpu => format!("{value:.0} %"),
        Unit::Bytes => format::bytes(value.max(0.0) as u64),
        Unit::Seconds => format!("{value:.1} s"),
    }
}

/// The charts of a pane with their values at a moment.
#[must_use]
pub fn of_pane(state: &State, at_s: f64) -> Vec<PaneChart> {
    let mut charts = match state.pane {
        Pane::Overview => overview(state, at_s),
        Pane::Lag => lag(state),
        Pane::Load => load(state),
        Pane::Db => db(state),
        Pane::Cache => cache(state),
        Pane::Stack => Vec::new(),
    };
    for chart in &mut charts {
        chart.name = named(state, chart);
        // A source that does not answer shows what it said last.
        let at_s = source(state, chart.source, at_s).last_s.unwrap_or(at_s);
        chart.value = value(state, chart, at_s);
    }
    charts
}

/// The chart's name with the seconds that its rates are about, where figures of other windows stand near.
fn named(state: &State, chart: &PaneChart) -> String {
    let seconds = match (chart.source, chart.lines.first()) {
        (ValueSource::Service, Some((ChartSeries::Of(StackMetric::Published | StackMetric::Hits), _))) => {
            state.data.service.last().and_then(|sample| sample.window_s)
        }
        (ValueSource::Db, Some((ChartSeries::Of(StackMetric::BufferHits), _))) => Some(1.0),
        _ => None,
    };
    seconds.map_or_else(|| chart.name.clone(), |seconds| format!("{} {seconds:.0}s", chart.name))
}

/// How a source is at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceState {
    /// Whether its values can be taken for those of the moment.
    pub fresh: bool,
    /// When its last value was had.
    pub last_s: Option<f64>,
    /// Its age in words, and what is wrong with it.
    pub age: (Tone, String),
}

/// How a source is at a moment.
#[must_use]
pub fn source(state: &State, source: ValueSource, at_s: f64) -> SourceState {
    fn of<T>(known: &SourceValue<T>, at_s: f64) -> SourceState {
        SourceState {
            fresh: known.fresh(at_s),
            last_s: known.at(at_s).map(|(time, _)| time),
            age: age(known, at_s),
        }
    }
    let data = &state.data;
    match source {
        ValueSource::Service => of(&data.service, at_s),
        ValueSource::Lag => of(&data.lag, at_s),
        ValueSource::Db => of(&data.db, at_s),
        ValueSource::Cache => of(&data.cache, at_s),
        ValueSource::Parts => of(&data.parts, at_s),
        ValueSource::Load => of(&data.load, at_s),
        ValueSource::Machine => of(&data.machine, at_s),
    }
}

fn value(state: &State, chart: &PaneChart, at_s: f64) -> String {
    // CPU of a part stands beside its memory, which has no line of its own.
    if let [(ChartSeries::Cpu(part), _)] = chart.lines.as_slice() {
        let of = |series: ChartSeries| {
            format::or_missing(state.data.history.at(&series, at_s), |value| in_words(series.unit(), value))
        };
        return format!("{}  {}", of(ChartSeries::Cpu(part.clone())), of(ChartSeries::Memory(part.clone())));
    }
    let mut lines = chart.lines.iter().filter(|(_, role)| *role != LineRole::Bad || chart.lines.len() == 1);
    let of = |series: &ChartSeries| {
        let value = state.data.history.at(series, at_s);
        format::or_missing(value, |value| in_words(series.unit(), value))
    };
    match (lines.next(), lines.next()) {
        (Some((main, _)), None) => of(main),
        (Some((main, _)), Some((other, _))) if *main == ChartSeries::Of(StackMetric::Rate) => {
            // A plan is there only while a load test runs.
            let planned = state.data.history.at(other, at_s);
            planned.map_or_else(
                || of(main),
                |planned| format!("{} of {}", of(main), in_words(Unit::Rate, planned)),
            )
        }
        (Some((main, _)), Some((other, _))) => format!("{} / {}", of(main), of(other)),
        (None, _) => String::new(),
    }
}

fn service(state: &State) -> Vec<PaneChart> {
    vec![
        PaneChart::new(
            SERVICE,
            "requests",
            0,
            &[(StackMetric::Rate, LineRole::Main), (StackMetric::Planned, LineRole::Other)],
        ),
        PaneChart::new(SERVICE, "p50", 6, &[(StackMetric::P50, LineRole::Main)]),
        PaneChart::new(SERVICE, "p95", 0, &[(StackMetric::P95, LineRole::Main)]).bound(state.bounds.p95_ms),
        PaneChart::new(SERVICE, "p99", 1, &[(StackMetric::P99, LineRole::Main)]).bound(state.bounds.p99_ms),
        PaneChart::new(SERVICE, "errors", 0, &[(StackMetric::Errors, LineRole::Bad)]).bound(0.0).tallest(2),
    ]
}

fn overview(state: &State, at_s: f64) -> Vec<PaneChart> {
    let mut charts = service(state);
    charts.extend([
        PaneChart::new(
            KAFKA,
            "in / out",
            1,
            &[(StackMetric::Published, LineRole::Main), (StackMetric::Consumed, LineRole::Other)],
        ),
        PaneChart::new(GROUP, "lag", 0, &[(StackMetric::Lag, LineRole::Main)]).bound(state.bounds.lag),
        PaneChart::new(
            POSTGRES,
            "open / active",
            2,
            &[(StackMetric::Connections, LineRole::Main), (StackMetric::Active, LineRole::Other)],
        )
        .bound(state.bounds.connections),
        PaneChart::new(POOL, "query p95", 1, &[(StackMetric::Query, LineRole::Main)]),
        PaneChart::new(HITS, "cache hits", 1, &[(StackMetric::Hits, LineRole::Main)]),
    ]);
    charts.push(
        PaneChart::new(MACHINE, "CPU", 2, &[(StackMetric::Machine, LineRole::Main)]).bound(90.0).tallest(2),
    );
    let parts = state.data.parts.at(at_s).map(|(_, parts)| parts.as_slice()).unwrap_or_default();
    charts.extend(parts.iter().enumerate().map(|(place, part)| PaneChart {
        name: part.name.clone(),
        part: "cpu, mem",
        source: ValueSource::Parts,
        lines: vec![(ChartSeries::Cpu(part.name.clone()), LineRole::Main)],
        value: String::new(),
        bound: None,
        // The service's own parts are the ones that are scaled.
        rank: if part.name.contains('-') { 3 } else { 4 } + u8::try_from(place / 8).unwrap_or(9),
        tallest: 2,
    }));
    charts
}

fn lag(state: &State) -> Vec<PaneChart> {
    vec![
        PaneChart::new(GROUP, "lag", 0, &[(StackMetric::Lag, LineRole::Main)]).bound(state.bounds.lag),
        PaneChart::new(GROUP, "behind", 2, &[(StackMetric::Behind, LineRole::Main)]),
        PaneChart::new(
            KAFKA,
            "in / out",
            1,
            &[(StackMetric::Published, LineRole::Main), (StackMetric::Consumed, LineRole::Other)],
        ),
    ]
}

fn load(state: &State) -> Vec<PaneChart> {
    let mut charts = service(state);
    charts.extend([
        PaneChart::new(GENERATOR, "p95", 1, &[(StackMetric::ClientP95, LineRole::Main)])
            .bound(state.bounds.p95_ms),
        PaneChart::new(GENERATOR, "not started", 2, &[(StackMetric::NotStarted, LineRole::Bad)])
            .bound(0.0)
            .tallest(2),
        PaneChart::new(GENERATOR, "CPU of a core", 2, &[(StackMetric::Generator, LineRole::Main)]),
        PaneChart::new(MACHINE, "CPU", 1, &[(StackMetric::Machine, LineRole::Main)]).bound(90.0),
    ]);
    charts
}

fn db(state: &State) -> Vec<PaneChart> {
    vec![
        PaneChart::new(
            POSTGRES,
            "open / active",
            0,
            &[(StackMetric::Connections, LineRole::Main), (StackMetric::Active, LineRole::Other)],
        )
        .bound(state.bounds.connections),
        PaneChart::new(POOL, "query p95", 1, &[(StackMetric::Query, LineRole::Main)]),
        PaneChart::new(POOL, "pool wait p95", 2, &[(StackMetric::PoolWait, LineRole::Main)]),
        PaneChart::new(POSTGRES, "buffer hits", 2, &[(StackMetric::BufferHits, LineRole::Main)]),
    ]
}

fn cache(_: &State) -> Vec<PaneChart> {
    vec![
        PaneChart::new(HITS, "cache hits", 0, &[(StackMetric::Hits, LineRole::Main)]),
        PaneChart::new(REDIS, "memory", 1, &[(StackMetric::CacheMemory, LineRole::Main)]),
        PaneChart::new(REDIS, "evicted", 2, &[(StackMetric::Evicted, LineRole::Bad)]),
    ]
}
