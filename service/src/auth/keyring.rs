//! The signing keys of one process: the first from a file, the later ones from the database.
//!
//! Private keys rest sealed with a key derived from the file's, so that a copy of the database alone
//! signs nothing. Replicas read the table again and again, and at once when a token names a key they
//! do not know.

use super::claims::{self, Claims};
use super::jose;
use super::rotation::{self, KeyTimes};
use crate::db::{Db, SigningKeyRow};
use crate::secret::key_file;
use crate::secret::seal::Seal;
use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use nsys_contract::api::SigningKey;
use nsys_contract::config::Auth;
use ring::signature::KeyPair;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// What the key that seals private keys is derived for.
pub(super) const SEALED_KEYS: &[u8] = b"notification-service signing keys v1";
/// Sealed signing keys are bound to no place.
pub(super) const NO_CONTEXT: &[u8] = b"";
/// How often the table of keys is read again.
pub(crate) const RELOAD_INTERVAL: std::time::Duration = std::time::Duration::from_secs(10);
/// How long a new key is only published before it signs: every replica has read it by then.
const PUBLISHED_AHEAD_S: i64 = 30;

/// One key pair; the private part is missing when this process cannot unseal it.
struct Pair {
    kid: String,
    public: Vec<u8>,
    decoding: DecodingKey,
    encoding: Option<EncodingKey>,
    created_at: Option<Timestamp>,
    times: KeyTimes,
}

impl Pair {
    fn from_private(der: &[u8], times: impl FnOnce(&str) -> KeyTimes) -> anyhow::Result<Self> {
        let pair = jose::key_pair(der).map_err(|cause| anyhow::anyhow!("not an Ed25519 key: {cause}"))?;
        let public = pair.public_key().as_ref().to_vec();
        let kid = URL_SAFE_NO_PAD.encode(&Sha256::digest(&public)[..12]);
        Ok(Self {
            decoding: DecodingKey::from_ed_der(&public),
            encoding: Some(EncodingKey::from_ed_der(der)),
            created_at: None,
            times: times(&kid),
            kid,
            public,
        })
    }

    fn from_row(row: SigningKeyRow, seal: Option<&Seal>) -> Self {
        let private = seal.zip(row.sealed.as_ref()).and_then(|(seal, sealed)| seal.open(NO_CONTEXT, sealed));
        Self {
            times: KeyTimes {
                kid: row.kid.clone(),
                active_from: row.active_from.map(Timestamp::as_second),
                revoked_at: row.revoked_at.map(Timestamp::as_second),
            },
            kid: row.kid,
            decoding: DecodingKey::from_ed_der(&row.public),
            encoding: private.map(|der| EncodingKey::from_ed_der(&der)),
            created_at: Some(row.created_at),
            public: row.public,
        }
    }
}

/// Every key of the process.
pub(crate) struct Keyring {
    auth: Auth,
    validation: Validation,
    seal: Option<Seal>,
    first: Arc<Pair>,
    keys: RwLock<Arc<Vec<Arc<Pair>>>>,
    reloaded_at: AtomicI64,
}

impl Keyring {
    /// Opens the key file, creating it when it does not exist yet.
    pub(crate) fn open(auth: &Auth) -> anyhow::Result<Self> {
        jose::install();
        let der = match auth.signing_key_file.as_str() {
            "" => key_file::generate()?,
            path => key_file::read_or_create(Path::new(path))?,
        };
        let times = |kid: &str| KeyTimes { kid: kid.to_owned(), active_from: None, revoked_at: None };
        let first = Arc::new(Pair::from_private(&der, times).context("auth.signing_key_file")?);
        let shared = !auth.signing_key_file.is_empty();
        Ok(Self {
            validation: claims::validation(auth),
            seal: shared.then(|| Seal::derive(&der, SEALED_KEYS)).transpose()?,
            keys: RwLock::new(Arc::new(vec![Arc::clone(&first)])),
            first,
            auth: auth.clone(),
            reloaded_at: AtomicI64::new(0),
        })
    }

    fn keys(&self) -> Arc<Vec<Arc<Pair>>> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn token_ttl_s(&self) -> i64 {
        i64::try_from(self.auth.token_ttl.as_secs() + claims::LEEWAY_S).unwrap_or(i64::MAX / 4)
    }

    /// The keys that count at this moment, the newest first.
    fn current(&self) -> Vec<(Arc<Pair>, rotation::KeyState)> {
        let keys = self.keys();
        let times: Vec<KeyTimes> = keys.iter().map(|pair| pair.times.clone()).collect();
        let by_kid: HashMap<&str, &Arc<Pair>> = keys.iter().map(|pair| (pair.kid.as_str(), pair)).collect();
        rotation::arrange(&times, crate::clock::now().as_second(), self.token_ttl_s())
            .into_iter()
            .filter_map(|state| Some((Arc::clone(by_kid.get(state.kid.as_str())?), state)))
            .collect()
    }

