//! Everything that is drawn over time.

use super::ring::Ring;
use std::collections::BTreeMap;

/// Parts that are followed at most.
const PARTS: usize = 64;

/// In what a value is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Per second.
    Rate,
    /// Milliseconds.
    Millis,
    /// Pieces.
    Count,
    /// 0 to 1.
    Share,
    /// Per cent of one core.
    Cpu,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
}

impl Unit {
    /// Its name for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rate => "per_s",
            Self::Millis => "ms",
            Self::Count => "count",
            Self::Share => "share",
            Self::Cpu => "pct",
            Self::Bytes => "bytes",
            Self::Seconds => "s",
        }
    }
}

/// One line on a chart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChartSeries {
    /// A value of the whole stack.
    Of(StackMetric),
    /// CPU of a part.
    Cpu(String),
    /// Memory of a part.
    Memory(String),
    /// Messages of a topic that wait for our group.
    TopicLag(String),
}

macro_rules! metrics {
    ($($(#[doc = $doc:literal])+ $name:ident: $label:literal, $unit:ident;)+) => {
        /// A value of the whole stack.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum StackMetric { $($(#[doc = $doc])+ $name,)+ }

        impl StackMetric {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// What it is called in an export.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $label),+ }
            }

            /// In what it is counted.
            #[must_use]
            pub const fn unit(self) -> Unit {
                match self { $(Self::$name => Unit::$unit),+ }
            }
        }
    };
}

metrics! {
    /// Requests per second that the load test plans.
    Planned: "planned rate", Rate;
    /// Requests per second.
    Rate: "rate", Rate;
    /// Median answer time.
    P50: "p50", Millis;
    /// 95th percentile.
    P95: "p95", Millis;
    /// 99th percentile.
    P99: "p99", Millis;
    /// Failed requests per second.
    Errors: "errors", Rate;
    /// Messages published per second.
    Published: "published", Rate;
    /// Messages consumed per second.
    Consumed: "consumed", Rate;
    /// Messages that wait.
    Lag: "lag", Count;
    /// Age of the oldest message that waits.
    Behind: "behind", Seconds;
    /// Connections to PostgreSQL.
    Connections: "connections", Count;
    /// Connections that are in a transaction or run a statement.
    Active: "active connections", Count;
    /// 95th percentile of the wait for a connection.
    PoolWait: "pool wait p95", Millis;
    /// 95th percentile of query time.
    Query: "query p95", Millis;
    /// Share of PostgreSQL's block reads that hit its cache.
    BufferHits: "buffer hits", Share;
    /// Share of the service's cache reads that hit.
    Hits: "cache hits", Share;
    /// Memory of Redis.
    CacheMemory: "cache memory", Bytes;
    /// Keys that Redis removed to make room, per second.
    Evicted: "evicted", Rate;
    /// CPU of the load generator.
    Generator: "generator CPU", Cpu;
    /// 95th percentile as the load generator measured it.
    ClientP95: "client p95", Millis;
    /// Requests per second that the load generator could not start in time.
    NotStarted: "not started", Rate;
    /// CPU of the machine, per cent of all cores.
    Machine: "machine CPU", Cpu;
}

/// All series. Memory is bounded by the number of parts.
#[derive(Clone, Debug)]
pub struct SeriesHistory {
    metrics: Vec<Ring>,
    cpu: BTreeMap<String, Ring>,
    memory: BTreeMap<String, Ring>,
    lag: BTreeMap<String, Ring>,
}

impl Default for SeriesHistory {
    fn default() -> Self {
        let metrics = StackMetric::ALL.iter().map(|_| Ring::default()).collect();
        Self { metrics, cpu: BTreeMap::new(), memory: BTreeMap::new(), lag: BTreeMap::new() }
    }
}

impl SeriesHistory {
    /// Puts a value at a time.
    pub fn put(&mut self, series: ChartSeries, at_s: f64, value: Option<f64>) {
        let (rings, name) = match series {
            ChartSeries::Of(metric) => return self.metrics[metric as usize].put(at_s, value),
            ChartSeries::Cpu(part) => (&mut self.cpu, part),
            ChartSeries::Memory(part) => (&mut self.memory, part),
            ChartSeries::TopicLag(topic) => (&mut self.lag, topic),
        };
        if rings.len() < PARTS || rings.contains_key(&name) {
            rings.entry(name).or_default().put(at_s, value);
        }
    }

    /// A series, if anything was ever put.
    #[must_use]
    pub fn ring(&self, series: &ChartSeries) -> Option<&Ring> {
        match series {
            ChartSeries::Of(metric) => self.metrics.get(*metric as usize),
            ChartSeries::Cpu(part) => self.cpu.get(part),
            ChartSeries::Memory(part) => self.memory.get(part),
            ChartSeries::TopicLag(topic) => self.lag.get(topic),
        }
    }

    /// The value of a series that held at a time.
    #[must_use]
    pub fn at(&self, series: &ChartSeries, at_s: f64) -> Option<f64> {
        self.ring(series)?.at(at_s)
    }
}

impl ChartSeries {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Of(metric) => metric.name().to_owned(),
            Self::Cpu(part) => format!("CPU of {part}"),
            Self::Memory(part) => format!("memory of {part}"),
            Self::TopicLag(topic) => format!("lag of {topic}"),
        }
    }

    /// In what it is counted.
    #[must_use]
    pub const fn unit(&self) -> Unit {
        match self {
            Self::Of(metric) => metric.unit(),
            Self::Cpu(_) => Unit::Cpu,
            Self::Memory(_) => Unit::Bytes,
            Self::TopicLag(_) => Unit::Count,
        }
    }
}
