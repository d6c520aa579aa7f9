//! The typed configuration: the sections of nsys beside those of the service.

use super::metrics::Metrics;
use crate::domain::diagnosis::DiagnosisBounds;
use crate::domain::level::Level;
use crate::domain::scenario::{LoadEngine, Scenario};
use crate::domain::stop::StopRule;
use crate::error::{Error, Result};
use jiff::fmt::serde::unsigned_duration::friendly::compact::required as span;
use nsys_contract::config as service;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What `stack.runtime` may be.
pub const RUNTIMES: [&str; 5] = ["auto", "local", "docker", "external", "kubernetes"];

/// Every section of `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where and how the stack runs.
    pub stack: StackSection,
    /// Containers.
    pub docker: DockerSection,
    /// Addresses of a stack that runs elsewhere.
    pub external: ExternalSection,
    /// A cluster.
    pub kubernetes: KubernetesSection,
    /// Which series in Prometheus are the stack's.
    pub metrics: Metrics,
    /// Load tests.
    pub loadtest: LoadtestSection,
    /// The objectives a level is judged by.
    pub targets: ObjectivesSection,
    /// Changes.
    pub tune: TuneSection,
    /// The dashboard.
    pub watch: WatchSection,
    /// Bounds of the diagnosis beside the objectives.
    pub diagnose: DiagnoseSection,
    /// The service's HTTP side.
    pub service: service::Service,
    /// Tokens and passwords.
    pub auth: service::Auth,
    /// PostgreSQL.
    pub db: service::Db,
    /// Kafka.
    pub kafka: service::Kafka,
    /// Redis and the in-process level.
    pub cache: service::Cache,
    /// The worker role.
    pub worker: service::Worker,
    /// Delivery channels.
    pub channels: service::Channels,
    /// Rate limits and load shedding.
    pub limits: service::Limits,
    /// How long rows are kept.
    pub retention: service::Retention,
    /// Logs and traces.
    pub telemetry: service::Telemetry,
}

/// `[stack]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StackSection {
    /// Name of this stack.
    pub name: String,
    /// Where it runs.
    pub runtime: String,
    /// Added to every default port.
    pub port_offset: u16,
    /// Replicas of the api.
    pub app: u32,
    /// Replicas of the worker.
    pub worker: u32,
    /// Restarts of a failing part before it is left down.
    pub restart_limit: u32,
    /// Largest heap of the broker, in MiB.
    pub kafka_heap_mb: u32,
    /// Most memory Redis uses, in MiB.
    pub redis_max_memory_mb: u32,
    /// Most bytes kept per partition of topics that are not the service's.
    pub kafka_retention_bytes: u64,
    /// How often Prometheus scrapes.
    #[serde(with = "span")]
    pub scrape_interval: Duration,
    /// Whether changes want the stack's name typed.
    pub protected: bool,
}

/// `[docker]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DockerSection {
    /// Compose files laid over the shipped one, in order.
    pub files: Vec<String>,
    /// Image of the service.
    pub service_image: String,
    /// Image of nsys, for the migrations.
    pub nsys_image: String,
}

/// `[external]`: addresses beside those of `[db]`, `[kafka]` and `[cache]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalSection {
    /// Base address of the API.
    pub api_url: String,
    /// Token of an administrator of the API. Secret.
    pub api_token: String,
    /// Base address of Prometheus.
    pub prometheus_url: String,
    /// Bearer token for Prometheus. Secret.
    pub prometheus_token: String,
    /// Base address of Jaeger.
    pub jaeger_url: String,
    /// File with a certificate authority (PEM) to trust beside the usual ones.
    pub ca_file: String,
}

/// `[kubernetes]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KubernetesSection {
    /// Context of the kubeconfig; empty: the current one.
    pub context: String,
    /// Namespace of the stack.
    pub namespace: String,
    /// Image of the service.
    pub service_image: String,
    /// Image of nsys, for the migrations.
    pub nsys_image: String,
}

/// `[tune]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TuneSection {
    /// Longest wait for the lock that an index build takes on its table.
    #[serde(with = "span")]
    pub lock_timeout: Duration,
    /// Longest time one index build may take, waits for old transactions included.
    #[serde(with = "span")]
    pub build_timeout: Duration,
}

