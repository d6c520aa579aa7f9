//! In whose name tenants may send, as this process remembers it.

use crate::db::{Db, DbError};
use nsys_contract::status::Channel;
use std::time::{Duration, Instant};

/// How long an answer counts without another look.
const FRESHNESS: Duration = Duration::from_secs(5);
/// How long one counts while the database does not answer: accepting goes on without it.
const RETENTION: Duration = Duration::from_secs(12 * 3600);
/// Most answers remembered.
const MAX_ENTRIES: u64 = 10_000;

type SenderKey = (String, Channel, String);

/// Answers by tenant, channel and sender.
pub(crate) struct Senders {
    known: moka::sync::Cache<SenderKey, (bool, Instant)>,
}

impl Default for Senders {
    fn default() -> Self {
        Self { known: moka::sync::Cache::builder().max_capacity(MAX_ENTRIES).time_to_live(RETENTION).build() }
    }
}

impl Senders {
    /// Whether a tenant may send in this name.
    pub(crate) async fn allows(
        &self,
        db: &Db,
        tenant: Option<&str>,
        channel: Channel,
        sender: &str,
    ) -> Result<bool, DbError> {
        let key = (tenant.unwrap_or_default().to_owned(), channel, sender.to_owned());
        let known = self.known.get(&key);
        if let Some((allowed, _)) = known.filter(|(_, since)| since.elapsed() < FRESHNESS) {
            return Ok(allowed);
        }
        match (db.is_verified_sender(tenant, channel, sender).await, known) {
            (Ok(allowed), _) => {
                self.known.insert(key, (allowed, Instant::now()));
                Ok(allowed)
            }
            (Err(_), Some((true, _))) => Ok(true),
            (Err(cause), _) => Err(cause),
        }
    }

    /// Forgets an answer that was changed here.
    pub(crate) fn forget(&self, tenant: Option<&str>, channel: Channel, sender: &str) {
        self.known.invalidate(&(tenant.unwrap_or_default().to_owned(), channel, sender.to_owned()));
    }
}
