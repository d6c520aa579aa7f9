//! The pure parts of the way from a request to its answer, for `benches/parts.rs`.

use super::admin::page;
use super::extract::read_json;
use super::notifications::batch::{Items, RESULT_BYTES};
use super::notifications::intake::write_result;
use crate::auth::Authenticator;
use crate::domain::draft::Draft;
use crate::domain::notification_id;
use nsys_contract::api::User;
use nsys_contract::config::{Auth, Limits};
use nsys_contract::status::Role;
use uuid::Uuid;

/// When the benches' requests come, in ms since the epoch.
const NOW_MS: i64 = 1_767_323_000_000;
/// Bytes of a payload at most.
const MAX_PAYLOAD: usize = 65_536;

/// Reads one notification, checks it and writes its message; the message's bytes, `None` when it is wrong.
#[must_use]
pub fn message(body: &[u8]) -> Option<usize> {
    let draft: Draft<'_> = read_json(body).ok()?;
    draft.accept(None, MAX_PAYLOAD, NOW_MS).ok()?.message().ok().map(|message| message.len())
}

/// The same for a batch, and its results as JSON; the bytes of the answer, `None` when it is no batch.
#[must_use]
pub fn batch(body: &[u8]) -> Option<usize> {
    let Items { notifications } = read_json(body).ok()?;
    let mut results = Vec::with_capacity(RESULT_BYTES * notifications.len());
    for (index, raw) in notifications.iter().enumerate() {
        let draft: Draft<'_> = read_json(raw.get().as_bytes()).ok()?;
        let accepted = draft.accept(None, MAX_PAYLOAD, NOW_MS).ok()?;
        accepted.message().ok()?;
        write_result(&mut results, index as u64, &Ok(accepted.id));
    }
    Some(results.len())
}

/// The id of a tenant's idempotency key.
#[must_use]
pub fn id(tenant: &str, key: &str) -> Uuid {
    notification_id(Some(tenant), Some(key))
}

/// Writes the cursor of a page and reads it again; `None` when it does not come back.
#[must_use]
pub fn cursor(place: &str) -> Option<String> {
    let (_, next) = page::cut(vec![(), ()], 1, |()| place.to_owned());
    page::read_cursor(&next?)
}

/// Tokens of a key of their own.
pub struct Tokens {
    keys: Authenticator,
    token: String,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    /// A new key and a token of it.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn new() -> anyhow::Result<Self> {
        let auth = Auth { signing_key_file: String::new(), ..Auth::default() };
        let keys = Authenticator::open(&auth, &Limits::default())?;
        let user = User {
            id: Uuid::nil(),
            email: "bench@example.com".into(),
            name: "Bench".into(),
            role: Role::User,
            tenant_id: Some("bench".into()),
            created_at: jiff::Timestamp::UNIX_EPOCH,
            disabled_at: None,
        };
        let (token, _) = keys.issue(&user)?;
        Ok(Self { keys, token })
    }

    /// Whether signature and claims of the token hold: what a token costs that is not remembered.
    #[must_use]
    pub fn verify(&self) -> bool {
        self.keys.keyring.verify_known(&self.token).is_some()
    }
}