/// `[watch]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchSection {
    /// The colours.
    pub theme: String,
    /// Whether only ASCII is drawn.
    pub ascii: bool,
    /// Whether the mouse is used.
    pub mouse: bool,
}

/// `[loadtest]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadtestSection {
    /// Where runs are kept.
    pub results_dir: String,
    /// The k6 program; empty: found.
    pub k6: String,
    /// Users of the seeded table.
    pub seed_users: u32,
    /// Notifications of the seeded table.
    pub seed_notifications: u32,
    /// Share of creations.
    pub mix_create: f64,
    /// Share of reads by id.
    pub mix_get: f64,
    /// Share of lists.
    pub mix_list: f64,
    /// Share of lookups by correlation id.
    pub mix_correlation: f64,
    /// Part of a level that warms up.
    pub warmup_share: f64,
    /// Longest wait for the stack to calm down.
    #[serde(with = "span")]
    pub stabilise_timeout: Duration,
    /// CPU of the service below which it is calm, per cent of all cores.
    pub calm_cpu_pct: f64,
    /// CPU of the generator above which it was the limit, in per cent of one core.
    pub generator_cpu_pct: f64,
    /// Share of planned requests below which the generator was the limit.
    pub min_offered_share: f64,
    /// What makes the requests.
    pub engine: LoadEngine,
    /// Hosts of `--distributed`, as ssh knows them.
    pub hosts: Vec<String>,
    /// The ssh program with its options.
    pub ssh: String,
    /// k6 on those hosts.
    pub remote_k6: String,
    /// Image of k6 in a cluster.
    pub k6_image: String,
    /// Runners in a cluster.
    pub cluster_runners: u32,
    /// Address of the service as those hosts reach it; empty: the stack's own.
    pub target_url: String,
    /// Memory of one virtual user of k6, MiB.
    pub k6_user_mb: f64,
    /// Requests per second and core that k6 reaches.
    pub k6_rate_per_cpu: f64,
    /// Requests per second and core up to which k6's answer times are the service's.
    pub k6_exact_per_cpu: f64,
    /// Requests per second and core that the native engine reaches.
    pub native_rate_per_cpu: f64,
    /// Requests per second and core up to which its answer times are the service's.
    pub native_exact_per_cpu: f64,
    /// Disk that one notification takes, bytes.
    pub notification_bytes: f64,
    /// When to stop before the end.
    pub stop: Vec<String>,
    /// Levels of the smoke test.
    pub levels_smoke: Vec<String>,
    /// Levels of the baseline.
    pub levels_baseline: Vec<String>,
    /// Levels of the incremental test.
    pub levels_incremental: Vec<String>,
    /// Levels of the stress test.
    pub levels_stress: Vec<String>,
    /// The three rates of the spike.
    pub levels_spike: Vec<String>,
    /// Levels of the soak test.
    pub levels_soak: Vec<String>,
    /// A short smoke test.
    pub quick_smoke: Vec<String>,
    /// A short baseline.
    pub quick_baseline: Vec<String>,
    /// A short incremental test.
    pub quick_incremental: Vec<String>,
    /// A short stress test.
    pub quick_stress: Vec<String>,
    /// A short spike.
    pub quick_spike: Vec<String>,
    /// A short soak test.
    pub quick_soak: Vec<String>,
    /// First rate of the search for the highest, requests per second.
    pub find_first: u32,
    /// How long each rate is tried.
    #[serde(with = "span")]
    pub find_probe: Duration,
    /// How long the found rate is confirmed.
    #[serde(with = "span")]
    pub find_confirm: Duration,
}

/// `[targets]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectivesSection {
    /// 95th percentile, ms.
    pub p95_ms: f64,
    /// 99th percentile, ms.
    pub p99_ms: f64,
    /// Share of failed requests, 0 to 1.
    pub error_rate: f64,
    /// CPU of the service, per cent of all cores.
    pub cpu_pct: f64,
    /// Memory of the service, MiB.
    pub memory_mb: f64,
    /// Connections to PostgreSQL.
    pub db_connections: f64,
    /// Messages waiting at the end of a level.
    pub lag: f64,
    /// Share of cache reads that hit, 0 to 1.
    pub cache_hit_rate: f64,
}

