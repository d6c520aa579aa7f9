//! The steps a plan is made of, by what they change. No I/O.

mod data;

pub use data::DataStep;

use crate::secret::Guarded;
use serde::{Deserialize, Serialize};
use std::fmt;
use toml::Value;

/// One change to one thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
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
    /// In the service's own data, through its API.
    Data(DataStep),
}

/// A change in PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
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
        /// Size of the table when the plan was made, in bytes; absent when it was not asked for.
        #[serde(default)]
        table_bytes: Option<i64>,
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
    /// Applies migrations.
    Migrate {
        /// Newest applied migration; 0 for an empty database.
        from: i64,
        /// Newest migration of this nsys.
        to: i64,
        /// Those in between, `0002 name`.
        names: Vec<String>,
    },
    /// Fills the seeded rows up.
    Seed {
        /// Users whom the rows belong to.
        users: u32,
        /// Seeded rows there are.
        from: u32,
        /// Seeded rows there will be.
        to: u32,
    },
    /// Removes seeded rows.
    Unseed {
        /// Users whom the rows belong to.
        users: u32,
        /// Seeded rows there are.
        from: u32,
        /// Seeded rows there will be.
        to: u32,
    },
    /// Drops every table with its rows and makes them anew.
    Reset {
        /// Rows there are in all tables, as the statistics estimate them.
        rows: i64,
    },
}

/// A change in Kafka.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
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
    /// Creates topics.
    Create {
        /// Each with its partitions.
        topics: Vec<(String, u32)>,
        /// Copies of each partition.
        replication: u32,
    },
}

/// A change in Redis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
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

/// A change of one key of the tuned overlay. Written down, its secrets are masked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(from = "WrittenConfigStep")]
pub struct ConfigStep {
    /// `section.key`.
    pub key: String,
    /// What the overlay held; absent when it held nothing.
    pub before: Option<Guarded>,
    /// What the overlay will hold; absent to remove the key from it.
    pub after: Option<Guarded>,
    /// The effective value before, whichever layer it came from.
    pub effective: Guarded,
}

/// A [`ConfigStep`] as it was written.
#[derive(Deserialize, schemars::JsonSchema)]
struct WrittenConfigStep {
    key: String,
    #[schemars(with = "Option<serde_json::Value>")]
    before: Option<Value>,
    #[schemars(with = "Option<serde_json::Value>")]
    after: Option<Value>,
    #[schemars(with = "serde_json::Value")]
    effective: Value,
}

impl From<WrittenConfigStep> for ConfigStep {
    fn from(step: WrittenConfigStep) -> Self {
        let known = |value: Value| Guarded::written(&step.key, value);
        Self {
            before: step.before.map(known),
            after: step.after.map(known),
            effective: known(step.effective),
            key: step.key,
        }
    }
}

/// The values of a [`ConfigStep`] as they are, for the one file that keeps them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnmaskedValues {
    before: Option<Value>,
    after: Option<Value>,
    effective: Value,
}

impl ConfigStep {
    /// Its values, when they are not shown as they are.
    #[must_use]
    pub fn hidden(&self) -> Option<UnmaskedValues> {
        let mut values = self.before.iter().chain(&self.after).chain([&self.effective]);
        let open = |value: &Option<Guarded>| value.as_ref().map(|value| value.reveal().clone());
        values.any(Guarded::is_masked).then(|| UnmaskedValues {
            before: open(&self.before),
            after: open(&self.after),
            effective: self.effective.reveal().clone(),
        })
    }

    /// Puts back what was masked when it was written.
    pub fn restore(&mut self, kept: &UnmaskedValues) {
        let known = |value: &Value| Guarded::new(&self.key, value.clone());
        let (before, after) = (kept.before.as_ref().map(known), kept.after.as_ref().map(known));
        let effective = known(&kept.effective);
        (self.before, self.after, self.effective) = (before, after, effective);
    }
}

