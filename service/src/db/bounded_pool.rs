//! Pools that nobody can empty: a statement ends with whoever asked for it, and lists have connections of
//! their own, of which one tenant gets half at most.
//!
//! A handler that is dropped (its client is gone, its time is over) leaves its statement running on the
//! server, and the library keeps the connection until that statement ends. Here such a connection is closed
//! instead, and the server is told to look whether its client is still there; its permit stays taken until
//! the server has had time to, so that abandoned statements never are more than the pool allows.

use super::{DbError, Kind};
use crate::domain::scope::Scope;
use futures::FutureExt;
use sqlx::Connection as _;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, Postgres};
use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How often the server looks, during a statement, whether its client is still there.
const CLIENT_CHECK: &str = "SET client_connection_check_interval = '500ms'";
/// How long the permit of an abandoned statement stays taken: by then the server has looked.
const ABANDONED_HOLD: Duration = Duration::from_millis(1_500);
/// Tenants whose shares are remembered before those that nobody uses are dropped.
const IDLE_SHARES: usize = 256;

/// A pool that knows how many of its connections are taken.
pub(super) struct BoundedPool {
    pool: PgPool,
    permits: Arc<Semaphore>,
    size: u32,
    timeout: Duration,
}

impl BoundedPool {
    /// A pool for lists: of two ways to read a page the one along an index is taken, whatever the statistics
    /// say. They may be hours old, and by them a tenant that has grown since looks small enough to be read
    /// whole and sorted.
    pub(super) fn for_lists(
        options: &PgConnectOptions,
        size: u32,
        timeout: Duration,
        statement_timeout: Duration,
    ) -> Self {
        let options = options.clone().options([("enable_sort", "off"), ("jit", "off")]);
        Self::lazy(&options, size, timeout, statement_timeout)
    }

    /// A pool that connects when it is asked to. `timeout` bounds the wait for a connection,
    /// `statement_timeout` each statement.
    pub(super) fn lazy(
        options: &PgConnectOptions,
        size: u32,
        timeout: Duration,
        statement_timeout: Duration,
    ) -> Self {
        let options =
            options.clone().options([("statement_timeout", statement_timeout.as_millis().to_string())]);
        let pool = PgPoolOptions::new()
            .max_connections(size)
            .acquire_timeout(timeout)
            .after_connect(|connection, _| Box::pin(watch_client(connection)))
            .connect_lazy_with(options);
        Self { pool, permits: Arc::new(Semaphore::new(size as usize)), size, timeout }
    }

    /// A connection, now or within the pool's timeout.
    pub(super) async fn acquire(&self) -> Result<PooledConnection, sqlx::Error> {
        let acquired = async {
            let permit = Arc::clone(&self.permits).acquire_owned().await;
            let permit = permit.map_err(|_| sqlx::Error::PoolClosed)?;
            let connection = self.pool.acquire().await?;
            Ok(PooledConnection { connection, permit: Some(permit), share: None })
        };
        tokio::time::timeout(self.timeout, acquired).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// A connection that is open and idle.
    pub(super) fn try_acquire(&self) -> Option<PooledConnection> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        Some(PooledConnection { connection: self.pool.try_acquire()?, permit: Some(permit), share: None })
    }

    /// The library's pool, for what it has to be given to.
    pub(super) const fn inner(&self) -> &PgPool {
        &self.pool
    }

    /// (connections in use, connections open, most connections).
    pub(super) fn state(&self) -> (usize, u32, u32) {
        let open = self.pool.size();
        ((open as usize).saturating_sub(self.pool.num_idle()), open, self.size)
    }
}

/// Has the server look after its client. One that cannot (it is no Linux, or it is behind a pooler) lets an
/// abandoned statement run until its timeout.
async fn watch_client(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    match sqlx::raw_sql(CLIENT_CHECK).execute(connection).await {
        Ok(_) => Ok(()),
        Err(cause) if cause.as_database_error().is_some() => {
            tracing::debug!(%cause, "PostgreSQL does not look whether its clients are there.");
            Ok(())
        }
        Err(cause) => Err(cause),
    }
}

