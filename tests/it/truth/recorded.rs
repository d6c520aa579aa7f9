//! What a prescribed service counted, as Prometheus keeps it: written by hand, sample for sample, and read
//! by a real Prometheus.

use crate::support::free_port;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What is not plain about a stack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Oddity {
    /// Nothing.
    Plain,
    /// Every process starts anew so many seconds before the end, and counts from 0.
    Restart { before_end_s: f64 },
    /// Prometheus itself did not run between these seconds before the end.
    Gap { from_s: f64, to_s: f64 },
    /// Gauges are NaN.
    Nan,
}

/// A service that does the same thing all the time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recorded {
    pub(super) stack: &'static str,
    /// Seconds between two scrapes.
    pub(super) interval_s: f64,
    /// Requests per second.
    pub(super) rate: f64,
    pub(super) oddity: Oddity,
}

/// What grows, per second and request per second, and what stands still. Buckets are told by the one that
/// holds everything.
enum Kind {
    Counter(f64),
    Gauge(f64),
    /// Observations for each request; the bucket that holds all; the mean.
    Histogram(f64, (f64, f64), f64),
}

/// Requests to routes that the stack asks itself, per second, whatever the load.
const PROBES: f64 = 4.0;
/// Processes: api and worker.
const INSTANCES: [(&str, &str); 2] = [("app", "a:1"), ("worker", "b:1")];
/// Bounds of buckets that are written.
const BOUNDS: [f64; 7] = [0.001, 0.002, 0.01, 0.025, 0.05, 0.075, 0.1];

fn load(name: &'static str, labels: &'static str, kind: Kind) -> (usize, &'static str, &'static str, Kind) {
    (0, name, labels, kind)
}

fn work(name: &'static str, labels: &'static str, kind: Kind) -> (usize, &'static str, &'static str, Kind) {
    (1, name, labels, kind)
}

fn everything() -> Vec<(usize, &'static str, &'static str, Kind)> {
    use Kind::{Counter, Gauge, Histogram};
    vec![
        load("http_requests_total", "route=\"/notifications\"", Counter(1.0)),
        load("http_request_errors_total", "route=\"/notifications\"", Counter(0.05)),
        load(
            "http_request_duration_seconds",
            "route=\"/notifications\"",
            Histogram(1.0, (0.01, 0.025), 0.02),
        ),
        load("kafka_messages_published_total", "topic=\"notifications\"", Counter(0.5)),
        load("kafka_messages_published_total", "topic=\"other\"", Counter(0.1)),
        load(
            "kafka_publish_duration_seconds",
            "topic=\"notifications\"",
            Histogram(0.5, (0.002, 0.01), 0.004),
        ),
        load("kafka_publish_errors_total", "topic=\"notifications\"", Counter(0.0)),
        load("queue_depth", "queue_name=\"requests\"", Gauge(6.0)),
        load("queue_depth", "queue_name=\"producer\"", Gauge(3.0)),
        load("shed_total", "reason=\"in_flight\"", Counter(0.01)),
        load("db_query_duration_seconds", "table=\"users\"", Histogram(2.0, (0.001, 0.002), 0.0015)),
        load("db_pool_wait_seconds", "", Histogram(2.0, (0.001, 0.002), 0.001_25)),
        load("db_connections_active", "", Gauge(4.0)),
        load("db_pool_size", "", Gauge(10.0)),
        load("db_query_errors_total", "operation=\"select\"", Counter(0.0)),
        load("cache_hits_total", "cache_key_pattern=\"user:\"", Counter(0.3)),
        load("cache_misses_total", "cache_key_pattern=\"user:\"", Counter(0.1)),
        load("cache_events_total", "event=\"changed\"", Counter(0.02)),
        load("cache_operation_duration_seconds", "operation=\"get\"", Histogram(0.4, (0.001, 0.002), 0.0016)),
        work("kafka_messages_consumed_total", "topic=\"notifications\"", Counter(0.4)),
        work("kafka_consumer_lag", "topic=\"notifications\",partition=\"0\"", Gauge(30.0)),
        work("kafka_consumer_lag", "topic=\"notifications\",partition=\"1\"", Gauge(12.0)),
        work("kafka_broker_throttle_ms", "", Gauge(0.0)),
        work("notifications_total", "status=\"SENT\"", Counter(0.4)),
        work("notifications_failed_total", "status=\"SENT\"", Counter(0.02)),
        work("notification_processing_duration_seconds", "", Histogram(0.4, (0.05, 0.075), 0.06)),
        work("delivery_duration_seconds", "channel=\"EMAIL\"", Histogram(0.4, (0.075, 0.1), 0.09)),
    ]
}