    /// Signs claims with the newest active key whose private part is here.
    pub(crate) fn sign(&self, claims: &Claims) -> anyhow::Result<String> {
        let current = self.current();
        let pair = current
            .iter()
            .filter(|(pair, state)| {
                state.signing || (state.accepted_until.is_some() && pair.encoding.is_some())
            })
            .find_map(|(pair, _)| Some((pair, pair.encoding.as_ref()?)));
        let (pair, encoding) = pair.context("no signing key can be used")?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(pair.kid.clone());
        Ok(jsonwebtoken::encode(&header, claims, encoding)?)
    }

    /// The claims of a valid token; `None` for every other text.
    pub(crate) async fn verify(&self, token: &str, db: &Db) -> Option<Claims> {
        let kid = claims::header(token)?.kid?;
        if self.accepted(&kid).is_none() && self.may_reload() {
            // Signed by a key that another replica took into use a moment ago, or by a stranger's.
            self.reload(db).await;
        }
        self.verify_known(token)
    }

    /// The same with the keys that are known here.
    pub(crate) fn verify_known(&self, token: &str) -> Option<Claims> {
        let pair = self.accepted(&claims::header(token)?.kid?)?;
        claims::read(token, &pair.decoding, &self.validation)
    }

    fn accepted(&self, kid: &str) -> Option<Arc<Pair>> {
        let found = self.current().into_iter().find(|(pair, _)| pair.kid == kid);
        found.map(|(pair, _)| pair)
    }

    /// At most once a second, so that made-up key ids do not become queries.
    fn may_reload(&self) -> bool {
        let (last, now) = (self.reloaded_at.load(Ordering::Relaxed), crate::clock::now().as_second());
        self.seal.is_some()
            && now > last
            && self.reloaded_at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Reads the table of keys; returns whether a key went out of use.
    pub(crate) async fn reload(&self, db: &Db) -> bool {
        if self.seal.is_none() {
            return false;
        }
        let rows = match db.list_signing_keys().await {
            Ok(rows) => rows,
            Err(cause) => {
                tracing::warn!(%cause, "The signing keys cannot be read; continuing with the known ones.");
                return false;
            }
        };
        let known_first = rows.iter().any(|row| row.kid == self.first.kid);
        let mut pairs: Vec<Arc<Pair>> = if known_first { Vec::new() } else { vec![Arc::clone(&self.first)] };
        for row in rows {
            let first = row.kid == self.first.kid;
            let mut pair = Pair::from_row(row, self.seal.as_ref());
            if first {
                pair.encoding.clone_from(&self.first.encoding);
            } else if pair.encoding.is_none() {
                tracing::warn!(
                    kid = pair.kid,
                    "A signing key was sealed with another auth.signing_key_file."
                );
            }
            pairs.push(Arc::new(pair));
        }
        let before = self.current().len();
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(pairs);
        self.current().len() < before
    }

    /// Makes a new key and takes it into use: after a while, or at once when the old ones are revoked.
    pub(crate) async fn rotate(&self, db: &Db, revoke_old: bool) -> Result<(), RotateError> {
        let seal = self.seal.as_ref().ok_or(RotateError::NoFile)?;
        let der = key_file::generate().map_err(RotateError::Failed)?;
        let now = crate::clock::now();
        let wait = if revoke_old { 0 } else { PUBLISHED_AHEAD_S };
        let active_from = Timestamp::from_second(now.as_second() + wait).unwrap_or(now);
        let times = |kid: &str| KeyTimes { kid: kid.to_owned(), active_from: None, revoked_at: None };
        let pair = Pair::from_private(&der, times).map_err(RotateError::Failed)?;
        let row = SigningKeyRow {
            kid: pair.kid,
            public: pair.public,
            sealed: Some(seal.close(NO_CONTEXT, &der).map_err(RotateError::Failed)?),
            created_at: now,
            active_from: Some(active_from),
            revoked_at: None,
        };
        let first = SigningKeyRow {
            kid: self.first.kid.clone(),
            public: self.first.public.clone(),
            sealed: None,
            created_at: now,
            active_from: None,
            revoked_at: None,
        };
        db.add_signing_key(&row, &first, revoke_old).await.map_err(RotateError::Db)?;
        self.reload(db).await;
        Ok(())
    }

    /// The keys as the API shows them.
    pub(crate) fn list(&self) -> Vec<SigningKey> {
        let second = |at: Option<i64>| at.and_then(|at| Timestamp::from_second(at).ok());
        let shown = self.current().into_iter().map(|(pair, state)| SigningKey {
            kid: state.kid,
            created_at: pair.created_at,
            active_from: second(pair.times.active_from),
            accepted_until: second(state.accepted_until),
            signing: state.signing,
        });
        shown.collect()
    }

    /// The public keys as a JSON Web Key Set (RFC 7517, RFC 8037).
    pub(crate) fn jwks(&self) -> serde_json::Value {
        let keys: Vec<_> = self
            .current()
            .iter()
            .map(|(pair, _)| {
                serde_json::json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA",
                    "kid": pair.kid, "x": URL_SAFE_NO_PAD.encode(&pair.public)})
            })
            .collect();
        serde_json::json!({ "keys": keys })
    }
}

/// Why the keys could not be rotated.
#[derive(Debug)]
pub(crate) enum RotateError {
    /// The key of this process is its own; others would not know the new one.
    NoFile,
    /// The database failed.
    Db(crate::db::DbError),
    /// No key could be made.
    Failed(anyhow::Error),
}