/// A change to the service's replicas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum ServiceStep {
    /// Starts every replica again with the configuration of now, one after the other. Where `from`
    /// and `to` are the same, their number is left as it is by then.
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
            Self::Db(DbStep::Analyze { table }) => format!("analyze {table}"),
            Self::Db(DbStep::Migrate { from, to, names }) => {
                format!("migrate the schema from {from} to {to}: {}", names.join(", "))
            }
            Self::Db(DbStep::Seed { users, from, to }) => {
                format!("add {} seeded notifications of {users} users, {to} in total", to - from)
            }
            Self::Db(DbStep::Unseed { from, to, .. }) => {
                format!("remove {} seeded notifications, {to} stay", from - to)
            }
            Self::Db(DbStep::Reset { rows }) => {
                format!("drop every table with about {rows} rows and recreate the schema")
            }
            Self::Kafka(KafkaStep::Partitions { topic, from, to }) => {
                format!("raise {topic} from {from} to {to} partitions in total")
            }
            Self::Kafka(KafkaStep::Create { topics, .. }) => {
                let named = |(name, partitions): &(String, u32)| format!("{name} ({partitions} partitions)");
                format!("create the topics {}", topics.iter().map(named).collect::<Vec<_>>().join(", "))
            }
            Self::Cache(CacheStep::Flush { prefix, keys }) if prefix.is_empty() => {
                format!("remove every key of the cache, {keys} now")
            }
            Self::Cache(CacheStep::Flush { prefix, keys }) => {
                format!("remove the keys {prefix}*, {keys} now")
            }
            Self::Cache(CacheStep::Warm { entries }) => {
                format!("warm the cache with the newest {entries} notifications")
            }
            Self::Config(ConfigStep { key, after: Some(value), .. }) => {
                format!("set {key} to {value}")
            }
            Self::Config(ConfigStep { key, before: Some(value), .. }) => {
                format!("remove {key} = {value} from the tuned overlay")
            }
            Self::Config(change) => format!("leave {} unchanged", change.key),
            Self::Data(change) => change.what(),
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
                format!("DROP INDEX CONCURRENTLY IF EXISTS {name}")
            }
            Self::Db(DbStep::Analyze { table }) => format!("ANALYZE {table}"),
            Self::Db(DbStep::Migrate { names, .. }) => {
                names.iter().map(|name| format!("migrations/{name}.sql")).collect::<Vec<_>>().join(" + ")
            }
            Self::Db(DbStep::Seed { from, to, .. }) => {
                format!(
                    "INSERT INTO notifications … generate_series({from}, {to} - 1) ON CONFLICT DO NOTHING"
                )
            }
            Self::Db(DbStep::Unseed { from, to, .. }) => {
                format!("DELETE FROM notifications … generate_series({to}, {from} - 1)")
            }
            Self::Db(DbStep::Reset { .. }) => {
                "DROP SCHEMA public CASCADE + CREATE SCHEMA public + every migration".into()
            }
            Self::Kafka(KafkaStep::Partitions { topic, to, .. }) => {
                format!("CreatePartitions topic={topic} count={to}")
            }
            Self::Kafka(KafkaStep::Create { topics, replication }) => {
                let names: Vec<_> = topics.iter().map(|(name, _)| name.as_str()).collect();
                format!("CreateTopics {} replication={replication}", names.join(" "))
            }
            Self::Cache(CacheStep::Flush { prefix, .. }) => format!("SCAN MATCH {prefix}* + UNLINK"),
            Self::Cache(CacheStep::Warm { entries }) => format!("GET /notifications/{{id}} x {entries}"),
            Self::Config(change) => match &change.after {
                Some(value) => format!("tuned.toml: {} = {value}", change.key),
                None => format!("tuned.toml: without {}", change.key),
            },
            Self::Service(ServiceStep::Roll { to, .. }) => format!("up app={} worker={}", to.0, to.1),
            Self::Data(change) => change.exact(),
        }
    }

    /// How much can go wrong.
    #[must_use]
    pub const fn risk(&self) -> Risk {
        match self {
            Self::Db(DbStep::Analyze { .. } | DbStep::DropInvalid { .. } | DbStep::Seed { .. })
            | Self::Cache(CacheStep::Warm { .. })
            | Self::Kafka(KafkaStep::Create { .. })
            | Self::Config(_) => Risk::Low,
            Self::Db(DbStep::Reset { .. }) | Self::Kafka(KafkaStep::Partitions { .. }) => Risk::High,
            Self::Db(_) | Self::Service(_) | Self::Cache(CacheStep::Flush { .. }) => Risk::Medium,
            Self::Data(change) => change.risk(),
        }
    }

    /// What it costs while it runs.
    #[must_use]
    pub fn cost(&self) -> String {
        match self {
            Self::Db(DbStep::BuildIndex { table_bytes: Some(bytes), .. }) => {
                let size = match bytes >> 20 {
                    0 => format!("{} KiB", bytes >> 10),
                    mib => format!("{mib} MiB"),
                };
                format!("reads the table twice ({size}); writers go on")
            }
            Self::Db(DbStep::BuildIndex { .. }) => "reads the table twice; writers go on".into(),
            Self::Db(DbStep::DropIndex { .. } | DbStep::DropInvalid { .. }) => {
                "waits for old transactions".into()
            }
            Self::Db(DbStep::Analyze { .. }) => "reads a sample; seconds".into(),
            Self::Db(DbStep::Migrate { .. }) => "locks what a migration changes".into(),
            Self::Db(DbStep::Seed { .. } | DbStep::Unseed { .. }) => "writes rows".into(),
            Self::Db(DbStep::Reset { .. }) => "every request fails meanwhile".into(),
            Self::Kafka(KafkaStep::Partitions { .. }) => "one rebalance of the group".into(),
            Self::Kafka(KafkaStep::Create { .. }) => "seconds".into(),
            Self::Cache(CacheStep::Flush { .. }) => "reads miss until entries are cached again".into(),
            Self::Cache(CacheStep::Warm { .. }) => "one read each".into(),
            Self::Config(_) => "nothing by itself".into(),
            Self::Service(_) => "seconds for each replica; the others serve".into(),
            Self::Data(_) => "calls of the API".into(),
        }
    }

    /// Whether `other` does the same kind of thing to the same object, so that the time the one took
    /// tells about the other.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Db(DbStep::BuildIndex { name: one, .. }),
                Self::Db(DbStep::BuildIndex { name: two, .. }),
            )
            | (
                Self::Db(DbStep::DropIndex { name: one, .. }),
                Self::Db(DbStep::DropIndex { name: two, .. }),
            )
            | (Self::Db(DbStep::Analyze { table: one }), Self::Db(DbStep::Analyze { table: two }))
            | (
                Self::Cache(CacheStep::Flush { prefix: one, .. }),
                Self::Cache(CacheStep::Flush { prefix: two, .. }),
            ) => one == two,
            (
                Self::Service(ServiceStep::Roll { to: one, .. }),
                Self::Service(ServiceStep::Roll { to: two, .. }),
            ) => one == two,
            (Self::Kafka(KafkaStep::Partitions { .. }), Self::Kafka(KafkaStep::Partitions { .. }))
            | (Self::Db(DbStep::Reset { .. }), Self::Db(DbStep::Reset { .. })) => true,
            _ => false,
        }
    }

    /// The way back.
    #[must_use]
    pub fn undo(&self) -> Undo {
        match self {
            Self::Db(DbStep::BuildIndex { name, table, sql, .. }) => {
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
                    table_bytes: None,
                })))
            }
            Self::Db(DbStep::Seed { users, from, to }) => {
                Undo::By(Box::new(Self::Db(DbStep::Unseed { users: *users, from: *to, to: *from })))
            }
            Self::Db(DbStep::Unseed { users, from, to }) => {
                Undo::By(Box::new(Self::Db(DbStep::Seed { users: *users, from: *to, to: *from })))
            }
            Self::Db(DbStep::Migrate { .. }) => {
                Undo::Impossible("migrations only go forward; a newer one would have to fix it".into())
            }
            Self::Db(DbStep::Reset { .. }) => Undo::Impossible("dropped rows cannot be restored".into()),
            Self::Db(DbStep::DropInvalid { .. } | DbStep::Analyze { .. })
            | Self::Cache(CacheStep::Warm { .. }) => Undo::NotNeeded,
            Self::Kafka(KafkaStep::Partitions { topic, .. }) => {
                Undo::Impossible(format!("Kafka cannot take partitions away from {topic}"))
            }
            Self::Kafka(KafkaStep::Create { .. }) => {
                Undo::Impossible("deleting a topic would delete its messages".into())
            }
            Self::Cache(CacheStep::Flush { .. }) => {
                Undo::Impossible("removed keys cannot be restored; reads cache them again".into())
            }
            Self::Config(change) if change.before.as_ref().is_some_and(Guarded::is_lost) => {
                Undo::Impossible(format!("the previous secret of {} is stored nowhere", change.key))
            }
            Self::Config(change) => Undo::By(Box::new(Self::Config(ConfigStep {
                key: change.key.clone(),
                before: change.after.clone(),
                after: change.before.clone(),
                effective: change.after.clone().unwrap_or_else(|| change.effective.clone()),
            }))),
            Self::Data(change) => change.undo(),
            Self::Service(ServiceStep::Roll { from, to }) => {
                Undo::By(Box::new(Self::Service(ServiceStep::Roll { from: *to, to: *from })))
            }
        }
    }
}
