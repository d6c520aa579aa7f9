//! What is asked of the service over one window: the expressions that several readers share.

use super::{Promql, RangeWindow, Scope, ScopedMetric};
use nsys_contract::{metrics as m, topics};

/// Routes that the stack asks itself.
const PROBES: &str = "/metrics|/health.*";
/// Routes of the load.
const LOAD: &str = "/notifications.*";

/// The service's series over a window.
#[derive(Clone, Copy, Debug)]
pub struct ServiceQueries<'a> {
    /// Which series.
    pub scope: &'a Scope,
    /// Over which time.
    pub window: RangeWindow,
}

impl ServiceQueries<'_> {
    /// Growth per second of a counter, over all its series.
    #[must_use]
    pub fn rate(&self, name: &str) -> Promql {
        self.rate_of(&self.scope.metric(name))
    }

    /// The same, of some of its series.
    #[must_use]
    pub fn rate_of(&self, metric: &ScopedMetric) -> Promql {
        metric.rate(self.window).sum()
    }

    /// Growth per second of what a histogram of seconds adds up to.
    #[must_use]
    pub fn seconds(&self, histogram: &str) -> Promql {
        self.rate_of(&self.scope.metric(histogram).part("_sum"))
    }

    /// Observations of a histogram per second.
    #[must_use]
    pub fn observations(&self, histogram: &str) -> Promql {
        self.rate_of(&self.scope.metric(histogram).part("_count"))
    }

    /// Percentile of a histogram of seconds, in ms.
    #[must_use]
    pub fn percentile_ms(&self, q: f64, histogram: &ScopedMetric) -> Promql {
        Promql::number(1_000.0) * self.percentile_s(q, histogram)
    }

    /// Percentile of a histogram of seconds, in s.
    #[must_use]
    pub fn percentile_s(&self, q: f64, histogram: &ScopedMetric) -> Promql {
        histogram.clone().part("_bucket").rate(self.window).quantile(q)
    }

    /// Mean of a histogram of seconds, in ms.
    #[must_use]
    pub fn mean_ms(&self, histogram: &ScopedMetric) -> Promql {
        let rate = |suffix| self.rate_of(&histogram.clone().part(suffix));
        Promql::number(1_000.0) * rate("_sum") / rate("_count")
    }

    /// Requests of the load; health checks and scrapes are left out.
    #[must_use]
    pub fn of_load(&self, name: &str) -> ScopedMetric {
        self.scope.metric(name).like("route", LOAD)
    }

    /// Requests of anybody but the stack itself.
    #[must_use]
    pub fn of_callers(&self, name: &str) -> ScopedMetric {
        self.scope.metric(name).not_like("route", PROBES)
    }

    /// Growth per second of a counter of messages of the topic that is written by requests.
    #[must_use]
    pub fn of_topic(&self, name: &str) -> Promql {
        self.rate_of(&self.scope.metric(name).is("topic", topics::NOTIFICATIONS))
    }

    /// Share of cache reads that hit.
    #[must_use]
    pub fn hit_rate(&self) -> Promql {
        let (hits, misses) = (self.rate(m::CACHE_HITS_TOTAL), self.rate(m::CACHE_MISSES_TOTAL));
        hits.clone() / (hits + misses)
    }

    /// Requests in progress.
    #[must_use]
    pub fn in_progress(&self) -> ScopedMetric {
        self.scope.metric(m::QUEUE_DEPTH).is("queue_name", m::REQUESTS_IN_PROGRESS)
    }

    /// Everything else that waits.
    #[must_use]
    pub fn waiting(&self) -> ScopedMetric {
        self.scope.metric(m::QUEUE_DEPTH).is_not("queue_name", m::REQUESTS_IN_PROGRESS)
    }
}
