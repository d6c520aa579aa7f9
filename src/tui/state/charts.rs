//! Which values are drawn over time, pane by pane. What is drawn is also what is exported.

use super::history::{Metric, Series, Unit};
use super::known::Known;
use super::verdict::age;
use super::{Pane, State};
use crate::render::{Tone, format};

/// Which of a chart's lines it is; decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
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
pub enum Source {
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
pub struct Chart {
    /// Its name.
    pub name: String,
    /// The part it is about; charts of one part stand together.
    pub part: &'static str,
    /// Where they come from.
    pub source: Source,
    /// Its lines; the first is in front.
    pub lines: Vec<(Series, Role)>,
    /// The present value in words.
    pub value: String,
    /// The value beyond which it is not as it should be.
    pub bound: Option<f64>,
    /// Where the height is scarce the highest rank goes first.
    pub rank: u8,
    /// It is never higher than so many rows.
    pub tallest: u16,
}

impl Chart {
    fn new(place: (&'static str, Source), name: &str, rank: u8, lines: &[(Metric, Role)]) -> Self {
        let lines = lines.iter().map(|(metric, role)| (Series::Of(*metric), *role)).collect();
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

const SERVICE: (&str, Source) = ("service", Source::Service);
const KAFKA: (&str, Source) = ("kafka", Source::Service);
const GROUP: (&str, Source) = ("kafka", Source::Lag);
const POSTGRES: (&str, Source) = ("postgres", Source::Db);
const POOL: (&str, Source) = ("postgres", Source::Service);
const HITS: (&str, Source) = ("redis", Source::Service);
const REDIS: (&str, Source) = ("redis", Source::Cache);
const GENERATOR: (&str, Source) = ("client", Source::Load);
const MACHINE: (&str, Source) = ("machine", Source::Machine);

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
pub fn of_pane(state: &State, at_s: f64) -> Vec<Chart> {
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
fn named(state: &State, chart: &Chart) -> String {
    let seconds = match (chart.source, chart.lines.first()) {
        (Source::Service, Some((Series::Of(Metric::Published | Metric::Hits), _))) => {
            state.data.service.last().and_then(|sample| sample.window_s)
        }
        (Source::Db, Some((Series::Of(Metric::BufferHits), _))) => Some(1.0),
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
pub fn source(state: &State, source: Source, at_s: f64) -> SourceState {
    fn of<T>(known: &Known<T>, at_s: f64) -> SourceState {
        SourceState {
            fresh: known.fresh(at_s),
            last_s: known.at(at_s).map(|(time, _)| time),
            age: age(known, at_s),
        }
    }
    let data = &state.data;
    match source {
        Source::Service => of(&data.service, at_s),
        Source::Lag => of(&data.lag, at_s),
        Source::Db => of(&data.db, at_s),
        Source::Cache => of(&data.cache, at_s),
        Source::Parts => of(&data.parts, at_s),
        Source::Load => of(&data.load, at_s),
        Source::Machine => of(&data.machine, at_s),
    }
}

fn value(state: &State, chart: &Chart, at_s: f64) -> String {
    // CPU of a part stands beside its memory, which has no line of its own.
    if let [(Series::Cpu(part), _)] = chart.lines.as_slice() {
        let of = |series: Series| {
            format::or_missing(state.data.history.at(&series, at_s), |value| in_words(series.unit(), value))
        };
        return format!("{}  {}", of(Series::Cpu(part.clone())), of(Series::Memory(part.clone())));
    }
    let mut lines = chart.lines.iter().filter(|(_, role)| *role != Role::Bad || chart.lines.len() == 1);
    let of = |series: &Series| {
        let value = state.data.history.at(series, at_s);
        format::or_missing(value, |value| in_words(series.unit(), value))
    };
    match (lines.next(), lines.next()) {
        (Some((main, _)), None) => of(main),
        (Some((main, _)), Some((other, _))) if *main == Series::Of(Metric::Rate) => {
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

fn service(state: &State) -> Vec<Chart> {
    vec![
        Chart::new(SERVICE, "requests", 0, &[(Metric::Rate, Role::Main), (Metric::Planned, Role::Other)]),
        Chart::new(SERVICE, "p50", 6, &[(Metric::P50, Role::Main)]),
        Chart::new(SERVICE, "p95", 0, &[(Metric::P95, Role::Main)]).bound(state.bounds.p95_ms),
        Chart::new(SERVICE, "p99", 1, &[(Metric::P99, Role::Main)]).bound(state.bounds.p99_ms),
        Chart::new(SERVICE, "errors", 0, &[(Metric::Errors, Role::Bad)]).bound(0.0).tallest(2),
    ]
}

fn overview(state: &State, at_s: f64) -> Vec<Chart> {
    let mut charts = service(state);
    charts.extend([
        Chart::new(KAFKA, "in / out", 1, &[(Metric::Published, Role::Main), (Metric::Consumed, Role::Other)]),
        Chart::new(GROUP, "lag", 0, &[(Metric::Lag, Role::Main)]).bound(state.bounds.lag),
        Chart::new(
            POSTGRES,
            "open / active",
            2,
            &[(Metric::Connections, Role::Main), (Metric::Active, Role::Other)],
        )
        .bound(state.bounds.connections),
        Chart::new(POOL, "query p95", 1, &[(Metric::Query, Role::Main)]),
        Chart::new(HITS, "cache hits", 1, &[(Metric::Hits, Role::Main)]),
    ]);
    charts.push(Chart::new(MACHINE, "CPU", 2, &[(Metric::Machine, Role::Main)]).bound(90.0).tallest(2));
    let parts = state.data.parts.at(at_s).map(|(_, parts)| parts.as_slice()).unwrap_or_default();
    charts.extend(parts.iter().enumerate().map(|(place, part)| Chart {
        name: part.name.clone(),
        part: "cpu, mem",
        source: Source::Parts,
        lines: vec![(Series::Cpu(part.name.clone()), Role::Main)],
        value: String::new(),
        bound: None,
        // The service's own parts are the ones that are scaled.
        rank: if part.name.contains('-') { 3 } else { 4 } + u8::try_from(place / 8).unwrap_or(9),
        tallest: 2,
    }));
    charts
}

fn lag(state: &State) -> Vec<Chart> {
    vec![
        Chart::new(GROUP, "lag", 0, &[(Metric::Lag, Role::Main)]).bound(state.bounds.lag),
        Chart::new(GROUP, "behind", 2, &[(Metric::Behind, Role::Main)]),
        Chart::new(KAFKA, "in / out", 1, &[(Metric::Published, Role::Main), (Metric::Consumed, Role::Other)]),
    ]
}

fn load(state: &State) -> Vec<Chart> {
    let mut charts = service(state);
    charts.extend([
        Chart::new(GENERATOR, "p95", 1, &[(Metric::ClientP95, Role::Main)]).bound(state.bounds.p95_ms),
        Chart::new(GENERATOR, "not started", 2, &[(Metric::NotStarted, Role::Bad)]).bound(0.0).tallest(2),
        Chart::new(GENERATOR, "CPU of a core", 2, &[(Metric::Generator, Role::Main)]),
        Chart::new(MACHINE, "CPU", 1, &[(Metric::Machine, Role::Main)]).bound(90.0),
    ]);
    charts
}

fn db(state: &State) -> Vec<Chart> {
    vec![
        Chart::new(
            POSTGRES,
            "open / active",
            0,
            &[(Metric::Connections, Role::Main), (Metric::Active, Role::Other)],
        )
        .bound(state.bounds.connections),
        Chart::new(POOL, "query p95", 1, &[(Metric::Query, Role::Main)]),
        Chart::new(POOL, "pool wait p95", 2, &[(Metric::PoolWait, Role::Main)]),
        Chart::new(POSTGRES, "buffer hits", 2, &[(Metric::BufferHits, Role::Main)]),
    ]
}

fn cache(_: &State) -> Vec<Chart> {
    vec![
        Chart::new(HITS, "cache hits", 0, &[(Metric::Hits, Role::Main)]),
        Chart::new(REDIS, "memory", 1, &[(Metric::CacheMemory, Role::Main)]),
        Chart::new(REDIS, "evicted", 2, &[(Metric::Evicted, Role::Bad)]),
    ]
}