impl Recorded {
    /// Values that nsys has to tell of any window and instant of the plain time, by name.
    pub(super) fn catalogue(&self) -> BTreeMap<&'static str, Option<f64>> {
        let gauge = |value: f64| (self.oddity != Oddity::Nan).then_some(value);
        let whole = self.rate + PROBES;
        [
            ("throughput", Some(whole)),
            // All of the load is between 10 and 25 ms, the probes are faster than 1 ms.
            ("error-rate", Some(self.rate * 0.05 / whole)),
            ("success-rate", Some(0.95)),
            ("published", Some(self.rate * 0.6)),
            ("consumed", Some(self.rate * 0.4)),
            ("lag", gauge(42.0)),
            ("publish-errors", Some(0.0)),
            ("query-p95", Some(0.001_95)),
            ("db-connections", gauge(4.0)),
            ("query-errors", Some(0.0)),
            ("cache-hit-rate", Some(0.75)),
            ("cache-p95", Some(0.001_95)),
        ]
        .into()
    }

    /// The same of the questions of the diagnosis.
    pub(super) fn facts(&self) -> BTreeMap<&'static str, Option<f64>> {
        let gauge = |value: f64| (self.oddity != Oddity::Nan).then_some(value);
        let r = self.rate;
        [
            ("request_rate", Some(r)),
            ("request_mean_ms", Some(20.0)),
            ("request_p50_ms", Some(17.5)),
            ("p95_ms", Some(24.25)),
            ("error_rate", Some(0.05)),
            ("in_flight", gauge(6.0)),
            (
                "elsewhere_share",
                Some(1.0 - (2.0 * 0.0015 + 2.0 * 0.001_25 + 0.4 * 0.0016 + 0.5 * 0.004) / 0.02),
            ),
            ("query_p95_ms", Some(1.95)),
            ("query_rate", Some(2.0 * r)),
            ("query_mean_ms", Some(1.5)),
            ("query_seconds_per_s", Some(2.0 * r * 0.0015)),
            ("pool_wait_mean_ms", Some(1.25)),
            ("pool_wait_share", Some(1.25 / 2.75)),
            ("pool_used_share", gauge(0.4)),
            ("consumed_share", Some(0.8)),
            ("published_per_s", Some(0.5 * r)),
            ("publish_mean_ms", Some(4.0)),
            ("broker_throttle_ms", gauge(0.0)),
            ("delivery_mean_ms", Some(90.0)),
            ("deliveries_in_flight", Some(0.4 * r * 0.09)),
            ("hit_rate", Some(0.75)),
            ("cache_mean_ms", Some(1.6)),
            ("misses_per_s", Some(0.1 * r)),
            ("marks_per_s", Some(0.02 * r)),
            ("shed_per_s", Some(0.01 * r)),
            ("scraped_share", Some(1.0)),
        ]
        .into()
    }

    /// Instants of its scrapes, a little beside whole seconds as they are.
    fn scrapes(&self, from_s: f64, end_s: f64) -> Vec<f64> {
        let count = ((end_s - from_s) / self.interval_s) as u64;
        let kept = |at: &f64| match self.oddity {
            Oddity::Gap { from_s, to_s } => *at < end_s - from_s || *at > end_s - to_s,
            _ => true,
        };
        (0..=count).map(|n| from_s + 0.317 + n as f64 * self.interval_s).filter(kept).collect()
    }

    /// What a counter that grows by `per_s` says at the instant of a scrape. A process that starts anew does
    /// so right after a scrape: what it counted after it is gone for everybody.
    fn counted(&self, per_s: f64, at_s: f64, from_s: f64, end_s: f64) -> f64 {
        if let Oddity::Restart { before_end_s } = self.oddity {
            let scrapes = ((end_s - before_end_s - from_s - 0.317) / self.interval_s).floor();
            let began_s = from_s + 0.317 + scrapes * self.interval_s;
            if at_s > began_s + 0.001 {
                return per_s * (at_s - began_s);
            }
        }
        1_000.0 + per_s * (at_s - from_s)
    }
}

