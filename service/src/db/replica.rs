//! The read replica: reads go there while it is close behind the primary, and come back when it is not.
//!
//! How far it is behind is measured without comparing two machines' clocks: the primary's position in its
//! log is noted with our own time, and the position that the replica has replayed tells which of
//! these times it has reached.

use super::bounded_pool::{BoundedPool, PooledConnection};
use anyhow::Context;
use nsys_contract::config::Db as Settings;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Row};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the replica is probed.
const INTERVAL: Duration = Duration::from_millis(500);
/// Longest wait for the answer of a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// Positions of the primary that are remembered: ten minutes.
const REMEMBERED: usize = 1_200;

/// A replica and what is known of it.
pub(crate) struct Replica {
    pool: Arc<BoundedPool>,
    state: Arc<ReplicaState>,
    watch: tokio::task::JoinHandle<()>,
}

/// The result of the last probe.
pub(crate) struct Standing {
    /// Whether reads go there.
    pub(crate) used: bool,
    /// How far it is behind; absent when that could not be had.
    pub(crate) lag: Option<Duration>,
    /// Why reads do not go there.
    pub(crate) reason: Option<String>,
}

struct ReplicaState {
    used: AtomicBool,
    /// Microseconds; the largest number when unknown.
    lag_us: AtomicU64,
    reason: Mutex<Option<String>>,
    /// Whether a connection is being opened beside the requests.
    opening: AtomicBool,
}

impl ReplicaState {
    fn set(&self, lag: Option<Duration>, reason: Option<String>) {
        let lag_us = lag.and_then(|lag| u64::try_from(lag.as_micros()).ok()).unwrap_or(u64::MAX);
        self.lag_us.store(lag_us, Ordering::Relaxed);
        let used = reason.is_none();
        let mut known = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        if self.used.swap(used, Ordering::Relaxed) != used {
            match &reason {
                None => tracing::info!("Reads go to the replica."),
                Some(reason) => tracing::warn!(%reason, "Reads go to the primary."),
            }
        }
        *known = reason;
    }
}

impl Replica {
    /// Watches the replica that the settings name, if they name one. It need not answer yet.
    pub(super) fn watch(settings: &Settings, statement_timeout: Duration) -> anyhow::Result<Option<Self>> {
        if matches!(settings.read_url.as_str(), "" | "none") {
            return Ok(None);
        }
        let options = |url: &str, key: &str| -> anyhow::Result<PgConnectOptions> {
            let options: PgConnectOptions =
                url.parse().with_context(|| format!("{key} is not a PostgreSQL address"))?;
            Ok(options.application_name("notification-service"))
        };
        let (primary, replica) =
            (options(&settings.url, "db.url")?, options(&settings.read_url, "db.read_url")?);
        let pool =
            BoundedPool::for_lists(&replica, settings.pool_size, settings.pool_timeout, statement_timeout);
        let state = Arc::new(ReplicaState {
            used: AtomicBool::new(false),
            lag_us: AtomicU64::new(u64::MAX),
            reason: Mutex::new(Some("it was not checked yet".into())),
            opening: AtomicBool::new(false),
        });
        let watch = tokio::spawn(watch_replica(primary, replica, settings.read_max_lag, Arc::clone(&state)));
        Ok(Some(Self { pool: Arc::new(pool), state, watch }))
    }

    /// An idle connection, while reads go there.
    pub(super) fn connection(&self) -> Option<PooledConnection> {
        if !self.state.used.load(Ordering::Relaxed) {
            return None;
        }
        let idle = self.pool.try_acquire();
        if idle.is_none() {
            self.open_another();
        }
        idle
    }

    /// Opens a connection beside the request: one that is slow to come must not hold up a read that
    /// the primary can answer now.
    fn open_another(&self) {
        if self.state.opening.swap(true, Ordering::Relaxed) {
            return;
        }
        let (pool, state) = (Arc::clone(&self.pool), Arc::clone(&self.state));
        tokio::spawn(async move {
            match pool.acquire().await {
                // All of them are in use, which is no fault of the replica.
                Ok(_) | Err(sqlx::Error::PoolTimedOut) => {}
                Err(cause) => state.set(None, Some(cause.to_string())),
            }
            state.opening.store(false, Ordering::Relaxed);
        });
    }

    /// Keeps reads away until the next probe.
    pub(super) fn distrust(&self, why: &str) {
        self.state.set(None, Some(why.to_owned()));
    }

