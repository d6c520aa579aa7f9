//! Connections to PostgreSQL that are kept while a load test runs: where the server admits nobody any more,
//! nsys still looks.

use super::Stack;
use crate::clients::postgres::Postgres;
use crate::error::Result;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Most that are kept: as many as look at once.
const KEPT: usize = 6;
/// One that does not answer within this time is not kept any longer.
const ANSWER: Duration = Duration::from_secs(1);

/// The connections that are kept; clones share them.
#[derive(Clone, Debug, Default)]
pub struct ConnectionReserve(Arc<Mutex<Vec<Postgres>>>);

impl ConnectionReserve {
    fn take(&self) -> Option<Postgres> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn give_back(&self, connection: Postgres) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(connection);
        }
    }
}

/// A connection that goes back to the others when it is dropped. One that broke is found out when it is taken
/// again.
#[derive(Debug)]
pub struct ReservedConnection {
    connection: Option<Postgres>,
    home: ConnectionReserve,
}

impl ReservedConnection {
    const HELD: &'static str = "it is held until it is dropped";
}

impl Deref for ReservedConnection {
    type Target = Postgres;

    fn deref(&self) -> &Postgres {
        self.connection.as_ref().expect(Self::HELD)
    }
}

impl DerefMut for ReservedConnection {
    fn deref_mut(&mut self) -> &mut Postgres {
        self.connection.as_mut().expect(Self::HELD)
    }
}

impl Drop for ReservedConnection {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.home.give_back(connection);
        }
    }
}

impl Stack {
    /// A connection to the service's database: one that is kept and answers, else a new one.
    ///
    /// # Errors
    /// When PostgreSQL does not answer in time, or admits no more connections.
    pub async fn kept_postgres(&self, timeout: Duration) -> Result<ReservedConnection> {
        // Whoever gave it back may have given up on a statement that still runs in the server: the ping waits
        // for its end, and a connection that takes too long is dropped.
        while let Some(mut kept) = self.reserve.take() {
            if kept.is_alive(ANSWER).await {
                return Ok(self.reserved(kept));
            }
        }
        Ok(self.reserved(Postgres::connect(&self.database_url()?, timeout).await?))
    }

    /// Makes as many connections as are kept, as far as the server admits them.
    pub async fn fill_reserve(&self, timeout: Duration) {
        // Held until all are made: given back at once, the next turn would take the same one again.
        let mut held = Vec::new();
        for _ in 0..KEPT {
            match self.kept_postgres(timeout).await {
                Ok(connection) => held.push(connection),
                // What can be had is kept; who needs more hears why there is none.
                Err(_) => return,
            }
        }
    }

    fn reserved(&self, connection: Postgres) -> ReservedConnection {
        ReservedConnection { connection: Some(connection), home: self.reserve.clone() }
    }
}