/// All samples between two instants, as lines of OpenMetrics; of each name in one block.
pub(super) fn lines(stacks: &[(Recorded, String)], from_s: f64, end_s: f64) -> String {
    let mut blocks: BTreeMap<String, String> = BTreeMap::new();
    for (one, labels) in stacks {
        let scrapes = one.scrapes(from_s, end_s);
        let mut write = |name: &str, labels: &str, value: &dyn Fn(f64) -> f64| {
            let block = blocks.entry(name.to_owned()).or_default();
            for at in &scrapes {
                let value = value(*at);
                let value = if value.is_nan() { "NaN".to_owned() } else { value.to_string() };
                let _ = writeln!(block, "{name}{{{labels}}} {value} {at:.3}");
            }
        };
        let of = |(role, instance): (&str, &str), more: &str| {
            let more = if more.is_empty() { String::new() } else { format!(",{more}") };
            format!("{labels}role=\"{role}\",instance=\"{instance}\"{more}")
        };
        for instance in INSTANCES {
            write("up", &of(instance, ""), &|_| 1.0);
            write("process_cpu_seconds_total", &of(instance, ""), &|at| one.counted(0.25, at, from_s, end_s));
        }
        let probes = of(INSTANCES[0], "route=\"/health\"");
        write("http_requests_total", &probes, &|at| one.counted(PROBES, at, from_s, end_s));
        write("http_request_errors_total", &probes, &|at| one.counted(0.0, at, from_s, end_s));
        for (instance, name, more, kind) in everything() {
            let labels = of(INSTANCES[instance], more);
            match kind {
                Kind::Counter(share) => {
                    write(name, &labels, &|at| one.counted(one.rate * share, at, from_s, end_s));
                }
                Kind::Gauge(value) => {
                    let value = if one.oddity == Oddity::Nan { f64::NAN } else { value };
                    write(name, &labels, &|_| value);
                }
                Kind::Histogram(share, (_, high), mean) => {
                    let count = |at| one.counted(one.rate * share, at, from_s, end_s);
                    for bound in BOUNDS {
                        let labels = format!("{labels},le=\"{bound}\"");
                        write(&format!("{name}_bucket"), &labels, &|at| {
                            if bound >= high { count(at) } else { 0.0 }
                        });
                    }
                    write(&format!("{name}_bucket"), &format!("{labels},le=\"+Inf\""), &count);
                    write(&format!("{name}_count"), &labels, &count);
                    write(&format!("{name}_sum"), &labels, &|at| {
                        one.counted(one.rate * share * mean, at, from_s, end_s)
                    });
                }
            }
        }
    }
    // One value for each label set and instant; the tool does not mind the order of series.
    blocks.into_values().collect::<String>() + "# EOF\n"
}

/// A Prometheus of the test; it ends with it.
pub(super) struct Prometheus {
    child: Child,
    pub(super) url: String,
}

impl Prometheus {
    /// Starts one on the blocks below `dir`, with these scrape configurations.
    pub(super) fn start(dir: &Path, scrapes: &str) -> Self {
        let port = free_port();
        std::fs::write(dir.join("prometheus.yml"), format!("scrape_configs: {scrapes}\n")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", dir.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
            .arg("--storage.tsdb.retention.time=10y")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--log.level=error")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus starts");
        let started = Self { child, url: format!("http://127.0.0.1:{port}") };
        for _ in 0..300 {
            if let Ok(mut answer) = std::net::TcpStream::connect(("127.0.0.1", port)) {
                use std::io::{Read as _, Write as _};
                let _ = answer.write_all(b"GET /-/ready HTTP/1.0\r\n\r\n");
                let mut text = String::new();
                let _ = answer.read_to_string(&mut text);
                if text.starts_with("HTTP/1.0 200") || text.starts_with("HTTP/1.1 200") {
                    return started;
                }
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("prometheus is not ready");
    }

    /// Puts samples into the blocks that one starts on.
    pub(super) fn backfill(dir: &Path, text: &str) {
        std::fs::write(dir.join("samples"), text).unwrap();
        let output = Command::new("promtool")
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([dir.join("samples"), dir.join("data")])
            .output()
            .expect("promtool starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
