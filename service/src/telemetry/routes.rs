//! The series of routes and topics, looked up once instead of at every request or message.

use super::{ErrorLabels, Metrics, RequestLabels};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use std::sync::OnceLock;
use std::time::Duration;

/// The statuses that get a place of their own; others are looked up each time.
const COMMON: [u16; 12] = [200, 201, 202, 204, 400, 401, 403, 404, 409, 422, 429, 503];

/// The series of one route and status.
struct Series {
    duration: Histogram,
    requests: Counter,
    errors: Counter,
    by_type: Option<Counter>,
}

impl Series {
    fn observe(&self, status: u16, took: Duration) {
        self.duration.observe(took.as_secs_f64());
        self.requests.inc();
        if is_error(status) {
            self.errors.inc();
        }
        if let Some(by_type) = &self.by_type {
            by_type.inc();
        }
    }
}

/// What counts in the error ratio: 404 is an answer, not an error.
fn is_error(status: u16) -> bool {
    status >= 400 && status != 404
}

fn error_type(status: u16) -> Option<&'static str> {
    Some(match status {
        401 | 403 => "auth",
        404 => return None,
        429 => "rate_limited",
        400..=499 => "client",
        503 => "unavailable",
        504 => "timeout",
        500.. => "server",
        _ => return None,
    })
}

/// The series of one route.
pub(crate) struct RouteMetrics {
    metrics: Metrics,
    method: &'static str,
    path: &'static str,
    name: &'static str,
    common: [OnceLock<Series>; COMMON.len()],
}

impl RouteMetrics {
    /// `POST /notifications`, for spans.
    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    /// Counts a request that was answered.
    pub(crate) fn ended(&self, status: u16, took: Duration) {
        let place = COMMON.iter().position(|one| *one == status).and_then(|index| self.common.get(index));
        match place {
            Some(place) => place.get_or_init(|| self.series(status)).observe(status, took),
            None => self.series(status).observe(status, took),
        }
    }

    fn series(&self, status: u16) -> Series {
        let (method, route, inner) = (self.method, self.path.to_owned(), &self.metrics.0);
        let labels = RequestLabels { method, route: route.clone(), status_code: status };
        let by_type = error_type(status).map(|error_type| ErrorLabels { method, route, error_type });
        Series {
            duration: inner.http_duration.get_or_create(&labels).clone(),
            requests: inner.http_requests.get_or_create(&labels).clone(),
            // Created at zero for successes, so that errors / requests has both sides everywhere.
            errors: inner.http_errors.get_or_create(&labels).clone(),
            by_type: by_type.map(|labels| inner.http_errors_by_type.get_or_create(&labels).clone()),
        }
    }
}

/// The series of what is published on one topic.
pub(crate) struct Publishing {
    pub(super) published: Counter,
    pub(super) duration: Histogram,
}

impl Publishing {
    /// Counts a message that the log has.
    pub(crate) fn delivered(&self, took: Duration) {
        self.published.inc();
        self.duration.observe(took.as_secs_f64());
    }
}

/// An open connection, counted while it lives.
pub(crate) struct Connection(Gauge);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// The series of a route. The table of routes is fixed, so its names may live for ever.
    pub(crate) fn route(&self, method: &'static str, path: &'static str) -> RouteMetrics {
        RouteMetrics {
            metrics: self.clone(),
            method,
            path,
            name: String::leak(format!("{method} {path}")),
            common: std::array::from_fn(|_| OnceLock::new()),
        }
    }

    /// Counts a connection until the answer is dropped.
    pub(crate) fn connection(&self) -> Connection {
        self.0.active_connections.inc();
        Connection(self.0.active_connections.clone())
    }
}
