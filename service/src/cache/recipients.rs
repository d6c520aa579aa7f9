//! Cached preferences of users: process, Redis, then the database, for the users of a whole batch.

use super::Cache;
use crate::db::{Db, DbError, RecipientKey};
use crate::domain::recipient::Recipient;
use nsys_contract::keys;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// The preferences of those users of a batch who have any.
pub(crate) type Recipients = HashMap<RecipientKey, Arc<Recipient>>;

impl Cache {
    /// The preferences of these users (tenant, user), as far as they have any.
    pub(crate) async fn recipients<'a>(
        &self,
        db: &Db,
        users: impl Iterator<Item = (Option<&'a str>, &'a str)>,
    ) -> Result<Recipients, DbError> {
        let mut found = Recipients::new();
        let mut unknown = Vec::new();
        let mut seen = HashSet::with_capacity(users.size_hint().0);
        for (tenant, user) in users.filter(|user| seen.insert(*user)) {
            match self.recipients.get(&keys::recipient(tenant.unwrap_or_default(), user)) {
                Some(Some(recipient)) => {
                    found.insert(recipient_key(tenant, user), recipient);
                }
                Some(None) => {}
                None => unknown.push(recipient_key(tenant, user)),
            }
        }
        if unknown.is_empty() {
            return Ok(found);
        }
        let unknown = self.take_from_redis(unknown, &mut found).await;
        if !unknown.is_empty() {
            self.load_recipients(db, &unknown, &mut found).await?;
        }
        Ok(found)
    }

    /// Takes what Redis has; gives back who is still unknown.
    async fn take_from_redis(&self, keys: Vec<RecipientKey>, found: &mut Recipients) -> Vec<RecipientKey> {
        let mut pipe = redis::pipe();
        pipe.cmd("MGET").arg(keys.iter().map(name).collect::<Vec<_>>());
        let texts = self.call::<(Vec<Option<String>>,)>("mget", pipe).await;
        let Some((texts,)) = texts.filter(|(texts,)| texts.len() == keys.len()) else { return keys };
        let mut unknown = Vec::new();
        for (key, text) in keys.into_iter().zip(texts) {
            match text.and_then(|text| serde_json::from_str::<Option<Recipient>>(&text).ok()) {
                Some(entry) => {
                    self.metrics.cache_hit(keys::USER);
                    self.learn(key, entry, found);
                }
                None => {
                    self.metrics.cache_miss(keys::USER);
                    unknown.push(key);
                }
            }
        }
        unknown
    }

    /// Loads preferences from the database into both levels. That somebody has none is kept too.
    pub(crate) async fn load_recipients(
        &self,
        db: &Db,
        users: &[RecipientKey],
        found: &mut Recipients,
    ) -> Result<(), DbError> {
        let mut rows: HashMap<_, _> = db.fetch_recipients(users).await?.into_iter().collect();
        let mut pipe = redis::pipe();
        for key in users {
            let entry = rows.remove(key);
            if let Ok(text) = serde_json::to_string(&entry) {
                let ttl = self.ttl_ms(self.settings.ttl_user);
                // Not over the mark of a change that was made since they were read.
                pipe.cmd("SET").arg(name(key)).arg(text).arg("NX").arg("PX").arg(ttl).ignore();
            }
            self.learn(key.clone(), entry, found);
        }
        let _: Option<()> = self.call("set", pipe).await;
        Ok(())
    }

    fn learn(&self, key: RecipientKey, entry: Option<Recipient>, found: &mut Recipients) {
        let entry = entry.map(Arc::new);
        self.recipients.insert(name(&key), entry.clone());
        if let Some(recipient) = entry {
            found.insert(key, recipient);
        }
    }

    /// Forgets a user's preferences everywhere, after they changed. `false` when Redis did not answer: it may still
    /// have the old ones.
    pub(crate) async fn forget_recipient(&self, tenant: Option<&str>, user: &str) -> bool {
        let name = name(&recipient_key(tenant, user));
        self.recipients.invalidate(&name);
        let mut pipe = redis::pipe();
        self.mark_changed(&mut pipe, &name);
        pipe.cmd("PUBLISH").arg(keys::INVALIDATION_CHANNEL).arg(keys::one(&name)).ignore();
        self.call::<()>("forget", pipe).await.is_some()
    }

    /// How long Redis keeps the preferences of a user at most.
    pub(crate) fn recipient_ttl(&self) -> Duration {
        self.settings.ttl_user
    }
}

/// The key of a user.
pub(crate) fn recipient_key(tenant: Option<&str>, user: &str) -> RecipientKey {
    (tenant.unwrap_or_default().to_owned(), user.to_owned())
}

/// The key of a user in Redis.
fn name((tenant, user): &RecipientKey) -> String {
    keys::recipient(tenant, user)
}
