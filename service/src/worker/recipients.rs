//! What the users of a batch want, from memory where it is known already.

use crate::db::{Db, DbError, RecipientKey};
use crate::domain::recipient::Recipient;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Users remembered by a worker.
const ENTRIES: u64 = 100_000;
/// How long a change of preferences may go unnoticed when its announcement is lost.
const STALENESS: Duration = Duration::from_secs(30);

/// Preferences by user; users without any are remembered as such.
pub(crate) struct Recipients {
    known: moka::sync::Cache<RecipientKey, Option<Arc<Recipient>>>,
}

impl Default for Recipients {
    fn default() -> Self {
        let known = moka::sync::Cache::builder().max_capacity(ENTRIES).time_to_live(STALENESS).build();
        Self { known }
    }
}

impl Recipients {
    /// The preferences of these users, as far as they have any.
    pub(crate) async fn of<'a>(
        &self,
        db: &Db,
        users: impl Iterator<Item = (Option<&'a str>, &'a str)>,
    ) -> Result<HashMap<RecipientKey, Arc<Recipient>>, DbError> {
        let mut found = HashMap::new();
        let mut unknown = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for (tenant, user) in users {
            if !seen.insert((tenant, user)) {
                continue;
            }
            let key = key(tenant, user);
            match self.known.get(&key) {
                Some(Some(recipient)) => {
                    found.insert(key, recipient);
                }
                Some(None) => {}
                None => unknown.push(key),
            }
        }
        if unknown.is_empty() {
            return Ok(found);
        }
        for (key, recipient) in db.fetch_recipients(&unknown).await? {
            let recipient = Arc::new(recipient);
            self.known.insert(key.clone(), Some(Arc::clone(&recipient)));
            found.insert(key, recipient);
        }
        for key in unknown.into_iter().filter(|key| !found.contains_key(key)) {
            self.known.insert(key, None);
        }
        Ok(found)
    }
}

/// The key of a user.
pub(crate) fn key(tenant: Option<&str>, user: &str) -> RecipientKey {
    (tenant.unwrap_or_default().to_owned(), user.to_owned())
}
