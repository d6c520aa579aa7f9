//! Who calls: tokens and API keys become a [`Principal`], remembered for a moment.
//!
//! A signature is checked once a minute for each token, and with it the account: a changed role or a
//! disabled account takes effect within that minute, a revoked API key within seconds.

mod api_key;
#[cfg(test)]
mod attacks;
mod claims;
mod key_file;
mod keyring;
mod password;
mod principal;
mod rotation;
mod seal;

pub(crate) use api_key::generate as generate_api_key;
use keyring::Keyring;
pub(crate) use keyring::{RELOAD_EVERY, RotateError};
pub(crate) use password::{hash_password, password_fits};
pub(crate) use principal::{Limited, Principal};

use crate::db::Db;
use crate::domain::limit::{Bucket, Decision, Quota};
use crate::domain::text::push_hex;
use claims::Claims;
use jiff::Timestamp;
use nsys_contract::api::User;
use nsys_contract::config::{Auth, Limits};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// How long a verified token is believed before signature and account are looked at again.
const TOKEN_RECHECK_S: i64 = 60;
/// The same for an API key, whose only expiry may be its revocation.
const KEY_RECHECK_S: i64 = 5;
/// How long others go on with what is known while one caller asks again, or the database is away.
const GRACE_S: i64 = 5;
/// Longest wait for the database when a token's signature has already said who it is.
const ACCOUNT_PATIENCE: Duration = Duration::from_millis(500);
/// Attempts to sign in to one account: so many at once, then one each interval.
const LOGIN_BURST: u32 = 20;
const LOGIN_INTERVAL: Duration = Duration::from_secs(3);
/// Most callers whose rate is counted.
const MAX_BUCKETS: u64 = 100_000;

/// Why a credential is not accepted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is not valid, or not any more.
    Invalid,
    /// It cannot be looked up now.
    Unknown,
}

struct Verified {
    principal: Arc<Principal>,
    /// By [`uptime_s`]: a wall clock that jumps back must not put the next look off.
    recheck_at_s: AtomicI64,
}

/// Seconds on a clock that only goes forward.
fn uptime_s() -> i64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    i64::try_from(START.elapsed().as_secs()).unwrap_or(i64::MAX / 2)
}

/// Checks credentials and issues tokens.
pub(crate) struct Authenticator {
    pub(crate) keyring: Keyring,
    auth: Auth,
    quota: Option<Quota>,
    exempt: HashSet<String>,
    verified: moka::sync::Cache<[u8; 32], Arc<Verified>, foldhash::fast::RandomState>,
    buckets: moka::sync::Cache<String, Arc<Bucket>>,
}

impl Authenticator {
    pub(crate) fn open(auth: &Auth, limits: &Limits) -> anyhow::Result<Self> {
        Ok(Self {
            keyring: Keyring::open(auth)?,
            quota: Quota::new(limits.rate_per_second, limits.burst),
            exempt: limits.exempt.iter().map(|email| email.to_lowercase()).collect(),
            verified: moka::sync::Cache::builder()
                .max_capacity(auth.verified_token_cache)
                .time_to_idle(Duration::from_secs(600))
                // A fingerprint is as good as random.
                .build_with_hasher(foldhash::fast::RandomState::default()),
            buckets: moka::sync::Cache::builder()
                .max_capacity(MAX_BUCKETS)
                .time_to_idle(Duration::from_secs(600))
                .build(),
            auth: auth.clone(),
        })
    }

    /// A token for an account, and the seconds it lives.
    pub(crate) fn issue(&self, user: &User) -> anyhow::Result<(String, u64)> {
        let now = Timestamp::now().as_second();
        let seconds = self.auth.token_ttl.as_secs();
        let claims = Claims {
            sub: user.id,
            email: user.email.clone(),
            role: user.role,
            tenant: user.tenant_id.clone(),
            iss: self.auth.issuer.clone(),
            aud: self.auth.audience.clone(),
            iat: now,
            nbf: now,
            exp: now + i64::try_from(seconds).unwrap_or(i64::MAX / 2),
        };
        Ok((self.keyring.sign(&claims)?, seconds))
    }

