//! Callers that were verified lately, and how long that is believed.
//!
//! What counts is when an account or key was last looked up, never what a token says of itself. A change
//! that this process knows of ends what was remembered of the caller at once.

use super::Principal;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long a look-up is believed where rights beyond a user's are needed.
const PRIVILEGED_RECHECK: Duration = Duration::from_secs(5);
/// The same for everything else with a token.
const TOKEN_RECHECK: Duration = Duration::from_secs(60);
/// The same with an API key, whose only expiry may be its revocation.
const KEY_RECHECK: Duration = Duration::from_secs(5);
/// When a caller is looked up again after the database did not answer, or while another request asks.
const RETRY: Duration = Duration::from_secs(1);
/// How long "lately" is: so long a caller is believed while the database does not answer, so that
/// accepting goes on. As long as a token lives by default.
const LATELY: Duration = Duration::from_secs(12 * 3_600);
/// Most changes that are remembered.
const MAX_CHANGES: u64 = 100_000;

/// How surely a caller has to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Assurance {
    /// As verified lately, while the database does not answer.
    Lately,
    /// As it is now: without the database nobody is believed.
    Now,
}

/// Time on a clock that only goes forward: a wall clock that jumps back must not put a look-up off.
fn uptime_ms() -> i64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    ms(START.elapsed())
}

fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)
}

struct Verified {
    principal: Arc<Principal>,
    /// When the look-up began.
    since_ms: i64,
    recheck_at_ms: AtomicI64,
    /// The changes that were known when it began.
    changes: u64,
}

/// What is remembered of a credential.
pub(super) enum Memory {
    /// It is believed.
    Fresh(Arc<Principal>),
    /// It has to be looked up; believed meanwhile only where the database does not answer.
    Due(Arc<Principal>),
    /// It has expired.
    Expired,
    /// Nothing.
    Nothing,
}

/// A look-up that has begun.
#[derive(Clone, Copy)]
pub(super) struct Began {
    at_ms: i64,
    changes: u64,
}

/// The callers of one process, by the fingerprint of their credential.
pub(super) struct Memories {
    verified: moka::sync::Cache<[u8; 32], Arc<Verified>, foldhash::fast::RandomState>,
    /// Accounts and keys that were changed, and when.
    changed: moka::sync::Cache<String, i64>,
    changes: AtomicU64,
    /// When an API key was revoked last: keys that it issued end with it, and who issued a remembered one is
    /// not known here.
    keys_revoked_ms: AtomicI64,
}

