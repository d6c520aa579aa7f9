//! The changes that a diagnosis can ask for: from what is set to what helps, never the other way.

use super::CurrentSettings;
use nsys_contract::config::Compression;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// Most connections that a process may open.
const MOST_CONNECTIONS: u32 = 1_000;
/// Most replicas that one stack runs.
const MOST_REPLICAS: u32 = 64;
/// Most partitions of a topic.
const MOST_PARTITIONS: u32 = 10_000;
/// Longest that a cached notification is told to live.
const LONGEST_TTL: Duration = Duration::from_secs(86_400);
/// Shortest that a cached notification is told to live.
const SHORTEST_TTL: Duration = Duration::from_secs(60);
/// Beyond this a longer wait for a batch costs every accept more than it gains.
const LONGEST_LINGER: Duration = Duration::from_millis(5);
/// Entries that are cached ahead.
const WARMED: u32 = 1_000;

/// From what is set to what helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SettingChange<T> {
    /// What is set.
    pub from: T,
    /// What helps.
    pub to: T,
}

impl<T: PartialOrd> SettingChange<T> {
    /// Whether it makes more of it.
    pub fn grows(&self) -> bool {
        self.to > self.from
    }

    /// Whether `now` goes as far, or further.
    fn is_reached(&self, now: Option<T>) -> bool {
        now.is_some_and(|now| if self.grows() { now >= self.to } else { now <= self.to })
    }
}

/// A time that is written as the command line takes it: `15m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeSpan(pub Duration);

impl fmt::Display for TimeSpan {
    /// In the largest unit that leaves nothing over.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0.as_secs(), self.0.as_millis());
        match seconds {
            _ if millis % 1_000 != 0 => write!(f, "{millis}ms"),
            1.. if seconds % 3_600 == 0 => write!(f, "{}h", seconds / 3_600),
            1.. if seconds % 60 == 0 => write!(f, "{}m", seconds / 60),
            _ => write!(f, "{seconds}s"),
        }
    }
}

impl Serialize for TimeSpan {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A change that nsys plans and makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Tuning {
    /// Builds the indexes that the service's reads need.
    BuildIndexes,
    /// Another number of connections for each process.
    PoolSize(SettingChange<u32>),
    /// More partitions of the notifications topic.
    Partitions(SettingChange<u32>),
    /// Another codec of the producer's batches.
    Compression(SettingChange<Compression>),
    /// A longer wait to fill a batch.
    Linger(SettingChange<TimeSpan>),
    /// Another life of cached notifications.
    NotificationTtl(SettingChange<TimeSpan>),
    /// Caches the newest notifications now.
    WarmCache {
        /// How many.
        entries: u32,
    },
    /// More replicas of the worker.
    Workers(SettingChange<u32>),
    /// More replicas of the api.
    Instances(SettingChange<u32>),
    /// More async threads of each process.
    Threads(SettingChange<u32>),
}

impl Tuning {
    /// Twice the connections.
    #[must_use]
    pub fn larger_pool(now: &CurrentSettings) -> Option<Self> {
        let from = now.pool_size?;
        let to = from.saturating_mul(2).min(MOST_CONNECTIONS);
        (to > from).then_some(Self::PoolSize(SettingChange { from, to }))
    }

    /// Half the connections.
    #[must_use]
    pub fn smaller_pool(now: &CurrentSettings) -> Option<Self> {
        let from = now.pool_size?;
        let to = from / 2;
        (to > 0).then_some(Self::PoolSize(SettingChange { from, to }))
    }

    /// Twice the partitions, and one for each worker at least.
    #[must_use]
    pub fn more_partitions(now: &CurrentSettings) -> Option<Self> {
        let from = now.partitions?;
        let to = from.saturating_mul(2).max(now.workers.unwrap_or(from)).min(MOST_PARTITIONS);
        (to > from).then_some(Self::Partitions(SettingChange { from, to }))
    }

    /// One more worker, as long as there is a partition for it.
    #[must_use]
    pub fn more_workers(now: &CurrentSettings) -> Option<Self> {
        let from = now.workers?;
        let to = from + 1;
        let room = now.partitions.is_none_or(|partitions| to <= partitions);
        (room && to <= MOST_REPLICAS).then_some(Self::Workers(SettingChange { from, to }))
    }

    /// One more worker, or the partitions that it would need.
    #[must_use]
    pub fn faster_consumption(now: &CurrentSettings) -> Option<Self> {
        Self::more_workers(now).or_else(|| Self::more_partitions(now))
    }