    /// Who sent this credential.
    pub(crate) async fn authenticate(&self, db: &Db, credential: &str) -> Result<Arc<Principal>, Refusal> {
        let fingerprint: [u8; 32] = Sha256::digest(credential).into();
        let now = uptime_s();
        let known = self.verified.get(&fingerprint);
        if let Some(known) = &known {
            if known.principal.expires_at_s.is_some_and(|at| at <= Timestamp::now().as_second()) {
                return Err(Refusal::Invalid);
            }
            let due = known.recheck_at_s.load(Ordering::Relaxed);
            // One caller at a time asks again.
            let claim = || {
                known.recheck_at_s.compare_exchange(due, now + GRACE_S, Ordering::Relaxed, Ordering::Relaxed)
            };
            if now < due || claim().is_err() {
                return Ok(Arc::clone(&known.principal));
            }
        }
        // Boxed, here and wherever else few requests come by: what is not, every request carries along.
        let (looked_up, recheck_s) = if api_key::looks_like_one(credential) {
            (Box::pin(self.look_up_key(db, credential)).await, KEY_RECHECK_S)
        } else {
            (Box::pin(self.look_up_token(db, credential)).await, TOKEN_RECHECK_S)
        };
        match (looked_up, known) {
            (Ok(principal), _) => {
                let principal = Arc::new(principal);
                let recheck_at_s = AtomicI64::new(now + recheck_s);
                let entry = Arc::new(Verified { principal: Arc::clone(&principal), recheck_at_s });
                self.verified.insert(fingerprint, entry);
                Ok(principal)
            }
            // The database is away: what was true a moment ago is the best there is.
            (Err(Refusal::Unknown), Some(known)) => Ok(Arc::clone(&known.principal)),
            (Err(refusal), _) => {
                self.verified.invalidate(&fingerprint);
                Err(refusal)
            }
        }
    }

    async fn look_up_token(&self, db: &Db, token: &str) -> Result<Principal, Refusal> {
        let claims = self.keyring.verify(token, db).await.ok_or(Refusal::Invalid)?;
        let account = tokio::time::timeout(ACCOUNT_PATIENCE, db.fetch_user(claims.sub)).await;
        let (role, tenant) = match account {
            Ok(Ok(Some(user))) if user.disabled_at.is_none() => (user.role, user.tenant_id),
            Ok(Ok(_)) => return Err(Refusal::Invalid),
            // Accepting goes on without PostgreSQL; the signature vouches for the rest.
            Ok(Err(_)) | Err(_) => (claims.role, claims.tenant),
        };
        let limit = self.limit(&claims.sub.to_string(), &claims.email);
        Ok(Principal {
            id: claims.sub.to_string(),
            account: Some(claims.sub),
            name: claims.email,
            role,
            tenant,
            expires_at_s: Some(claims.exp),
            limit,
        })
    }

    async fn look_up_key(&self, db: &Db, text: &str) -> Result<Principal, Refusal> {
        let (id, hash) = api_key::parse(text).ok_or(Refusal::Invalid)?;
        let key = db.fetch_api_key(id).await.map_err(|_| Refusal::Unknown)?.ok_or(Refusal::Invalid)?;
        let now = Timestamp::now();
        let ended = key.shown.revoked_at.is_some() || key.shown.expires_at.is_some_and(|at| at <= now);
        if ended || !api_key::same(&hash, &key.hash) {
            return Err(Refusal::Invalid);
        }
        if key.shown.last_used_at.is_none_or(|at| now.as_second() - at.as_second() >= 60) {
            // Nobody waits for this: it is for the list of keys only.
            if let Err(cause) = db.touch_api_key(id).await {
                tracing::debug!(%cause, "The last use of an API key could not be recorded.");
            }
        }
        let limit = self.limit(id, id);
        Ok(Principal {
            id: id.to_owned(),
            account: None,
            name: format!("API key {id}"),
            role: key.shown.role,
            tenant: key.shown.tenant_id,
            expires_at_s: key.shown.expires_at.map(Timestamp::as_second),
            limit,
        })
    }

    /// The limit of a caller; one bucket however many tokens it has.
    fn limit(&self, id: &str, name: &str) -> Option<Limited> {
        let quota = self.quota.filter(|_| !self.exempt.contains(&name.to_lowercase()))?;
        let bucket = self.buckets.get_with_by_ref(id, Arc::default);
        Some(Limited::new(bucket, quota))
    }

    /// Counts an attempt to sign in to an account; says how long to wait when there were too many.
    pub(crate) fn login_attempt(&self, email: &str) -> Option<Decision> {
        let email = email.to_lowercase();
        let quota = Quota::every(LOGIN_INTERVAL, LOGIN_BURST);
        if self.exempt.contains(&email) || email.len() > 254 {
            return None;
        }
        let bucket = self.buckets.get_with(format!("login {email}"), Arc::default);
        Some(Limited::new(bucket, quota).take(1))
    }

    /// Forgets who was verified, so that every credential is looked at again.
    pub(crate) fn forget_all(&self) {
        self.verified.invalidate_all();
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    push_hex(&mut text, bytes);
    text
}
