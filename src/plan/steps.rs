//! The steps a plan is made of, by what they change. No I/O.

use serde::{Deserialize, Serialize};
use std::fmt;
use toml::Value;

/// One change to one thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "noun", content = "change", rename_all = "lowercase")]
pub enum Step {
    /// In PostgreSQL.
    Db(DbStep),
    /// In Kafka.
    Kafka(KafkaStep),
    /// In Redis.
    Cache(CacheStep),
    /// In the tuned overlay.
    Config(ConfigStep),
    /// To the service's replicas.
    Service(ServiceStep),
}

/// A change in PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum DbStep {
    /// Builds an index without blocking writers.
    BuildIndex {
        /// Its name.
        name: String,
        /// Its table.
        table: String,
        /// The whole statement.
        sql: String,
    },
    /// Drops a valid index.
    DropIndex {
        /// Its name.
        name: String,
        /// Its table.
        table: String,
        /// The statement that builds it again.
        rebuild: String,
    },
    /// Drops what an interrupted build left: it serves no read and costs every write.
    DropInvalid {
        /// Its name.
        name: String,
    },
    /// Renews the planner's statistics.
    Analyze {
        /// The table.
        table: String,
    },
}

/// A change in Kafka.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum KafkaStep {
    /// Raises the number of partitions.
    Partitions {
        /// The topic.
        topic: String,
        /// How many there are.
        from: u32,
        /// How many there will be in total.
        to: u32,
    },
}

/// A change in Redis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum CacheStep {
    /// Removes the keys with a prefix.
    Flush {
        /// The prefix; empty for every key.
        prefix: String,
        /// How many keys there were when the plan was made.
        keys: u64,
    },
    /// Reads the newest notifications through the API, so that they are cached again.
    Warm {
        /// How many.
        entries: u32,
    },
}

/// A change of one key of the tuned overlay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigStep {
    /// `section.key`.
    pub key: String,
    /// What the overlay held; absent when it held nothing.
    pub before: Option<Value>,
    /// What the overlay will hold; absent to remove the key from it.
    pub after: Option<Value>,
    /// The effective value before, whichever layer it came from.
    pub effective: Value,
}

/// A change to the service's replicas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum ServiceStep {
    /// Starts every replica again with the configuration of now, one after the other.
    Roll {
        /// Replicas that run: api and worker.
        from: (u32, u32),
        /// Replicas that shall run: api and worker.
        to: (u32, u32),
    },
}

/// How much can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Nobody notices.
    Low,
    /// Costs something while it runs.
    Medium,
    /// Changes behaviour for good.
    High,
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        })
    }
}

/// The way back.
#[derive(Clone, Debug, PartialEq)]
pub enum Undo {
    /// This step.
    By(Box<Step>),
    /// There is nothing to take back.
    NotNeeded,
    /// There is none, and why.
    Impossible(String),
}

impl Step {
    /// What it does, as a phrase.
    #[must_use]
    pub fn what(&self) -> String {
        match self {
            Self::Db(DbStep::BuildIndex { name, table, .. }) => format!("build index {name} on {table}"),
            Self::Db(DbStep::DropIndex { name, .. }) => format!("drop index {name}"),
            Self::Db(DbStep::DropInvalid { name }) => {
                format!("drop {name}, which an interrupted build left invalid")
            }
            Self::Db(DbStep::Analyze { table }) => format!("renew the statistics of {table}"),
            Self::Kafka(KafkaStep::Partitions { topic, from, to }) => {
                format!("raise {topic} from {from} to {to} partitions in total")
            }
            Self::Cache(CacheStep::Flush { prefix, keys }) if prefix.is_empty() => {
                format!("remove every key of the cache, {keys} now")
            }
            Self::Cache(CacheStep::Flush { prefix, keys }) => {
                format!("remove the keys {prefix}*, {keys} now")
            }
            Self::Cache(CacheStep::Warm { entries }) => {
                format!("read the newest {entries} notifications, so that they are cached")
            }
            Self::Config(ConfigStep { key, after: Some(value), .. }) => format!("set {key} to {value}"),
            Self::Config(ConfigStep { key, before: Some(value), .. }) => {
                format!("take {key} = {value} out of the tuned overlay")
            }
            Self::Config(change) => format!("leave {} as it is", change.key),
            Self::Service(ServiceStep::Roll { from, to }) if from == to => format!(
                "restart {} app and {} worker with the new configuration, one after the other",
                to.0, to.1
            ),
            Self::Service(ServiceStep::Roll { from, to }) => format!(
                "run {} app (now {}) and {} worker (now {}) with the new configuration",
                to.0, from.0, to.1, from.1
            ),
        }
    }

