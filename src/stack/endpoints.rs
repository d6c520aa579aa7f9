//! Ports and addresses of the local stack: defaults plus the offset. No I/O.

/// Where the parts listen, always on 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoints {
    offset: u16,
}

impl Endpoints {
    /// Every default port plus `offset`.
    #[must_use]
    pub const fn new(offset: u16) -> Self {
        Self { offset }
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
        format!("http://127.0.0.1:{}", self.api())
    }

    /// Base address of Prometheus.
    #[must_use]
    pub fn prometheus_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.prometheus())
    }

    /// The broker's address.
    #[must_use]
    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.kafka())
    }

    /// Redis' address.
    #[must_use]
    pub fn redis_url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.redis())
    }

    /// PostgreSQL's address.
    #[must_use]
    pub fn postgres_url(&self, password: &str, database: &str) -> String {
        format!("postgres://nsys:{password}@127.0.0.1:{}/{database}", self.postgres())
    }
}
