//! Who calls: tokens and API keys become a [`Principal`], remembered for a moment.
//!
//! A signature is checked once a minute for each token, and with it the account; where rights beyond a
//! user's are needed, every few seconds. A change is announced to every replica. What a token says of
//! itself is never enough: while the database does not answer, whoever was verified lately may go on
//! sending and reading, with the reach over tenants that it had then, and no route of an operator or an
//! admin is open to anybody.

mod api_key;
#[cfg(test)]
mod attacks;
mod attempts;
mod claims;
mod jose;
mod keyring;
mod password;
mod principal;
mod rotation;
#[cfg(test)]
mod stored;
mod verified;

pub(crate) use api_key::generate as generate_api_key;
use keyring::Keyring;
pub(crate) use keyring::{RELOAD_INTERVAL, RotateError};
pub(crate) use password::{hash_password, password_fits};
pub(crate) use principal::{Limited, Principal};
pub(crate) use verified::Assurance;

use crate::db::Db;
use crate::domain::limit::{Bucket, Quota};
use crate::domain::text::push_hex;
use attempts::Attempts;
use claims::Claims;
use jiff::Timestamp;
use nsys_contract::api::User;
use nsys_contract::config::{Auth, Limits};
use nsys_contract::status::Role;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use verified::{Memories, Memory};

/// Longest wait for the database to look up a caller.
const LOOK_UP_TIMEOUT: Duration = Duration::from_millis(700);
/// Longest wait for a note that decides nothing.
const TOUCH_TIMEOUT: Duration = Duration::from_millis(50);
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

/// Checks credentials and issues tokens.
pub(crate) struct Authenticator {
    pub(crate) keyring: Keyring,
    auth: Auth,
    quota: Option<Quota>,
    pub(crate) attempts: Attempts,
    exempt: HashSet<String>,
    memories: Memories,
    buckets: moka::sync::Cache<String, Arc<Bucket>>,
}

impl Authenticator {
    pub(crate) fn open(auth: &Auth, limits: &Limits) -> anyhow::Result<Self> {
        Ok(Self {
            keyring: Keyring::open(auth)?,
            quota: Quota::new(limits.rate_per_second, limits.burst),
            attempts: Attempts::default(),
            exempt: limits.exempt.iter().map(|email| email.to_lowercase()).collect(),
            memories: Memories::new(auth.verified_token_cache),
            buckets: moka::sync::Cache::builder()
                .max_capacity(MAX_BUCKETS)
                .time_to_idle(Duration::from_secs(600))
                .build(),
            auth: auth.clone(),
        })
    }

    /// A token for an account, and the seconds it lives.
    pub(crate) fn issue(&self, user: &User) -> anyhow::Result<(String, u64)> {
        let now = crate::clock::now().as_second();
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
    pub(crate) async fn authenticate(
        &self,
        db: &Db,
        credential: &str,
        assurance: Assurance,
    ) -> Result<Arc<Principal>, Refusal> {
        let fingerprint: [u8; 32] = Sha256::digest(credential).into();
        let known = match self.memories.recall(&fingerprint, assurance) {
            Memory::Fresh(principal) => return Ok(principal),
            Memory::Expired => return Err(Refusal::Invalid),
            Memory::Due(principal) => Some(principal),
            Memory::Nothing => None,
        };
        let began = self.memories.begin();
        // Boxed, here and wherever else few requests come by: what is not, every request carries along.
        let looked_up = Box::pin(tokio::time::timeout(LOOK_UP_TIMEOUT, self.look_up(db, credential))).await;
        match (looked_up.unwrap_or(Err(Refusal::Unknown)), known) {
            (Ok(principal), _) => {
                let principal = Arc::new(principal);
                self.memories.remember(fingerprint, &principal, began);
                Ok(principal)
            }
            // The database is away: what was true lately is the best there is, where it is enough.
            (Err(Refusal::Unknown), Some(known)) if assurance == Assurance::Lately => Ok(known),
            (Err(Refusal::Unknown), _) => Err(Refusal::Unknown),
            (Err(Refusal::Invalid), _) => {
                self.memories.forget(&fingerprint);
                Err(Refusal::Invalid)
            }
        }
    }

    async fn look_up(&self, db: &Db, credential: &str) -> Result<Principal, Refusal> {
        if api_key::looks_like_one(credential) {
            self.look_up_key(db, credential).await
        } else {
            self.look_up_token(db, credential).await
        }
    }

    async fn look_up_token(&self, db: &Db, token: &str) -> Result<Principal, Refusal> {
        let claims = self.keyring.verify(token, db).await.ok_or(Refusal::Invalid)?;
        let user = db.fetch_identity(claims.sub).await.map_err(|_| Refusal::Unknown)?;
        let user = user.filter(|user| user.disabled_at.is_none()).ok_or(Refusal::Invalid)?;
        let id = claims.sub.to_string();
        let limit = if self.is_exempt(&user) { None } else { self.limit(&id) };
        Ok(Principal {
            id,
            account: Some(claims.sub),
            owner: Some(claims.sub),
            name: claims.email,
            role: user.role,
            tenant: user.tenant_id,
            expires_at_s: Some(claims.exp),
            limit,
        })
    }

    async fn look_up_key(&self, db: &Db, text: &str) -> Result<Principal, Refusal> {
        let (id, hash) = api_key::parse(text).ok_or(Refusal::Invalid)?;
        let key = db.fetch_api_key(id).await.map_err(|_| Refusal::Unknown)?.ok_or(Refusal::Invalid)?;
        let now = crate::clock::now();
        let rights = key.rights(now).filter(|_| api_key::same(&hash, &key.hash)).ok_or(Refusal::Invalid)?;
        if key.shown.last_used_at.is_none_or(|at| now.as_second() - at.as_second() >= 60) {
            // It is for the list of keys only: it must not decide whether the key is taken in time.
            match tokio::time::timeout(TOUCH_TIMEOUT, db.touch_api_key(id)).await {
                Ok(Ok(())) => {}
                Ok(Err(cause)) => {
                    tracing::debug!(%cause, "The last use of an API key could not be recorded.");
                }
                Err(_) => tracing::debug!("The last use of an API key could not be recorded in time."),
            }
        }
        let limit = self.limit(id);
        Ok(Principal {
            id: id.to_owned(),
            account: None,
            owner: Some(rights.owner),
            name: format!("API key {id}"),
            role: rights.role,
            tenant: key.shown.tenant_id,
            expires_at_s: key.ends_at.map(Timestamp::as_second),
            limit,
        })
    }

    /// The limit of a caller; one bucket however many tokens it has.
    fn limit(&self, id: &str) -> Option<Limited> {
        let quota = self.quota?;
        let bucket = self.buckets.get_with_by_ref(id, Arc::default);
        Some(Limited::new(bucket, quota))
    }

    /// Whether no rate limit holds an account back: its address is listed, and it is an administrator as the
    /// table of accounts knows it.
    fn is_exempt(&self, user: &User) -> bool {
        user.role == Role::Admin && self.is_reserved(&user.email.to_lowercase())
    }

    /// Whether an address, folded as the database folds it, is one of those without limit.
    pub(crate) fn is_reserved(&self, folded_email: &str) -> bool {
        self.exempt.contains(folded_email)
    }

    /// An account was changed or an API key revoked: what was known of it, and of the keys it issued, ends.
    pub(crate) fn changed(&self, id: &str) {
        self.memories.changed(id);
    }

    /// Forgets who was verified, so that every credential is verified again.
    pub(crate) fn forget_all(&self) {
        self.memories.forget_all();
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    push_hex(&mut text, bytes);
    text
}