/// `[diagnose]`: the bounds of the rules, by the names that rules use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiagnoseSection {
    /// 95th percentile of query time, in ms.
    pub query_p95_ms: f64,
    /// Mean query time above which reading from disk counts, in ms.
    pub query_mean_ms: f64,
    /// Mean time of one statement, in ms.
    pub statement_ms: f64,
    /// Sessions that wait for a lock, on average.
    pub lock_waiters: f64,
    /// Time a query takes beyond what PostgreSQL spends on it, on average, in ms.
    pub db_network_ms: f64,
    /// Share of statement time that goes into reading blocks, 0 to 1.
    pub db_io_share: f64,
    /// CPU of PostgreSQL, in per cent of all cores.
    pub db_cpu_pct: f64,
    /// Connections over the server's limit, 0 to 1.
    pub connections_share: f64,
    /// Share of a connection pool in use, 0 to 1.
    pub pool_share: f64,
    /// Wait for a connection over wait and query together, 0 to 1.
    pub pool_wait_share: f64,
    /// Mean wait for a connection above which its share counts, in ms.
    pub pool_wait_ms: f64,
    /// Rows that one sequential scan of the notifications table reads on average.
    pub scan_rows: f64,
    /// Share of published messages that is consumed in the same window, 0 to 1.
    pub consumed_share: f64,
    /// Messages that wait, in seconds of writing.
    pub behind_s: f64,
    /// Members of the worker group for each partition.
    pub workers_per_partition: f64,
    /// Messages of the fullest partition over the mean of all.
    pub publish_skew: f64,
    /// Messages that wait for one worker over the mean of the others.
    pub worker_lag_ratio: f64,
    /// Mean time of a delivery attempt at its provider, in ms.
    pub delivery_ms: f64,
    /// Mean time until the broker has acknowledged a message, in ms.
    pub publish_ms: f64,
    /// Delay that a broker imposes by quota, in ms.
    pub broker_throttle_ms: f64,
    /// Mean time of a cache call, in ms.
    pub cache_ms: f64,
    /// Keys per second that Redis removes to make room.
    pub evicted_per_s: f64,
    /// Keys that expired for each read that missed.
    pub expired_per_miss: f64,
    /// Reads per second that miss the cache, above which the reason counts.
    pub misses_per_s: f64,
    /// Life of a cached notification, in windows of measurement: what lives longer expires from earlier loads.
    pub ttl_windows: f64,
    /// Share of misses that still fill the cache; from here on it is cold, and misses are no limit.
    pub filling_share: f64,
    /// Share of periods in which a CPU limit stopped the service, 0 to 1.
    pub throttled_share: f64,
    /// CPU of stack and generator together, in per cent of all cores.
    pub machine_cpu_pct: f64,
    /// Time that a thread of the service waits for a processor, on average, in ms.
    pub cpu_wait_ms: f64,
    /// Turns of a processor that one call takes on its way; a bound of a time is no lower than their waits.
    pub scheduling_turns: f64,
    /// CPU of everything else on the machine, in per cent of all cores.
    pub other_cpu_pct: f64,
    /// Memory of a replica over its limit, 0 to 1.
    pub memory_share: f64,
    /// Share of time in which a process waited for memory, 0 to 1.
    pub memory_stall_share: f64,
    /// Growth of the service's memory, in MiB per minute.
    pub memory_growth_mb_per_min: f64,
    /// Bytes of log for each request.
    pub log_bytes_per_request: f64,
    /// Bytes of log per second above which their number for each request counts.
    pub log_bytes_per_s: f64,
    /// Restarts of parts during a level.
    pub restarts: f64,
    /// Median answer time of the generator beyond that of the service, in ms.
    pub outside_ms: f64,
    /// Requests per second that the service sheds.
    pub shed_per_s: f64,
    /// Share of the answer time that is spent in neither database, pool, cache nor broker, 0 to 1.
    pub elsewhere_share: f64,
    /// Mean answer time above which that share counts, in ms.
    pub request_mean_ms: f64,
    /// Growth of throughput below which a level adds nothing, as a share.
    pub flat_growth: f64,
    /// Difference between requests in progress and rate times answer time, as a share.
    pub little_error: f64,
    /// Share of scrapes that Prometheus got, 0 to 1.
    pub scraped_share: f64,
    /// Whether the generator was the limit: 1 when it was.
    pub generator_limited: f64,
    /// Share of a bound from which on a value is near it.
    pub warn_share: f64,
}

