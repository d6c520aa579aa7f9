//! Ports and addresses of the parts: on 127.0.0.1 at their default ports plus the offset, or
//! wherever the configuration says. No I/O.

use super::runtime::Runtime;
use crate::clients::kafka::Brokers;
use crate::config::Config;

/// Where the parts listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    offset: u16,
    elsewhere: Option<Elsewhere>,
}

/// Addresses of a stack that nsys did not start, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Elsewhere {
    api: String,
    prometheus: String,
    jaeger: String,
    postgres: String,
    redis: String,
    brokers: Brokers,
}

impl Endpoints {
    /// Of a stack on this machine: every default port plus the offset. Of one that runs elsewhere:
    /// what the configuration says.
    #[must_use]
    pub fn new(runtime: Runtime, config: &Config) -> Self {
        let trimmed = |url: &str| url.trim_end_matches('/').to_owned();
        let elsewhere = runtime.is_elsewhere().then(|| Elsewhere {
            api: match (runtime, trimmed(&config.external.api_url)) {
                // The name that pods of the cluster know.
                (Runtime::Kubernetes, given) if given.is_empty() => {
                    format!("http://app.{}.svc", config.kubernetes.namespace)
                }
                (_, given) => given,
            },
            prometheus: trimmed(&config.external.prometheus_url),
            jaeger: trimmed(&config.external.jaeger_url),
            postgres: config.db.url.clone(),
            redis: config.cache.url.clone(),
            brokers: Brokers::configured(&config.kafka),
        });
        Self { offset: config.stack.port_offset, elsewhere }
    }

    /// The API.
    #[must_use]
    pub const fn api(&self) -> u16 {
        3000 + self.offset
    }

    /// PostgreSQL.
    #[must_use]
    pub const fn postgres(&self) -> u16 {
        5432 + self.offset
    }

    /// The replica of PostgreSQL.
    #[must_use]
    pub const fn replica(&self) -> u16 {
        5433 + self.offset
    }

    /// Redis.
    #[must_use]
    pub const fn redis(&self) -> u16 {
        6379 + self.offset
    }

    /// The broker.
    #[must_use]
    pub const fn kafka(&self) -> u16 {
        9092 + self.offset
    }

    /// The controller.
    #[must_use]
    pub const fn kafka_controller(&self) -> u16 {
        9093 + self.offset
    }

    /// Prometheus.
    #[must_use]
    pub const fn prometheus(&self) -> u16 {
        9090 + self.offset
    }

    /// Grafana.
    #[must_use]
    pub const fn grafana(&self) -> u16 {
        3001 + self.offset
    }

    /// Jaeger's pages and queries.
    #[must_use]
    pub const fn jaeger(&self) -> u16 {
        16_686_u16.saturating_add(self.offset)
    }

    /// Where Jaeger takes traces by gRPC.
    #[must_use]
    pub const fn otlp_grpc(&self) -> u16 {
        4317 + self.offset
    }

    /// Where Jaeger takes traces by HTTP.
    #[must_use]
    pub const fn otlp_http(&self) -> u16 {
        4318 + self.offset
    }

    /// Kafka UI.
    #[must_use]
    pub const fn kafka_ui(&self) -> u16 {
        8080 + self.offset
    }

    /// Metrics and own health of the replica `index` (from 1) of `app` or `worker`. The two ranges lie
    /// within one hundred, so that the stack one offset further does not meet them (up to 36 workers).
    #[must_use]
    pub fn metrics(&self, role: &str, index: u32) -> u16 {
        let base = if role == "app" { 9400 } else { 9463 };
        base + self.offset + u16::try_from(index).unwrap_or(u16::MAX - 60_000)
    }

    /// Base address of the API.
    #[must_use]
    pub fn api_url(&self) -> String {
        self.configured(|one| &one.api).unwrap_or_else(|| format!("http://127.0.0.1:{}", self.api()))
    }

    /// Base address of Prometheus.
    #[must_use]
    pub fn prometheus_url(&self) -> String {
        self.configured(|one| &one.prometheus)
            .unwrap_or_else(|| format!("http://127.0.0.1:{}", self.prometheus()))
    }

    /// Base address of Jaeger; empty where a stack that runs elsewhere has none.
    #[must_use]
    pub fn jaeger_url(&self) -> String {
        self.configured(|one| &one.jaeger).unwrap_or_else(|| format!("http://127.0.0.1:{}", self.jaeger()))
    }

    /// Base address of the local trace collector, OTLP over HTTP.
    #[must_use]
    pub fn otlp_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.otlp_http())
    }

    /// The brokers, with what they want to let us in.
    #[must_use]
    pub fn brokers(&self) -> Brokers {
        let here = || Brokers::open(format!("127.0.0.1:{}", self.kafka()));
        self.elsewhere.as_ref().map_or_else(here, |one| one.brokers.clone())
    }

    /// Redis' address.
    #[must_use]
    pub fn redis_url(&self) -> String {
        self.configured(|one| &one.redis).unwrap_or_else(|| format!("redis://127.0.0.1:{}/0", self.redis()))
    }

    /// PostgreSQL's address. A stack that runs elsewhere has one database, whatever is asked for.
    #[must_use]
    pub fn postgres_url(&self, password: &str, database: &str) -> String {
        self.configured(|one| &one.postgres)
            .unwrap_or_else(|| format!("postgres://nsys:{password}@127.0.0.1:{}/{database}", self.postgres()))
    }

    /// Address of the replica of PostgreSQL that runs on this machine.
    #[must_use]
    pub fn replica_url(&self, password: &str) -> String {
        format!("postgres://nsys:{password}@127.0.0.1:{}/notifications", self.replica())
    }

    fn configured(&self, address: impl Fn(&Elsewhere) -> &String) -> Option<String> {
        self.elsewhere.as_ref().map(|one| address(one).clone())
    }
}
