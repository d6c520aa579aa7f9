//! What is compared, which way is better, and together with what it is looked at.

use crate::domain::run::Sample;

/// Metrics that are judged together: of many looks one finds something by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// What users feel.
    Primary,
    /// Everything else that is measured.
    Rest,
    /// How much repeated runs scatter.
    Spread,
}

impl Family {
    /// Its share of the errors that all of a comparison may make.
    pub(super) const fn weight(self) -> f64 {
        match self {
            Self::Primary => 0.6,
            Self::Rest => 0.3,
            Self::Spread => 0.1,
        }
    }
}

/// What the client counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::domain) enum ClientValue {
    /// Requests per second.
    Throughput,
    /// Share of failed requests.
    Errors,
    /// The time within which this share of all that were due had ended.
    Percentile(f64),
}

/// Where a metric comes from: one clock and one distribution for its values and its judgement.
#[derive(Clone, Copy)]
pub(super) enum Source {
    /// The client's own counts.
    Client(ClientValue),
    /// The mean of the steady seconds.
    Mean(fn(&Sample) -> Option<f64>),
    /// Percentiles by second of the service's histogram, whose buckets are coarse; their geometric mean.
    Buckets(fn(&Sample) -> Option<f64>),
}

/// One metric.
pub(super) struct MetricKind {
    /// Its name with the unit last.
    pub(super) name: &'static str,
    pub(super) family: Family,
    /// Whether more of it is better.
    pub(super) more_is_better: bool,
    pub(super) source: Source,
}

/// The name of the metric that grows with the age of a process.
pub(super) const MEMORY: &str = "service_memory_mb";

const fn client(name: &'static str, family: Family, value: ClientValue) -> MetricKind {
    MetricKind {
        name,
        family,
        more_is_better: matches!(value, ClientValue::Throughput),
        source: Source::Client(value),
    }
}

const fn rest(name: &'static str, source: Source) -> MetricKind {
    MetricKind { name, family: Family::Rest, more_is_better: false, source }
}

/// Every metric that is compared.
pub(super) const KINDS: [MetricKind; 11] = [
    client("throughput_rps", Family::Primary, ClientValue::Throughput),
    client("error_rate", Family::Primary, ClientValue::Errors),
    client("p50_ms", Family::Rest, ClientValue::Percentile(0.5)),
    client("p95_ms", Family::Primary, ClientValue::Percentile(0.95)),
    client("p99_ms", Family::Rest, ClientValue::Percentile(0.99)),
    rest("service_p50_ms", Source::Buckets(|one| one.p50_ms)),
    rest("service_p95_ms", Source::Buckets(|one| one.p95_ms)),
    rest("service_p99_ms", Source::Buckets(|one| one.p99_ms)),
    rest("service_cpu_pct", Source::Mean(|one| one.service_cpu_pct)),
    rest(MEMORY, Source::Mean(|one| one.service_rss_mb)),
    // A queue of none is as good as a queue of one.
    rest("lag", Source::Mean(|one| one.lag.map(|lag| lag.max(1) as f64))),
];

/// How many primary metrics a level has.
pub(super) const PRIMARY: usize = 3;

impl MetricKind {
    /// Whether differences are told as such and not as shares: of a share that may be 0.
    pub(super) const fn is_difference(&self) -> bool {
        matches!(self.source, Source::Client(ClientValue::Errors))
    }

    /// A value on the scale on which it is compared.
    pub(super) fn scaled(&self, value: f64) -> f64 {
        if self.is_difference() { value } else { value.ln() }
    }

    /// A value as it is told, of one on the scale on which it is compared.
    pub(super) fn displayed(&self, scaled: f64) -> f64 {
        if self.is_difference() { scaled } else { scaled.exp() }
    }
}