impl LoadtestSection {
    /// The levels of a scenario as they were written, and the key that holds them. A search has none.
    #[must_use]
    pub fn levels(&self, scenario: Scenario, quick: bool) -> Option<(&'static str, &[String])> {
        let found: (_, &[String]) = match (scenario, quick) {
            (Scenario::Smoke, false) => ("loadtest.levels_smoke", &self.levels_smoke),
            (Scenario::Baseline, false) => ("loadtest.levels_baseline", &self.levels_baseline),
            (Scenario::Incremental, false) => ("loadtest.levels_incremental", &self.levels_incremental),
            (Scenario::Stress, false) => ("loadtest.levels_stress", &self.levels_stress),
            (Scenario::Spike, false) => ("loadtest.levels_spike", &self.levels_spike),
            (Scenario::Soak, false) => ("loadtest.levels_soak", &self.levels_soak),
            (Scenario::Smoke, true) => ("loadtest.quick_smoke", &self.quick_smoke),
            (Scenario::Baseline, true) => ("loadtest.quick_baseline", &self.quick_baseline),
            (Scenario::Incremental, true) => ("loadtest.quick_incremental", &self.quick_incremental),
            (Scenario::Stress, true) => ("loadtest.quick_stress", &self.quick_stress),
            (Scenario::Spike, true) => ("loadtest.quick_spike", &self.quick_spike),
            (Scenario::Soak, true) => ("loadtest.quick_soak", &self.quick_soak),
            (Scenario::FindMax, _) => return None,
        };
        Some(found)
    }

    /// The levels and stop rules must be readable before a run wants them.
    fn check(&self) -> Result<()> {
        let scenarios = [
            Scenario::Smoke,
            Scenario::Baseline,
            Scenario::Incremental,
            Scenario::Stress,
            Scenario::Spike,
            Scenario::Soak,
        ];
        let written = scenarios.iter().flat_map(|one| [self.levels(*one, false), self.levels(*one, true)]);
        for (key, texts) in written.flatten() {
            if texts.is_empty() {
                return Err(Error::usage(format!("{key}: at least one level is expected")));
            }
            let levels = texts.iter().map(|text| Level::by_rate(text)).collect::<Result<Vec<_>, _>>();
            let whole = levels.and_then(|levels| {
                if key.ends_with("_spike") { Level::spike(&levels).map(|_| ()) } else { Ok(()) }
            });
            whole.map_err(|why| Error::usage(format!("{key}: {why}")))?;
        }
        for rule in &self.stop {
            StopRule::parse(rule).map_err(|why| Error::usage(format!("loadtest.stop: {why}")))?;
        }
        Ok(())
    }
}