impl Memories {
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            verified: moka::sync::Cache::builder()
                .max_capacity(capacity)
                .time_to_live(LATELY)
                // A fingerprint is as good as random.
                .build_with_hasher(foldhash::fast::RandomState::default()),
            changed: moka::sync::Cache::builder().max_capacity(MAX_CHANGES).time_to_live(LATELY).build(),
            changes: AtomicU64::new(0),
            keys_revoked_ms: AtomicI64::new(i64::MIN),
        }
    }

    /// What is remembered of a credential. Where it is due, one caller at a time gets to look it up again.
    pub(super) fn recall(&self, fingerprint: &[u8; 32], assurance: Assurance) -> Memory {
        let Some(known) = self.verified.get(fingerprint) else { return Memory::Nothing };
        if known.principal.expires_at_s.is_some_and(|at| at <= crate::clock::now().as_second()) {
            return Memory::Expired;
        }
        if !self.holds(&known) {
            self.verified.invalidate(fingerprint);
            return Memory::Nothing;
        }
        let now = uptime_ms();
        let principal = Arc::clone(&known.principal);
        if assurance == Assurance::Now {
            let fresh = now < known.since_ms + ms(PRIVILEGED_RECHECK);
            return if fresh { Memory::Fresh(principal) } else { Memory::Due(principal) };
        }
        let due = known.recheck_at_ms.load(Ordering::Relaxed);
        let claim = || {
            let next = now + ms(RETRY);
            known.recheck_at_ms.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
        };
        if now < due || claim().is_err() { Memory::Fresh(principal) } else { Memory::Due(principal) }
    }

    /// Whether nothing is known to have changed since the look-up began.
    fn holds(&self, known: &Verified) -> bool {
        if known.changes == self.changes.load(Ordering::Acquire) {
            return true;
        }
        let principal = &known.principal;
        let since = |id: &str| self.changed.get(id).is_some_and(|at_ms| at_ms >= known.since_ms);
        let is_key = principal.account.is_none();
        if is_key && self.keys_revoked_ms.load(Ordering::Acquire) >= known.since_ms {
            return false;
        }
        !since(&principal.id) && !principal.owner.is_some_and(|owner| since(&owner.to_string()))
    }

    /// A look-up begins now.
    pub(super) fn begin(&self) -> Began {
        Began { at_ms: uptime_ms(), changes: self.changes.load(Ordering::Acquire) }
    }

    /// Remembers what a look-up found.
    pub(super) fn remember(&self, fingerprint: [u8; 32], principal: &Arc<Principal>, began: Began) {
        let recheck = if principal.account.is_some() { TOKEN_RECHECK } else { KEY_RECHECK };
        let entry = Verified {
            principal: Arc::clone(principal),
            since_ms: began.at_ms,
            recheck_at_ms: AtomicI64::new(began.at_ms + ms(recheck)),
            changes: began.changes,
        };
        self.verified.insert(fingerprint, Arc::new(entry));
    }

    /// A credential is not valid.
    pub(super) fn forget(&self, fingerprint: &[u8; 32]) {
        self.verified.invalidate(fingerprint);
    }

    /// An account was changed or a key revoked, here or on another replica: whatever was looked up of it before
    /// does not count any more. An account has a UUID. With a key, every key is looked up again; tokens of
    /// accounts stay remembered.
    pub(super) fn changed(&self, id: &str) {
        let now = uptime_ms();
        if id.parse::<Uuid>().is_err() {
            self.keys_revoked_ms.store(now, Ordering::Release);
        }
        self.changed.insert(id.to_owned(), now);
        self.changes.fetch_add(1, Ordering::Release);
    }

    pub(super) fn forget_all(&self) {
        self.verified.invalidate_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::generate_api_key;
    use nsys_contract::status::Role;

    const CREDENTIAL: [u8; 32] = [7; 32];

    fn principal(owner: Option<Uuid>, account: Option<Uuid>) -> Arc<Principal> {
        let id = account.map_or_else(|| "key".to_owned(), |id| id.to_string());
        let (name, role) = ("somebody".to_owned(), Role::Admin);
        Arc::new(Principal { id, account, owner, name, role, tenant: None, expires_at_s: None, limit: None })
    }

    fn with(principal: &Arc<Principal>, since_ms: i64) -> Memories {
        let memories = Memories::new(10);
        memories.remember(CREDENTIAL, principal, Began { at_ms: uptime_ms() + since_ms, changes: 0 });
        memories
    }

    fn is(memories: &Memories, assurance: Assurance) -> &'static str {
        match memories.recall(&CREDENTIAL, assurance) {
            Memory::Fresh(_) => "fresh",
            Memory::Due(_) => "due",
            Memory::Expired => "expired",
            Memory::Nothing => "nothing",
        }
    }

    #[test]
    fn rights_beyond_a_users_are_looked_up_again_soon() {
        let account = Some(Uuid::nil());
        let memories = with(&principal(account, account), -6_000);
        assert_eq!(is(&memories, Assurance::Lately), "fresh");
        assert_eq!(is(&memories, Assurance::Now), "due");
        assert_eq!(is(&memories, Assurance::Now), "due", "for everybody who asks, not for the first alone");
    }

    #[test]
    fn a_revoked_key_ends_the_keys_it_issued_and_no_token() {
        let account = Some(Uuid::nil());
        let (token, key) = (with(&principal(account, account), 0), with(&principal(account, None), 0));
        for memories in [&token, &key] {
            memories.changed("another");
        }
        assert_eq!((is(&token, Assurance::Lately), is(&key, Assurance::Lately)), ("fresh", "nothing"));
    }

    #[test]
    fn a_key_that_another_replica_announces_ends_the_keys_it_issued() {
        let (account, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let issued = with(&principal(Some(account), None), 0);
        issued.changed(&other.to_string());
        assert_eq!(is(&issued, Assurance::Lately), "fresh", "an account is announced in the same way");
        // All that is announced is an id.
        issued.changed(&generate_api_key().unwrap().id);
        assert_eq!(is(&issued, Assurance::Lately), "nothing");
    }

    #[test]
    fn one_caller_at_a_time_looks_up_again() {
        let account = Some(Uuid::nil());
        let memories = with(&principal(account, account), -61_000);
        assert_eq!((is(&memories, Assurance::Lately), is(&memories, Assurance::Lately)), ("due", "fresh"));
        let key = with(&principal(account, None), -6_000);
        assert_eq!(is(&key, Assurance::Lately), "due", "a key is looked up more often");
    }

    #[test]
    fn a_change_ends_what_was_known_of_the_account_and_its_keys() {
        let (account, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for one in [principal(Some(account), Some(account)), principal(Some(account), None)] {
            let memories = with(&one, 0);
            memories.changed(&other.to_string());
            assert_eq!(is(&memories, Assurance::Now), "fresh", "another account was changed");
            memories.changed(&account.to_string());
            assert_eq!(is(&memories, Assurance::Lately), "nothing");
        }
        let key = with(&principal(Some(account), None), 0);
        key.changed("key");
        assert_eq!(is(&key, Assurance::Lately), "nothing");
    }

    #[test]
    fn a_look_up_that_began_before_a_change_does_not_count_after_it() {
        let account = Uuid::from_u128(1);
        let memories = Memories::new(10);
        let began = memories.begin();
        memories.changed(&account.to_string());
        memories.remember(CREDENTIAL, &principal(Some(account), Some(account)), began);
        assert_eq!(is(&memories, Assurance::Lately), "nothing");
    }
}