    /// The result of the last probe.
    pub(crate) fn standing(&self) -> Standing {
        let lag_us = self.state.lag_us.load(Ordering::Relaxed);
        Standing {
            used: self.state.used.load(Ordering::Relaxed),
            lag: (lag_us != u64::MAX).then(|| Duration::from_micros(lag_us)),
            reason: self.state.reason.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

async fn watch_replica(
    primary: PgConnectOptions,
    replica: PgConnectOptions,
    most: Duration,
    state: Arc<ReplicaState>,
) {
    let (mut primary, mut replica) = (Watched::new(primary), Watched::new(replica));
    let mut positions = Positions::default();
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = Instant::now();
        // Without the primary nothing new is written: the replica is as far behind as it was.
        if let Ok((position, _)) = primary.position("pg_current_wal_lsn()").await {
            positions.note(now, position);
        }
        match replica.position("pg_last_wal_replay_lsn()").await {
            Ok((_, false)) => state.set(None, Some("it is no longer a replica".into())),
            Ok((replayed, true)) => {
                let lag = positions.behind(replayed, Instant::now());
                let late = lag.is_none_or(|lag| lag > most);
                let reason = late.then(|| match lag {
                    Some(lag) => format!("it is {:.1} s behind", lag.as_secs_f64()),
                    None => "how far it is behind is unknown".to_owned(),
                });
                state.set(lag, reason);
            }
            Err(why) => state.set(None, Some(why)),
        }
    }
}

/// A connection that is made again when it breaks.
struct Watched {
    options: PgConnectOptions,
    connection: Option<sqlx::PgConnection>,
}

impl Watched {
    fn new(options: PgConnectOptions) -> Self {
        Self { options, connection: None }
    }

    /// A position in the log, in bytes, and whether the server is a replica.
    async fn position(&mut self, of: &'static str) -> Result<(i64, bool), String> {
        let asked = tokio::time::timeout(PROBE_TIMEOUT, self.ask(of)).await;
        match asked {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(cause)) => {
                self.connection = None;
                Err(cause.to_string())
            }
            Err(_) => {
                self.connection = None;
                Err(format!("it does not answer within {PROBE_TIMEOUT:?}"))
            }
        }
    }

    async fn ask(&mut self, of: &'static str) -> Result<(i64, bool), sqlx::Error> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => self.connection.insert(self.options.connect().await?),
        };
        let sql = format!("SELECT coalesce(({of} - '0/0'::pg_lsn)::int8, 0), pg_is_in_recovery()");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_one(connection).await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }
}

/// Where the primary was at which time, oldest first.
#[derive(Default)]
struct Positions {
    seen: VecDeque<(Instant, i64)>,
}

impl Positions {
    fn note(&mut self, at: Instant, position: i64) {
        if self.seen.len() == REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back((at, position));
    }

    /// How far a replica that has replayed up to `replayed` is behind: nothing when it has the newest
    /// position, else since the last time whose position it has. Absent before the first note.
    fn behind(&mut self, replayed: i64, now: Instant) -> Option<Duration> {
        let newest = self.seen.back()?.1;
        if replayed >= newest {
            return Some(Duration::ZERO);
        }
        // What lies before the last time it has reached will never be needed again.
        while self.seen.get(1).is_some_and(|(_, position)| *position <= replayed) {
            self.seen.pop_front();
        }
        self.seen.front().map(|(at, _)| now.saturating_duration_since(*at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_behind_since_the_last_time_it_has_reached() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut positions = Positions::default();
        assert_eq!(positions.behind(0, start), None);
        for step in 0..10_u32 {
            positions.note(start + second * step, i64::from(step) * 100);
        }
        let now = start + second * 10;
        assert_eq!(positions.behind(900, now), Some(Duration::ZERO));
        assert_eq!(positions.behind(450, now), Some(second * 6));
        assert_eq!(positions.behind(450, now + second), Some(second * 7), "it stands still and falls behind");
        assert_eq!(positions.behind(2_000, now), Some(Duration::ZERO));
    }

    #[test]
    fn an_idle_primary_leaves_nobody_behind() {
        let mut positions = Positions::default();
        for _ in 0..2 * REMEMBERED {
            positions.note(Instant::now(), 500);
        }
        assert_eq!(positions.seen.len(), REMEMBERED);
        assert_eq!(positions.behind(500, Instant::now() + Duration::from_secs(3_600)), Some(Duration::ZERO));
    }
}