/// A connection of a pool. Dropped in the middle of a statement, it ends that statement.
pub(super) struct PooledConnection {
    connection: PoolConnection<Postgres>,
    permit: Option<OwnedSemaphorePermit>,
    share: Option<OwnedSemaphorePermit>,
}

impl PooledConnection {
    /// The same, with the share of the tenant it is for.
    pub(super) fn with_share(mut self, share: Option<OwnedSemaphorePermit>) -> Self {
        self.share = share;
        self
    }

    /// Whether the server still works on what it was asked. What only waits to be sent, as the rollback of
    /// a transaction that was dropped, it does not work on.
    fn is_busy(&mut self) -> bool {
        !self.connection.should_flush() && self.connection.flush().now_or_never().is_none()
    }
}

impl Deref for PooledConnection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for PooledConnection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        if !self.is_busy() {
            return;
        }
        self.connection.close_on_drop();
        let held = (self.permit.take(), self.share.take());
        // Without a runtime the process ends, and its connections with it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(ABANDONED_HOLD).await;
                drop(held);
            });
        }
    }
}

/// How the connections of a process are divided: (for statements that are short, for lists). Each has one at
/// least, and `lists` of 0 means half.
pub(super) fn divided(all: u32, lists: u32) -> (u32, u32) {
    let lists = if lists == 0 { all / 2 } else { lists.min(all.saturating_sub(1)) }.max(1);
    (all.saturating_sub(lists).max(1), lists)
}

/// What each tenant may take of the connections for lists: half of them.
pub(super) struct TenantShares {
    most: usize,
    timeout: Duration,
    taken: Mutex<HashMap<Scope, Arc<Semaphore>>>,
}

impl TenantShares {
    /// Shares of a pool of so many connections; `timeout` bounds the wait for one's own.
    pub(super) fn new(size: u32, timeout: Duration) -> Self {
        Self { most: (size as usize).div_ceil(2).max(1), timeout, taken: Mutex::new(HashMap::new()) }
    }

    /// A place in the share of whoever asks. Those who see every tenant have one share together.
    pub(super) async fn acquire(&self, scope: &Scope) -> Result<OwnedSemaphorePermit, DbError> {
        let share = {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            if taken.len() >= IDLE_SHARES {
                // Whoever holds or waits for a place of a share counts among its owners.
                taken.retain(|_, share| Arc::strong_count(share) > 1);
            }
            Arc::clone(taken.entry(scope.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.most))))
        };
        match tokio::time::timeout(self.timeout, share.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(DbError {
                text: "the tenant's share of the connections for lists is taken".into(),
                kind: Kind::Busy,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_pool_are_the_pool() {
        for all in 2..=100 {
            for lists in 0..=110 {
                let (short, long) = divided(all, lists);
                assert_eq!(short + long, all, "{all} {lists}");
                assert!(short >= 1 && long >= 1);
            }
        }
        assert_eq!(divided(10, 0), (5, 5));
        assert_eq!(divided(10, 3), (7, 3));
        assert_eq!(divided(1, 0), (1, 1), "each needs one");
    }

    #[tokio::test]
    async fn one_tenant_leaves_half_to_the_others() {
        let shares = TenantShares::new(4, Duration::from_millis(20));
        let one = Scope::Tenant(Some("one".into()));
        let held = [shares.acquire(&one).await.unwrap(), shares.acquire(&one).await.unwrap()];
        let refused = shares.acquire(&one).await.unwrap_err();
        assert!(refused.is_busy() && !refused.is_data());
        assert!(shares.acquire(&Scope::Tenant(Some("other".into()))).await.is_ok());
        assert!(shares.acquire(&Scope::All).await.is_ok());
        drop(held);
        assert!(shares.acquire(&one).await.is_ok());
    }

    #[tokio::test]
    async fn shares_that_nobody_uses_are_forgotten() {
        let shares = TenantShares::new(2, Duration::from_millis(20));
        let kept = shares.acquire(&Scope::All).await.unwrap();
        for number in 0..4 * IDLE_SHARES {
            drop(shares.acquire(&Scope::Tenant(Some(number.to_string()))).await.unwrap());
        }
        assert!(shares.taken.lock().unwrap().len() <= IDLE_SHARES + 1);
        assert!(shares.acquire(&Scope::All).await.is_err(), "the one in use was forgotten");
        drop(kept);
    }
}