impl Config {
    /// What no single value can show to be wrong.
    ///
    /// # Errors
    /// When values contradict each other; the message names the key.
    pub fn check(&self) -> Result<()> {
        let name = &self.stack.name;
        if name.is_empty()
            || name.len() > 32
            || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            return Err(Error::usage(format!(
                "stack.name = {name:?}: 1 to 32 letters, digits and dashes are expected"
            )));
        }
        if self.stack.port_offset > 50_000 || (1..100).contains(&self.stack.port_offset) {
            let offset = self.stack.port_offset;
            return Err(Error::usage(format!("stack.port_offset = {offset}: 0 or 100 to 50000 is expected")));
        }
        let runtime = self.stack.runtime.as_str();
        if !RUNTIMES.contains(&runtime) {
            return Err(Error::usage(format!(
                "stack.runtime = {runtime:?}: one of {} is expected",
                RUNTIMES.join(", ")
            )));
        }
        if runtime == "external" {
            self.check_addresses()?;
        }
        if !(1..=64).contains(&self.stack.app) || !(1..=64).contains(&self.stack.worker) {
            return Err(Error::usage("stack.app and stack.worker must be between 1 and 64"));
        }
        if self.worker.nice > 19 {
            return Err(Error::usage("worker.nice must be between 0 and 19"));
        }
        let most = nsys_contract::config::Limits::MOST_PAYLOAD_BYTES;
        if !(1..=most).contains(&self.limits.max_payload_bytes) {
            return Err(Error::usage(format!("limits.max_payload_bytes must be between 1 and {most}")));
        }
        let load = &self.loadtest;
        let shares = [load.mix_create, load.mix_get, load.mix_list, load.mix_correlation];
        let sum: f64 = shares.iter().sum();
        if (sum - 1.0).abs() > 1e-6 || shares.iter().any(|share| *share < 0.0) {
            return Err(Error::usage(format!("the shares loadtest.mix_* add up to {sum}, not to 1")));
        }
        if !(0.0..=0.9).contains(&load.warmup_share) {
            return Err(Error::usage("loadtest.warmup_share must be between 0 and 0.9"));
        }
        load.check()?;
        self.metrics.selector()?;
        Ok(())
    }

    /// Whether a stack that runs elsewhere can be found.
    ///
    /// # Errors
    /// When an address is missing; the message names the key.
    pub fn check_addresses(&self) -> Result<()> {
        Self::must_be_given(&[("external.api_url", &self.external.api_url)])?;
        self.check_parts()
    }

    /// Whether the parts that the service stands on can be found, where nsys does not run them.
    ///
    /// # Errors
    /// As [`Self::check_addresses`].
    pub fn check_parts(&self) -> Result<()> {
        let parts = [
            ("db.url", &self.db.url),
            ("kafka.brokers", &self.kafka.brokers),
            ("cache.url", &self.cache.url),
        ];
        Self::must_be_given(&parts)
    }

    fn must_be_given(addresses: &[(&str, &String)]) -> Result<()> {
        match addresses.iter().find(|(_, address)| address.is_empty()) {
            Some((key, _)) => Err(Error::usage(format!(
                "{key} is empty; a stack that runs elsewhere needs it"
            ))
            .hint(format!("set it in config.toml or as NSYS_{}", key.to_uppercase().replace('.', "__")))),
            None => Ok(()),
        }
    }

    /// The bounds of the diagnosis by name: the keys of `[diagnose]` and `[targets]`.
    #[must_use]
    pub fn bounds(&self) -> DiagnosisBounds {
        let tables = [toml::Table::try_from(&self.diagnose), toml::Table::try_from(&self.targets)];
        let values = tables.into_iter().flatten().flatten();
        DiagnosisBounds::new(
            values.filter_map(|(key, value)| Some((key, value.as_float()?))).collect(),
            self.diagnose.warn_share,
        )
    }

    /// The sections the service reads.
    #[must_use]
    pub fn service_config(&self) -> service::ServiceConfig {
        service::ServiceConfig {
            service: self.service.clone(),
            auth: self.auth.clone(),
            db: self.db.clone(),
            kafka: self.kafka.clone(),
            cache: self.cache.clone(),
            worker: self.worker.clone(),
            channels: self.channels.clone(),
            limits: self.limits.clone(),
            retention: self.retention.clone(),
            telemetry: self.telemetry.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_holds_every_key_and_the_defaults_of_the_service() {
        let config: Config = toml::from_str(super::super::DEFAULTS).unwrap();
        assert_eq!(config.service_config(), service::ServiceConfig::default());
        let keys = |text: &str| text.parse::<toml::Table>().unwrap();
        let written = keys(super::super::DEFAULTS);
        let whole = toml::Table::try_from(&config).unwrap();
        for (section, values) in &whole {
            for key in values.as_table().unwrap().keys() {
                assert!(written[section].get(key).is_some(), "config.toml lacks {section}.{key}");
            }
        }
        config.check().unwrap();
    }
}