    /// One more replica of the api, as long as there is a core for it.
    #[must_use]
    pub fn more_instances(now: &CurrentSettings) -> Option<Self> {
        let (from, cores) = (now.instances?, now.cores?);
        let to = from + 1;
        (to <= cores && to <= MOST_REPLICAS).then_some(Self::Instances(SettingChange { from, to }))
    }

    /// A thread for each core, where there are fewer.
    #[must_use]
    pub fn more_threads(now: &CurrentSettings) -> Option<Self> {
        let (from, to) = (now.threads?, now.cores?);
        // None at all means one for each core already.
        (from > 0 && from < to).then_some(Self::Threads(SettingChange { from, to }))
    }

    /// Compressed batches, where they are not.
    #[must_use]
    pub fn compression(now: &CurrentSettings) -> Option<Self> {
        let from = now.compression?;
        (from == Compression::None).then_some(Self::Compression(SettingChange { from, to: Compression::Lz4 }))
    }

    /// Fuller batches.
    #[must_use]
    pub fn longer_linger(now: &CurrentSettings) -> Option<Self> {
        let from = now.linger?;
        (from < LONGEST_LINGER)
            .then_some(Self::Linger(SettingChange { from: TimeSpan(from), to: TimeSpan(LONGEST_LINGER) }))
    }

    /// Cached notifications live three times as long.
    #[must_use]
    pub fn longer_ttl(now: &CurrentSettings) -> Option<Self> {
        let from = now.notification_ttl?;
        let to = Duration::from_secs(from.as_secs().max(1) * 3).min(LONGEST_TTL);
        (to > from).then_some(Self::NotificationTtl(SettingChange { from: TimeSpan(from), to: TimeSpan(to) }))
    }

    /// Cached notifications live half as long.
    #[must_use]
    pub fn shorter_ttl(now: &CurrentSettings) -> Option<Self> {
        let from = now.notification_ttl?;
        let to = Duration::from_secs(from.as_secs() / 2).max(SHORTEST_TTL);
        (to < from).then_some(Self::NotificationTtl(SettingChange { from: TimeSpan(from), to: TimeSpan(to) }))
    }

    /// The newest notifications, cached now.
    #[must_use]
    pub const fn warm_cache() -> Self {
        Self::WarmCache { entries: WARMED }
    }

    /// Whether what is set now goes as far already, or further: a diagnosis of yesterday never takes back
    /// what was done since.
    #[must_use]
    pub fn is_in_place(&self, now: &CurrentSettings) -> bool {
        match self {
            // What is there is seen when it is planned.
            Self::BuildIndexes | Self::WarmCache { .. } => false,
            Self::PoolSize(shift) => shift.is_reached(now.pool_size),
            Self::Partitions(shift) => shift.is_reached(now.partitions),
            Self::Workers(shift) => shift.is_reached(now.workers),
            Self::Instances(shift) => shift.is_reached(now.instances),
            // 0 is one for each core.
            Self::Threads(shift) => now.threads == Some(0) || shift.is_reached(now.threads),
            Self::Linger(shift) => shift.is_reached(now.linger.map(TimeSpan)),
            Self::NotificationTtl(shift) => shift.is_reached(now.notification_ttl.map(TimeSpan)),
            Self::Compression(_) => now.compression.is_some_and(|codec| codec != Compression::None),
        }
    }
}

/// The command line that makes it.
impl fmt::Display for Tuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuildIndexes => f.write_str("nsys tune db --indexes"),
            Self::PoolSize(SettingChange { to, .. }) => write!(f, "nsys tune db --pool-size {to}"),
            Self::Partitions(SettingChange { to, .. }) => write!(f, "nsys tune kafka --partitions {to}"),
            Self::Compression(SettingChange { to, .. }) => {
                write!(f, "nsys tune kafka --compression {}", to.as_str())
            }
            Self::Linger(SettingChange { to, .. }) => write!(f, "nsys tune kafka --linger {to}"),
            Self::NotificationTtl(SettingChange { to, .. }) => {
                write!(f, "nsys tune cache --ttl notification={to}")
            }
            Self::WarmCache { entries } => write!(f, "nsys tune cache --warm {entries}"),
            Self::Workers(SettingChange { to, .. }) => write!(f, "nsys tune service --workers {to}"),
            Self::Instances(SettingChange { to, .. }) => write!(f, "nsys tune service --instances {to}"),
            Self::Threads(SettingChange { to, .. }) => write!(f, "nsys tune service --threads {to}"),
        }
    }
}