    /// The statement, call or edit, exactly.
    #[must_use]
    pub fn exact(&self) -> String {
        match self {
            Self::Db(DbStep::BuildIndex { sql, .. }) => sql.clone(),
            Self::Db(DbStep::DropIndex { name, .. } | DbStep::DropInvalid { name }) => {
                format!("DROP INDEX CONCURRENTLY IF EXISTS \"{name}\"")
            }
            Self::Db(DbStep::Analyze { table }) => format!("ANALYZE \"{table}\""),
            Self::Kafka(KafkaStep::Partitions { topic, to, .. }) => {
                format!("CreatePartitions topic={topic} count={to}")
            }
            Self::Cache(CacheStep::Flush { prefix, .. }) => format!("SCAN MATCH {prefix}* + UNLINK"),
            Self::Cache(CacheStep::Warm { entries }) => format!("GET /notifications/{{id}} x {entries}"),
            Self::Config(change) => match &change.after {
                Some(value) => format!("tuned.toml: {} = {value}", change.key),
                None => format!("tuned.toml: without {}", change.key),
            },
            Self::Service(ServiceStep::Roll { to, .. }) => format!("up app={} worker={}", to.0, to.1),
        }
    }

    /// How much can go wrong.
    #[must_use]
    pub const fn risk(&self) -> Risk {
        match self {
            Self::Db(DbStep::Analyze { .. } | DbStep::DropInvalid { .. })
            | Self::Cache(CacheStep::Warm { .. })
            | Self::Config(_) => Risk::Low,
            Self::Db(_) | Self::Service(_) | Self::Cache(CacheStep::Flush { .. }) => Risk::Medium,
            Self::Kafka(_) => Risk::High,
        }
    }

    /// What it costs while it runs.
    #[must_use]
    pub const fn cost(&self) -> &'static str {
        match self {
            Self::Db(DbStep::BuildIndex { .. }) => "reads the table twice; writers go on",
            Self::Db(DbStep::DropIndex { .. } | DbStep::DropInvalid { .. }) => "waits for old transactions",
            Self::Db(DbStep::Analyze { .. }) => "reads a sample; seconds",
            Self::Kafka(_) => "one rebalance of the group",
            Self::Cache(CacheStep::Flush { .. }) => "reads miss until entries are cached again",
            Self::Cache(CacheStep::Warm { .. }) => "one read each",
            Self::Config(_) => "nothing by itself",
            Self::Service(_) => "seconds for each replica; the others serve",
        }
    }

    /// The way back.
    #[must_use]
    pub fn undo(&self) -> Undo {
        match self {
            Self::Db(DbStep::BuildIndex { name, table, sql }) => {
                Undo::By(Box::new(Self::Db(DbStep::DropIndex {
                    name: name.clone(),
                    table: table.clone(),
                    rebuild: sql.clone(),
                })))
            }
            Self::Db(DbStep::DropIndex { name, table, rebuild }) => {
                Undo::By(Box::new(Self::Db(DbStep::BuildIndex {
                    name: name.clone(),
                    table: table.clone(),
                    sql: rebuild.clone(),
                })))
            }
            Self::Db(DbStep::DropInvalid { .. } | DbStep::Analyze { .. })
            | Self::Cache(CacheStep::Warm { .. }) => Undo::NotNeeded,
            Self::Kafka(KafkaStep::Partitions { topic, .. }) => {
                Undo::Impossible(format!("Kafka cannot take partitions away from {topic}"))
            }
            Self::Cache(CacheStep::Flush { .. }) => {
                Undo::Impossible("removed keys cannot be brought back; reads cache them again".into())
            }
            Self::Config(change) => Undo::By(Box::new(Self::Config(ConfigStep {
                key: change.key.clone(),
                before: change.after.clone(),
                after: change.before.clone(),
                effective: change.after.clone().unwrap_or_else(|| change.effective.clone()),
            }))),
            Self::Service(ServiceStep::Roll { from, to }) => {
                Undo::By(Box::new(Self::Service(ServiceStep::Roll { from: *to, to: *from })))
            }
        }
    }
}
